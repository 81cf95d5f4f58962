-- A consumer leaves: what it has read and not handed out goes back, uncounted.
-- ARGV: group, channel, consumer, kind, whether it keeps the lease for what it still holds; the ids that it has handed out
local group, channel, me, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if ARGV[5] == '0' and redis.call('GET', lease) == me then
  redis.call('DEL', lease)
end
if kind == 'ephemeral' then
  if redis.call('HGET', channels, 'o:' .. channel) == me then
    if redis.call('EXISTS', stream) == 1 then
      redis.call('XGROUP', 'DESTROY', stream, group)
      redis.call('XGROUP', 'DESTROY', stream, KEYS_OF .. channel)
    end
    redis.call('DEL', consumers, retry, retry_of_keys, lease, guard)
    redis.call('HDEL', channels, 'k:' .. channel, 's:' .. channel, 'o:' .. channel, 'f:' .. channel)
  end
  return 0
end
local held = {}
for i = 6, #ARGV do
  held[ARGV[i]] = true
end
local at = now()
if has_group(stream, group) then
  for _, entry in ipairs(redis.call('XPENDING', stream, group, '-', '+', 10000, me)) do
    if not held[entry[1]] then
      put_off(group, entry[1], math.max(0, entry[4] - 3), at)
    end
  end
end
local left = 0
for _, group in ipairs({ group, KEYS_OF .. channel }) do
  local found = has_group(stream, group) and redis.call('XINFO', 'CONSUMERS', stream, group) or {}
  for _, reply in ipairs(found) do
    local info = pairs_of(reply)
    if info.name == me then
      if info.pending > 0 then
        left = left + info.pending
      else
        redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
      end
    end
  end
end
if left == 0 then
  redis.call('HDEL', consumers, 's:' .. me, 'c:' .. me, 'w:' .. me, 'l:' .. me, 'r:' .. me, 't:' .. me)
else
  redis.call('HSET', consumers, 'l:' .. me, 1)
end
return left
