-- Writes down how many links each node has in the memory of one process, for as long as that process says so.
local counts, processes = KEYS[1], KEYS[2]
local process, lease = ARGV[1], tonumber(ARGV[2])

local time = now()
redis.call('DEL', counts)
redis.call('ZREMRANGEBYSCORE', processes, '-inf', text(time))
if #ARGV > 2 then
  redis.call('HSET', counts, unpack(ARGV, 3))
  redis.call('PEXPIRE', counts, text(lease))
  redis.call('ZADD', processes, text(time + lease), process)
  keep(processes, lease)
else
  redis.call('ZREM', processes, process)
end
return redis.status_reply('OK')
