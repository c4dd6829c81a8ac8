-- Open the account's circuit breaker. ARGV[2] for how long, ms   ARGV[3] reason   ARGV[4] 1: a failure
-- ARGV[5] this call   ARGV[6] 1: Connect requested the pause
-- Returns what `breaker.lua` returns.

local till, reason = now + tonumber(ARGV[2]), ARGV[3]
local b = redis.call('HMGET', breaker, 'open_until', 'failures', 'reason', 'call', 'needs_probe')
local open_until, failures, needs_probe = number(b[1]), number(b[2]), b[5] and 1 or 0
if b[4] == ARGV[5] then
  return { now, open_until, failures, b[3], needs_probe }
end
if ARGV[6] == '1' and till > number(redis.call('HGET', breaker, 'requested_until')) then
  redis.call('HSET', breaker, 'requested_until', text(till), 'requested_reason', reason)
end
if till < open_until then
  till, reason = open_until, b[3]
end
-- Many workers fail in one outage: while the breaker is open for a failure, others are not counted.
local is_known = open_until > now and failures > 0
if ARGV[4] == '1' and not is_known then
  failures = failures + 1
end
if tonumber(ARGV[2]) > 0 and failures > 0 and ARGV[6] ~= '1' then
  needs_probe = 1
  redis.call('HSET', breaker, 'needs_probe', '1')
end
redis.call('HSET', breaker, 'open_until', text(till), 'failures', text(failures), 'reason', reason,
  'call', ARGV[5])
redis.call('HDEL', breaker, 'probe', 'probe_until')
return { now, till, failures, reason, needs_probe }
