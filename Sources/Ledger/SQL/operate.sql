-- name: list_runs
SELECT r.id, r.pipeline, r.state, r.reason, r.generation, r.created_at, r.started_at, r.finished_at,
       (SELECT count(*) FROM martlet.tasks t WHERE t.run_id = r.id) AS stages,
       (SELECT count(*) FROM martlet.tasks t WHERE t.run_id = r.id AND t.state = 'succeeded') AS succeeded,
       (SELECT t.stage FROM martlet.tasks t WHERE t.run_id = r.id AND t.state IN ('running', 'dispatched', 'ready')
        ORDER BY t.position LIMIT 1) AS current
FROM martlet.runs r
WHERE ($1::text IS NULL OR r.state = $1) AND ($2::text IS NULL OR r.pipeline = $2)
ORDER BY r.created_at DESC, r.id DESC
LIMIT $3;

-- name: find_runs
-- By the whole id or its beginning.
SELECT id FROM martlet.runs WHERE starts_with(id, $1) ORDER BY id LIMIT 3;

-- name: latest_run
SELECT id FROM martlet.runs ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: show_run
SELECT r.id, r.pipeline, r.pipeline_digest, r.parameters::text AS parameters, r.priority, r.state, r.reason, r.generation,
       r.event_source, r.event_id, r.traceparent, r.created_at, r.started_at, r.finished_at
FROM martlet.runs r WHERE r.id = $1;

-- name: show_tasks
SELECT run_id, stage, kind, pool, state, attempt, failures, losses, rejected, due_at, output::text AS output,
       failure::text AS failure, fingerprint, token, worker, log, ready_at, dispatched_at, started_at, finished_at
FROM martlet.tasks WHERE run_id = $1 ORDER BY position;

-- name: show_failures
SELECT stage, attempt, class, code, message, details::text AS details, fingerprint, worker, log, started_at, finished_at
FROM martlet.failures WHERE run_id = $1 ORDER BY id;

-- name: show_gate
SELECT stage, attempt, accepted, decision::text AS decision, decided_at
FROM martlet.gate_decisions WHERE run_id = $1 ORDER BY decided_at DESC;

-- name: lock_run
SELECT id, state, pipeline_digest, generation FROM martlet.runs WHERE id = $1 FOR UPDATE;

-- name: cancel_tasks
UPDATE martlet.tasks SET state = CASE WHEN state = 'pending' THEN 'skipped' ELSE 'cancelled' END, finished_at = clock_timestamp()
WHERE run_id = $1 AND state IN ('pending', 'ready', 'dispatched', 'running') AND NOT (stage = ANY($2::text[]))
RETURNING stage, attempt;

-- name: finish_run
UPDATE martlet.runs SET state = $2, reason = $3, finished_at = clock_timestamp() WHERE id = $1;

-- name: reset_tasks
UPDATE martlet.tasks
SET state = 'pending', attempt = attempt + 1, failures = 0, losses = 0, due_at = NULL, payload = NULL, output = NULL,
    rejected = false, failure = NULL, fingerprint = NULL, token = NULL, worker = NULL, log = NULL,
    ready_at = NULL, dispatched_at = NULL, started_at = NULL, finished_at = NULL
WHERE run_id = $1 AND stage = ANY($2::text[]);

-- name: reopen_run
UPDATE martlet.runs SET state = 'running', reason = NULL, generation = generation + 1, finished_at = NULL WHERE id = $1;

-- name: dead_tasks
SELECT t.run_id, r.pipeline, t.stage, t.attempt, t.failures, t.failure::text AS failure, t.fingerprint, t.worker, t.log, t.finished_at
FROM martlet.tasks t JOIN martlet.runs r ON r.id = t.run_id
WHERE t.state = 'dead'
ORDER BY t.finished_at DESC
LIMIT $1;

-- name: list_dead_letters
SELECT id, received_at, queue, reason, content_type, headers::text AS headers, body_bytes
FROM martlet.dead_letters ORDER BY id DESC LIMIT $1;

-- name: show_dead_letter
SELECT id, received_at, queue, reason, content_type, headers::text AS headers, body, body_bytes
FROM martlet.dead_letters WHERE id = $1;

-- name: set_pool
INSERT INTO martlet.pools (name, desired) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET desired = excluded.desired, updated_at = clock_timestamp();

-- name: pools
SELECT name, desired, updated_at FROM martlet.pools ORDER BY name;

-- name: audit
INSERT INTO martlet.audit (actor, action, subject, details) VALUES ($1, $2, $3, $4::jsonb);

-- name: counts
SELECT (SELECT count(*) FROM martlet.runs WHERE state IN ('pending', 'running')) AS runs_alive,
       (SELECT count(*) FROM martlet.tasks WHERE state = 'dead') AS tasks_dead,
       (SELECT count(*) FROM martlet.dead_letters) AS dead_letters;
