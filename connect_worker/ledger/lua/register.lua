-- Begin a cycle for each pending request that has none.
--
-- ARGV[2] seen_at   ARGV[3] requeue, both ms   ARGV[4] JSON: [[ref, cycle or "", product], ...]
-- Returns the positions (from 0) of those whose cycle begins.
--
-- Run twice it begins nothing twice; what the lost reply named is published by `take_due`.

local seen, requeue = tonumber(ARGV[2]), tonumber(ARGV[3])

local named = { [''] = true }

-- Whether a product is counted by its name. A set that is full takes no more, and stays full.
local function is_named(product)
  if named[product] == nil then
    local products = base .. 'products'
    named[product] = redis.call('SISMEMBER', products, product) == 1
    if not named[product] and redis.call('SCARD', products) < MAX_PRODUCTS then
      redis.call('SADD', products, product)
      named[product] = true
    end
  end
  return named[product]
end

local function is_earlier_cycle(key, name)
  local names = redis.call('HGET', key, 'h')
  return names and string.find('\n' .. names .. '\n', '\n' .. name .. '\n', 1, true)
end

local function begins(key, state, cycle, lease_end, changed, name)
  if not state then
    return true
  end
  if cycle == LOST_CYCLE then
    return false
  elseif name == '' then
    -- A discarded request is still pending at Connect: an operator wants it left alone.
    return FINAL[state] and state ~= 'discarded' and changed < seen
  end
  if name == cycle or changed > seen or (LEASED[state] and lease_end > now) then
    return false
  end
  return not is_earlier_cycle(key, name)
end

local function append_name(names, name)
  local all = {}
  for earlier in string.gmatch(names or '', '[^\n]+') do
    all[#all + 1] = earlier
  end
  all[#all + 1] = name
  while #all > MAX_EARLIER_CYCLES do
    table.remove(all, 1)
  end
  return table.concat(all, '\n')
end

local function begin(ref, key, state, last_cycle, name, product)
  -- The cycles of a kind are all counted or all named: a counted cycle's name is its number.
  local cycle = name ~= '' and name or text(number(string.match(last_cycle or '', '^%d+$')) + 1)
  local fields = { 's', 'queued', 'v', cycle, 'b', text(now), 't', text(now), 'r', text(now),
                   'w', '1' }
  local metric_product
  local function keep(field, value)
    if value and value ~= '' then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  if state then
    -- The fence goes on growing, and the last call of the old cycle can still be repeated.
    local old = redis.call('HMGET', key, 'f', 'o', 'x', 'p', 'h', 'm')
    keep('f', old[1])
    keep('o', old[2])
    keep('x', old[3])
    metric_product = label_of({ old[4], old[6] })
    product = product ~= '' and product or old[4] or ''
    keep('h', name ~= '' and append_name(old[5], last_cycle) or old[5])
    leave_queues(ref, unpack(redis.call('HMGET', key, 'l', 'n')))
    redis.call('DEL', key)
    if not FINAL[state] then
      count(kind_of(ref), 'superseded', metric_product, 1)
    end
  end
  keep('p', product)
  keep('m', not is_named(product) and '1')
  redis.call('HSET', key, unpack(fields))
  move(ref, state, 'queued', now + requeue, metric_product)
end

-- A poll registers the same requests again and again: of an intact record, little is read.
local function read_briefly(ref, key)
  local f = redis.pcall('HMGET', key, 's', 'v', 'r', 't', 'k')
  local is_intact = not f.err and f[1] and STATES[f[1]] and f[2] and f[2] ~= ''
    and is_whole(f[3]) and f[4] and is_whole(f[4])
  if is_intact then
    return { s = f[1], v = f[2], r = number(f[3]), t = number(f[4]), k = f[5] }
  end
  return read(ref)
end

local begun = {}
for index, pending in ipairs(cjson.decode(ARGV[4])) do
  local ref, name, product = pending[1], pending[2], pending[3]
  local key = key_of(ref)
  local record = read_briefly(ref, key)
  if begins(key, record.s, record.v, record.r, record.t, name) then
    begin(ref, key, record.s, record.v, name, product)
    begun[#begun + 1] = index - 1
  elseif FINAL[record.s] and record.k and is_whole(record.k) then
    -- Still listed: if the record expired now, a poll would begin the ended cycle again.
    redis.call('PEXPIRE', key, record.k)
  end
end
return begun
