-- Takes the lease of one attempt of a task, at most once per attempt.
-- KEYS: task hash, lease, cancel flag of the run, set of what the worker holds
-- ARGV: attempt, token, worker, lease in ms, lifetime of the task hash in ms, task id,
--       1 if the task runs also when its run was cancelled
if ARGV[7] ~= '1' and redis.call('EXISTS', KEYS[3]) == 1 then
    return {'cancelled'}
end
local attempt = tonumber(ARGV[1])
local known = tonumber(redis.call('HGET', KEYS[1], 'attempt') or '0')
if known > attempt then
    return {'stale', known}
end
if known == attempt then
    local state = redis.call('HGET', KEYS[1], 'state')
    if state == 'done' then
        return {'done'}
    end
    -- Asking again with the token that holds it: the answer to the first time was lost on its way.
    local isOwn = redis.call('HGET', KEYS[1], 'token') == ARGV[2]
    if state == 'claimed' and not isOwn then
        if redis.call('EXISTS', KEYS[2]) == 1 then
            return {'held', redis.call('PTTL', KEYS[2])}
        end
        -- Its holder is gone. The ledger counts that and sends the next attempt; a second claim of
        -- this one would let a stopped worker that wakes up pass for the new holder.
        return {'lost'}
    end
end
-- A lease that is still there belongs to an earlier attempt: its holder learns of it at its next heartbeat.
redis.call('HSET', KEYS[1], 'attempt', attempt, 'state', 'claimed', 'token', ARGV[2], 'worker', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
redis.call('SADD', KEYS[4], ARGV[6])
redis.call('PEXPIRE', KEYS[4], ARGV[5])
return {'claimed'}
