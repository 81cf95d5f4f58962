-- Of messages that were just read and are to be handed out later: puts off those that are still early.
-- ARGV: group, consumer; then of each: id, not before
-- Gives for each whether it was put off.
local group, me = ARGV[1], ARGV[2]
local at = now()
local early = {}
for i = 3, #ARGV, 2 do
  local due = tonumber(ARGV[i + 1])
  local put = 0
  if due > at and pending(group, ARGV[i]) == me then
    put_off(group, ARGV[i], 0, due)
    put = 1
  end
  early[#early + 1] = put
end
return { next_due(at), early }
