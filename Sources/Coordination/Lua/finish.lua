-- Ends claims after their results are safe with the broker: these attempts can never be claimed again.
-- KEYS: set of what the worker holds; then for each attempt: task hash, lease
-- ARGV: lifetime of the task hashes in ms; then for each attempt: attempt, token, task id
for index = 1, (#KEYS - 1) / 2 do
    local task, lease = KEYS[2 * index], KEYS[2 * index + 1]
    local attempt, token, id = ARGV[3 * index - 1], ARGV[3 * index], ARGV[3 * index + 1]
    redis.call('SREM', KEYS[1], id)
    if redis.call('GET', lease) == token then
        redis.call('DEL', lease)
    end
    if tonumber(redis.call('HGET', task, 'attempt') or '0') <= tonumber(attempt) then
        redis.call('HSET', task, 'attempt', attempt, 'state', 'done', 'token', token)
        redis.call('PEXPIRE', task, ARGV[1])
    end
end
return (#KEYS - 1) / 2
