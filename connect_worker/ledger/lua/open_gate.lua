-- End the account's pause. ARGV[2] 1: forget its failures too

if ARGV[2] == '1' then
  redis.call('DEL', gate)
else
  redis.call('HDEL', gate, 'until', 'strict', 'probe', 'probe_until')
end
return 1
