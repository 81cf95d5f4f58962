-- Forgets links that have ended by themselves, so many at most, and tells how many live ones each node has.
local nodes = KEYS[1]
local held, most = ARGV[1], tonumber(ARGV[2])

local time = text(now())
local counts = {}
for _, owner in ipairs(redis.call('SMEMBERS', nodes)) do
  local index = held .. owner
  if most > 0 then
    local over = redis.call('ZRANGEBYSCORE', index, '-inf', time, 'LIMIT', 0, most)
    if #over > 0 then
      redis.call('ZREM', index, unpack(over))
      most = most - #over
    end
  end
  local count = redis.call('ZCOUNT', index, '(' .. time, '+inf')
  if count == 0 and redis.call('ZCARD', index) == 0 then
    redis.call('SREM', nodes, owner)
  else
    counts[#counts + 1] = owner
    counts[#counts + 1] = count
  end
end
return counts
