-- Marks nodes that get no new link, and forgets marks of long ago.
local closed = KEYS[1]
local remembered = tonumber(ARGV[1])

local time = now()
for i = 2, #ARGV do
  redis.call('ZADD', closed, text(time), ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', closed, '-inf', text(time - remembered))
redis.call('PEXPIRE', closed, text(remembered))
return redis.status_reply('OK')
