-- What every script shares. `ledger/scripts.py` loads each script with two texts before it: `_clock.lua`,
-- which reads the server's clock, and this one. Names in capital letters are constants; their values come
-- from `SHARED_CONSTANTS` in `ledger/codec.py`.
--
-- Keys, all under `connect-worker:{<account>}:`, whose hash tag keeps an account in one cluster slot.
-- With `CONNECT_PREFIX` they begin with that and a colon:
--
--   request:<kind>:<id>     hash    one request, see below
--   due                     zset    every unfinished request that is not parked, once; the score is when
--                                   `take_due` must check it (of a leased one: the lease's end)
--   parked                  zset    every parked request, once; the score is when it was parked
--   unfinished:<kind>       zset    every unfinished request that is not parked, once; the score is when
--                                   its cycle began
--   counts                  hash    <kind>:<state>:<product> -> requests in it now; final states: since
--                                   the start
--   outcomes                hash    <kind>:<outcome>:<product> -> cycles that ended so since the start
--   outcomes:<day>          hash    <kind>:<outcome> -> the same of one day (days since the epoch, UTC);
--                                   expires
--   completed:<hour>        hash    <kind>:<bound> -> cycles completed in one hour (hours since the epoch)
--                                   that took as long as the bound, in ms, and longer than the one before;
--                                   expires
--   metrics                 hash    <metric>:<kind>:<what>:<product> -> how often since the start
--                                   (`domain/metrics.py` names them)
--   products                set     the products that are counted by name: the first MAX_PRODUCTS; the
--                                   others are counted together as `other`
--   breaker                 hash    the account's circuit breaker; no field: closed.
--                                   open_until, reason, failures (in a row),
--                                   call (the last one that opened it),
--                                   requested_until, requested_reason (a pause that Connect requested),
--                                   needs_probe (1: opened for failures, so half-open after open_until),
--                                   probe (the owner of the half-open probe), probe_until
--   rate_limit              string  when the next call to Connect may be sent, microseconds; expires
--   lock:<name>             string  until when it is held, a blank, the owner; expires
--   clock                   string  the ledger's clock when it was last stored, a blank, and by how much it was
--                                   ahead of the server's clock, both ms
--   paused                  hash    <name> -> since when, a blank, the reason; an operator's pause, and the
--                                   name is `all`, a kind or a product
--   paused_requests:<name>  zset    every request whose claim was denied for this pause; the score is when
--                                   its cycle began
--   limits                  hash    <limit> -> how many requests may be in its processor, as last claimed
--                                   with
--   slots:<limit>           zset    requests that hold a slot; the score is the lease's end, after which
--                                   the slot is free
--   slot_queue:<limit>      zset    requests that wait for a slot; the score is when the cycle began
--   hints                   hash    <kind> or <kind>:<id> -> the mark of the last notification that hinted
--                                   at a change, until a worker acknowledges it
--   hints_due               zset    the same names, once each; the score is when `stale_hints` returns it
--   notification:<digest>   string  the call that stored the notification's hint; expires
--   polls                   hash    <kind> -> when its last poll ended, a blank, and the report
--   workers                 hash    <worker> -> until when its report counts, its slots, the busy ones;
--                                   expires
--   recount                 string  a corrupt record was parked: which state it was in is not known, so
--                                   the next `take_due` counts all records
--
-- Fields of a request. Names are short because they are stored with each request; a default value is
-- not stored. Times are integer milliseconds of the ledger's clock, which is never set back. It follows the
-- server's clock, except that it stands still when that is set back, and goes on from there, a tenth slower
-- until both agree again.
--
--   s state                 v cycle            h names of earlier cycles, one a line
--   f fence                 o last owner       a attempt                 c 1: the claim counted an attempt
--   r the lease's end, or the time from which it may be claimed
--   w messages published since a worker last answered one
--   d decision (JSON text)  j:<step> its result (JSON text)              p product
--   i:<step> when a step of the processor's own was done, ms since the cycle began
--   e last error            u outcome          b when the cycle began    t last change of state
--   l the limit of which it holds a slot (while running), or in whose slot queue it waits (else)
--   n the operator's pause for whose end it waits
--   k how long to keep it once ended, ms       x the call that released the last claim
--   z when the processor first said "not yet"
--   m 1: its product is counted as `other`
--   y the cycle's last changes of state, one a line: ms since it began, state, worker that claimed it
--
-- `x` is what makes a repeated call answer as the first one did: a client that lost the reply
-- sends the same call again and finds its own mark. A claim clears it.
--
-- A record that none of the scripts can have left so is corrupt: another type, a state that is none, a
-- number that is none. The first script that reads it parks it. A corrupt decision or result is found by
-- the worker that claims the request.
--
-- No value is parsed here that Connect or a processor wrote: decisions and results are opaque texts.
--
-- KEYS[1..5]  due, parked, counts, outcomes, breaker
-- ARGV[1]     the prefix of the request keys. Scripts derive those names from it, undeclared: `take_due`
--             learns only from `due` which records to read, and the hash tag makes it safe in a cluster.

local due, parked, counts, outcomes, breaker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local STATES, LEASED, FINAL = ALL_STATES, LEASED_STATES, FINAL_STATES

local base = string.sub(ARGV[1], 1, -1 - #'request:')
local limits = base .. 'limits'
local metrics = base .. 'metrics'

-- Lua would write large numbers as 1.7e+12.
local function text(number)
  return string.format('%.0f', number)
end

-- The ledger's clock, and `exact`, the same in microseconds. It is stored once a second, so that it may go
-- back by a second. `read_clock` is called at the end of this file.
local now = math.floor(exact / 1000)
local extend_leases

local function read_clock()
  local stored = redis.pcall('GET', base .. 'clock')
  local seen, ahead = string.match(type(stored) == 'string' and stored or '', '^(%d+) (%d+)$')
  local since, passed
  if seen and #seen <= 15 and #ahead <= 15 then
    since, ahead = tonumber(seen), tonumber(ahead)
    passed = now + ahead - since
    if passed < 0 then
      ahead = ahead - passed
    else
      -- What looks like a step forward undoes a step back first.
      ahead = ahead - math.min(ahead, math.max(math.floor(passed / 10), passed - MAX_GAP_MS))
    end
    now, exact = now + ahead, exact + ahead * 1000
    if passed >= 0 and passed < 1000 then
      return
    end
    passed = now - since
  end
  -- Where Redis refuses to write, scripts that only read go on.
  local answer = redis.pcall('SET', base .. 'clock', text(now) .. ' ' .. text(ahead or 0))
  if passed and passed > MAX_GAP_MS and not answer.err then
    extend_leases(since, passed - MAX_GAP_MS)
  end
end

-- A missing field (`false`) counts as 0, and so does one that is no number.
local function number(value)
  return tonumber(value or 0) or 0
end

-- Whether a field is missing, or a whole number that a date could have.
local function is_whole(value)
  return not value or (#value <= 15 and string.find(value, '^%d+$') ~= nil)
end

local function kind_of(ref)
  return string.match(ref, '^[^:]+') or ''
end

-- The name under which a record's product is counted; `f` is its fields `p` and `m`.
local function label_of(f)
  return f[2] and OTHER or f[1] or ''
end

local function count(kind, state, label, by)
  redis.call('HINCRBY', counts, kind .. ':' .. state .. ':' .. label, by)
end

local function count_metric(name, ref, what, label)
  redis.call('HINCRBY', metrics, name .. ':' .. kind_of(ref) .. ':' .. what .. ':' .. label, 1)
end

-- Add what a process has counted since its last call that did so. From `first` on, ARGV has three values
-- for each metric: its name with kind and what, the name of a product, and how often.
local function add_metrics(first)
  for at = first, #ARGV, 3 do
    redis.call('HINCRBY', metrics, ARGV[at] .. ':' .. ARGV[at + 1], ARGV[at + 2])
  end
end

local function key_of(ref)
  return ARGV[1] .. ref
end

local function slots_of(limit)
  return base .. 'slots:' .. limit
end

local function slot_queue_of(limit)
  return base .. 'slot_queue:' .. limit
end

-- How many requests hold a slot under a live lease.
local function slots_taken(limit)
  redis.call('ZREMRANGEBYSCORE', slots_of(limit), '-inf', text(now))
  return redis.call('ZCARD', slots_of(limit))
end

local function paused_requests_of(pause)
  return base .. 'paused_requests:' .. pause
end

-- Free the slot, and leave the slot queue and the requests of a pause; before the record is deleted.
local function leave_queues(ref, limit, pause)
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

-- Add a change of state to the cycle's history; the oldest one goes when there are too many.
local function append_history(key, to, began, history, owner)
  local line = text(now - number(began)) .. ' ' .. to
  if owner then
    -- Without the random part that distinguishes the claims of one worker.
    line = line .. ' ' .. (string.match(owner, '^(.+):[^:]*$') or owner)
  end
  history = history and history .. '\n' .. line or line
  local _, breaks = string.gsub(history, '\n', '')
  if breaks >= MAX_STATE_CHANGES then
    history = string.match(history, '\n(.*)')
  end
  redis.call('HSET', key, 'y', history)
end

-- Count how long a completed cycle took.
local function count_duration(kind, took)
  local bound = MORE
  for _, candidate in ipairs(DURATION_BOUNDS_MS) do
    if took <= candidate then
      bound = text(candidate)
      break
    end
  end
  local hour = base .. 'completed:' .. text(math.floor(now / HOUR_MS))
  if redis.call('HINCRBY', hour, kind .. ':' .. bound, 1) == 1 then
    redis.call('PEXPIRE', hour, 2 * DAY_MS)
  end
end

-- Every change of state passes here, so that the counts and the sorted sets (due, parked, unfinished, slots,
-- slot queues, requests of a pause) can't drift from the records. `check_at` is when `take_due` must check
-- it; nil for the states in which nothing is due. `metric_product` is the name under which its product was
-- counted, if the record has a different one now; the record's current name is returned.
local function move(ref, from, to, check_at, metric_product)
  local kind, key = kind_of(ref), key_of(ref)
  local f = redis.call('HMGET', key, 'b', 'y', 'o', 'l', 'n', 'p', 'm')
  local label = label_of({ f[6], f[7] })
  if from and not FINAL[from] then
    count(kind, from, metric_product or label, -1)
  end
  count(kind, to, label, 1)
  leave_queues(ref, f[4], f[5])
  if check_at then
    redis.call('ZADD', due, text(check_at), ref)
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
  append_history(key, to, f[1], f[2], is_claimed and f[3])
  return label
end

-- Why the scripts can't use a record; nil when they can. As `_record_fault` in `codec.py`.
local function fault_of(key, f)
  if f.err then
    return 'its key in Redis held no hash'
  elseif not f[1] then
    return redis.call('EXISTS', key) == 1 and 'its state is missing' or nil
  elseif not STATES[f[1]] then
    return 'its state is unknown'
  elseif not f[11] or f[11] == '' then
    return 'the name of its cycle is missing'
  elseif not (f[8] and f[12]) then
    return 'the time of its cycle is missing'
  elseif LEASED[f[1]] and not f[3] then
    return 'its owner is missing'
  end
  if not (is_whole(f[2]) and is_whole(f[4]) and is_whole(f[5]) and is_whole(f[8]) and is_whole(f[9])
      and is_whole(f[12]) and is_whole(f[13])) then
    return 'a number in it is none'
  end
end

-- Park a corrupt record for an operator, with what can be read of it. Else its request would stop every
-- script that meets it, or go on with numbers that mean nothing.
local function park_corrupt(ref, key, f, fault)
  if f.err then
    redis.call('DEL', key)
    f = {}
  end
  leave_queues(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
  local function kept(at, default)
    return f[at] and f[at] ~= '' and is_whole(f[at]) and f[at] or default
  end
  redis.call('HSET', key, 's', 'parked', 't', text(now), 'f', kept(2, '0'), 'a', kept(5, '0'),
    'v', f[11] and f[11] ~= '' and f[11] or LOST_CYCLE, 'b', kept(12, text(now)),
    'e', 'CorruptRecord: the record in the ledger was damaged: ' .. fault)
  redis.call('HDEL', key, 'r', 'w', 'c', 'k', 'x')
  redis.call('PERSIST', key)
  redis.call('ZREM', due, ref)
  redis.call('ZREM', unfinished_of(kind_of(ref)), ref)
  redis.call('ZADD', parked, text(now), ref)
  redis.call('SET', base .. 'recount', '1')
end

-- Read a record. A corrupt one is parked first, and has `corrupt`.
local function read(ref)
  local key = key_of(ref)
  local f = redis.pcall('HMGET', key, 's', 'f', 'o', 'r', 'a', 'c', 'd', 't', 'w', 'x', 'v', 'b', 'k')
  local fault = fault_of(key, f)
  if fault then
    park_corrupt(ref, key, f, fault)
    local record = read(ref)
    record.corrupt = fault
    return record
  end
  return {
    s = f[1], f = number(f[2]), o = f[3], r = number(f[4]), a = number(f[5]), c = f[6],
    d = f[7], t = number(f[8]), w = number(f[9]), x = f[10], v = f[11], k = f[13],
  }
end

-- Whether a claim may act: 'ok'; 'done' when this very call was carried out before; 'lost' when
-- the lease ended, a higher fence exists, or another call released the claim.
local function check_claim(record, fence, owner, call)
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

-- Let a lease last until `till`. Its slot lasts as long, and so do claims wait for its half-open probe.
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

-- When a half-open probe's claim is released, the next claim may be the probe.
local function release_probe(owner)
  if redis.call('HGET', breaker, 'probe') == owner then
    redis.call('HDEL', breaker, 'probe', 'probe_until')
  end
end

-- End the cycle; the record expires after `keep` milliseconds.
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

-- No script ran for longer than MAX_GAP_MS: Redis was away, or its clock was set forward. No lease could be
-- renewed meanwhile, so that more of this time does not count for those that held at its beginning.
function extend_leases(since, by)
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', due, '(' .. text(since), '+inf')) do
    local key = key_of(ref)
    local f = redis.pcall('HMGET', key, 's', 'r', 'o')
    if not f.err and LEASED[f[1] or ''] and is_whole(f[2]) then
      renew(ref, key, f[3], number(f[2]) + by)
    end
  end
end

read_clock()
