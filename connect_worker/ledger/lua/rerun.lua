-- An operator has the processor run again for a parked or discarded request, in the same cycle.
-- ARGV[2] ref   ARGV[3] this call
-- ARGV[4] the beginning of the names of the steps whose results are dropped, or ''
-- ARGV[5...] fields that are corrupt, and dropped
-- Returns 1 when it was queued by this call, else 0.

local ref = ARGV[2]
local key = key_of(ref)
local record = read(ref)
if record.x == ARGV[3] then
  return 1
end
if record.s ~= 'parked' and record.s ~= 'discarded' then
  return 0
end
if record.v == LOST_CYCLE then
  -- Which cycle it was is not known: the next poll registers the request again, and knows.
  if record.s == 'parked' then
    count(kind_of(ref), 'parked', label_of(redis.call('HMGET', key, 'p', 'm')), -1)
    redis.call('ZREM', parked, ref)
  end
  redis.call('DEL', key)
  return 1
end
redis.call('HSET', key, 's', 'queued', 'r', text(now), 't', text(now), 'x', ARGV[3])
redis.call('HDEL', key, 'a', 'd', 'w', 'k', 'z')
if ARGV[4] ~= '' then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, '^[ij]:') and string.sub(field, 3, 2 + #ARGV[4]) == ARGV[4] then
      redis.call('HDEL', key, field)
    end
  end
end
for at = 5, #ARGV do
  redis.call('HDEL', key, ARGV[at])
end
redis.call('PERSIST', key)
local label = move(ref, record.s, 'queued', now)
if record.s == 'discarded' then
  -- Final states are counted since the start; this count is taken back.
  count(kind_of(ref), 'discarded', label, -1)
end
return 1
