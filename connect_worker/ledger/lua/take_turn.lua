-- Tell whether a call to Connect may be sent, and take its slot of the account's shared rate.
-- KEYS[6] pace   ARGV[2] microseconds between two calls; 0: no rate
-- Returns {pause left, ms, reason, wait for the slot, microseconds}.
--
-- The slots are evenly spaced: there is no credit for a time without calls, and so no burst. Run twice
-- it takes two slots, of which one is wasted. During a pause nothing is sent, and no slot is taken.

local interval = tonumber(ARGV[2])
-- More callers than these do not wait: whoever finds so many slots taken finds a clock set back.
local MOST_SLOTS = 10000

local g = redis.call('HMGET', gate, 'until', 'reason')
local paused = number(g[1]) - now
if paused > 0 then
  return { paused, g[2] or '', 0 }
end
if interval == 0 then
  return { 0, '', 0 }
end
local exact = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local slot = math.max(number(redis.call('GET', KEYS[6])), exact)
if slot - exact > interval * MOST_SLOTS then
  slot = exact
end
local free = slot + interval
redis.call('SET', KEYS[6], text(free), 'PX', text(math.ceil((free - exact) / 1000)))
return { 0, '', slot - exact }
