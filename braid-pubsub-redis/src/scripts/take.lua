-- Takes one message that is due for its next attempt, to be handed out at once.
-- ARGV: group, consumer, topic, channel, max_attempts, cap, longest backoff, ticket, whether the answer for this ticket was lost
local group, me, topic, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local max_attempts, cap, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local ticket = ARGV[8]
local at = now()
if ARGV[9] == '1' then
  local known, id, attempt = string.match(redis.call('HGET', consumers, 't:' .. me) or '', '^(%d+) ([%d-]+) (%d+)$')
  if known == ticket then
    local holder, count = pending(group, id)
    local fields = body_of(id)
    if holder == me and count == attempt + 2 and fields then
      return { next_due(at), tonumber(attempt), id, fields }
    end
  end
end
for _, due in ipairs(redis.call('ZRANGE', retry, '-inf', text(at), 'BYSCORE', 'LIMIT', 0, 32)) do
  local id = id_of(due)
  local holder, count = pending(group, id)
  if holder ~= WAITING then
    -- Acked late, or claimed by other means.
    redis.call('ZREM', retry, due)
  else
    local handed = math.max(0, count - 2)
    local fields = body_of(id)
    if not fields then
      redis.call('XACK', stream, group, id)
      redis.call('ZREM', retry, due)
    elseif handed == 0 and not_before(id, fields) > at then
      -- Whoever had read it was gone before it put this off.
      redis.call('ZADD', retry, text(not_before(id, fields)), due)
    elseif handed >= max_attempts then
      fail(group, id, handed, max_attempts, at, longest, topic, channel, cap,
        'not settled within its claim time')
    else
      redis.call('ZREM', retry, due)
      redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', handed + 3, 'JUSTID')
      redis.call('HSET', consumers, 't:' .. me, ticket .. ' ' .. id .. ' ' .. text(handed + 1))
      return { next_due(at), handed + 1, id, fields }
    end
  end
end
return { next_due(at) }
