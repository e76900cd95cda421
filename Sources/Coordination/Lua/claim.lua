-- Takes the leases of attempts, each at most once.
-- KEYS: set of what the worker holds; then for each attempt: task hash, lease, cancel flag of the run
-- ARGV: worker, lease in ms, lifetime of the task hashes in ms; then for each attempt: attempt, token, task id,
--       1 if the task runs also when its run was cancelled
local held = {}

local function claim(task, lease, cancelled, attempt, token, id, isUncancellable)
    if isUncancellable ~= '1' and redis.call('EXISTS', cancelled) == 1 then
        return {'cancelled'}
    end
    local number = tonumber(attempt)
    local memory = redis.call('HMGET', task, 'attempt', 'state', 'token')
    local known = tonumber(memory[1] or '0')
    if known > number then
        return {'stale', known}
    end
    if known == number then
        if memory[2] == 'done' then
            return {'done'}
        end
        -- Asking again with the token that holds it: the answer to the first time was lost on its way.
        if memory[2] == 'claimed' and memory[3] ~= token then
            if redis.call('EXISTS', lease) == 1 then
                return {'held', redis.call('PTTL', lease)}
            end
            -- Its holder is gone. The ledger counts that and sends the next attempt; a second claim of
            -- this one would let a stopped worker that wakes up pass for the new holder.
            return {'lost'}
        end
    end
    -- A lease that is still there belongs to an earlier attempt: its holder learns of it at its next heartbeat.
    redis.call('HSET', task, 'attempt', attempt, 'state', 'claimed', 'token', token, 'worker', ARGV[1])
    redis.call('PEXPIRE', task, ARGV[3])
    redis.call('SET', lease, token, 'PX', ARGV[2])
    held[#held + 1] = id
    return {'claimed'}
end

local answer = {}
for index = 1, (#KEYS - 1) / 3 do
    local key, argument = 3 * index - 1, 4 * index
    answer[index] = claim(
        KEYS[key], KEYS[key + 1], KEYS[key + 2],
        ARGV[argument], ARGV[argument + 1], ARGV[argument + 2], ARGV[argument + 3])
end
if #held > 0 then
    redis.call('SADD', KEYS[1], unpack(held))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return answer
