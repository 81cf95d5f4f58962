-- Who holds a token's link, and for how long. That it was asked for renews it, once a third of its time has passed.
local link, nodes = KEYS[1], KEYS[2]
local held, token, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])

local _, holder = parse(redis.call('GET', link))
if not holder then return {} end
local left = redis.call('PTTL', link)
if left * 3 < ttl * 2 then
  renew(link, held, nodes, holder, token, ttl)
  left = ttl
end
return { left, holder }
