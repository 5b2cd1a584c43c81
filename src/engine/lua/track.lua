-- Notes how far running jobs are, of each only while its delivery is ours: what comes late must not
-- overwrite its end.
-- ARGV: in-flight hash, then for each job: field, status hash, its lifetime in seconds, n, n words:
--       name, value, …
local at = 2
while at <= #ARGV do
  local status, n = ARGV[at + 1], tonumber(ARGV[at + 3])
  if redis.call('HEXISTS', ARGV[1], ARGV[at]) == 1 then
    redis.pcall('EXPIRE', status, ARGV[at + 2]) -- passes on a full server, and so the rest does
    redis.pcall('HSET', status, unpack(ARGV, at + 4, at + 3 + n))
    redis.pcall('EXPIRE', status, ARGV[at + 2])
  end
  at = at + 4 + n
end
