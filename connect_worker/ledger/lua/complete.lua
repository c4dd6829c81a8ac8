-- End the cycle: its decision is posted.
-- ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] outcome   ARGV[6] keep, ms
-- ARGV[7] error, '' for none   ARGV[8...] metrics
-- Returns 'ok', 'done' or 'lost'.

local ref, owner, outcome = ARGV[2], ARGV[4], ARGV[5]
local call = 'end:' .. outcome
local record = read(ref)
local verdict = check_claim(record, tonumber(ARGV[3]), owner, call)
if verdict == 'ok' then
  finish(ref, record, 'completed', outcome, ARGV[6], call)
  if ARGV[7] ~= '' then
    redis.call('HSET', key_of(ref), 'e', ARGV[7])
  end
  release_probe(owner)
  add_metrics(8)
end
return verdict
