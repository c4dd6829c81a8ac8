-- Return the scripts' clock, in ms.

return now
