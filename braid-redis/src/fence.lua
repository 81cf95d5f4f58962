#!lua
-- Remembers the highest term of a resource. Gives it where it is above the one that asks, and nothing where that one is admitted.
-- KEYS: where the highest term is. ARGV: the term that asks
-- With the line above, a replica and a primary that misses replicas refuse this as they refuse a write, also where it would only read.
local function halves(term)
  -- Numbers are doubles here, and a term has up to 20 digits.
  return tonumber(string.sub(term, 1, -11)) or 0, tonumber(string.sub(term, -10))
end
local term = ARGV[1]
local seen = redis.call('GET', KEYS[1])
if seen then
  if not string.find(seen, '^%d+$') then
    return redis.error_reply('NOTERM what the key holds is no term')
  end
  local high, low = halves(seen)
  local new_high, new_low = halves(term)
  if high > new_high or (high == new_high and low > new_low) then
    return seen
  end
end
if seen ~= term then
  redis.call('SET', KEYS[1], term)
end
return false
