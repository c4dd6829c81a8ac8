-- Release a claim; the request is due again after a delay.
-- ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] retry|snoozed|decided   ARGV[6] delay, ms
-- ARGV[7] error   ARGV[8] 1: the attempt is used   ARGV[9] the cause of a retry, or ''
-- ARGV[10] 1: the processor said "not yet", whose first time in the cycle is kept   ARGV[11...] metrics
-- Returns 'ok', 'done', 'lost', or 'undecided' for `decided` without a stored decision.

local ref, owner, to, delay = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = key_of(ref)
local call = 'delay:' .. to
local record = read(ref)
local verdict = check_claim(record, tonumber(ARGV[3]), owner, call)
if verdict ~= 'ok' then
  return verdict
end
if to == 'decided' and not record.d then
  return 'undecided'
end
redis.call('HSET', key, 's', to, 'r', text(now + delay), 't', text(now), 'x', call)
redis.call('HDEL', key, 'c', 'e')
if to ~= 'decided' then
  redis.call('HDEL', key, 'd')
end
if ARGV[7] ~= '' then
  redis.call('HSET', key, 'e', ARGV[7])
end
if ARGV[8] ~= '1' and record.c and record.a > 0 then
  redis.call('HSET', key, 'a', text(record.a - 1))
end
if ARGV[10] == '1' then
  redis.call('HSETNX', key, 'z', text(now))
end
local label = move(ref, record.s, to, now + delay)
release_probe(owner)
if ARGV[9] ~= '' then
  count_metric(RETRIES, ref, ARGV[9], label)
end
add_metrics(11)
return 'ok'
