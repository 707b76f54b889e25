-- The functions of a topic, version 2, that write and search its tables.
--
-- They are made anew where a topic is brought to another version. A build that is older still calls them
-- by name: where one comes to mean something else, its parameters change too, so that it is not found.
--
-- Plans of the function that appends are made once, since each of its statements has one index that serves
-- it. What it calls is set back to what is usual: which index serves best may depend on what is asked.
--
-- Every function that writes takes the topic's lock first and holds it until its transaction ends,
-- so positions become visible in order and without gaps. One that was called before the topic was brought
-- to another version, and waited for the lock meanwhile, finds that out by the version. Each must be called on its own, in READ
-- COMMITTED: a snapshot that is older than the lock would show an older head.

-- Whether a stream is deleted.
CREATE FUNCTION @deleted@(of_stream text) RETURNS boolean LANGUAGE plpgsql STABLE SET plan_cache_mode = auto AS @quote@
BEGIN
    RETURN coalesce((
        SELECT e.type = '$stream-deleted' FROM @events@ e
        WHERE e.stream = of_stream AND e.type IN ('$stream-deleted', '$stream-restored')
        ORDER BY e.version DESC LIMIT 1), false);
END
@quote@;

-- The version of a stream's last event at or before a position: 0 where there is none. Versions
-- rise with positions, so they are searched from the end, in steps that double, and then by halves.
CREATE FUNCTION @version_at@(of_stream text, at bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS @quote@
DECLARE
    low bigint := 0;
    high bigint;
    middle bigint;
    step bigint := 1;
    found bigint;
BEGIN
    SELECT e.version, e.position INTO high, found FROM @events@ e
        WHERE e.stream = of_stream ORDER BY e.version DESC LIMIT 1;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    IF found <= at THEN
        RETURN high;
    END IF;
    LOOP
        low := greatest(high - step, 0);
        EXIT WHEN low = 0;
        SELECT e.position INTO found FROM @events@ e WHERE e.stream = of_stream AND e.version = low;
        EXIT WHEN found IS NULL OR found <= at;
        high := low;
        step := step * 2;
    END LOOP;
    WHILE high - low > 1 LOOP
        middle := (low + high) / 2;
        SELECT e.position INTO found FROM @events@ e WHERE e.stream = of_stream AND e.version = middle;
        IF found IS NULL OR found <= at THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
@quote@;

-- The last position that was recorded before a moment: 0 where there is none. Times do not run
-- backwards, so they are searched as versions are.
CREATE FUNCTION @before@(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE STRICT AS @quote@
DECLARE
    low bigint := 0;
    high bigint;
    middle bigint;
    step bigint := 1;
    found timestamptz;
BEGIN
    SELECT e.position, e.recorded_at INTO high, found FROM @events@ e ORDER BY e.position DESC LIMIT 1;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    IF found < moment THEN
        RETURN high;
    END IF;
    LOOP
        low := greatest(high - step, 0);
        EXIT WHEN low = 0;
        SELECT e.recorded_at INTO found FROM @events@ e WHERE e.position = low;
        EXIT WHEN found IS NULL OR found < moment;
        high := low;
        step := step * 2;
    END LOOP;
    WHILE high - low > 1 LOOP
        middle := (low + high) / 2;
        SELECT e.recorded_at INTO found FROM @events@ e WHERE e.position = middle;
        IF found IS NULL OR found < moment THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
@quote@;

-- The first event after a position that matches a filter: a JSON array of items, each an object
-- with the criteria that it has (types, streams, prefix, tags, since and until).
CREATE FUNCTION @first_match@(filter json, after_position bigint) RETURNS bigint LANGUAGE plpgsql STABLE SET plan_cache_mode = auto AS @quote@
DECLARE
    item json;
    key text;
    keys text[];
    f_types text[];
    f_streams text[];
    f_tags text[];
    f_prefix text;
    f_since timestamptz;
    f_until timestamptz;
    found bigint;
    best bigint;
    since_position bigint;
    until_position bigint;
BEGIN
    FOR item IN SELECT i.value FROM json_array_elements(filter) i LOOP
        f_types := CASE WHEN item->'types' IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(item->'types')) END;
        f_streams := CASE WHEN item->'streams' IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(item->'streams')) END;
        f_tags := CASE WHEN item->'tags' IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(item->'tags')) END;
        f_prefix := item->>'prefix';
        f_since := (item->>'since')::timestamptz;
        f_until := (item->>'until')::timestamptz;
        found := NULL;
        IF f_tags IS NOT NULL THEN
            -- The rarest tag drives; counting ends where that is clear enough.
            key := f_tags[1];
            IF cardinality(f_tags) > 1 THEN
                SELECT k.tag INTO key FROM unnest(f_tags) k(tag)
                ORDER BY (SELECT count(*) FROM (
                    SELECT FROM @tags@ t WHERE t.tag = k.tag AND t.position > after_position LIMIT 1000) c)
                LIMIT 1;
            END IF;
            SELECT t.position INTO found FROM @tags@ t
            WHERE t.tag = key AND t.position > after_position AND (best IS NULL OR t.position < best)
                AND EXISTS (
                    SELECT FROM @events@ e
                    WHERE e.position = t.position
                        AND (f_types IS NULL OR e.type = ANY (f_types))
                        AND (f_streams IS NULL OR e.stream = ANY (f_streams))
                        AND (f_prefix IS NULL OR starts_with(e.stream, f_prefix))
                        AND (f_since IS NULL OR e.recorded_at >= f_since)
                        AND (f_until IS NULL OR e.recorded_at <= f_until)
                        AND (cardinality(f_tags) = 1 OR e.tags @> f_tags)
                    OFFSET 0)
            ORDER BY t.position LIMIT 1;
            best := least(best, found);
        ELSIF f_streams IS NOT NULL THEN
            FOREACH key IN ARRAY f_streams LOOP
                SELECT e.position INTO found FROM @events@ e
                WHERE e.stream = key AND e.version > @version_at@(key, after_position)
                    AND (f_types IS NULL OR e.type = ANY (f_types))
                    AND (f_prefix IS NULL OR starts_with(e.stream, f_prefix))
                    AND (f_since IS NULL OR e.recorded_at >= f_since)
                    AND (f_until IS NULL OR e.recorded_at <= f_until)
                ORDER BY e.version LIMIT 1;
                best := least(best, found);
            END LOOP;
        ELSIF f_types IS NOT NULL THEN
            FOREACH key IN ARRAY f_types LOOP
                SELECT e.position INTO found FROM @events@ e
                WHERE e.type = key AND e.position > after_position AND (best IS NULL OR e.position < best)
                    AND (f_prefix IS NULL OR starts_with(e.stream, f_prefix))
                    AND (f_since IS NULL OR e.recorded_at >= f_since)
                    AND (f_until IS NULL OR e.recorded_at <= f_until)
                ORDER BY e.position LIMIT 1;
                best := least(best, found);
            END LOOP;
        ELSE
            since_position := greatest(after_position, @before@(f_since));
            until_position := least(best, @before@(f_until + interval '1 microsecond'), 9223372036854775807);
            SELECT e.position INTO found FROM @events@ e
            WHERE e.position > since_position AND e.position <= until_position
                AND (f_prefix IS NULL OR starts_with(e.stream, f_prefix))
                AND (f_since IS NULL OR e.recorded_at >= f_since)
                AND (f_until IS NULL OR e.recorded_at <= f_until)
            ORDER BY e.position LIMIT 1;
            best := least(best, found);
        END IF;
    END LOOP;
    RETURN best;
