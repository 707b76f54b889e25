-- The tables of a topic, version 2.

CREATE TABLE @events@ (
    position bigint NOT NULL PRIMARY KEY,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    id uuid NOT NULL,
    stream text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    payload json,
    payload_bytes bytea,
    content_type text COLLATE "C",
    metadata json,
    metadata_bytes bytea,
    tags text[] COLLATE "C",
    size integer NOT NULL,
    checksum integer NOT NULL
);
CREATE UNIQUE INDEX ON @events@ (id);
CREATE UNIQUE INDEX ON @events@ (stream, version);
CREATE INDEX ON @events@ (type, position);
CREATE INDEX ON @events@ (stream, version) WHERE type IN ('$stream-deleted', '$stream-restored');
COMMENT ON COLUMN @events@.payload IS 'the payload as it was sent, where it is JSON';
COMMENT ON COLUMN @events@.payload_bytes IS 'the payload as it was sent, where it is not JSON';
COMMENT ON COLUMN @events@.content_type IS 'null: application/json';
COMMENT ON COLUMN @events@.metadata IS 'null where there is none, or it is not JSON';
COMMENT ON COLUMN @events@.metadata_bytes IS 'the metadata where it is not JSON';
COMMENT ON COLUMN @events@.size IS 'about how many bytes the event has';
COMMENT ON COLUMN @events@.checksum IS 'CRC32C of what the caller gave';

CREATE TABLE @tags@ (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);
