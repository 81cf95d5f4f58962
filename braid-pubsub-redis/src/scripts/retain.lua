-- Removes what no channel needs any more, and channels that are gone.
-- KEYS: stream, channels, -, -, guard
-- ARGV: interval, time until a silent shared channel is forgotten (-1: never), the same for an ephemeral one, and what the keys of a
-- channel begin with
local interval, forget_after, ephemeral_after = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local prefixes = { unpack(ARGV, 4) }
-- The last sequence number of a millisecond.
local LAST = '18446744073709551615'
if not redis.call('SET', guard, 1, 'NX', 'PX', interval) then
  return { 0, {} }
end
local at = now()
local floor
local needed, forgotten, gone = {}, {}, {}
for _, info in ipairs(groups_of(stream)) do
  local channel = channel_of(info.name)
  local of = redis.call('HMGET', channels, 'k:' .. channel, 's:' .. channel)
  local seen = tonumber(of[2])
  if not seen then
    -- Made by other hands: its time starts with the first look.
    redis.call('HSET', channels, 's:' .. channel, text(at))
    seen = at
  end
  local age = at - seen
  if of[1] == 'ephemeral' and age > ephemeral_after then
    redis.call('XGROUP', 'DESTROY', stream, info.name)
    gone[channel] = true
  elseif forget_after >= 0 and age > forget_after then
    if redis.call('HSET', channels, 'x:' .. channel, 1) == 1 then
      forgotten[#forgotten + 1] = channel
    end
  else
    local first
    if info.pending > 0 then
      first = redis.call('XPENDING', stream, info.name)[2]
    else
      local ms, seq = string.match(info['last-delivered-id'], '^(%d+)-(%d+)$')
      if seq == LAST then
        first = text(tonumber(ms) + 1) .. '-0'
      else
        first = ms .. '-' .. text(tonumber(seq) + 1)
      end
    end
    if not needed[channel] or member(first) < member(needed[channel]) then
      needed[channel] = first
    end
    if not floor or member(first) < member(floor) then
      floor = first
    end
  end
end
for channel, first in pairs(needed) do
  -- Where the channel goes on when its group is lost: behind the last one that it doesn't need.
  local ms, seq = string.match(first, '^(%d+)-(%d+)$')
  local behind = seq == '0' and text(tonumber(ms) - 1) .. '-' .. LAST or ms .. '-' .. text(tonumber(seq) - 1)
  if ms == '0' and seq == '0' then
    behind = '0-0'
  end
  redis.call('HSET', channels, 'f:' .. channel, behind)
end
for channel in pairs(gone) do
  for _, prefix in ipairs(prefixes) do
    redis.call('DEL', prefix .. #channel .. ':' .. channel)
  end
  redis.call('HDEL', channels, 'k:' .. channel, 's:' .. channel, 'o:' .. channel, 'f:' .. channel, 'x:' .. channel)
end
local removed = 0
if floor then
  removed = redis.call('XTRIM', stream, 'MINID', floor)
end
return { removed, forgotten }
