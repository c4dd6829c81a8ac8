-- Read the account's circuit breaker. Returns {now, open_until, failures, reason, 1 when the next claim
-- is a probe}, times in ms.

local b = redis.call('HMGET', breaker, 'open_until', 'failures', 'reason', 'needs_probe')
return { now, number(b[1]), number(b[2]), b[3] or '', b[4] and 1 or 0 }
