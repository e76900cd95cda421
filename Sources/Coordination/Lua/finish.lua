-- Ends a claim after its result is safe with the broker: this attempt can never be claimed again.
-- KEYS: task hash, lease, set of what the worker holds
-- ARGV: attempt, token, lifetime of the task hash in ms, task id
redis.call('SREM', KEYS[3], ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[2] then
    redis.call('DEL', KEYS[2])
end
local known = tonumber(redis.call('HGET', KEYS[1], 'attempt') or '0')
if known > tonumber(ARGV[1]) then
    return 0
end
redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'state', 'done', 'token', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
