-- An operator ends a parked cycle without a post. ARGV[2] ref   ARGV[3] keep, ms   ARGV[4] this call
-- Returns 1 when it was discarded by this call, else 0.

local ref = ARGV[2]
local record = read(ref)
if record.x == ARGV[4] then
  return 1
end
if record.s ~= 'parked' then
  return 0
end
finish(ref, record, 'discarded', '', ARGV[3], ARGV[4])
return 1
