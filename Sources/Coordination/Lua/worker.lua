-- A worker's sign of life.
-- KEYS: worker hash, index of workers by last sign; ARGV: worker, now in ms, lifetime in ms, then field and value in turn
redis.call('DEL', KEYS[1])
for index = 4, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', tonumber(ARGV[2]) - 10 * tonumber(ARGV[3]))
return 1
