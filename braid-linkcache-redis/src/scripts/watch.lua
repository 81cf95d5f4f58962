-- Makes a process the one that looks after what has ended, unless another one is; tells how many services are listed.
local keeper, services = KEYS[1], KEYS[2]
local process, lease = ARGV[1], ARGV[2]

local holder = redis.call('GET', keeper)
local ours = 0
if not holder or holder == process then
  redis.call('SET', keeper, process, 'PX', lease)
  ours = 1
end
return { ours, redis.call('SCARD', services) }
