-- Say when a call to Connect may be sent, and reserve its place in the account's rate limit.
-- KEYS[6] rate_limit   ARGV[2] microseconds between two calls; 0: no rate
-- Returns {ms until the circuit breaker is no longer open, its reason, microseconds until the call's place}.
--
-- The places are evenly spaced: a time without calls gives no credit, and so no burst. Run twice the
-- script reserves two places, of which one is wasted. While the breaker is open, none is reserved.

local interval = tonumber(ARGV[2])

local b = redis.call('HMGET', breaker, 'open_until', 'reason')
local open_for = number(b[1]) - now
if open_for > 0 then
  return { open_for, b[2] or '', 0 }
end
if interval == 0 then
  return { 0, '', 0 }
end
local place = math.max(number(redis.call('GET', KEYS[6])), exact)
if place - exact > interval * MAX_WAITING_CALLS then
  -- More calls than can wait: the clock was set back.
  place = exact
end
local free = place + interval
redis.call('SET', KEYS[6], text(free), 'PX', text(math.ceil((free - exact) / 1000)))
return { 0, '', place - exact }
