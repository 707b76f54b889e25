-- Version 2 of the schema: what was removed.

CREATE TABLE @removed@ (
    storage uuid NOT NULL PRIMARY KEY,
    events_table text COLLATE "C",
    removed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE @removed@ IS 'Annals: storages that were removed. They are not made again, and no other one takes the name of their table: a process that has not heard of it may still call for them.';

INSERT INTO @versions@ (version) VALUES (2);
