-- Links a token, unless another node holds its link. `replaced` is a holder that the caller knows to be gone.
local link, closed, nodes = KEYS[1], KEYS[2], KEYS[3]
local held, owner, token, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local known, replaced, ended, channel = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local _, holder = parse(redis.call('GET', link))
local refused = refusal(closed, owner, known)
if holder == owner and (not refused or refused == 'd') then
  -- A draining node keeps what it has.
  renew(link, held, nodes, owner, token, ttl)
  return { 'won', ttl }
end
if holder and holder ~= owner and holder ~= replaced then
  return { 'held', redis.call('PTTL', link), holder }
end
if refused then return { refused } end
if holder then
  redis.call('ZREM', held .. holder, token)
  redis.call('PUBLISH', channel, ended)
end
link_to(link, held, nodes, owner, token, ttl, now())
return { 'won', ttl }
