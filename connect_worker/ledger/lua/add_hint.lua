-- Store the change hint of a notification.
-- KEYS[6] `notification:<digest>`   ARGV[2] name   ARGV[3] the name of its kind alone
-- ARGV[4] this call   ARGV[5] how long to remember the notification, ms   ARGV[6] requeue, ms
-- Returns {new | known | replayed, the name under which it was stored}.
--
-- Run twice with the same call it answers `new` or `known` again: one more message does no harm.

local hints, hints_due = base .. 'hints', base .. 'hints_due'
local name, kind, call = ARGV[2], ARGV[3], ARGV[4]
local before = redis.call('GET', KEYS[6])
if before and before ~= call then
  return { 'replayed', name }
end
redis.call('SET', KEYS[6], call, 'PX', ARGV[5])
-- Beyond MAX_HINTS, one poll of the kind costs less than refreshing requests one by one.
if redis.call('HEXISTS', hints, name) == 0 and redis.call('ZCARD', hints_due) >= MAX_HINTS then
  name = kind
end
local known = redis.call('HGET', hints, name)
redis.call('HSET', hints, name, call)
if known and known ~= call then
  return { 'known', name }
end
redis.call('ZADD', hints_due, text(now + tonumber(ARGV[6])), name)
return { 'new', name }
