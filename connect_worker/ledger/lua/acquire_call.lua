-- Tell whether a call to Connect may be sent, and take its turn in the account's shared rate.
-- KEYS[6] pace   ARGV[2] microseconds between two calls; 0: no rate
-- Returns {pause left, ms, reason, wait for the turn, microseconds}.
--
-- The turns are evenly spaced: there is no credit for a time without calls, and so no burst. Run twice
-- it takes two turns, of which one is wasted. During a pause nothing is sent, and no turn is taken.

local interval = tonumber(ARGV[2])
-- More callers than these do not wait: whoever finds so many turns taken finds a clock set back.
local MOST_TURNS = 10000

local g = redis.call('HMGET', breaker, 'until', 'reason')
local paused = number(g[1]) - now
if paused > 0 then
  return { paused, g[2] or '', 0 }
end
if interval == 0 then
  return { 0, '', 0 }
end
local turn = math.max(number(redis.call('GET', KEYS[6])), exact)
if turn - exact > interval * MOST_TURNS then
  turn = exact
end
local free = turn + interval
redis.call('SET', KEYS[6], text(free), 'PX', text(math.ceil((free - exact) / 1000)))
return { 0, '', turn - exact }
