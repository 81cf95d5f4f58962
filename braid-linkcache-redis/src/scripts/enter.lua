-- Lists services, and tells how many buckets each has, and which nodes are closed.
local services, closed, buckets = KEYS[1], KEYS[2], KEYS[3]

redis.call('SET', buckets, ARGV[1], 'NX')
for i = 2, #ARGV do
  redis.call('SADD', services, ARGV[i])
end
local reply = redis.call('ZRANGE', closed, 0, -1)
table.insert(reply, 1, redis.call('GET', buckets))
return reply
