-- Whether a process is dead: its record has expired, and not because everybody's has. After an
-- outage, or when the server's clock jumps, all have; so beats, of whomever, must have come
-- through without a break for as long as a record lives. (Stands before the scripts that ask.)
-- key: where the beats note since when they do, in ms; ttl: how long a record lives, in ms
local function dead(owner, key, ttl)
  if redis.call('EXISTS', owner) == 1 then return false end
  local since, time = redis.call('GET', key), redis.call('TIME')
  return since and time[1] * 1000 + math.floor(time[2] / 1000) - since >= tonumber(ttl)
end

