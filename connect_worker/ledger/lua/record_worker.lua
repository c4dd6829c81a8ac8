-- Store what a worker does, and forget the workers that are gone.
-- ARGV[2] its name   ARGV[3] how long it counts, ms   ARGV[4] slots   ARGV[5] busy ones

local workers, till = base .. 'workers', now + tonumber(ARGV[3])
local known = redis.call('HGETALL', workers)
for at = 1, #known, 2 do
  local ends = number(string.match(known[at + 1], '^%d+'))
  -- A time that is too late is of a clock that was set back.
  if ends <= now or ends > till then
    redis.call('HDEL', workers, known[at])
  end
end
redis.call('HSET', workers, ARGV[2], text(till) .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
redis.call('PEXPIRE', workers, ARGV[3])
return 1
