-- Give one run of the request to one owner.
--
-- ARGV[2] ref   ARGV[3] owner   ARGV[4] lease, ms
-- ARGV[5...] for each product of the kind ('' for all others): its id, limit ('' for none), number
-- Returns {denial}, a value of `ClaimDenied`, or {'ok', 1 when failures are counted, {field, value, ...}}.

local ref, owner, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = key_of(ref)
local record = read(ref)
local state = record.s

if not state then
  return { 'unknown' }
end
if FINAL[state] or state == 'parked' then
  return { 'ended' }
end

local b = redis.call('HMGET', breaker, 'open_until', 'failures', 'probe', 'probe_until', 'needs_probe')
local open_until, has_failures, probe, probe_until = number(b[1]), number(b[2]) > 0, b[3], number(b[4])
-- Open for failures, and its time is over: one claim at a time finds out whether Connect works again.
-- After failures that did not open the breaker yet, every claim may.
local is_half_open = has_failures and b[5]

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
  return { 'ok', has_failures and 1 or 0, redis.call('HGETALL', key) }
end
if state ~= 'queued' and record.r > now then
  return { 'not_due' }
end

local to = record.d and 'posting' or 'running'

-- The operator's pause that applies to the processor. A stored decision is posted despite a pause.
local function pause_of()
  local kind, product = kind_of(ref), redis.call('HGET', key, 'p') or ''
  local names = { ALL, kind, product }
  local found = redis.call('HMGET', base .. 'paused', unpack(names))
  for at, since in ipairs(found) do
    if since then
      return names[at]
    end
  end
end

local pause_name = to == 'running' and redis.call('EXISTS', base .. 'paused') == 1 and pause_of()
if pause_name then
  -- `resume` makes it due; if that is lost, `take_due` finds it.
  leave_queues(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
  redis.call('HSET', key, 'n', pause_name)
  redis.call('HDEL', key, 'w')
  redis.call('ZADD', paused_requests_of(pause_name), redis.call('HGET', key, 'b'), ref)
  redis.call('ZADD', due, text(now + MAX_WAIT_MS), ref)
  return { 'paused' }
end

-- Make the request due later. Its message was answered, so the growing waits of `take_due` start over.
local function deny_until(till)
  redis.call('HSET', key, 'r', text(till))
  redis.call('HDEL', key, 'w')
  redis.call('ZADD', due, text(till), ref)
  return { 'breaker_open' }
end

if open_until > now then
  -- Not all in one millisecond: they would all be published, and denied, together.
  local hash = tonumber(string.sub(redis.sha1hex(ref .. text(record.f)), 1, 6), 16)
  return deny_until(open_until + hash % MAX_SPREAD_MS)
end
if is_half_open and probe and probe_until > now then
  return deny_until(now + math.min(lease, MAX_PROBE_WAIT_MS))
end

local limit, max_concurrent
if to == 'running' then
  limit, max_concurrent = limit_of()
  if limit and slots_taken(limit) >= max_concurrent then
    -- Its time stays: `take_due` publishes requests of a slot queue too, ever more rarely.
    leave_queues(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
    redis.call('HSET', key, 'l', limit)
    redis.call('ZADD', slot_queue_of(limit), redis.call('HGET', key, 'b'), ref)
    return { 'concurrency_limit' }
  end
end
if is_half_open then
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
  count_metric(ATTEMPTS, ref, '', label)
end
return { 'ok', has_failures and 1 or 0, redis.call('HGETALL', key) }
