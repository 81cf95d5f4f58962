-- One more consumer of a channel, which is made if it isn't there.
-- ARGV: group, channel, consumer, kind, start, claim time, time until a dead ephemeral channel goes, whether it is made again after a loss
local group, channel, me, kind, start = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local claim_after, ephemeral_after, again = ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
local at = now()
local made = false

local exists, position = false, nil
for _, info in ipairs(groups_of(stream)) do
  if info.name == group then
    exists, position = true, info['last-delivered-id']
  end
end
local of = redis.call('HMGET', channels, 'k:' .. channel, 'o:' .. channel, 's:' .. channel, 'f:' .. channel)
if exists and not again then
  local present = of[1] or 'shared'
  if present == 'ephemeral' and at - (tonumber(of[3]) or 0) > ephemeral_after then
    redis.call('XGROUP', 'DESTROY', stream, group)
    redis.call('XGROUP', 'DESTROY', stream, KEYS_OF .. channel)
    redis.call('DEL', consumers, retry, retry_of_keys, lease)
    exists = false
  elseif present ~= kind then
    return { 'kind', present }
  elseif kind == 'ephemeral' and of[2] ~= me then
    return { 'taken' }
  end
end
if again then
  -- From what some channel still needed at the last look; from the beginning where that is lost too.
  start = of[4] or '0-0'
  -- The group of keys may be the one that was lost, and with it what was pending there.
  position = start
end
if not exists then
  redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
  position = start
  made = true
end
if redis.call('EXISTS', keyed) == 1 and not has_group(stream, KEYS_OF .. channel) then
  redis.call('XGROUP', 'CREATE', stream, KEYS_OF .. channel, position)
end
redis.call('HSET', channels, 'k:' .. channel, kind, 's:' .. channel, text(at))
if kind == 'ephemeral' then
  redis.call('HSET', channels, 'o:' .. channel, me)
end
redis.call('HSET', consumers, 'c:' .. me, claim_after, 's:' .. me, text(at))
redis.call('HDEL', consumers, 'l:' .. me, 'w:' .. me, 't:' .. me)
local forgotten = redis.call('HDEL', channels, 'x:' .. channel)
return { made and 'made' or 'joined', forgotten, redis.call('EXISTS', keyed) }
