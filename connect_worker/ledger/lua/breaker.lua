-- Read the account's pause. Returns {now, until, failures, reason}, times in ms.

local g = redis.call('HMGET', breaker, 'until', 'failures', 'reason')
return { now, number(g[1]), number(g[2]), g[3] or '' }
