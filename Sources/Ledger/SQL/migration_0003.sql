-- Serving: who may ask, and what was used.
CREATE TABLE martlet.api_keys (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                 text NOT NULL CHECK (name <> ''),
    team                 text NOT NULL,
    digest               bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    models               text[] NOT NULL,
    requests_per_minute  bigint CHECK (requests_per_minute > 0),
    tokens_per_minute    bigint CHECK (tokens_per_minute > 0),
    concurrent           bigint CHECK (concurrent > 0),
    monthly_budget       bigint CHECK (monthly_budget >= 0),
    priority             smallint NOT NULL CHECK (priority BETWEEN 0 AND 2),
    on_limit_failure     text NOT NULL CHECK (on_limit_failure IN ('open', 'closed')),
    expires_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at           timestamptz
);
COMMENT ON COLUMN martlet.api_keys.digest IS 'SHA-256 of the key; the key itself is shown once, when it is made, and kept nowhere.';
COMMENT ON COLUMN martlet.api_keys.monthly_budget IS 'Millionths of the currency''s unit.';
CREATE UNIQUE INDEX api_keys_by_name ON martlet.api_keys (name) WHERE revoked_at IS NULL;

CREATE TABLE martlet.usage (
    hour               timestamptz NOT NULL,
    key_id             bigint NOT NULL,
    model              text NOT NULL,
    version            text NOT NULL,
    requests           bigint NOT NULL,
    failed             bigint NOT NULL,
    partial            bigint NOT NULL,
    prompt_tokens      bigint NOT NULL,
    cached_tokens      bigint NOT NULL,
    completion_tokens  bigint NOT NULL,
    cost               bigint NOT NULL,
    PRIMARY KEY (hour, key_id, model, version)
);
COMMENT ON TABLE martlet.usage IS 'What requests took, summed by hour. key_id 0: requests without a key.';
COMMENT ON COLUMN martlet.usage.partial IS 'Answers that were cut short: their tokens are the gateway''s count, not the model server''s.';
COMMENT ON COLUMN martlet.usage.cost IS 'Millionths of the currency''s unit.';

CREATE TABLE martlet.usage_journals (
    journal   text PRIMARY KEY,
    batch     bigint NOT NULL,
    added_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE martlet.usage_journals IS 'The last batch of each gateway''s journal that is in martlet.usage: a batch that comes again is not added again.';
