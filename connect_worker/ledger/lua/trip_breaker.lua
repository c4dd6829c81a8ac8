-- Pause the account. ARGV[2] pause, ms   ARGV[3] reason   ARGV[4] 1: a failure   ARGV[5] this call's token
-- ARGV[6] 1: Connect asked for it
-- Returns {now, until, failures, reason}, times in ms.

local till, reason = now + tonumber(ARGV[2]), ARGV[3]
local g = redis.call('HMGET', breaker, 'until', 'failures', 'reason', 'token')
local closed_until, failures = number(g[1]), number(g[2])
if g[4] == ARGV[5] then
  return { now, closed_until, failures, g[3] }
end
if ARGV[6] == '1' and till > number(redis.call('HGET', breaker, 'asked')) then
  redis.call('HSET', breaker, 'asked', text(till), 'asked_for', reason)
end
if till < closed_until then
  till, reason = closed_until, g[3]
end
-- Many workers fail on one outage: those that come while it is closed for a failure are no new one.
local known = closed_until > now and failures > 0
if ARGV[4] == '1' and not known then
  failures = failures + 1
end
if tonumber(ARGV[2]) > 0 and failures > 0 and ARGV[6] ~= '1' then
  redis.call('HSET', breaker, 'strict', '1')
end
redis.call('HSET', breaker, 'until', text(till), 'failures', text(failures), 'reason', reason,
  'token', ARGV[5])
redis.call('HDEL', breaker, 'probe', 'probe_until')
return { now, till, failures, reason }
