-- name: create_file
INSERT INTO martlet.files (id, team, filename, purpose, bytes, sha256) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING;

-- name: file
SELECT * FROM martlet.files WHERE id = $1 AND ($2::text IS NULL OR team = $2);

-- name: list_files
SELECT f.* FROM martlet.files f
WHERE f.team = $1 AND ($2::text IS NULL OR f.purpose = $2)
  AND ($3::text IS NULL OR (f.created_at, f.id) < (SELECT a.created_at, a.id FROM martlet.files a WHERE a.id = $3))
ORDER BY f.created_at DESC, f.id DESC
LIMIT $4;

-- name: reader_of_file
SELECT id FROM martlet.batches WHERE input_file = $1 AND ended_at IS NULL LIMIT 1;

-- name: delete_file
DELETE FROM martlet.files WHERE id = $1 AND team = $2 RETURNING id;

-- name: lock_file
SELECT id FROM martlet.files WHERE id = $1 AND team = $2 FOR UPDATE;

-- name: create_batch
INSERT INTO martlet.batches (id, team, key_id, endpoint, input_file, metadata, expires_at)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, clock_timestamp() + make_interval(secs => $7))
RETURNING *;

-- name: batch
SELECT * FROM martlet.batches WHERE id = $1 AND ($2::text IS NULL OR team = $2);

-- name: list_batches
SELECT b.* FROM martlet.batches b
WHERE ($1::text IS NULL OR b.team = $1)
  AND ($2::text IS NULL OR (b.created_at, b.id) < (SELECT a.created_at, a.id FROM martlet.batches a WHERE a.id = $2))
ORDER BY b.created_at DESC, b.id DESC
LIMIT $3;

-- name: cancel_batch
UPDATE martlet.batches SET status = 'cancelling', cancelling_at = clock_timestamp()
WHERE id = $1 AND ($2::text IS NULL OR team = $2) AND status IN ('validating', 'in_progress')
RETURNING *;

-- name: claim_batch
-- One whose file is to be checked, or whose answers are to be put together and nobody works on any more.
UPDATE martlet.batches b SET holder = $1, held_until = clock_timestamp() + make_interval(secs => $2)
WHERE b.id = (
    SELECT c.id FROM martlet.batches c
    WHERE c.ended_at IS NULL AND (c.held_until IS NULL OR c.held_until < clock_timestamp())
      AND (c.status IN ('validating', 'finalizing')
           OR (c.status = 'cancelling' OR c.status = 'in_progress' AND c.expires_at < clock_timestamp())
              AND NOT EXISTS (SELECT FROM martlet.batch_parts p
                              WHERE p.batch = c.id AND NOT p.is_done AND p.holder IS NOT NULL
                                AND p.held_until > clock_timestamp()))
    ORDER BY c.created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: hold_batch
UPDATE martlet.batches SET held_until = clock_timestamp() + make_interval(secs => $3)
WHERE id = $1 AND holder = $2 AND ended_at IS NULL
RETURNING status;

-- name: release_batch
UPDATE martlet.batches SET holder = NULL, held_until = clock_timestamp() + make_interval(secs => $3)
WHERE id = $1 AND holder = $2;

-- name: begin_batch
UPDATE martlet.batches SET status = 'in_progress', started_at = clock_timestamp(), total = $3, holder = NULL, held_until = NULL
WHERE id = $1 AND holder = $2 AND status = 'validating'
RETURNING id;

-- name: add_parts
INSERT INTO martlet.batch_parts (batch, part, byte_offset, bytes, first_line, lines)
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]);

-- name: end_batch
UPDATE martlet.batches
SET status = $3, ended_at = clock_timestamp(), faults = $4::jsonb, output_file = $5, error_file = $6,
    failed = failed + $7, total = CASE WHEN $8 > 0 THEN $8 ELSE total END, holder = NULL, held_until = NULL
WHERE id = $1 AND holder = $2 AND ended_at IS NULL
RETURNING id;

-- name: claim_part
-- The lowest numbers first, over all batches: so they advance side by side, and a small one is soon done. Of a batch of which a
-- part rests none is taken: what that one did not find the others would not, and other batches would wait for them. What comes
-- again stands 32 numbers further back each time: the others may ask another model.
UPDATE martlet.batch_parts p
SET holder = $1, held_until = clock_timestamp() + make_interval(secs => $2), attempt = p.attempt + 1
FROM (
    SELECT q.batch, q.part FROM martlet.batch_parts q JOIN martlet.batches b ON b.id = q.batch
    WHERE NOT q.is_done AND b.status = 'in_progress' AND b.expires_at > clock_timestamp()
      AND (q.held_until IS NULL OR q.held_until < clock_timestamp())
      AND q.batch NOT IN (SELECT r.batch FROM martlet.batch_parts r
                          WHERE NOT r.is_done AND r.holder IS NULL AND r.held_until > clock_timestamp())
    ORDER BY q.part + 32 * q.attempt, b.created_at LIMIT 1 FOR UPDATE OF q SKIP LOCKED) next
JOIN martlet.batches b ON b.id = next.batch
WHERE p.batch = next.batch AND p.part = next.part
RETURNING p.part, p.byte_offset, p.bytes, p.first_line, p.lines, p.attempt, b.*;

-- name: hold_part
-- Empty when it is somebody else's by now. Where its batch is over, what was answered is still to be written.
UPDATE martlet.batch_parts p SET held_until = clock_timestamp() + make_interval(secs => $4)
FROM martlet.batches b
WHERE p.batch = $1 AND p.part = $2 AND p.holder = $3 AND p.attempt = $5 AND NOT p.is_done
  AND b.id = p.batch AND b.ended_at IS NULL
RETURNING b.status, b.expires_at <= clock_timestamp() AS is_expired;

-- name: release_part
-- For whoever comes, after a while: what could not be done now may be done then, and others have their turn meanwhile.
UPDATE martlet.batch_parts SET holder = NULL, held_until = clock_timestamp() + make_interval(secs => $5)
WHERE batch = $1 AND part = $2 AND holder = $3 AND attempt = $4 AND NOT is_done;

-- name: finish_part
UPDATE martlet.batch_parts SET is_done = true, has_output = $4, has_errors = $5, holder = NULL, held_until = NULL
WHERE batch = $1 AND part = $2 AND holder = $3 AND attempt = $6 AND NOT is_done
RETURNING part;

-- name: add_to_batch
UPDATE martlet.batches
SET completed = completed + $2, failed = failed + $3, prompt_tokens = prompt_tokens + $4,
    cached_tokens = cached_tokens + $5, completion_tokens = completion_tokens + $6, cost = cost + $7
WHERE id = $1 AND ended_at IS NULL AND (held_until IS NULL OR held_until < clock_timestamp())
RETURNING id;

-- name: finalize_if_done
UPDATE martlet.batches SET status = 'finalizing', finalizing_at = clock_timestamp()
WHERE id = $1 AND status = 'in_progress' AND expires_at > clock_timestamp()
  AND NOT EXISTS (SELECT FROM martlet.batch_parts WHERE batch = $1 AND NOT is_done);

-- name: parts
SELECT part, byte_offset, bytes, first_line, lines, attempt, is_done, has_output, has_errors
FROM martlet.batch_parts WHERE batch = $1 ORDER BY part;

-- name: ended_with_parts
SELECT p.batch FROM martlet.batch_parts p JOIN martlet.batches b ON b.id = p.batch
WHERE b.ended_at IS NOT NULL LIMIT 1;

-- name: drop_parts
DELETE FROM martlet.batch_parts WHERE batch = $1;
