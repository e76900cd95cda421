-- Batches: files of requests that are answered with spare capacity.
CREATE TABLE martlet.files (
    id          text PRIMARY KEY,
    team        text NOT NULL,
    filename    text NOT NULL,
    purpose     text NOT NULL CHECK (purpose IN ('batch', 'batch_output')),
    bytes       bigint NOT NULL CHECK (bytes >= 0),
    sha256      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE martlet.files IS 'Files of the batch API; their bytes are in the object store, under batches/files/<id>.';
CREATE INDEX files_by_team ON martlet.files (team, created_at DESC, id DESC);

CREATE TABLE martlet.batches (
    id                 text PRIMARY KEY,
    team               text NOT NULL,
    key_id             bigint NOT NULL,
    endpoint           text NOT NULL,
    input_file         text NOT NULL,
    status             text NOT NULL DEFAULT 'validating' CHECK (status IN ('validating', 'failed', 'in_progress',
                       'finalizing', 'completed', 'expired', 'cancelling', 'cancelled')),
    metadata           jsonb NOT NULL,
    total              bigint NOT NULL DEFAULT 0,
    completed          bigint NOT NULL DEFAULT 0,
    failed             bigint NOT NULL DEFAULT 0,
    prompt_tokens      bigint NOT NULL DEFAULT 0,
    cached_tokens      bigint NOT NULL DEFAULT 0,
    completion_tokens  bigint NOT NULL DEFAULT 0,
    cost               bigint NOT NULL DEFAULT 0,
    faults             jsonb NOT NULL DEFAULT '[]',
    output_file        text,
    error_file         text,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at         timestamptz NOT NULL,
    started_at         timestamptz,
    finalizing_at      timestamptz,
    cancelling_at      timestamptz,
    ended_at           timestamptz,
    holder             text,
    held_until         timestamptz
);
COMMENT ON COLUMN martlet.batches.cost IS 'Millionths of the currency''s unit.';
COMMENT ON COLUMN martlet.batches.holder IS 'The gateway that checks the file or puts the answers together, until held_until.';
CREATE INDEX batches_by_team ON martlet.batches (team, created_at DESC, id DESC);
CREATE INDEX batches_alive ON martlet.batches (created_at) WHERE ended_at IS NULL;

CREATE TABLE martlet.batch_parts (
    batch        text NOT NULL REFERENCES martlet.batches (id) ON DELETE CASCADE,
    part         bigint NOT NULL,
    byte_offset  bigint NOT NULL,
    bytes        bigint NOT NULL,
    first_line   bigint NOT NULL,
    lines        bigint NOT NULL,
    attempt      bigint NOT NULL DEFAULT 0,
    is_done      boolean NOT NULL DEFAULT false,
    has_output   boolean NOT NULL DEFAULT false,
    has_errors   boolean NOT NULL DEFAULT false,
    holder       text,
    held_until   timestamptz,
    PRIMARY KEY (batch, part)
);
COMMENT ON COLUMN martlet.batch_parts.attempt IS 'How often it was begun; its objects bear the number, so that one who was too late overwrites nothing.';
CREATE INDEX batch_parts_open ON martlet.batch_parts (part, batch) WHERE NOT is_done;

-- Who was told of a rollout's end.
ALTER TABLE martlet.rollouts
    ADD COLUMN told text[] NOT NULL DEFAULT '{}',
    ADD COLUMN tell_attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN tell_at timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN martlet.rollouts.tell_at IS 'When those are told that were not told yet; infinity when that is over.';
UPDATE martlet.rollouts SET tell_at = 'infinity' WHERE finished_at IS NOT NULL;
CREATE INDEX rollouts_to_tell ON martlet.rollouts (tell_at) WHERE finished_at IS NOT NULL AND tell_at < 'infinity';

CREATE TABLE martlet.rollout_probes (
    rollout_id  text NOT NULL REFERENCES martlet.rollouts (id) ON DELETE CASCADE,
    example     integer NOT NULL,
    candidate   double precision NOT NULL,
    baseline    double precision NOT NULL,
    PRIMARY KEY (rollout_id, example)
);
COMMENT ON TABLE martlet.rollout_probes IS 'What both versions lose on held-out answers, in nats a token.';
