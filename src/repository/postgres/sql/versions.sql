-- Version 3 of the schema: topics have versions of their own. A build that knows of none makes the first.

ALTER TABLE @topics@ ADD COLUMN version integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN @topics@.version IS 'what the tables and functions of the topic are';

INSERT INTO @versions@ (version) VALUES (3);
