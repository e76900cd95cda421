-- Adds what a gateway took of a key's limits, and tells what all gateways took.
-- KEYS: sums of this minute, sums of the minute before, requests that run by gateway
-- ARGV: gateway, requests and tokens of this minute, requests and tokens of the minute before, requests that run now,
--       milliseconds since 1970, milliseconds after which a gateway that says nothing counts no more
local function add(key, requests, tokens)
    local sums = {redis.call('HINCRBY', key, 'requests', requests), redis.call('HINCRBY', key, 'tokens', tokens)}
    redis.call('EXPIRE', key, 180)
    return sums
end

local current = add(KEYS[1], ARGV[2], ARGV[3])
local earlier = add(KEYS[2], ARGV[4], ARGV[5])

local now, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[6] .. ' ' .. ARGV[7])
redis.call('EXPIRE', KEYS[3], 180)
local running = 0
local all = redis.call('HGETALL', KEYS[3])
for index = 1, #all, 2 do
    local count, at = string.match(all[index + 1], '^(%-?%d+) (%d+)$')
    if now - tonumber(at) > limit then
        redis.call('HDEL', KEYS[3], all[index])
    else
        running = running + tonumber(count)
    end
end
return {current[1], current[2], earlier[1], earlier[2], running}
