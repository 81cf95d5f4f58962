-- What is to be done for a channel now and then. One consumer at a time does the part that is for all.
-- ARGV: group, consumer, topic, channel, max_attempts, cap, longest backoff, claim time, interval
local group, me, topic, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local max_attempts, cap, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local claim_after, interval = tonumber(ARGV[8]), ARGV[9]
local DAY, SECOND, BATCH = 86400000, 1000, 256
local at = now()

redis.call('HSET', channels, 's:' .. channel, text(at))
redis.call('HSET', consumers, 's:' .. me, text(at), 'c:' .. me, ARGV[8])
local has_keys = redis.call('EXISTS', keyed)

-- Deletes the names of consumers that are gone and hold nothing: a name that is deleted takes what it holds with it.
local function collect(group, name, left, idle)
  if left > 0 or name == me or name == WAITING then
    return
  end
  local of = redis.call('HMGET', consumers, 's:' .. name, 'l:' .. name, 'c:' .. name)
  local gone
  if of[1] then
    local patience = math.max(tonumber(of[3]) or claim_after, SECOND)
    gone = of[2] or at - of[1] > patience
  else
    gone = idle > DAY or string.match(name, '^braid:')
  end
  if gone then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    return true
  end
end

if redis.call('SET', guard, me, 'NX', 'PX', interval) then
  local gone = {}
  local waiting = 0
  for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local info = pairs_of(reply)
    local name, left = info.name, info.pending
    if name == WAITING then
      waiting = left
    elseif left > 0 then
      local after = tonumber(redis.call('HGET', consumers, 'c:' .. name)) or claim_after
      for _, entry in ipairs(redis.call('XPENDING', stream, group, 'IDLE', after, '-', '+', BATCH, name)) do
        local id = entry[1]
        fail(group, id, handed_out(id, name, entry[4]), max_attempts, at, longest, topic, channel, cap,
          'not settled within its claim time')
        left = left - 1
        waiting = waiting + 1
      end
    end
    gone[name] = collect(group, name, left, info.idle)
  end
  if has_keys == 1 and has_group(stream, KEYS_OF .. channel) then
    for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, KEYS_OF .. channel)) do
      local info = pairs_of(reply)
      if info.pending > 0 then
        gone[info.name] = nil
      elseif collect(KEYS_OF .. channel, info.name, 0, info.idle) then
        gone[info.name] = true
      end
    end
  end
  for name in pairs(gone) do
    redis.call('HDEL', consumers, 's:' .. name, 'c:' .. name, 'w:' .. name, 'l:' .. name, 'r:' .. name, 't:' .. name)
  end
  -- What waits without a time, since that was deleted by other hands, is due.
  if waiting > redis.call('ZCARD', retry) then
    for _, entry in ipairs(redis.call('XPENDING', stream, group, '-', '+', 4 * BATCH, WAITING)) do
      redis.call('ZADD', retry, 'NX', text(at), member(entry[1]))
    end
  end
end
return { next_due(at), has_keys }
