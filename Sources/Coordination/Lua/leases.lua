-- How the attempts stand: for each task its known attempt, its state and the lease's remaining ms (-2: none).
-- KEYS: task hash and lease of each task in turn
local answer = {}
for index = 1, #KEYS, 2 do
    local task = redis.call('HMGET', KEYS[index], 'attempt', 'state', 'worker')
    answer[#answer + 1] = {task[1] or '', task[2] or '', redis.call('PTTL', KEYS[index + 1]), task[3] or ''}
end
return answer
