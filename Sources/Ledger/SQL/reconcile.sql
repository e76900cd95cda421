-- name: in_flight
-- Oldest first. What was dispatched a moment ago is left alone: it is on its way.
SELECT run_id, stage, attempt, state, pool, token, extract(epoch FROM clock_timestamp() - sent_at)::float8 AS age_seconds
FROM (
    -- A row without the time of its dispatch must not be invisible here: nobody else would ever look at it.
    SELECT *, coalesce(dispatched_at, started_at, ready_at, to_timestamp(0)) AS sent_at FROM martlet.tasks
    WHERE state IN ('dispatched', 'running')
) task
WHERE sent_at < clock_timestamp() - make_interval(secs => $1)
ORDER BY sent_at
LIMIT $2;

-- name: make_ready_again
-- The same attempt once more, for messages that were lost before anybody claimed them.
UPDATE martlet.tasks t
SET state = 'ready', due_at = clock_timestamp(), dispatched_at = NULL
FROM unnest($1::text[], $2::text[], $3::int[]) AS u (run_id, stage, attempt)
WHERE t.run_id = u.run_id AND t.stage = u.stage AND t.attempt = u.attempt AND t.state = 'dispatched';

-- name: stuck_runs
-- Runs that are alive with nothing left to happen: their tasks changed without the run being looked at.
SELECT r.id FROM martlet.runs r
WHERE r.state IN ('pending', 'running')
  AND NOT EXISTS (SELECT 1 FROM martlet.tasks t WHERE t.run_id = r.id AND t.state IN ('ready', 'dispatched', 'running'))
LIMIT 100;

-- name: cancelled_runs
SELECT id FROM martlet.runs WHERE id = ANY($1::text[]) AND state = 'cancelled';

-- name: try_leader
SELECT pg_try_advisory_xact_lock($1) AS leads;

-- name: last_tick
SELECT tick FROM martlet.schedule_ticks WHERE pipeline = $1 AND schedule = $2;

-- name: record_tick
INSERT INTO martlet.schedule_ticks (pipeline, schedule, tick) VALUES ($1, $2, $3)
ON CONFLICT (pipeline, schedule) DO UPDATE SET tick = excluded.tick WHERE martlet.schedule_ticks.tick < excluded.tick;
