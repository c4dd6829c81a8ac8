-- Note down how a kind's poll ended. ARGV[2] kind   ARGV[3] JSON text   ARGV[4...] measures
-- Run twice it moves the time, and counts the measures once too often.

redis.call('HSET', base .. 'polls', ARGV[2], text(now) .. ' ' .. ARGV[3])
add_measures(4)
return 1
