-- name: take
-- The rows stay locked until the publications are confirmed; another scheduler skips them.
UPDATE martlet.tasks t
SET state = 'dispatched', dispatched_at = clock_timestamp(), token = NULL, worker = NULL
FROM (
    SELECT run_id, stage FROM martlet.tasks
    WHERE state = 'ready' AND pool = $1 AND due_at <= clock_timestamp()
    ORDER BY priority DESC, due_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) chosen
JOIN martlet.runs r ON r.id = chosen.run_id
WHERE t.run_id = chosen.run_id AND t.stage = chosen.stage
RETURNING t.run_id, t.stage, t.attempt, t.payload, r.traceparent, r.tracestate, t.priority;

-- name: give_back
UPDATE martlet.tasks t
SET state = 'ready', dispatched_at = NULL
FROM unnest($1::text[], $2::text[]) AS u (run_id, stage)
WHERE t.run_id = u.run_id AND t.stage = u.stage AND t.state = 'dispatched';

-- name: demand
-- Work per pool: what is due and what is out.
SELECT pool,
       count(*) FILTER (WHERE state = 'ready') AS ready,
       count(*) FILTER (WHERE state <> 'ready') AS in_flight
FROM (
    SELECT pool, state FROM martlet.tasks WHERE state = 'ready' AND due_at <= clock_timestamp()
    UNION ALL
    SELECT pool, state FROM martlet.tasks WHERE state IN ('dispatched', 'running')
) work
GROUP BY pool;

-- name: pools_with_work
SELECT p.pool,
       (SELECT count(*) FROM martlet.tasks t WHERE t.pool = p.pool AND t.state IN ('dispatched', 'running')) AS in_flight
FROM (SELECT DISTINCT pool FROM martlet.tasks WHERE state = 'ready' AND due_at <= clock_timestamp()) p;

-- name: next_due
SELECT min(due_at) AS due_at FROM martlet.tasks WHERE state = 'ready' AND due_at > clock_timestamp();
