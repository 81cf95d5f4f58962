-- Lists services, and tells how many buckets each has, and which nodes are closed. Who is the first on an empty server tells the others: it
-- may have been emptied under them.
local services, closed, buckets = KEYS[1], KEYS[2], KEYS[3]
local count, emptied, channel = ARGV[1], ARGV[2], ARGV[3]

if redis.call('SET', buckets, count, 'NX') then
  redis.call('PUBLISH', channel, emptied)
end
for i = 4, #ARGV do
  redis.call('SADD', services, ARGV[i])
end
local reply = redis.call('ZRANGE', closed, 0, -1)
table.insert(reply, 1, redis.call('GET', buckets))
return reply
