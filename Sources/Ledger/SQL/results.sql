-- name: lock_runs
-- In the order of ids, so that two schedulers never wait for each other.
SELECT r.id, r.state, r.pipeline, r.pipeline_digest, r.parameters::text AS parameters, r.event_source, r.event_id, r.created_at, r.generation, r.reason,
       r.priority, r.traceparent, r.tracestate
FROM martlet.runs r WHERE r.id = ANY($1::text[]) ORDER BY r.id FOR UPDATE;

-- name: load_tasks
SELECT run_id, stage, kind, pool, state, attempt, failures, losses, rejected, token, output::text AS output,
       failure::text AS failure, worker, log, started_at, finished_at,
       -- Only an attempt that follows another can be one; the payload itself is not needed here, and is large.
       attempt > 1 AND payload LIKE '%"resourceRetry":true%' AS resource_retry
FROM martlet.tasks WHERE run_id = ANY($1::text[]) ORDER BY run_id, position;

-- name: update_tasks
UPDATE martlet.tasks t
SET state = u.state, attempt = u.attempt, failures = u.failures, losses = u.losses, rejected = u.rejected,
    -- By this server's clock, which is the one that dispatching goes by.
    due_at = coalesce(clock_timestamp() + make_interval(secs => u.due_in), t.due_at), ready_at = CASE WHEN u.state IN ('ready', 'dispatched') THEN clock_timestamp() ELSE t.ready_at END,
    dispatched_at = CASE WHEN u.state = 'dispatched' THEN clock_timestamp() ELSE t.dispatched_at END,
    -- A payload is an object that is never empty.
    payload = CASE WHEN u.resource_retry THEN left(coalesce(u.payload, t.payload), -1) || ',"resourceRetry":true}'
                   ELSE coalesce(u.payload, t.payload) END,
    output = coalesce(u.output::jsonb, t.output),
    failure = u.failure::jsonb, fingerprint = u.fingerprint, token = u.token, worker = u.worker, log = u.log,
    started_at = u.started_at, finished_at = u.finished_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::bool[], $8::float8[],
            $9::text[], $10::bool[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::timestamptz[], $18::timestamptz[])
    AS u (run_id, stage, state, attempt, failures, losses, rejected, due_in, payload, resource_retry, output, failure,
          fingerprint, token, worker, log, started_at, finished_at)
WHERE t.run_id = u.run_id AND t.stage = u.stage;

-- name: update_runs
UPDATE martlet.runs r
SET state = u.state, reason = u.reason, finished_at = clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[]) AS u (id, state, reason)
WHERE r.id = u.id;

-- name: mark_started
-- The latest word counts: after a loss of Redis the same attempt may have been claimed twice, and the second claim
-- is the one that lives. A task that waits to be sent again is at work after all.
UPDATE martlet.tasks t
SET state = 'running', token = u.token, worker = u.worker, started_at = u.started_at,
    -- Unknown when the scheduler that sent it died before it could say so.
    dispatched_at = coalesce(t.dispatched_at, clock_timestamp())
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::timestamptz[])
    AS u (run_id, stage, attempt, token, worker, started_at)
WHERE t.run_id = u.run_id AND t.stage = u.stage AND t.attempt = u.attempt
  AND t.state IN ('ready', 'dispatched', 'running');

-- name: insert_failures
INSERT INTO martlet.failures (run_id, stage, attempt, class, code, message, details, fingerprint, worker, log, started_at)
SELECT u.run_id, u.stage, u.attempt, u.class, u.code, u.message, u.details::jsonb, u.fingerprint, u.worker, u.log, u.started_at
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
    AS u (run_id, stage, attempt, class, code, message, details, fingerprint, worker, log, started_at);

-- name: insert_gate_decision
INSERT INTO martlet.gate_decisions (run_id, stage, attempt, accepted, decision)
VALUES ($1, $2, $3, $4, $5::jsonb)
ON CONFLICT (run_id, stage, attempt) DO NOTHING;

-- name: lock_only
-- As in lock_runs, for changes that need nothing of the runs themselves.
SELECT id FROM martlet.runs WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE;

-- name: pipeline_spec
SELECT spec::text AS spec FROM martlet.pipelines WHERE digest = $1;
