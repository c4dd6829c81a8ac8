-- Tell whether a call to Connect may be sent. Returns {pause left, ms, reason}.

local g = redis.call('HMGET', gate, 'until', 'reason')
return { math.max(number(g[1]) - now, 0), g[2] or '' }
