-- Let as many out of each line as their limit has room for. ARGV[2] requeue, ms
-- ARGV[3] the limit's name; '' for every limit
-- Returns the refs, those whose cycles began first at the head.
--
-- Run twice it lets others out, who find no room and get in line again. Whom a lost reply named is
-- woken after `requeue`, and nobody waits for him: the next sweep lets the next one out.

local look = text(now + tonumber(ARGV[2]))
local released = {}

if number(redis.call('HGET', breaker, 'until')) > now then
  return released
end
for _, name in ipairs(ARGV[3] ~= '' and { ARGV[3] } or redis.call('HKEYS', limits)) do
  local room = number(redis.call('HGET', limits, name)) - inside(name)
  if room > 0 then
    local popped = redis.call('ZPOPMIN', slot_queue_of(name), room)
    for at = 1, #popped, 2 do
      local key = key_of(popped[at])
      -- A record that was deleted by hand leaves its place in line behind.
      if redis.call('HDEL', key, 'l') == 1 then
        redis.call('HSET', key, 'w', '1')
        redis.call('ZADD', due, look, popped[at])
        released[#released + 1] = popped[at]
      end
    end
  end
end
return released
