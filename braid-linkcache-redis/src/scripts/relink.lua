-- Moves a token's link from one node to another, if the one holds it, or the other does already: a move whose answer was lost can be
-- repeated. When it was made stays: the user is the same.
local link, closed, nodes = KEYS[1], KEYS[2], KEYS[3]
local held, from, to, token, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local known, ended, channel = ARGV[6], ARGV[7], ARGV[8]

local since, holder = parse(redis.call('GET', link))
local refused = refusal(closed, to, known)
if holder == to and (not refused or refused == 'd') then
  renew(link, held, nodes, to, token, ttl)
  return { 'moved' }
end
if holder ~= from then return { 'none' } end
if refused then return { refused } end
redis.call('ZREM', held .. from, token)
link_to(link, held, nodes, to, token, ttl, since)
redis.call('PUBLISH', channel, ended)
return { 'moved' }
