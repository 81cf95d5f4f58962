-- What became of deliveries. Changes nothing about those that are no longer held.
-- ARGV: group, consumer, topic, channel, max_attempts, cap, longest backoff, whether the group is that of keys; then of each
-- delivery: id, attempt, what (failed, dead, back), wait, reason
local group, me, topic, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local max_attempts, cap, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local of_keys = ARGV[8] == '1'
local at = now()
local results = {}
for i = 9, #ARGV, 5 do
  local id, attempt, what = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local wait, reason = tonumber(ARGV[i + 3]), ARGV[i + 4]
  local holder, count = pending(group, id)
  local held = holder == me and (count == attempt + 2 or (attempt == 1 and count < 2))
  local result = 'lost'
  if held then
    local keeper = of_keys and me or nil
    if what == 'back' then
      put_off(group, id, attempt - 1, at + wait, keeper)
      result = 'waits'
    else
      local most = what == 'dead' and 0 or max_attempts
      result = fail(group, id, attempt, most, at + wait, longest, topic, channel, cap, reason, keeper)
      if what == 'dead' and result == 'waits' then
        -- The dead letters are full: it is buried later, and not handed out again.
        put_off(group, id, math.max(attempt, max_attempts), at + longest, keeper)
      end
    end
  end
  results[#results + 1] = result
end
return { next_due(at), results }
