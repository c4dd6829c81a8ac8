-- Take a named lock, or renew it. KEYS[6] the lock   ARGV[2] owner   ARGV[3] ms
-- Returns 1 when the owner has it, else 0.

local owner = redis.call('GET', KEYS[6])
if owner and owner ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[6], ARGV[2], 'PX', ARGV[3])
return 1
