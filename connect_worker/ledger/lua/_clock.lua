-- The clock of every script, read once in each: this server's, in whole milliseconds.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
