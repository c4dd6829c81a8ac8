-- Note down how a kind's poll ended. ARGV[2] kind   ARGV[3] JSON text
-- Run twice it only moves the time.

redis.call('HSET', base .. 'polls', ARGV[2], text(now) .. ' ' .. ARGV[3])
return 1
