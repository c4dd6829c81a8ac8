-- Find what is due. ARGV[2] limit   ARGV[3] requeue, ms   ARGV[4] max attempts
-- ARGV[5] whose messages wait in a queue, between commas: kinds, and `kind/product+` or `-` for the
-- products that differ from their kind
-- ARGV[6] and ARGV[7] least and longest delay after the second death of a worker, ms
-- Returns {how many were checked, {published}, {expired}, {parked}, {corrupt}}, the latter four as refs.
--
-- Run twice it finds nothing the second time: what the lost reply named comes again after `requeue`.

local limit, requeue, max_attempts = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local backlogged, shortest, longest = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local publish, expired, newly_parked, corrupt = {}, {}, {}, {}

-- Whether an unanswered message may wait in its queue: another one would be superfluous then. A very
-- long backlog may hide that a message was lost, so another one is still sent now and then.
local function may_wait_in_queue(ref, key, unanswered)
  if unanswered % MAX_CHECKS_PER_MESSAGE == 0 then
    return false
  end
  local kind = kind_of(ref)
  if string.find(backlogged, ',' .. kind .. '/', 1, true) then
    local name = ',' .. kind .. '/' .. (redis.call('HGET', key, 'p') or '')
    if string.find(backlogged, name .. '+,', 1, true) then
      return true
    elseif string.find(backlogged, name .. '-,', 1, true) then
      return false
    end
  end
  return string.find(backlogged, ',' .. kind .. ',', 1, true)
end

-- Publish a message where it makes sense; return when to check the request again.
local function published(ref, key, unanswered)
  local wait = requeue
  if unanswered > 0 and redis.call('HEXISTS', key, 'l') == 1 then
    -- In a slot queue: the job that gives a slot back publishes the next request of the queue.
    wait = math.min(requeue * 2 ^ unanswered, math.max(requeue, MAX_WAIT_MS))
  end
  redis.call('HSET', key, 'w', text(unanswered + 1))
  if not may_wait_in_queue(ref, key, unanswered) then
    publish[#publish + 1] = ref
  end
  return now + wait
end

-- How long a request waits whose worker died in this attempt. At first it does not: the worker may
-- have been stopped. Later it waits as after an error, and apart from those that died with it, for
-- one of them may have killed the worker. Half of the delay is a hash in place of a random number,
-- which a script has not.
local function rescue_delay(ref, attempt)
  if attempt < 2 then
    return 0
  end
  local spread = tonumber(string.sub(redis.sha1hex(ref .. ':' .. text(attempt)), 1, 6), 16) / 0xffffff
  return math.floor(math.min(longest, shortest * 2 ^ math.min(attempt - 2, 32)) * (0.5 + 0.5 * spread))
end

local function rescue(ref, key, record)
  expired[#expired + 1] = ref
  local attempts = text(record.a) .. ' of ' .. text(max_attempts)
  redis.call('HDEL', key, 'c')
  local label
  if record.s == 'posting' then
    redis.call('HSET', key, 's', 'decided', 'r', text(now), 't', text(now),
      'e', 'the worker died while it posted the decision')
    label = move(ref, 'posting', 'decided', published(ref, key, 0))
  elseif record.a < max_attempts then
    local delay = rescue_delay(ref, record.a)
    redis.call('HSET', key, 's', 'retry', 'r', text(now + delay), 't', text(now),
      'e', WORKER_LOST .. ' in attempt ' .. attempts)
    label = move(ref, 'running', 'retry', delay > 0 and now + delay or published(ref, key, 0))
  else
    redis.call('HSET', key, 's', 'parked', 't', text(now),
      'e', WORKER_LOST .. ' in attempt ' .. attempts .. ', the last one')
    redis.call('HDEL', key, 'r', 'w')
    move(ref, 'running', 'parked', nil)
    newly_parked[#newly_parked + 1] = ref
  end
  if label then
    count_metric(RETRIES, ref, WORKER_DIED, label)
  end
end

-- Count the records that have not ended, instead of what was counted.
local function recount()
  for _, field in ipairs(redis.call('HKEYS', counts)) do
    if not FINAL[string.match(field, '^[^:]*:([^:]*):') or ''] then
      redis.call('HDEL', counts, field)
    end
  end
  for _, zset in ipairs({ due, parked }) do
    for _, ref in ipairs(redis.call('ZRANGE', zset, 0, -1)) do
      local f = redis.pcall('HMGET', key_of(ref), 's', 'p', 'm')
      if not f.err and STATES[f[1] or ''] and not FINAL[f[1]] then
        count(kind_of(ref), f[1], label_of({ f[2], f[3] }), 1)
      end
    end
  end
end

local refs = redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, limit)
for _, ref in ipairs(refs) do
  local key = key_of(ref)
  local record = read(ref)
  if record.corrupt then
    corrupt[#corrupt + 1] = ref
  elseif not record.s or FINAL[record.s] or record.s == 'parked' then
    -- Its record was deleted by hand; a poll finds the request again.
    redis.call('ZREM', due, ref)
    redis.call('ZREM', unfinished_of(kind_of(ref)), ref)
  elseif LEASED[record.s] then
    rescue(ref, key, record)
  else
    redis.call('ZADD', due, text(published(ref, key, record.w)), ref)
  end
end
if redis.call('DEL', base .. 'recount') == 1 then
  recount()
end
return { #refs, publish, expired, newly_parked, corrupt }
