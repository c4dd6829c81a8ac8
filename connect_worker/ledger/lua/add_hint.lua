-- Note a notification down. KEYS[6] `notification:<digest>`   ARGV[2] name   ARGV[3] its kind alone
-- ARGV[4] this call   ARGV[5] remember, ms   ARGV[6] requeue, ms   ARGV[7] most names
-- Returns {new | known | replayed, the name that it was noted under}.
--
-- Run twice with the same call it answers `new` or `known` again: one more message does no harm.

local hints, hints_due = base .. 'hints', base .. 'hints_due'
local name, wide, call = ARGV[2], ARGV[3], ARGV[4]
local before = redis.call('GET', KEYS[6])
if before and before ~= call then
  return { 'replayed', name }
end
redis.call('SET', KEYS[6], call, 'PX', ARGV[5])
-- Of so many names a look at each would cost more than one at all of the kind.
if redis.call('HEXISTS', hints, name) == 0 and redis.call('ZCARD', hints_due) >= tonumber(ARGV[7]) then
  name = wide
end
local known = redis.call('HGET', hints, name)
redis.call('HSET', hints, name, call)
if known and known ~= call then
  return { 'known', name }
end
redis.call('ZADD', hints_due, text(now + tonumber(ARGV[6])), name)
return { 'new', name }
