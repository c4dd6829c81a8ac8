-- Read the account's circuit breaker. Returns {now, open_until, failures, reason}, times in ms.

local b = redis.call('HMGET', breaker, 'open_until', 'failures', 'reason')
return { now, number(b[1]), number(b[2]), b[3] or '' }
