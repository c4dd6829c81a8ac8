-- Find when the longest waiting cycle of each product of a kind began. ARGV[2] kind   ARGV[3] how many
-- to look at
-- Returns {product, ms, ...} of the products found, and last when the youngest cycle that was looked at
-- began; nothing when none waits.

local found, answer, youngest = {}, {}, nil
local waiting = redis.call('ZRANGE', unfinished_of(ARGV[2]), 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
for at = 1, #waiting, 2 do
  local product = label_of(redis.call('HMGET', key_of(waiting[at]), 'p', 'm'))
  youngest = waiting[at + 1]
  if not found[product] then
    found[product] = true
    answer[#answer + 1] = product
    answer[#answer + 1] = youngest
  end
end
answer[#answer + 1] = youngest
return answer
