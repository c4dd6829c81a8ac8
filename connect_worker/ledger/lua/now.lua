-- Returns the scripts' clock, in ms.

return now
