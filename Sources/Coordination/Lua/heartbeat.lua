-- Renews a lease, keeps the progress, and says whether to go on.
-- KEYS: task hash, lease, cancel flag of the run, progress, set of what the worker holds
-- ARGV: attempt, token, worker, lease in ms, lifetime of the task hash in ms, progress as JSON or '', task id
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[2] then
    return 'lost'
end
if not holder then
    local known = redis.call('HGET', KEYS[1], 'attempt')
    if known then
        if tonumber(known) ~= tonumber(ARGV[1]) or redis.call('HGET', KEYS[1], 'token') ~= ARGV[2]
            or redis.call('HGET', KEYS[1], 'state') ~= 'claimed' then
            return 'lost'
        end
    end
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
if redis.call('EXISTS', KEYS[3]) == 1 then
    return 'cancel'
end
return 'ok'
