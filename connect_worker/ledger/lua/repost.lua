-- An operator has a parked decision posted again. ARGV[2] ref   ARGV[3] this call
-- Returns 1 when it is due by this call, else 0.

local ref = ARGV[2]
local key = key_of(ref)
local record = read(ref)
if record.x == ARGV[3] then
  return 1
end
if record.s ~= 'parked' or not record.d then
  return 0
end
redis.call('HSET', key, 's', 'decided', 'r', text(now), 't', text(now), 'x', ARGV[3])
redis.call('HDEL', key, 'w')
move(ref, 'parked', 'decided', now)
return 1
