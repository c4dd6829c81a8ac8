-- End the account's pause. ARGV[2] 1: forget its failures too
--
-- A pause that Connect asked for stays: the call whose success opens the gate was sent before it.

local asked = redis.call('HMGET', gate, 'asked', 'asked_for')
if ARGV[2] == '1' then
  redis.call('DEL', gate)
else
  redis.call('HDEL', gate, 'until', 'strict', 'probe', 'probe_until')
end
if number(asked[1]) > now then
  redis.call('HSET', gate, 'until', asked[1], 'reason', asked[2], 'asked', asked[1],
    'asked_for', asked[2])
end
return 1
