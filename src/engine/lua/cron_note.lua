-- Notes something about a cron line, only while it is listed: what was removed must not come back.
-- ARGV: set of all lines, hash of the line, field, value, then perhaps its history, a record for
--       that, its last index
-- returns: 1 if it is listed
if redis.call('SISMEMBER', ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('PERSIST', ARGV[2]) -- passes on a full server, and so the rest does
redis.call('HSET', ARGV[2], ARGV[3], ARGV[4])
if ARGV[5] then
  redis.pcall('LPUSH', ARGV[5], ARGV[6])
  redis.pcall('LTRIM', ARGV[5], 0, ARGV[7])
end
return 1
