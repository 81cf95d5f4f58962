-- Takes or renews the right to hand out a channel's messages with keys.
-- ARGV: consumer, time
-- Gives whether it is held, whether it was held before, and the connections that others read by.
local me, time = ARGV[1], ARGV[2]
local holder = redis.call('GET', lease)
if holder and holder ~= me then
  return { 0, 0 }
end
redis.call('SET', lease, me, 'PX', time)
local readers = {}
if not holder then
  local all = redis.call('HGETALL', consumers)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'r:' and all[i] ~= 'r:' .. me then
      readers[#readers + 1] = all[i + 1]
      redis.call('HDEL', consumers, all[i])
    end
  end
end
return { 1, holder and 1 or 0, readers }
