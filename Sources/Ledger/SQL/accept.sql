-- name: insert_pipeline
INSERT INTO martlet.pipelines (digest, name, spec) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING;

-- name: insert_events
-- A known (source, id) keeps the run it has; the two statements after this one see which runs are new.
-- In the order of keys, so that two schedulers with the same events in hand never wait for each other; of equal
-- ones the first counts.
INSERT INTO martlet.events (source, id, run_id)
SELECT u.source, u.id, u.run_id
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u (source, id, run_id, place)
ORDER BY u.source, u.id, u.place
ON CONFLICT (source, id) DO NOTHING
RETURNING run_id;

-- name: insert_runs
INSERT INTO martlet.runs (id, pipeline, pipeline_digest, parameters, priority, state, event_source, event_id, traceparent, tracestate, started_at)
SELECT u.id, u.pipeline, u.digest, u.parameters::jsonb, u.priority, 'running', u.source, u.event_id, u.traceparent, u.tracestate, clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS u (id, pipeline, digest, parameters, priority, source, event_id, traceparent, tracestate)
JOIN martlet.events e ON e.source = u.source AND e.id = u.event_id AND e.run_id = u.id;

-- name: insert_tasks
INSERT INTO martlet.tasks (run_id, stage, position, kind, pool, priority, state, payload, due_at, ready_at, dispatched_at)
SELECT u.run_id, u.stage, u.position, u.kind, u.pool, r.priority, u.state, u.payload,
       CASE WHEN u.state IN ('ready', 'dispatched') THEN clock_timestamp() END,
       CASE WHEN u.state IN ('ready', 'dispatched') THEN clock_timestamp() END,
       CASE WHEN u.state = 'dispatched' THEN clock_timestamp() END
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS u (run_id, stage, position, kind, pool, state, payload)
JOIN martlet.runs r ON r.id = u.run_id;

-- name: run_of_event
SELECT run_id FROM martlet.events WHERE source = $1 AND id = $2;

-- name: insert_dead_letters
INSERT INTO martlet.dead_letters (queue, reason, content_type, headers, body, body_bytes)
SELECT u.queue, u.reason, u.content_type, u.headers::jsonb, u.body, u.body_bytes
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[])
    AS u (queue, reason, content_type, headers, body, body_bytes)
RETURNING id;
