-- Says which attempt of each task counts now, before it is sent.
-- KEYS: task hashes; ARGV: lifetime in ms, then the attempt of each
for index, key in ipairs(KEYS) do
    local attempt = tonumber(ARGV[index + 1])
    local known = tonumber(redis.call('HGET', key, 'attempt') or '0')
    if attempt > known then
        redis.call('HSET', key, 'attempt', attempt, 'state', 'dispatched', 'token', '', 'worker', '')
        redis.call('PEXPIRE', key, ARGV[1])
    end
end
return #KEYS
