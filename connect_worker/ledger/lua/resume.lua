-- An operator ends a pause. ARGV[2] name   ARGV[3] how many requests to make due in one call
-- Returns how many are due by this call; while it is ARGV[3], there are more.
--
-- The first call ends the pause; each makes some of the requests due that wait for its end. Run twice it
-- makes others due. If the caller dies, the rest becomes due within the hour, or by another `resume`.

local name = ARGV[2]
redis.call('HDEL', base .. 'paused', name)
local popped = redis.call('ZPOPMIN', paused_requests_of(name), ARGV[3])
for at = 1, #popped, 2 do
  local ref = popped[at]
  redis.pcall('HDEL', key_of(ref), 'n')
  -- Not for a record that was deleted by hand.
  redis.call('ZADD', due, 'XX', text(now), ref)
end
return #popped / 2
