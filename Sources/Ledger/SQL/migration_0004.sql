-- Versions that take over step by step.
CREATE TABLE martlet.rollouts (
    id               text PRIMARY KEY,
    model            text NOT NULL,
    candidate        text NOT NULL,
    baseline         text NOT NULL,
    state            text NOT NULL CHECK (state IN ('running', 'paused', 'promoted', 'rolled_back', 'aborted')),
    policy           jsonb NOT NULL,
    step             integer NOT NULL DEFAULT 0 CHECK (step >= 0),
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    step_started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at      timestamptz,
    reason           text
);
CREATE UNIQUE INDEX rollouts_alive ON martlet.rollouts (model) WHERE state IN ('running', 'paused');
COMMENT ON INDEX martlet.rollouts_alive IS 'A model has one rollout at a time.';
CREATE INDEX rollouts_by_start ON martlet.rollouts (started_at DESC);

CREATE TABLE martlet.rollout_sums (
    rollout_id           text NOT NULL REFERENCES martlet.rollouts (id) ON DELETE CASCADE,
    step                 integer NOT NULL,
    is_candidate         boolean NOT NULL,
    stratum              integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    empty                bigint NOT NULL,
    truncated            bigint NOT NULL,
    first_token_count    bigint NOT NULL,
    first_token_sum      double precision NOT NULL,
    first_token_squares  double precision NOT NULL,
    per_token_count      bigint NOT NULL,
    per_token_sum        double precision NOT NULL,
    per_token_squares    double precision NOT NULL,
    length_count         bigint NOT NULL,
    length_sum           double precision NOT NULL,
    length_squares       double precision NOT NULL,
    PRIMARY KEY (rollout_id, step, is_candidate, stratum)
);
COMMENT ON TABLE martlet.rollout_sums IS 'What both versions did, added up over the gateways: evidence for the verdicts.';

CREATE TABLE martlet.rollout_verdicts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout_id  text NOT NULL REFERENCES martlet.rollouts (id) ON DELETE CASCADE,
    step        integer NOT NULL,
    verdict     text NOT NULL,
    action      text NOT NULL,
    summary     text NOT NULL,
    evidence    jsonb NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX rollout_verdicts_by_rollout ON martlet.rollout_verdicts (rollout_id, id);
