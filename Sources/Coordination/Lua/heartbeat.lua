-- Renews a lease, keeps the progress, and says whether to go on.
-- KEYS: task hash, lease, cancel flag of the run, progress, set of what the worker holds
-- ARGV: attempt, token, worker, lease in ms, lifetime of the task hash in ms, progress as JSON or '', task id,
--       1 if the task runs also when its run was cancelled
local attempt = tonumber(ARGV[1])
local task = redis.call('HMGET', KEYS[1], 'attempt', 'state', 'token')
local known, state, token = tonumber(task[1] or '0'), task[2], task[3]
local holder = redis.call('GET', KEYS[2])
local lost = known > attempt or (known == attempt and state == 'done') or (holder and holder ~= ARGV[2])
if not holder and known == attempt and state == 'claimed' and token ~= ARGV[2] then
    lost = true
end
if lost then
    -- The next attempt, or the end of this one by another claim, must not wait for this lease.
    if holder == ARGV[2] then
        redis.call('DEL', KEYS[2])
    end
    redis.call('SREM', KEYS[5], ARGV[7])
    return 'lost'
end
if not holder then
    -- Either the lease ran out and nobody has noticed, or this server lost its memory: the holder puts back
    -- what it knows.
    redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'state', 'claimed', 'token', ARGV[2], 'worker', ARGV[3])
    redis.call('SADD', KEYS[5], ARGV[7])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[5], ARGV[5])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
if ARGV[6] ~= '' then
    redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[5])
end
if ARGV[8] ~= '1' and redis.call('EXISTS', KEYS[3]) == 1 then
    return 'cancel'
end
return 'ok'
