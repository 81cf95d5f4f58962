-- What the scripts share. A link's value is when it was made, in milliseconds, and behind a space the node that holds it. The sorted set of
-- a node holds the tokens that are linked to it, each with the time at which its link ends, which is what the link's key has too.

-- When a link was made, and who holds it.
local function parse(value)
  if not value then return nil, nil end
  local since, holder = string.match(value, '^(%d+) (.*)$')
  return tonumber(since), holder
end

-- Lets a key live as long as what it tells of. It is asked for often, so that it is changed seldom.
local function keep(key, ttl)
  if redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, text(2 * ttl))
  end
end

-- Writes down that a node holds a token's link from now on.
local function enter(held, nodes, owner, token, ttl)
  redis.call('ZADD', held .. owner, text(now() + ttl), token)
  keep(held .. owner, ttl)
  redis.call('SADD', nodes, owner)
  keep(nodes, ttl)
end

local function link_to(link, held, nodes, owner, token, ttl, since)
  redis.call('SET', link, text(since) .. ' ' .. owner, 'PX', text(ttl))
  enter(held, nodes, owner, token, ttl)
end

local function renew(link, held, nodes, owner, token, ttl)
  redis.call('PEXPIRE', link, text(ttl))
  enter(held, nodes, owner, token, ttl)
end

-- Why a node gets no link; what the caller knows itself comes first.
local function refusal(closed, owner, known)
  if known ~= '' then return known end
  for _, mark in ipairs({ 'g', 'a', 'd' }) do
    if redis.call('ZSCORE', closed, mark .. owner) then return mark end
  end
  return nil
end
