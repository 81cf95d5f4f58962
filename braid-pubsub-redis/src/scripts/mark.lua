-- Counts the hand-out of a message with a key, which follows at once, if it is still this consumer's to hand out.
-- ARGV: group of keys, consumer, topic, channel, max_attempts, cap, longest backoff, id, not before; how often it was handed out
-- before a try whose answer was lost, else -1
local group, me, topic, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local max_attempts, cap, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local id = ARGV[8]
if redis.call('GET', lease) ~= me then
  return { 'lost' }
end
local holder, count = pending(group, id)
if not holder then
  -- Acked, or lost with its group. If that was made again and has it, it is read again.
  return { 'gone' }
elseif holder ~= me then
  return { 'lost' }
end
local early = tonumber(ARGV[9]) - now()
if early > 0 then
  return { 'early', early }
end
local handed, before = math.max(0, count - 2), tonumber(ARGV[10])
if before >= 0 and handed == before + 1 then
  -- The try whose answer was lost has counted this hand-out.
  return { 'handed', handed }
end
if handed >= max_attempts then
  return { fail(group, id, handed, max_attempts, now(), longest, topic, channel, cap, 'not settled within its claim time', me) }
end
redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', handed + 3, 'JUSTID')
redis.call('ZREM', retry, member(id))
return { 'handed', handed + 1 }
