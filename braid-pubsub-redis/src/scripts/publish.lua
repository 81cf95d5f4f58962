-- Publishes where a plain XADD won't do: with a key, with a dedup key, close to the cap.
-- KEYS: stream, -, -, -, -, -, keyed, -, -, dedup
-- ARGV: cap, dedup window, whether there is a dedup key, whether there is a key, the fields
local cap, window = tonumber(ARGV[1]), ARGV[2]
local dedup, has_key = ARGV[3] == '1', ARGV[4] == '1'
if dedup then
  local first = redis.call('GET', KEYS[10])
  if first then
    return { 'duplicate', first }
  end
end
local length = redis.call('XLEN', stream)
if length >= cap then
  return { 'full', length }
end
local fields = {}
for i = 5, #ARGV do
  fields[i - 4] = ARGV[i]
end
local id = append(stream, keyed, fields, has_key)
if dedup then
  redis.call('SET', KEYS[10], id, 'PX', window)
end
return { 'stored', id, length + 1 }
