-- Take a named lock, or renew it. KEYS[6] the lock   ARGV[2] owner   ARGV[3] ms
-- Returns 1 when the owner has it, else 0.

local till, owner = string.match(redis.call('GET', KEYS[6]) or '', '^(%d+) (.*)$')
if owner and owner ~= ARGV[2] and number(till) > now then
  return 0
end
-- The expiry goes by the server's clock, which may be set back: then it comes too late.
redis.call('SET', KEYS[6], text(now + tonumber(ARGV[3])) .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
