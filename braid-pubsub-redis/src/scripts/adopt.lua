-- Takes over what former holders of the lease have left pending, in order.
-- ARGV: group of keys, consumer, behind which id, how many, whether only what is another's
-- Gives of each: id, hand-outs, milliseconds until it is due, fields.
local group, me, behind, limit, others = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
if redis.call('GET', lease) ~= me then
  return false
end
local at = now()
local taken = {}
for _, entry in ipairs(redis.call('XPENDING', stream, group, '(' .. behind, '+', limit)) do
  local id, holder, count = entry[1], entry[2], entry[4]
  local was_mine = holder == me
  if not was_mine then
    redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID')
  end
  local fields = body_of(id)
  if was_mine and others then
    taken[#taken + 1] = { id }
  elseif fields then
    local due = tonumber(redis.call('ZSCORE', retry, member(id)) or 0)
    taken[#taken + 1] = { id, math.max(0, count - 2), math.max(0, due - at), fields }
  else
    redis.call('XACK', stream, group, id)
    redis.call('ZREM', retry, member(id))
    taken[#taken + 1] = { id }
  end
end
return taken
