-- The records of the replicas that gave a sign of life, as one moment has them: read one after another, an alias that moves
-- meanwhile could be with none. Those whose sign has run out are forgotten.
-- KEYS: set of the replicas' ids; ARGV: what the keys of their records begin with
local records = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local record = redis.call('GET', ARGV[1] .. id)
    if record then
        records[#records + 1] = record
    else
        redis.call('SREM', KEYS[1], id)
    end
end
return records
