-- What the scripts share. Every script gets the same KEYS, those of one channel, and has them by these names.
local stream, channels, consumers, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local guard, lease, keyed = KEYS[5], KEYS[6], KEYS[7]
local dead, dead_keyed = KEYS[8], KEYS[9]
local retry_of_keys = KEYS[10]

-- Holds what waits for its next attempt. No consumer has this name, since theirs are UUIDs.
local WAITING = 'braid:retry'
-- The group through which a channel's messages with keys are handed out: this and the channel's name.
local KEYS_OF = 'braid:keys:'

-- An id as a text that sorts as ids do.
local function member(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end

local function id_of(member)
  local ms, seq = string.match(member, '^0*(%d+)-0*(%d+)$')
  return ms .. '-' .. seq
end

-- A reply of names and values, as a table.
local function pairs_of(reply)
  local map = {}
  for i = 1, #reply, 2 do
    map[reply[i]] = reply[i + 1]
  end
  return map
end

-- Which channel a group belongs to, and whether it is the one of its keys.
local function channel_of(group)
  if string.sub(group, 1, #KEYS_OF) == KEYS_OF then
    return string.sub(group, #KEYS_OF + 1), true
  end
  local escaped = 'braid:channel:'
  if string.sub(group, 1, #escaped) == escaped then
    return string.sub(group, #escaped + 1), false
  end
  return group, false
end

local function groups_of(stream)
  local groups = {}
  if redis.call('EXISTS', stream) == 1 then
    for i, reply in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      groups[i] = pairs_of(reply)
    end
  end
  return groups
end

local function has_group(stream, group)
  for _, info in ipairs(groups_of(stream)) do
    if info.name == group then
      return true
    end
  end
  return false
end

-- How often a pending entry was handed out. The delivery count of an entry is 1 when it was read and nothing else happened: its
-- reader's mark tells. From 2 on it is two more than the hand-outs.
local function handed_out(id, reader, count)
  if count >= 2 then
    return count - 2
  end
  local mark = redis.call('HGET', consumers, 'w:' .. reader)
  if mark and member(id) <= member(mark) then
    return 1
  end
  return 0
end

-- Who holds an entry and with which count; nothing when it isn't pending.
local function pending(group, id)
  local entry = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if entry then
    return entry[2], entry[4]
  end
end

local function body_of(id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  return entry and entry[2]
end

-- When an entry may be handed out for the first time.
local function not_before(id, fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'delay' then
      return tonumber(string.match(id, '^%d+')) + (tonumber(fields[i + 1]) or 0)
    end
  end
  return 0
end

-- Appends an entry. The first one with a key gives each channel its group of keys, from this entry on.
local function append(stream, keyed, fields, has_key)
  if has_key and redis.call('EXISTS', keyed) == 0 then
    redis.call('SET', keyed, 1)
    local channels, have = {}, {}
    for _, group in ipairs(groups_of(stream)) do
      local channel, of_keys = channel_of(group.name)
      local list = of_keys and have or channels
      list[channel] = true
    end
    for channel in pairs(channels) do
      if not have[channel] then
        redis.call('XGROUP', 'CREATE', stream, KEYS_OF .. channel, '$')
      end
    end
  end
  return redis.call('XADD', stream, '*', unpack(fields))
end

-- Puts an entry off: from its due time on it can be taken by any consumer, or by `holder` if one is named.
local function put_off(group, id, handed, due, holder)
  redis.call('XCLAIM', stream, group, holder or WAITING, 0, id, 'RETRYCOUNT', handed + 2, 'JUSTID')
  redis.call('ZADD', retry, text(due), member(id))
end

-- Moves an entry to the dead letters. False when they are at their cap.
local function bury(group, id, fields, handed, topic, channel, cap, reason)
  if redis.call('XLEN', dead) >= cap then
    return false
  end
  local own = {
    ['h:braid-dead-topic'] = topic,
    ['h:braid-dead-channel'] = channel,
    ['h:braid-dead-id'] = id,
    ['h:braid-dead-attempts'] = text(handed),
    ['h:braid-dead-reason'] = reason,
  }
  local letter, has_key = {}, false
  for i = 1, #fields, 2 do
    local name = fields[i]
    local left_out = own[name] or name == 'delay' or name == 'dedup' or name == 'h:braid-only-channel'
    if not left_out then
      letter[#letter + 1] = name
      letter[#letter + 1] = fields[i + 1]
      has_key = has_key or name == 'key'
    end
  end
  for name, value in pairs(own) do
    letter[#letter + 1] = name
    letter[#letter + 1] = value
  end
  append(dead, dead_keyed, letter, has_key)
  redis.call('XACK', stream, group, id)
  redis.call('ZREM', retry, member(id))
  return true
end

-- An attempt failed, or the last one is over: dead letter or next attempt.
local function fail(group, id, handed, max_attempts, due, longest, topic, channel, cap, reason, holder)
  if handed >= max_attempts then
    local fields = body_of(id)
    if not fields then
      redis.call('XACK', stream, group, id)
      redis.call('ZREM', retry, member(id))
      return 'gone'
    end
    if bury(group, id, fields, handed, topic, channel, cap, reason) then
      return 'dead'
    end
    due = math.max(due, now() + longest)
  end
  put_off(group, id, handed, due, holder)
  return 'waits'
end

-- Milliseconds until the next one is due; -1 when none waits.
local function next_due(at)
  local first = redis.call('ZRANGE', retry, 0, 0, 'WITHSCORES')
  if first[2] then
    return math.max(0, first[2] - at)
  end
  return -1
end
