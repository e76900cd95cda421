-- Drops the leases of a worker that is known to be dead, so that nobody waits for them to run out.
-- KEYS: set of what the worker holds
-- ARGV: worker, prefix of task hashes, prefix of leases, token prefix of the instance that lives ('' for none)
local released = {}
for _, task in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local token = redis.call('HGET', ARGV[2] .. task, 'token')
    local holder = redis.call('HGET', ARGV[2] .. task, 'worker')
    local alive = ARGV[4] ~= '' and token and string.sub(token, 1, #ARGV[4]) == ARGV[4]
    if holder ~= ARGV[1] then
        -- Forgotten here, or somebody else's by now.
        redis.call('SREM', KEYS[1], task)
    elseif not alive then
        if redis.call('GET', ARGV[3] .. task) == token then
            redis.call('DEL', ARGV[3] .. task)
        end
        redis.call('SREM', KEYS[1], task)
        released[#released + 1] = task
    end
end
return released
