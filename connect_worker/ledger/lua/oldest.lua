-- Find when the oldest unfinished cycle of each product of a kind began.
-- ARGV[2] kind   ARGV[3] how many requests to check
-- Returns {product, ms, ...} of the products found, and last when the youngest cycle that was checked
-- began; nothing when there is none.

local found, answer, youngest = {}, {}, nil
local oldest = redis.call('ZRANGE', unfinished_of(ARGV[2]), 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
for at = 1, #oldest, 2 do
  local f = redis.pcall('HMGET', key_of(oldest[at]), 'p', 'm')
  local product = label_of(f.err and {} or f)
  youngest = oldest[at + 1]
  if not found[product] then
    found[product] = true
    answer[#answer + 1] = product
    answer[#answer + 1] = youngest
  end
end
answer[#answer + 1] = youngest
return answer
