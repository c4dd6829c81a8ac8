-- Take as many requests from each slot queue as its limit has free slots. ARGV[2] requeue, ms
-- ARGV[3] the limit's name; '' for every limit
-- Returns the refs, those whose cycles began first at the head.
--
-- Run twice it takes others, which find no free slot and join the queue again. What a lost reply named is
-- published after `requeue`, and blocks no other request: the next sweep takes the next one.

local check_at = text(now + tonumber(ARGV[2]))
local taken = {}

if number(redis.call('HGET', breaker, 'open_until')) > now then
  return taken
end
for _, name in ipairs(ARGV[3] ~= '' and { ARGV[3] } or redis.call('HKEYS', limits)) do
  local free = number(redis.call('HGET', limits, name)) - slots_taken(name)
  if free > 0 then
    local popped = redis.call('ZPOPMIN', slot_queue_of(name), free)
    for at = 1, #popped, 2 do
      local key = key_of(popped[at])
      -- A record that was deleted by hand, or is corrupt, leaves its place in the queue behind.
      if redis.pcall('HDEL', key, 'l') == 1 then
        redis.call('HSET', key, 'w', '1')
        redis.call('ZADD', due, check_at, popped[at])
        taken[#taken + 1] = popped[at]
      end
    end
  end
end
return taken
