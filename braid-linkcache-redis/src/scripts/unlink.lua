-- Ends a token's link, if `owner` holds it (anybody, if that is empty) and it was made by `until_then` (whenever, if that is empty).
local link = KEYS[1]
local held, owner, token, until_then = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ended, channel = ARGV[5], ARGV[6]

local since, holder = parse(redis.call('GET', link))
if not holder or (owner ~= '' and holder ~= owner) then return 0 end
if until_then ~= '' and since > tonumber(until_then) then return 0 end
redis.call('DEL', link)
redis.call('ZREM', held .. holder, token)
redis.call('PUBLISH', channel, ended)
return 1
