-- Release a claim and stop the request for an operator.
-- ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] error   ARGV[6...] metrics
-- Returns 'ok', 'done' or 'lost'.

local ref, owner = ARGV[2], ARGV[4]
local key = key_of(ref)
local record = read(ref)
local verdict = check_claim(record, tonumber(ARGV[3]), owner, 'park')
if verdict == 'ok' then
  redis.call('HSET', key, 's', 'parked', 'e', ARGV[5], 't', text(now), 'x', 'park')
  redis.call('HDEL', key, 'r', 'c')
  move(ref, record.s, 'parked', nil)
  release_probe(owner)
  add_metrics(6)
end
return verdict