END
@quote@;

-- Takes the topic's lock, and tells whether the topic is sealed.
CREATE FUNCTION @enter@() RETURNS boolean LANGUAGE plpgsql VOLATILE AS @quote@
DECLARE
    found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(@lock@);
    SELECT t.sealed INTO found FROM @topics@ t WHERE t.id = @id@ AND t.version = 2;
    IF found IS NULL THEN
        RAISE EXCEPTION 'the topic was removed, or brought to another version' USING ERRCODE = 'AN404';
    END IF;
    RETURN found;
END
@quote@;

-- Appends a group of appends, each of which is admitted or refused on its own.
--
-- An append is written where nothing at all speaks against it. For one that is refused, the
-- function tells what it has found, and leaves it to the caller to say which of it counts.
-- `a_` stands for what is given for each append, `e_` for each event of all of them.
CREATE FUNCTION @append@(
    a_stream text[], a_expected bigint[], a_count integer[], a_now timestamptz[], a_beyond uuid[],
    a_tag text[], a_filter text[], a_after bigint[],
    e_id uuid[], e_stream text[], e_type text[], e_payload json[], e_payload_bytes bytea[],
    e_content_type text[], e_metadata json[], e_metadata_bytes bytea[], e_tags text[],
    e_size integer[], e_checksum integer[],
    OUT head bigint, OUT written boolean, OUT sealed boolean, OUT own_version bigint,
    OUT own_deleted boolean, OUT known bigint[], OUT known_beyond bigint, OUT versions bigint[],
    OUT deleted boolean[], OUT matched bigint
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS @quote@
DECLARE
    low integer := 1;
    high integer;
    last_at timestamptz;
    marked boolean;
    there boolean;
    next_version bigint;
    ids uuid[];
    befores bigint[];
    times timestamptz[];
    ends bigint[];
    owners integer[];
BEGIN
    -- Each statement costs microseconds beside what it does, so there are few of them.
    PERFORM pg_advisory_xact_lock(@lock@);
    SELECT t.sealed, coalesce(l.position, 0), l.recorded_at,
        -- Where no stream was ever deleted, none needs to be asked.
        EXISTS (SELECT FROM @events@ e WHERE e.type IN ('$stream-deleted', '$stream-restored'))
    INTO sealed, head, last_at, marked
    FROM @topics@ t LEFT JOIN LATERAL (
        SELECT e.position, e.recorded_at FROM @events@ e ORDER BY e.position DESC LIMIT 1) l ON true
    WHERE t.id = @id@ AND t.version = 2;
    IF sealed IS NULL THEN
        RAISE EXCEPTION 'the topic was removed, or brought to another version' USING ERRCODE = 'AN404';
    END IF;
    -- All at once, where nothing speaks against any of them: what is done for each append on its own costs
    -- more than its rows. If one would be refused, or more has to be looked at, nothing is done here.
    IF NOT sealed AND cardinality(a_stream) > 3
        AND cardinality(array_remove(a_tag, NULL)) = 0 AND cardinality(array_remove(a_filter, NULL)) = 0
        AND cardinality(array_remove(e_stream, NULL)) = 0
        AND NOT '$stream-deleted' = ANY (e_type)
    THEN
        ids := e_id || array_remove(a_beyond, NULL);
        SELECT bool_and(CASE a_expected[g.i]
                WHEN -2 THEN true
                WHEN -1 THEN g.before > 0
                ELSE g.before = a_expected[g.i]
            END AND NOT (marked AND @deleted@(a_stream[g.i])))
            AND (SELECT count(DISTINCT u.id) FROM unnest(ids) u(id)) = cardinality(ids)
            AND NOT EXISTS (SELECT FROM @events@ e WHERE e.id = ANY (ids)),
            array_agg(g.before ORDER BY g.i), array_agg(g.time ORDER BY g.i), array_agg(g.last ORDER BY g.i)
        INTO written, befores, times, ends
        FROM (
            SELECT b.i, head + sum(a_count[b.i]) OVER (ORDER BY b.i) AS last,
                greatest(last_at, max(a_now[b.i]) OVER (ORDER BY b.i)) AS time,
                b.version - a_count[b.i]
                    + sum(a_count[b.i]) OVER (PARTITION BY a_stream[b.i] COLLATE "C" ORDER BY b.i) AS before
            FROM (
                SELECT s.i, coalesce((
                    SELECT e.version FROM @events@ e WHERE e.stream = a_stream[s.i]
                    ORDER BY e.version DESC LIMIT 1), 0) AS version
                FROM generate_series(1, cardinality(a_stream)) s(i) OFFSET 0
            ) b
        ) g;
        IF written THEN
            IF cardinality(e_id) > cardinality(a_stream) THEN
                owners := ARRAY(
                    SELECT i FROM generate_series(1, cardinality(a_stream)) i
                    CROSS JOIN LATERAL generate_series(1, a_count[i]) n ORDER BY i);
            END IF;
            INSERT INTO @events@ (position, version, recorded_at, id, stream, type, payload, payload_bytes,
                content_type, metadata, metadata_bytes, tags, size, checksum)
            SELECT head + n, befores[i] + head + n - ends[i] + a_count[i], times[i], e_id[n], a_stream[i], e_type[n],
                e_payload[n], e_payload_bytes[n], e_content_type[n], e_metadata[n],
                e_metadata_bytes[n], string_to_array(e_tags[n], E'\x1f'), e_size[n], e_checksum[n]
            FROM (
                SELECT n, CASE WHEN owners IS NULL THEN n ELSE owners[n] END AS i
                FROM generate_series(1, cardinality(e_id)) n
            ) p;
            IF cardinality(array_remove(e_tags, NULL)) > 0 THEN
                INSERT INTO @tags@ (tag, position)
                SELECT DISTINCT t.tag, head + n
                FROM generate_series(1, cardinality(e_id)) n
                CROSS JOIN LATERAL unnest(string_to_array(e_tags[n], E'\x1f')) t(tag);
            END IF;
            RETURN QUERY SELECT ends[i], true, false, befores[i] + a_count[i], false, NULL::bigint[], NULL::bigint,
                NULL::bigint[], NULL::boolean[], NULL::bigint
            FROM generate_series(1, cardinality(a_stream)) i;
            RETURN;
        END IF;
    END IF;
    FOR i IN 1 .. cardinality(a_stream) LOOP
        high := low + a_count[i] - 1;
        IF low = high THEN
            SELECT coalesce((
                    SELECT e.version FROM @events@ e WHERE e.stream = a_stream[i] ORDER BY e.version DESC LIMIT 1), 0),
                EXISTS (SELECT FROM @events@ e WHERE e.id = e_id[low])
            INTO own_version, there;
        ELSE
            SELECT coalesce((
                    SELECT e.version FROM @events@ e WHERE e.stream = a_stream[i] ORDER BY e.version DESC LIMIT 1), 0),
                EXISTS (SELECT FROM @events@ e WHERE e.id = ANY (e_id[low:high]))
            INTO own_version, there;
        END IF;
        written := NOT sealed AND NOT there AND CASE a_expected[i]
            WHEN -2 THEN true
            WHEN -1 THEN own_version > 0
            ELSE own_version = a_expected[i]
        END;
        IF written AND a_beyond[i] IS NOT NULL THEN
            written := NOT EXISTS (SELECT FROM @events@ e WHERE e.id = a_beyond[i]);
        END IF;
        IF written AND marked THEN
            FOR k IN low .. high LOOP
                written := written AND (e_type[k] = '$stream-restored'
                    OR NOT @deleted@(coalesce(e_stream[k], a_stream[i])));
            END LOOP;
        END IF;
        IF written AND a_tag[i] IS NOT NULL THEN
            written := NOT EXISTS (SELECT FROM @tags@ t WHERE t.tag = a_tag[i] AND t.position > a_after[i]);
        END IF;
        IF written AND a_filter[i] IS NOT NULL THEN
            written := @first_match@(a_filter[i]::json, a_after[i]) IS NULL;
        END IF;
        own_deleted := false;
        known := NULL;
        known_beyond := NULL;
        versions := NULL;
        deleted := NULL;
        matched := NULL;
        IF NOT written THEN
            own_deleted := @deleted@(a_stream[i]);
            known := ARRAY(
                SELECT (SELECT e.position FROM @events@ e WHERE e.id = u.id)
                FROM unnest(e_id[low:high]) WITH ORDINALITY u(id, n) ORDER BY u.n);
            known_beyond := (SELECT e.position FROM @events@ e WHERE e.id = a_beyond[i]);
            deleted := ARRAY(
                SELECT @deleted@(coalesce(u.stream, a_stream[i]))
                FROM unnest(e_stream[low:high]) WITH ORDINALITY u(stream, n) ORDER BY u.n);
            versions := ARRAY(
                SELECT coalesce((SELECT e.version FROM @events@ e WHERE e.stream = coalesce(u.stream, a_stream[i])
                    ORDER BY e.version DESC LIMIT 1), 0)
                FROM unnest(e_stream[low:high]) WITH ORDINALITY u(stream, n) ORDER BY u.n);
            IF a_tag[i] IS NOT NULL THEN
                matched := (SELECT t.position FROM @tags@ t WHERE t.tag = a_tag[i] AND t.position > a_after[i]
                    ORDER BY t.position LIMIT 1);
            ELSIF a_filter[i] IS NOT NULL THEN
                matched := @first_match@(a_filter[i]::json, a_after[i]);
            END IF;
        ELSE
            last_at := greatest(last_at, a_now[i]);
            IF high - low < 8 THEN
                FOR k IN low .. high LOOP
                    head := head + 1;
                    IF e_stream[k] IS NULL THEN
                        own_version := own_version + 1;
                        next_version := own_version;
                    ELSE
                        next_version := 1 + coalesce((
                            SELECT e.version FROM @events@ e WHERE e.stream = e_stream[k]
                            ORDER BY e.version DESC LIMIT 1), 0);
                    END IF;
                    INSERT INTO @events@ (position, version, recorded_at, id, stream, type, payload, payload_bytes,
                        content_type, metadata, metadata_bytes, tags, size, checksum)
                    VALUES (head, next_version, last_at, e_id[k], coalesce(e_stream[k], a_stream[i]), e_type[k],
                        e_payload[k], e_payload_bytes[k], e_content_type[k], e_metadata[k],
                        e_metadata_bytes[k], string_to_array(e_tags[k], E'\x1f'), e_size[k], e_checksum[k]);
                    IF strpos(e_tags[k], E'\x1f') = 0 THEN
                        INSERT INTO @tags@ (tag, position) VALUES (e_tags[k], head);
                    ELSIF e_tags[k] IS NOT NULL THEN
                        INSERT INTO @tags@ (tag, position)
                        SELECT DISTINCT u.tag, head FROM unnest(string_to_array(e_tags[k], E'\x1f')) u(tag);
                    END IF;
                END LOOP;
            ELSE
                IF cardinality(array_remove(e_stream[low:high], NULL)) = 0 THEN
                    INSERT INTO @events@ (position, version, recorded_at, id, stream, type, payload, payload_bytes,
                        content_type, metadata, metadata_bytes, tags, size, checksum)
                    SELECT head + 1 + n - low, own_version + 1 + n - low, last_at, e_id[n], a_stream[i], e_type[n],
                        e_payload[n], e_payload_bytes[n], e_content_type[n], e_metadata[n],
                        e_metadata_bytes[n], string_to_array(e_tags[n], E'\x1f'), e_size[n], e_checksum[n]
                    FROM generate_series(low, high) n;
                    own_version := own_version + a_count[i];
                ELSE
                    INSERT INTO @events@ (position, version, recorded_at, id, stream, type, payload, payload_bytes,
                        content_type, metadata, metadata_bytes, tags, size, checksum)
                    SELECT head + 1 + g.n - low, g.version, last_at, e_id[g.n], g.stream, e_type[g.n],
                        e_payload[g.n], e_payload_bytes[g.n], e_content_type[g.n], e_metadata[g.n],
                        e_metadata_bytes[g.n], string_to_array(e_tags[g.n], E'\x1f'), e_size[g.n], e_checksum[g.n]
                    FROM (
                        SELECT b.n, b.stream, b.version + row_number() OVER (PARTITION BY b.stream ORDER BY b.n) AS version
                        FROM (
                            SELECT c.n, c.stream, coalesce((
                                SELECT e.version FROM @events@ e WHERE e.stream = c.stream
                                ORDER BY e.version DESC LIMIT 1), 0) AS version
                            FROM (
                                SELECT n, coalesce(e_stream[n], a_stream[i]) COLLATE "C" AS stream
                                FROM generate_series(low, high) n
                            ) c OFFSET 0
                        ) b
                    ) g;
                    own_version := coalesce((
                        SELECT e.version FROM @events@ e WHERE e.stream = a_stream[i]
                        ORDER BY e.version DESC LIMIT 1), 0);
                END IF;
                INSERT INTO @tags@ (tag, position)
                SELECT DISTINCT t.tag, head + 1 + n - low
                FROM generate_series(low, high) n
                CROSS JOIN LATERAL unnest(string_to_array(e_tags[n], E'\x1f')) t(tag)
                WHERE e_tags[n] IS NOT NULL;
                head := head + a_count[i];
            END IF;
            marked := marked OR CASE low
                WHEN high THEN e_type[low] = '$stream-deleted'
                ELSE '$stream-deleted' = ANY (e_type[low:high])
            END;
        END IF;
        RETURN NEXT;
        low := high + 1;
    END LOOP;
END
@quote@;

-- Records events with the places and times that they have, if the first of them is the next.
CREATE FUNCTION @import@(
    first_position bigint, e_version bigint[], e_recorded_at timestamptz[],
    e_id uuid[], e_stream text[], e_type text[], e_payload json[], e_payload_bytes bytea[],
    e_content_type text[], e_metadata json[], e_metadata_bytes bytea[], e_tags text[],
    e_size integer[], e_checksum integer[],
    OUT head bigint, OUT written boolean
) LANGUAGE plpgsql VOLATILE AS @quote@
BEGIN
    PERFORM @enter@();
    SELECT e.position INTO head FROM @events@ e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    written := first_position = head + 1;
    IF NOT written THEN
        RETURN;
    END IF;
    INSERT INTO @events@ (position, version, recorded_at, id, stream, type, payload, payload_bytes,
        content_type, metadata, metadata_bytes, tags, size, checksum)
    SELECT head + u.n, u.version, u.recorded_at, u.id, u.stream, u.type, u.payload, u.payload_bytes,
        u.content_type, u.metadata, u.metadata_bytes, string_to_array(u.tags, E'\x1f'), u.size, u.checksum
    FROM unnest(e_version, e_recorded_at, e_id, e_stream, e_type, e_payload, e_payload_bytes, e_content_type,
        e_metadata, e_metadata_bytes, e_tags, e_size, e_checksum)
    WITH ORDINALITY u(version, recorded_at, id, stream, type, payload, payload_bytes, content_type,
        metadata, metadata_bytes, tags, size, checksum, n)
    ORDER BY u.n;
    INSERT INTO @tags@ (tag, position)
    SELECT DISTINCT t.tag, head + u.n
    FROM unnest(e_tags) WITH ORDINALITY u(tags, n)
    CROSS JOIN LATERAL unnest(string_to_array(u.tags, E'\x1f')) t(tag);
    head := head + cardinality(e_id);
END
@quote@;

-- Takes no more appends, or takes them again; tells the head. What was decided on before the last that was
-- done, by the position in the configuration stream, does nothing.
CREATE FUNCTION @seal@(wanted boolean, since bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS @quote@
BEGIN
    PERFORM @enter@();
    UPDATE @topics@ t SET sealed = wanted, sealed_since = since
    WHERE t.id = @id@ AND (t.sealed <> wanted AND t.sealed_since = since OR t.sealed_since < since);
    RETURN coalesce((SELECT e.position FROM @events@ e ORDER BY e.position DESC LIMIT 1), 0);
END
@quote@;

-- The head, whether the topic is sealed, and the state of a stream, all of one moment.
CREATE FUNCTION @state@(of_stream text, OUT sealed boolean, OUT head bigint, OUT version bigint, OUT deleted boolean)
LANGUAGE plpgsql STABLE AS @quote@
BEGIN
    SELECT t.sealed INTO sealed FROM @topics@ t WHERE t.id = @id@;
    IF sealed IS NULL THEN
        RAISE EXCEPTION 'the topic was removed' USING ERRCODE = 'AN404';
    END IF;
    head := coalesce((SELECT e.position FROM @events@ e ORDER BY e.position DESC LIMIT 1), 0);
    IF of_stream IS NOT NULL THEN
        version := coalesce((
            SELECT e.version FROM @events@ e WHERE e.stream = of_stream ORDER BY e.version DESC LIMIT 1), 0);
        deleted := @deleted@(of_stream);
    END IF;
END
@quote@;
