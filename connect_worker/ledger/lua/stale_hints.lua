-- Find the change hints that no worker has acknowledged in time. ARGV[2] limit   ARGV[3] requeue, ms
-- Run twice it finds nothing the second time; what the lost reply named comes again.

local names = redis.call('ZRANGEBYSCORE', base .. 'hints_due', '-inf', text(now), 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  redis.call('ZADD', base .. 'hints_due', text(now + tonumber(ARGV[3])), name)
end
return names
