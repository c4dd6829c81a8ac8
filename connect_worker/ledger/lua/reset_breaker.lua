-- Close the account's circuit breaker. ARGV[2] 1: forget its failures too
--
-- A pause that Connect requested stays: the call whose success resets the breaker was sent before it.

local requested = redis.call('HMGET', breaker, 'requested_until', 'requested_reason')
if ARGV[2] == '1' then
  redis.call('DEL', breaker)
else
  redis.call('HDEL', breaker, 'open_until', 'needs_probe', 'probe', 'probe_until')
end
if number(requested[1]) > now then
  redis.call('HSET', breaker, 'open_until', requested[1], 'reason', requested[2],
    'requested_until', requested[1], 'requested_reason', requested[2])
end
return 1
