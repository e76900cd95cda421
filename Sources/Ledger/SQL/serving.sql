-- name: create_key
INSERT INTO martlet.api_keys (name, team, digest, models, requests_per_minute, tokens_per_minute, concurrent,
                              monthly_budget, priority, on_limit_failure, expires_at)
VALUES ($1, $2, $3, $4::text[], $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id;

-- name: update_key
UPDATE martlet.api_keys
SET team = $2, models = $3::text[], requests_per_minute = $4, tokens_per_minute = $5, concurrent = $6,
    monthly_budget = $7, priority = $8, on_limit_failure = $9, expires_at = $10
WHERE name = $1 AND revoked_at IS NULL
RETURNING id;

-- name: revoke_key
UPDATE martlet.api_keys SET revoked_at = clock_timestamp() WHERE name = $1 AND revoked_at IS NULL RETURNING id;

-- name: list_keys
SELECT k.id, k.name, k.team, k.digest, k.models, k.requests_per_minute, k.tokens_per_minute, k.concurrent,
       k.monthly_budget, k.priority, k.on_limit_failure, k.expires_at, k.created_at, k.revoked_at,
       COALESCE((SELECT sum(u.cost) FROM martlet.usage u
                 WHERE u.key_id = k.id AND u.hour >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'),
                0)::bigint AS monthly_spent
FROM martlet.api_keys k
WHERE $1 OR k.revoked_at IS NULL
ORDER BY k.name, k.id;

-- name: take_batch
-- One row when the batch is new, none when it was added before.
INSERT INTO martlet.usage_journals (journal, batch) VALUES ($1, $2)
ON CONFLICT (journal) DO UPDATE SET batch = excluded.batch, added_at = clock_timestamp()
WHERE usage_journals.batch < excluded.batch
RETURNING batch;

-- name: add_usage
INSERT INTO martlet.usage AS u (hour, key_id, model, version, requests, failed, partial, prompt_tokens, cached_tokens,
                                completion_tokens, cost)
SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
ON CONFLICT (hour, key_id, model, version) DO UPDATE
SET requests = u.requests + excluded.requests, failed = u.failed + excluded.failed,
    partial = u.partial + excluded.partial, prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
    cached_tokens = u.cached_tokens + excluded.cached_tokens,
    completion_tokens = u.completion_tokens + excluded.completion_tokens, cost = u.cost + excluded.cost;

-- name: usage
SELECT u.key_id, COALESCE(k.name, '') AS name, COALESCE(k.team, '') AS team, u.model, u.version,
       sum(u.requests)::bigint AS requests, sum(u.failed)::bigint AS failed, sum(u.partial)::bigint AS partial,
       sum(u.prompt_tokens)::bigint AS prompt_tokens, sum(u.cached_tokens)::bigint AS cached_tokens,
       sum(u.completion_tokens)::bigint AS completion_tokens, sum(u.cost)::bigint AS cost
FROM martlet.usage u LEFT JOIN martlet.api_keys k ON k.id = u.key_id
WHERE u.hour >= $1 AND u.hour < $2
GROUP BY u.key_id, k.name, k.team, u.model, u.version
ORDER BY k.team, k.name, u.key_id, u.model, u.version;

-- name: has_served
SELECT EXISTS (SELECT FROM martlet.usage WHERE model = $1) AS has_served;
