-- Ends some of a node's links, so many at most: the server does nothing else meanwhile. Returns how many, and how many may be left.
local nodes = KEYS[1]
local held, link, owner, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local ended, channel = ARGV[5], ARGV[6]

local index = held .. owner
local tokens = redis.call('ZRANGE', index, 0, most - 1)
if #tokens == 0 then
  redis.call('SREM', nodes, owner)
  return { 0, 0 }
end
local keys = {}
for i, token in ipairs(tokens) do
  keys[i] = link .. #token .. ':' .. token
end
local ours = {}
for i, value in ipairs(redis.call('MGET', unpack(keys))) do
  local _, holder = parse(value)
  if holder == owner then ours[#ours + 1] = keys[i] end
end
if #ours > 0 then redis.call('UNLINK', unpack(ours)) end
redis.call('ZREMRANGEBYRANK', index, 0, #tokens - 1)
redis.call('PUBLISH', channel, ended)
return { #ours, redis.call('ZCARD', index) }
