-- Version 1 of the schema: what all topics share. A topic's own are in tables.sql and functions.sql.

CREATE TABLE @versions@ (
    version integer NOT NULL PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE @versions@ IS 'Annals: the versions to which this schema was brought. The highest one counts.';

CREATE TABLE @topics@ (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    events_table text COLLATE "C" NOT NULL UNIQUE,
    sealed boolean NOT NULL DEFAULT false,
    sealed_since bigint NOT NULL DEFAULT 0,
    storage uuid NOT NULL UNIQUE,
    store uuid NOT NULL,
    options json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE @topics@ IS 'Annals: one row for each storage, and the table in which its events are. A topic that was deleted or moved keeps its row until it is purged.';

INSERT INTO @versions@ (version) VALUES (1);
