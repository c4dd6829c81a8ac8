-- An operator pauses processors. ARGV[2] name: `all`, a kind or a product   ARGV[3] reason

redis.call('HSET', base .. 'paused', ARGV[2], text(now) .. ' ' .. ARGV[3])
return 1
