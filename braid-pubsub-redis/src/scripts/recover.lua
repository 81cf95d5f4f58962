-- What a read whose answer was lost has brought.
-- ARGV: group, consumer, the ids that the consumer knows of
-- Gives the others that are pending for it: those that were never handed out, with their fields.
local group, me = ARGV[1], ARGV[2]
local known = {}
for i = 3, #ARGV do
  known[ARGV[i]] = true
end
local at = now()
local found = {}
for _, entry in ipairs(redis.call('XPENDING', stream, group, '-', '+', 10000, me)) do
  local id, count = entry[1], entry[4]
  if not known[id] then
    local fields = body_of(id)
    if not fields then
      redis.call('XACK', stream, group, id)
    elseif count >= 3 then
      -- Taken for another attempt, which didn't take place.
      put_off(group, id, count - 3, at)
    else
      found[#found + 1] = { id, fields }
    end
  end
end
return { next_due(at), found }
