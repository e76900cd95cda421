-- name: take
-- The rows stay locked until the publications are confirmed; another scheduler skips them.
-- Materialized, because a plan that evaluated the choice twice would lock more than the limit.
WITH chosen AS MATERIALIZED (
    SELECT run_id, stage FROM martlet.tasks
    WHERE state = 'ready' AND pool = $1 AND due_at <= clock_timestamp()
    ORDER BY priority DESC, due_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE martlet.tasks t
    SET state = 'dispatched', dispatched_at = clock_timestamp(), token = NULL, worker = NULL
    FROM chosen
    WHERE t.run_id = chosen.run_id AND t.stage = chosen.stage
    RETURNING t.run_id, t.stage, t.attempt, t.payload, t.priority, t.due_at
)
SELECT taken.run_id, taken.stage, taken.attempt, taken.payload, taken.priority, r.traceparent, r.tracestate
FROM taken JOIN martlet.runs r ON r.id = taken.run_id
ORDER BY taken.priority DESC, taken.due_at, taken.run_id, taken.stage;

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
-- From pool to pool along the index: a DISTINCT would read the whole backlog at every round.
WITH RECURSIVE pools AS (
    (SELECT pool FROM martlet.tasks WHERE state = 'ready' ORDER BY pool LIMIT 1)
    UNION ALL
    SELECT (SELECT t.pool FROM martlet.tasks t WHERE t.state = 'ready' AND t.pool > pools.pool ORDER BY t.pool LIMIT 1)
    FROM pools WHERE pools.pool IS NOT NULL
)
SELECT p.pool,
       (SELECT count(*) FROM martlet.tasks t WHERE t.pool = p.pool AND t.state IN ('dispatched', 'running')) AS in_flight
FROM pools p
WHERE EXISTS (SELECT 1 FROM martlet.tasks t WHERE t.pool = p.pool AND t.state = 'ready' AND t.due_at <= clock_timestamp());

-- name: next_due
SELECT min(due_at) AS due_at FROM martlet.tasks WHERE state = 'ready' AND due_at > clock_timestamp();
