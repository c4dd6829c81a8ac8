-- End the account's pause. ARGV[2] 1: forget its failures too
--
-- A pause that Connect asked for stays: the call whose success opens the breaker was sent before it.

local asked = redis.call('HMGET', breaker, 'asked', 'asked_for')
if ARGV[2] == '1' then
  redis.call('DEL', breaker)
else
  redis.call('HDEL', breaker, 'until', 'strict', 'probe', 'probe_until')
end
if number(asked[1]) > now then
  redis.call('HSET', breaker, 'until', asked[1], 'reason', asked[2], 'asked', asked[1],
    'asked_for', asked[2])
end
return 1
