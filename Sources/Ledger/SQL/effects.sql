-- name: claim
-- Takes the effect if nobody has, or if the one who had it ended without an outcome and this is another attempt.
INSERT INTO martlet.effects (run_id, key, state, token) VALUES ($1, $2, 'claimed', $3)
ON CONFLICT (run_id, key) DO UPDATE
    SET token = excluded.token, claimed_at = clock_timestamp(), state = 'claimed'
    WHERE martlet.effects.state IN ('claimed', 'failed')
RETURNING (xmax = 0) AS fresh;

-- name: outcome
SELECT state, token, outcome::text AS outcome, done_at FROM martlet.effects WHERE run_id = $1 AND key = $2;

-- name: record
UPDATE martlet.effects SET state = $4, outcome = $5::jsonb, done_at = clock_timestamp()
WHERE run_id = $1 AND key = $2 AND token = $3 AND state = 'claimed'
RETURNING key;

-- name: list
SELECT key, state, outcome::text AS outcome, claimed_at, done_at FROM martlet.effects WHERE run_id = $1 ORDER BY claimed_at, key;
