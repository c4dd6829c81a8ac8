-- Renew a lease. ARGV[2] ref   ARGV[3] fence   ARGV[4] owner   ARGV[5] lease, ms
-- Returns 'ok' or 'lost'.

local ref, owner, lease = ARGV[2], ARGV[4], tonumber(ARGV[5])
local key = key_of(ref)
local verdict = check_claim(read(ref), tonumber(ARGV[3]), owner, '')
if verdict ~= 'ok' then
  return verdict
end
renew(ref, key, owner, now + lease)
return 'ok'
