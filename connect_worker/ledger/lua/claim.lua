-- Give one run of the request to one owner.
--
-- ARGV[2] ref   ARGV[3] owner   ARGV[4] lease, ms
-- ARGV[5...] for each product of the kind ('' for all others): its id, limit ('' for none), number
-- Returns {refusal} or {'ok', 1 when failures are counted, {field, value, ...}}.

local ref, owner, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = key_of(ref)
local record = read(key)
local state = record.s

local SPREAD_MS = 2000
local PROBE_WAIT_MS = 2000

if not state then
  return { 'unknown' }
end
if FINAL[state] or state == 'parked' then
  return { 'ended' }
end

local g = redis.call('HMGET', breaker, 'until', 'failures', 'probe', 'probe_until', 'strict')
local closed_until, troubled, probe, probe_until = number(g[1]), number(g[2]) > 0, g[3], number(g[4])

-- The limit of the record's product; nil for none.
local function limit_of()
  local product, found = redis.call('HGET', key, 'p') or '', nil
  for at = 5, #ARGV, 3 do
    if ARGV[at] == product then
      found = at
      break
    elseif ARGV[at] == '' then
      found = at
    end
  end
  if found and ARGV[found + 1] ~= '' then
    redis.call('HSET', limits, ARGV[found + 1], ARGV[found + 2])
    return ARGV[found + 1], tonumber(ARGV[found + 2])
  end
end

local function take_slot(limit)
  redis.call('HSET', key, 'l', limit)
  redis.call('ZADD', slots_of(limit), text(now + lease), ref)
end

if LEASED[state] then
  if record.o ~= owner or record.r <= now then
    return { 'busy' }
  end
  -- The reply to the same call was lost: the same claim again, its lease from now on.
  renew(ref, key, owner, now + lease)
  return { 'ok', troubled and 1 or 0, redis.call('HGETALL', key) }
end
if state ~= 'queued' and record.r > now then
  return { 'not due' }
end

local to = record.d and 'posting' or 'running'

-- The pause of a person's that holds the processor back; a stored decision is posted all the same.
local function pause_of()
  local kind, product = string.match(ref, '^[^:]+'), redis.call('HGET', key, 'p') or ''
  local names = { 'all', kind, product }
  local found = redis.call('HMGET', base .. 'paused', unpack(names))
  for at, since in ipairs(found) do
    if since then
      return names[at]
    end
  end
end

local pause_name = to == 'running' and redis.call('EXISTS', base .. 'paused') == 1 and pause_of()
if pause_name then
  -- `resume` wakes it; should that get lost, `take_due` does.
  leave_place(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
  redis.call('HSET', key, 'n', pause_name)
  redis.call('HDEL', key, 'w')
  redis.call('ZADD', paused_requests_of(pause_name), redis.call('HGET', key, 'b'), ref)
  redis.call('ZADD', due, text(now + MAX_WAIT_MS), ref)
  return { 'paused' }
end

-- The message was answered, so the doubling of `take_due` starts anew.
local function pause(till)
  redis.call('HSET', key, 'r', text(till))
  redis.call('HDEL', key, 'w')
  redis.call('ZADD', due, text(till), ref)
  return { 'breaker open' }
end

if closed_until > now then
  -- Not all in one millisecond: they would all be published, and refused, together.
  local hash = tonumber(string.sub(redis.sha1hex(ref .. text(record.f)), 1, 6), 16)
  return pause(closed_until + hash % SPREAD_MS)
end
-- After failures that did not close the breaker yet, every claim finds out; else one at a time.
if troubled and g[5] then
  if probe and probe_until > now then
    return pause(now + math.min(lease, PROBE_WAIT_MS))
  end
end

local limit, most
if to == 'running' then
  limit, most = limit_of()
  if limit and inside(limit) >= most then
    -- Its time stays: `take_due` sends messages to those in line too, ever more rarely.
    leave_place(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
    redis.call('HSET', key, 'l', limit)
    redis.call('ZADD', slot_queue_of(limit), redis.call('HGET', key, 'b'), ref)
    return { 'concurrency limit' }
  end
end
if troubled and g[5] then
  redis.call('HSET', breaker, 'probe', owner, 'probe_until', text(now + lease))
end

redis.call('HSET', key, 's', to, 'f', text(record.f + 1), 'o', owner, 'r', text(now + lease),
  't', text(now))
redis.call('HDEL', key, 'x', 'w', 'c')
if to == 'running' then
  redis.call('HSET', key, 'a', text(record.a + 1), 'c', '1')
end
local label = move(ref, state, to, now + lease)
if limit then
  take_slot(limit)
end
if to == 'running' then
  count_metric('attempts', ref, '', label)
end
return { 'ok', troubled and 1 or 0, redis.call('HGETALL', key) }
