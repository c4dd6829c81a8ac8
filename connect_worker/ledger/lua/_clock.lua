-- The clock of every script, read once in each: this server's, in microseconds and in whole milliseconds.

local clock = redis.call('TIME')
local exact = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(exact / 1000)
