-- Have `stale_hints` return a change hint after a while. ARGV[2] name   ARGV[3] ms
redis.call('ZADD', base .. 'hints_due', 'XX', text(now + tonumber(ARGV[3])), ARGV[2])
return 1
