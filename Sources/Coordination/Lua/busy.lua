-- Notes for which model servers a gateway works besides batches, and tells for which the others do.
-- KEYS: moments by model server and gateway
-- ARGV: gateway, milliseconds for which a note holds, this gateway's model servers
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index = 3, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[index] .. ' ' .. ARGV[1], now)
end
redis.call('EXPIRE', KEYS[1], 60)
local busy = {}
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
    local server, gateway = string.match(all[index], '^(%S+) (.*)$')
    if now - tonumber(all[index + 1]) > tonumber(ARGV[2]) then
        redis.call('HDEL', KEYS[1], all[index])
    elseif gateway ~= ARGV[1] then
        busy[#busy + 1] = server
    end
end
return busy
