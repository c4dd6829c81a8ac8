-- Store how a kind's poll ended. ARGV[2] kind   ARGV[3] JSON text   ARGV[4...] metrics
-- Run twice it moves the time, and counts the metrics once too often.

redis.call('HSET', base .. 'polls', ARGV[2], text(now) .. ' ' .. ARGV[3])
add_metrics(4)
return 1
