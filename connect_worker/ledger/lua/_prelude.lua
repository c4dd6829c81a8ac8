-- What every script shares; it is put before each of them when they are loaded, and before it
-- `_clock.lua`, which says what time it is (`now`).
--
-- Keys, all under `connect-worker:{<account>}:`, whose hash tag keeps an account in one cluster slot:
--
--   request:<kind>:<id>  hash    one request, see below
--   due                  zset    every request that is neither ended nor parked, once; the score is
--                                when `take_due` must look at it (of a leased one: the lease's end)
--   parked               zset    every parked request, once; the score is when it was parked
--   counts               hash    <kind>:<state>:<product> -> requests in it now; final states: since the
--                                start
--   outcomes             hash    <kind>:<outcome>:<product> -> cycles that ended so since the start
--   outcomes:<day>       hash    <kind>:<outcome> -> the same of one day (days since the epoch, UTC);
--                                expires
--   completed:<hour>       hash    <kind>:<bound> -> cycles completed in one hour (hours since the epoch) that
--                                took as long as the bound, in ms, and longer than the one before; expires
--   metrics             hash    <measure>:<kind>:<what>:<product> -> how often since the start
--                                (`domain/metrics.py` names them)
--   products             set     the products that are counted by name: the first 200; the others are
--                                counted together as `other`
--   unfinished:<kind>       zset    every request that is neither ended nor parked, once; the score is
--                                when its cycle began
--   paused               hash    <name> -> since when, a blank, the reason; a person's, and the name is
--                                `all`, a kind or a product
--   paused_requests:<name>          zset    every request that was refused for this pause; the score is when its
--                                cycle began
--   hints              hash    <kind> or <kind>:<id> -> the mark of the last notification that said
--                                that it may have changed, until somebody has looked
--   hints_due              zset    the same names, once each; the score is when `stale_hints` sends
--                                another message about it
--   notification:<digest>       string  the call that noted the notification down; expires
--   polls                hash    <kind> -> when its last poll ended, a blank, and what it found
--   breaker                 hash    until, reason, failures, token (of the last closing call),
--                                asked, asked_for (the pause that Connect itself asked for),
--                                strict (1: closed for failures, opens with one probe),
--                                probe (an owner), probe_until
--   pace                 string  when the next call to Connect may be sent, microseconds; expires
--   lock:<name>          string  the owner; expires
--   limits               hash    <limit> -> how many may be inside its processor, as last claimed with
--   slots:<limit>        zset    who is inside; the score is the lease's end, after which it counts
--                                no more
--   slot_queue:<limit>         zset    who was refused for want of a slot; the score is when its cycle began
--
-- Fields of a request. Names are short because they are stored with each one; what is at its default
-- is not stored. Times are integer milliseconds of that clock.
--
--   s state                 v cycle            h earlier cycle names, one a line
--   f fence                 o last owner       a attempt                 c 1: the claim counted an attempt
--   r lease end, or the time from which it may be claimed                w publishes nobody answered
--   d decision (JSON text)  j:<step> its result (JSON text)              p product
--   i:<step> of the processor's own: when it was done, ms since the cycle began
--   e last error            u outcome          b cycle first seen        t last change of state
--   l the limit in whose slots (while running) or line (else) it is
--   n the pause for whose end it waits
--   k milliseconds to keep it once ended       x the call that took it out of the last owner's hands
--   z the processor's first "not yet"
--   m 1: its product is counted as `other`
--   y the cycle's last changes of state, one a line: ms since it began, state, worker that claimed it
--
-- `x` is what makes a repeated call answer as the first one did: a client that lost the reply
-- sends the same call again and finds its own mark. A claim clears it.
--
-- No value is parsed here that Connect or a processor wrote: decisions and results are opaque texts.
--
-- KEYS[1..5]  due, parked, counts, outcomes, breaker
-- ARGV[1]     the prefix of the request keys. Scripts derive those names from it, undeclared: `take_due`
--             learns only from `due` whom it has to read, and the hash tag makes it safe in a cluster.

local due, parked, counts, outcomes, breaker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local LEASED = { running = true, posting = true }
local FINAL = { completed = true, superseded = true, discarded = true }
local DAY_MS, HOUR_MS = 86400 * 1000, 3600 * 1000
local MAX_MOMENTS = 24
-- Who is woken by somebody else is looked at no more often than this.
local MAX_WAIT_MS = 3600 * 1000

local base = string.sub(ARGV[1], 1, -1 - #'request:')
local limits = base .. 'limits'
local metrics = base .. 'metrics'

-- Lua would write large numbers as 1.7e+12.
local function text(number)
  return string.format('%.0f', number)
end

-- A missing field (`false`) counts as 0.
local function number(value)
  return tonumber(value or 0)
end

local function kind_of(ref)
  return string.match(ref, '^[^:]+')
end

-- The name under which a record's product is counted; `f` is its fields `p` and `m`.
local function label_of(f)
  return f[2] and 'other' or f[1] or ''
end

local function count(kind, state, label, by)
  redis.call('HINCRBY', counts, kind .. ':' .. state .. ':' .. label, by)
end

local function count_metric(name, ref, what, label)
  redis.call('HINCRBY', metrics, name .. ':' .. kind_of(ref) .. ':' .. what .. ':' .. label, 1)
end

-- Add what a process has counted since it last said so: ARGV from `first` on is a measure with its
-- kind and what, the name of a product, and how often, again and again.
local function add_measures(first)
  for at = first, #ARGV, 3 do
    redis.call('HINCRBY', metrics, ARGV[at] .. ':' .. ARGV[at + 1], ARGV[at + 2])
  end
end

local function key_of(ref)
  return ARGV[1] .. ref
end

local function read(key)
  local f = redis.call('HMGET', key, 's', 'f', 'o', 'r', 'a', 'c', 'd', 't', 'w', 'x')
  return {
    s = f[1], f = number(f[2]), o = f[3], r = number(f[4]), a = number(f[5]), c = f[6],
    d = f[7], t = number(f[8]), w = number(f[9]), x = f[10],
  }
end

local function slots_of(limit)
  return base .. 'slots:' .. limit
end

local function slot_queue_of(limit)
  return base .. 'slot_queue:' .. limit
end

-- How many are inside under a live lease.
local function inside(limit)
  redis.call('ZREMRANGEBYSCORE', slots_of(limit), '-inf', text(now))
  return redis.call('ZCARD', slots_of(limit))
end

local function paused_requests_of(pause)
  return base .. 'paused_requests:' .. pause
end

-- Free the slot, or the place in line or behind a pause; before the record is deleted.
local function leave_place(ref, limit, pause)
  if limit then
    redis.call('ZREM', slots_of(limit), ref)
    redis.call('ZREM', slot_queue_of(limit), ref)
    redis.call('HDEL', key_of(ref), 'l')
  end
  if pause then
    redis.call('ZREM', paused_requests_of(pause), ref)
    redis.call('HDEL', key_of(ref), 'n')
  end
end

local function unfinished_of(kind)
  return base .. 'unfinished:' .. kind
end

-- Add a change of state to the cycle's past; the oldest one goes when there are too many.
local function remember(key, to, began, past, owner)
  local line = text(now - number(began)) .. ' ' .. to
  if owner then
    -- Without the random part that tells the claims of one worker apart.
    line = line .. ' ' .. (string.match(owner, '^(.+):[^:]*$') or owner)
  end
  past = past and past .. '\n' .. line or line
  local _, breaks = string.gsub(past, '\n', '')
  if breaks >= MAX_MOMENTS then
    past = string.match(past, '\n(.*)')
  end
  redis.call('HSET', key, 'y', past)
end

-- Count how long a completed cycle took; `domain/metrics.py` has the same bounds.
local function count_duration(kind, took)
  local bounds, bound = {
    10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000, 120000, 300000, 600000, 1800000,
    3600000, 7200000, 21600000, 43200000, 86400000, 259200000, 604800000,
  }, 'more'
  for _, one in ipairs(bounds) do
    if took <= one then
      bound = text(one)
      break
    end
  end
  local hour = base .. 'completed:' .. text(math.floor(now / HOUR_MS))
  if redis.call('HINCRBY', hour, kind .. ':' .. bound, 1) == 1 then
    redis.call('PEXPIRE', hour, 2 * DAY_MS)
  end
end

-- Every change of state passes here, so that counts, due, parked, waiting, slots, lines and held can't
-- drift from the records. `look` is when `take_due` must look at it; nil for the states in which nothing is due.
-- `counted_as` is the name under which its product was counted, where the record has another one by now;
-- the name that it has is returned.
local function move(ref, from, to, look, counted_as)
  local kind, key = kind_of(ref), key_of(ref)
  local f = redis.call('HMGET', key, 'b', 'y', 'o', 'l', 'n', 'p', 'm')
  local label = label_of({ f[6], f[7] })
  if from and not FINAL[from] then
    count(kind, from, counted_as or label, -1)
  end
  count(kind, to, label, 1)
  leave_place(ref, f[4], f[5])
  if look then
    redis.call('ZADD', due, text(look), ref)
  else
    redis.call('ZREM', due, ref)
  end
  if to == 'parked' then
    redis.call('ZADD', parked, text(now), ref)
  elseif from == 'parked' then
    redis.call('ZREM', parked, ref)
  end
  if to == 'parked' or FINAL[to] then
    redis.call('ZREM', unfinished_of(kind), ref)
  elseif to == 'queued' or from == 'parked' then
    redis.call('ZADD', unfinished_of(kind), f[1], ref)
  end
  if to == 'completed' then
    count_duration(kind, now - number(f[1]))
  end
  local is_claimed = to == 'running' or (to == 'posting' and from ~= 'running')
  remember(key, to, f[1], f[2], is_claimed and f[3])
  return label
end

-- Whether a claim may act: 'ok'; 'done' when this very call was carried out before; 'lost' when
-- the lease ended, a higher fence exists, or the claim was given up by another call.
local function standing(record, fence, owner, call)
  if record.f ~= fence or record.o ~= owner then
    return 'lost'
  end
  if record.x then
    return record.x == call and 'done' or 'lost'
  end
  if not LEASED[record.s] or record.r <= now then
    return 'lost'
  end
  return 'ok'
end

-- A lease lasts until `till` from now on, and so does its slot; as long waits who asks behind a probe.
local function renew(ref, key, owner, till)
  redis.call('HSET', key, 'r', text(till))
  redis.call('ZADD', due, text(till), ref)
  local limit = redis.call('HGET', key, 'l')
  if limit then
    redis.call('ZADD', slots_of(limit), text(till), ref)
  end
  if redis.call('HGET', breaker, 'probe') == owner then
    redis.call('HSET', breaker, 'probe_until', text(till))
  end
end

-- A probe whose claim is given up leaves its place to the next claim.
local function release_probe(owner)
  if redis.call('HGET', breaker, 'probe') == owner then
    redis.call('HDEL', breaker, 'probe', 'probe_until')
  end
end

-- End the cycle; the record is forgotten after `keep` milliseconds.
local function finish(ref, record, state, outcome, keep, call)
  local key = key_of(ref)
  redis.call('HSET', key, 's', state, 't', text(now), 'k', keep, 'x', call)
  redis.call('HDEL', key, 'r', 'w', 'c')
  if state == 'completed' then
    redis.call('HDEL', key, 'e')
  end
  redis.call('PEXPIRE', key, keep)
  local label = move(ref, record.s, state, nil)
  if outcome ~= '' then
    redis.call('HSET', key, 'u', outcome)
    local name, today = kind_of(ref) .. ':' .. outcome, math.floor(now / DAY_MS)
    redis.call('HINCRBY', outcomes, name .. ':' .. label, 1)
    if redis.call('HINCRBY', outcomes .. ':' .. text(today), name, 1) == 1 then
      redis.call('PEXPIRE', outcomes .. ':' .. text(today), 2 * DAY_MS)
    end
  end
end
