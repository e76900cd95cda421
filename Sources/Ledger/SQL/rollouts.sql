-- name: start
INSERT INTO martlet.rollouts (id, model, candidate, baseline, state, policy)
VALUES ($1, $2, $3, $4, 'running', $5::jsonb)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: alive
SELECT id, model, candidate, baseline, state, policy::text AS policy, step, started_at, step_started_at, finished_at, reason
FROM martlet.rollouts WHERE state IN ('running', 'paused') ORDER BY id;

-- name: list
SELECT id, model, candidate, baseline, state, policy::text AS policy, step, started_at, step_started_at, finished_at, reason
FROM martlet.rollouts WHERE $1::text IS NULL OR model = $1 ORDER BY started_at DESC LIMIT $2;

-- name: lock
SELECT id, model, candidate, baseline, state, policy::text AS policy, step, started_at, step_started_at, finished_at, reason
FROM martlet.rollouts WHERE id = $1 FOR UPDATE;

-- name: set_state
UPDATE martlet.rollouts
SET state = $2, reason = $3,
    finished_at = CASE WHEN $2 IN ('promoted', 'rolled_back', 'aborted') THEN clock_timestamp() END
WHERE id = $1;

-- name: set_step
UPDATE martlet.rollouts SET step = $2, step_started_at = clock_timestamp() WHERE id = $1;

-- name: restart_step
UPDATE martlet.rollouts SET state = 'running', reason = NULL, step_started_at = clock_timestamp() WHERE id = $1;

-- name: add_sums
INSERT INTO martlet.rollout_sums AS s
SELECT * FROM unnest($1::text[], $2::bigint[]::integer[], $3::boolean[], $4::bigint[]::integer[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::double precision[], $11::double precision[],
                     $12::bigint[], $13::double precision[], $14::double precision[], $15::bigint[],
                     $16::double precision[], $17::double precision[]) AS new (rollout_id)
WHERE EXISTS (SELECT 1 FROM martlet.rollouts r WHERE r.id = new.rollout_id)
ON CONFLICT (rollout_id, step, is_candidate, stratum) DO UPDATE
SET requests = s.requests + excluded.requests, errors = s.errors + excluded.errors, empty = s.empty + excluded.empty,
    truncated = s.truncated + excluded.truncated,
    first_token_count = s.first_token_count + excluded.first_token_count,
    first_token_sum = s.first_token_sum + excluded.first_token_sum,
    first_token_squares = s.first_token_squares + excluded.first_token_squares,
    per_token_count = s.per_token_count + excluded.per_token_count,
    per_token_sum = s.per_token_sum + excluded.per_token_sum,
    per_token_squares = s.per_token_squares + excluded.per_token_squares,
    length_count = s.length_count + excluded.length_count, length_sum = s.length_sum + excluded.length_sum,
    length_squares = s.length_squares + excluded.length_squares;

-- name: sums
SELECT step, is_candidate, stratum, requests, errors, empty, truncated, first_token_count, first_token_sum,
       first_token_squares, per_token_count, per_token_sum, per_token_squares, length_count, length_sum, length_squares
FROM martlet.rollout_sums WHERE rollout_id = $1;

-- name: add_verdict
INSERT INTO martlet.rollout_verdicts (rollout_id, step, verdict, action, summary, evidence)
VALUES ($1, $2, $3, $4, $5, $6::jsonb);

-- name: verdicts
SELECT step, verdict, action, summary, evidence::text AS evidence, decided_at
FROM martlet.rollout_verdicts WHERE rollout_id = $1 ORDER BY id;

-- name: claim_to_tell
-- For so long nobody else tells it: that is enough for all receivers to be slow.
UPDATE martlet.rollouts SET tell_at = clock_timestamp() + interval '10 minutes', tell_attempts = tell_attempts + 1
WHERE id = (SELECT id FROM martlet.rollouts
            WHERE finished_at IS NOT NULL AND tell_at < 'infinity' AND tell_at < clock_timestamp()
            ORDER BY tell_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, model, candidate, baseline, state, policy::text AS policy, step, started_at, step_started_at, finished_at,
          reason, told, tell_attempts;

-- name: add_told
UPDATE martlet.rollouts SET told = array_append(told, $2) WHERE id = $1 AND NOT $2 = ANY (told);

-- name: end_telling
UPDATE martlet.rollouts
SET tell_at = CASE WHEN $2::double precision IS NULL THEN 'infinity'
                   ELSE clock_timestamp() + make_interval(secs => $2::double precision) END
WHERE id = $1;

-- name: add_probe
INSERT INTO martlet.rollout_probes (rollout_id, example, candidate, baseline) VALUES ($1, $2, $3, $4)
ON CONFLICT (rollout_id, example) DO NOTHING;

-- name: probes
SELECT example, candidate, baseline FROM martlet.rollout_probes WHERE rollout_id = $1 ORDER BY example;
