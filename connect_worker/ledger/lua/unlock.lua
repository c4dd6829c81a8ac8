-- Give a named lock back, when it is still the owner's. KEYS[6] the lock   ARGV[2] owner

if string.match(redis.call('GET', KEYS[6]) or '', '^%d+ (.*)$') == ARGV[2] then
  redis.call('DEL', KEYS[6])
end
return 1
