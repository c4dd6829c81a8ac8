-- This server's clock, in microseconds. `_prelude.lua` makes the ledger's clock of it.

local clock = redis.call('TIME')
local exact = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
