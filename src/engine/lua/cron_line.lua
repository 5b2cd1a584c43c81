-- Writes a cron line as the asker has it, if it still keeps the list. A line that is new, or has
-- other times than before, begins with its next slot; and a poller of Ruby's does not enqueue the
-- latest one either.
-- ARGV: who keeps the list, id of the asker, set of all lines, hash of the line, its slots,
--       latest slot (epoch seconds, ISO 8601), its times, then field, value, …
-- returns: 1 if the line is new or has other times
if redis.call('GET', ARGV[1]) ~= ARGV[2] then return 0 end
local line, slots = ARGV[4], ARGV[5]
local known = redis.call('HMGET', line, 'cron', 'last_slot')
redis.call('ZSCORE', slots, ARGV[7]) -- something else in its place: nothing is written
local anew = known[1] ~= ARGV[8] or not known[2]
redis.call('HSET', line, 'cron', ARGV[8], unpack(ARGV, 9))
if anew then
  redis.call('HSET', line, 'last_slot', ARGV[6])
  redis.call('ZADD', slots, ARGV[6], ARGV[7])
end
redis.call('HSETNX', line, 'status', 'enabled') -- the page's to change
redis.call('SADD', ARGV[3], line)
return anew and 1 or 0
