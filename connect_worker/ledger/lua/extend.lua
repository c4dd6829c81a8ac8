-- Renew a lease. ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] lease, ms
-- Returns 'ok' or 'lost'.

local ref, owner, lease = ARGV[2], ARGV[4], tonumber(ARGV[5])
local key = key_of(ref)
local stands = standing(read(key), tonumber(ARGV[3]), owner, '')
if stands ~= 'ok' then
  return stands
end
redis.call('HSET', key, 'r', text(now + lease))
redis.call('ZADD', due, text(now + lease), ref)
local limit = redis.call('HGET', key, 'l')
if limit then
  redis.call('ZADD', slots_of(limit), 'XX', text(now + lease), ref)
end
if redis.call('HGET', gate, 'probe') == owner then
  redis.call('HSET', gate, 'probe_until', text(now + lease))
end
return 'ok'
