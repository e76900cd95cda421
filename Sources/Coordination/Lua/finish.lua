-- Ends claims after their results are safe with the broker: these attempts can never be claimed again.
-- KEYS: set of what the worker holds; then for each attempt: task hash, lease
-- ARGV: lifetime of the task hashes in ms; then for each attempt: attempt, token, task id
local ids, leases = {}, {}
for index = 1, (#KEYS - 1) / 2 do
    local task, lease = KEYS[2 * index], KEYS[2 * index + 1]
    local attempt, token = ARGV[3 * index - 1], ARGV[3 * index]
    ids[index] = ARGV[3 * index + 1]
    if redis.call('GET', lease) == token then
        leases[#leases + 1] = lease
    end
    local known = redis.call('HGET', task, 'attempt')
    if tonumber(known or '0') <= tonumber(attempt) then
        redis.call('HSET', task, 'attempt', attempt, 'state', 'done', 'token', token)
        -- The claim, or the last heartbeat, has said when the hash may go; this server may have forgotten it.
        if not known then
            redis.call('PEXPIRE', task, ARGV[1])
        end
    end
end
redis.call('SREM', KEYS[1], unpack(ids))
if #leases > 0 then
    redis.call('DEL', unpack(leases))
end
return #ids
