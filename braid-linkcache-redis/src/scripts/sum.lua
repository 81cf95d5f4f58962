-- How many links each node has in the memories of all processes but one.
local processes = KEYS[1]
local counts, but = ARGV[1], ARGV[2]

local sum, order = {}, {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', processes, '(' .. text(now()), '+inf')) do
  if process ~= but then
    local pairs_of = redis.call('HGETALL', counts .. #process .. ':' .. process)
    for i = 1, #pairs_of, 2 do
      local node = pairs_of[i]
      if not sum[node] then
        sum[node] = 0
        order[#order + 1] = node
      end
      sum[node] = sum[node] + tonumber(pairs_of[i + 1])
    end
  end
end
local reply = {}
for _, node in ipairs(order) do
  reply[#reply + 1] = node
  reply[#reply + 1] = sum[node]
end
return reply
