-- The state of a topic. Changes nothing.
-- KEYS: stream, channels, -, -, -, -, keyed, dead
-- Gives messages, dead letters, and of each group: name, kind, lag, pending, oldest id, consumers as name, pending, idle
local PAGE, MOST, FEW = 1000, 100000, 100
local length = redis.call('XLEN', stream)
local all = {}
for _, info in ipairs(groups_of(stream)) do
  local channel, of_keys = channel_of(info.name)
  local kind = redis.call('HGET', channels, 'k:' .. channel) or 'shared'
  local behind = '(' .. info['last-delivered-id']
  local following = redis.call('XRANGE', stream, behind, '+', 'COUNT', FEW)
  local lag = #following
  if lag == FEW and info.lag then
    -- The server's figure is too high on a replica that was promoted (seen with Redis 7.0): few are counted, many bounded.
    lag = math.max(FEW, math.min(info.lag, length))
  elseif lag == FEW then
    -- Entries were deleted by other hands, so that the server doesn't know.
    local page = following
    while #page > 0 and lag < MOST do
      page = redis.call('XRANGE', stream, '(' .. page[#page][1], '+', 'COUNT', PAGE)
      lag = lag + #page
    end
  end
  local oldest = ''
  if info.pending > 0 then
    oldest = redis.call('XPENDING', stream, info.name)[2]
  else
    oldest = following[1] and following[1][1] or ''
  end
  local consumers = {}
  for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, info.name)) do
    local consumer = pairs_of(reply)
    consumers[#consumers + 1] = { consumer.name, consumer.pending, consumer.idle }
  end
  all[#all + 1] = { channel, of_keys and 1 or 0, kind, lag, info.pending, oldest, consumers }
end
return { redis.call('EXISTS', stream), length, redis.call('XLEN', dead), all }
