-- End a cycle that no worker holds: the request was seen with another status.
-- ARGV[2] ref   ARGV[3] status   ARGV[4] seen_at, ms   ARGV[5] keep, ms   ARGV[6] this call
-- Returns 1 when it ended by this call, else 0.

local ref = ARGV[2]
local record = read(ref)
if record.x == ARGV[6] then
  return 1
end
-- A stored decision is left to a worker, which compares it with the status: that may be its own.
local untouchable = not record.s or FINAL[record.s] or LEASED[record.s] or record.s == 'decided'
if untouchable or record.t > tonumber(ARGV[4]) then
  return 0
end
finish(ref, record, 'superseded', ARGV[3], ARGV[5], ARGV[6])
return 1
