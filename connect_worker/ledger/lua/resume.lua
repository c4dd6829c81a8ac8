-- A person ends a pause. ARGV[2] name   ARGV[3] how many may go on at once
-- Returns how many go on by this call; while it is as many as may, there are more.
--
-- The first call ends the pause, each lets some of those go on that wait for its end. Run twice it lets
-- others go on. If the caller dies, the rest is woken within the hour, or by another `resume`.

local name = ARGV[2]
redis.call('HDEL', base .. 'paused', name)
local popped = redis.call('ZPOPMIN', paused_requests_of(name), ARGV[3])
for at = 1, #popped, 2 do
  local ref = popped[at]
  redis.call('HDEL', key_of(ref), 'n')
  -- Not for a record that was deleted by hand.
  redis.call('ZADD', due, 'XX', text(now), ref)
end
return #popped / 2
