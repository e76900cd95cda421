-- The ledger: what must be done and what has been done. Every other store can be lost.

CREATE TABLE martlet.pipelines (
    digest      text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    name        text NOT NULL,
    spec        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE martlet.pipelines IS 'Pipelines as they were when a run was accepted, by the SHA-256 of their canonical JSON.';

CREATE TABLE martlet.runs (
    id               text PRIMARY KEY,
    pipeline         text NOT NULL,
    pipeline_digest  text NOT NULL REFERENCES martlet.pipelines (digest),
    parameters       jsonb NOT NULL,
    priority         smallint NOT NULL,
    state            text NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'rejected', 'failed', 'cancelled')),
    reason           text,
    generation       integer NOT NULL DEFAULT 1,
    event_source     text NOT NULL,
    event_id         text NOT NULL,
    traceparent      text,
    tracestate       text,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at       timestamptz,
    finished_at      timestamptz
);
COMMENT ON COLUMN martlet.runs.generation IS 'Counts retries by hand: 1 at first. Part of the idempotency key of notifications.';
CREATE INDEX runs_by_time ON martlet.runs (created_at DESC, id);
CREATE INDEX runs_alive ON martlet.runs (created_at) WHERE state IN ('pending', 'running');

CREATE TABLE martlet.events (
    source       text NOT NULL,
    id           text NOT NULL,
    run_id       text NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, id)
);
COMMENT ON TABLE martlet.events IS 'Accepted events: a second event with a known (source, id) starts nothing.';
CREATE INDEX events_by_run ON martlet.events (run_id);

CREATE TABLE martlet.tasks (
    run_id         text NOT NULL REFERENCES martlet.runs (id) ON DELETE CASCADE,
    stage          text NOT NULL,
    position       smallint NOT NULL,
    kind           text NOT NULL,
    pool           text NOT NULL,
    priority       smallint NOT NULL,
    state          text NOT NULL CHECK (state IN ('pending', 'ready', 'dispatched', 'running', 'succeeded', 'dead', 'cancelled', 'skipped')),
    attempt        integer NOT NULL DEFAULT 1,
    failures       integer NOT NULL DEFAULT 0,
    losses         integer NOT NULL DEFAULT 0,
    due_at         timestamptz,
    payload        text,
    output         jsonb,
    rejected       boolean NOT NULL DEFAULT false,
    failure        jsonb,
    fingerprint    text,
    token          text,
    worker         text,
    log            text,
    ready_at       timestamptz,
    dispatched_at  timestamptz,
    started_at     timestamptz,
    finished_at    timestamptz,
    PRIMARY KEY (run_id, stage)
);
COMMENT ON COLUMN martlet.tasks.attempt IS 'The attempt that counts now, from 1; a result of any other is dropped.';
COMMENT ON COLUMN martlet.tasks.payload IS 'What every attempt is sent, as JSON text; written when the task becomes ready.';
CREATE INDEX tasks_ready ON martlet.tasks (pool, priority DESC, due_at) WHERE state = 'ready';
CREATE INDEX tasks_in_flight ON martlet.tasks (pool, dispatched_at) WHERE state IN ('dispatched', 'running');
CREATE INDEX tasks_dead ON martlet.tasks (finished_at DESC) WHERE state = 'dead';

CREATE TABLE martlet.failures (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       text NOT NULL REFERENCES martlet.runs (id) ON DELETE CASCADE,
    stage        text NOT NULL,
    attempt      integer NOT NULL,
    class        text NOT NULL,
    code         text NOT NULL,
    message      text NOT NULL,
    details      jsonb,
    fingerprint  text NOT NULL,
    worker       text,
    log          text,
    started_at   timestamptz,
    finished_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE martlet.failures IS 'Every attempt that did not succeed, whatever became of the task afterwards.';
CREATE INDEX failures_by_task ON martlet.failures (run_id, stage, attempt);
CREATE INDEX failures_by_fingerprint ON martlet.failures (fingerprint, finished_at DESC);

CREATE TABLE martlet.gate_decisions (
    run_id      text NOT NULL REFERENCES martlet.runs (id) ON DELETE CASCADE,
    stage       text NOT NULL,
    attempt     integer NOT NULL,
    accepted    boolean NOT NULL,
    decision    jsonb NOT NULL,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, stage, attempt)
);

CREATE TABLE martlet.effects (
    run_id      text NOT NULL REFERENCES martlet.runs (id) ON DELETE CASCADE,
    key         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('claimed', 'done', 'failed')),
    token       text NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome     jsonb,
    done_at     timestamptz,
    PRIMARY KEY (run_id, key)
);
COMMENT ON TABLE martlet.effects IS 'What was done outside (a registered version, a notification): claimed before it is done, so that nothing is done twice.';

CREATE TABLE martlet.dead_letters (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    queue         text NOT NULL,
    reason        text NOT NULL,
    content_type  text,
    headers       jsonb NOT NULL,
    body          bytea NOT NULL,
    body_bytes    bigint NOT NULL
);
COMMENT ON COLUMN martlet.dead_letters.body IS 'The first bytes of the message; body_bytes is its whole length.';

CREATE TABLE martlet.pools (
    name        text PRIMARY KEY,
    desired     integer NOT NULL CHECK (desired BETWEEN 0 AND 1000),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE martlet.schedule_ticks (
    pipeline  text NOT NULL,
    schedule  text NOT NULL,
    tick      timestamptz NOT NULL,
    PRIMARY KEY (pipeline, schedule)
);
COMMENT ON TABLE martlet.schedule_ticks IS 'The last tick of each schedule that was turned into a run.';

CREATE TABLE martlet.audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor    text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,
    details  jsonb
);
