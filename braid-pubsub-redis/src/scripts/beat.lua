-- Starts the claim time of deliveries anew, of those that are still this consumer's.
-- ARGV: group, consumer; then of each delivery: id, attempt
-- Gives the ids that are.
local group, me = ARGV[1], ARGV[2]
local mine = {}
for i = 3, #ARGV, 2 do
  local attempt = tonumber(ARGV[i + 1])
  local holder, count = pending(group, ARGV[i])
  if holder == me and (count == attempt + 2 or (attempt == 1 and count < 2)) then
    mine[#mine + 1] = ARGV[i]
  end
end
if #mine > 0 then
  local ids = { unpack(mine) }
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
end
return mine
