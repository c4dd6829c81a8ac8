-- Record a step in the journal; its first result stays.
-- ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] step   ARGV[6] result, JSON text
-- ARGV[7] 1: with its time
-- Returns 'ok' or 'lost'.

local key = key_of(ARGV[2])
local verdict = check_claim(read(ARGV[2]), tonumber(ARGV[3]), ARGV[4], '')
if verdict == 'ok' then
  if redis.call('HSETNX', key, 'j:' .. ARGV[5], ARGV[6]) == 1 and ARGV[7] == '1' then
    redis.call('HSET', key, 'i:' .. ARGV[5], text(now - number(redis.call('HGET', key, 'b'))))
  end
end
return verdict
