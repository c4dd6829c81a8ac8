-- Store the decision of a cycle. ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] JSON text
-- Returns 'ok', 'lost', or 'other' when a different decision is stored.
--
-- The text is canonical (sorted keys, no blanks), so equal decisions are equal texts.

local ref, decision = ARGV[2], ARGV[5]
local key = key_of(ref)
local record = read(ref)
local verdict = check_claim(record, tonumber(ARGV[3]), ARGV[4], '')
if verdict ~= 'ok' then
  return verdict
end
if record.d then
  return record.d == decision and 'ok' or 'other'
end
redis.call('HSET', key, 's', 'posting', 'd', decision, 't', text(now))
move(ref, record.s, 'posting', record.r)
return 'ok'
