-- A worker refreshed what a change hint names, and had read this mark before.
-- ARGV[2] name   ARGV[3] mark
-- Returns 1; or 0 when another notification has come since. Run twice it answers the same.

local last = redis.call('HGET', base .. 'hints', ARGV[2])
if last and last ~= ARGV[3] then
  return 0
end
redis.call('HDEL', base .. 'hints', ARGV[2])
redis.call('ZREM', base .. 'hints_due', ARGV[2])
return 1
