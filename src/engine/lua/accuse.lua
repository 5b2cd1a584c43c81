-- Counts the start of a suspect before it starts, only while the delivery is ours.
-- ARGV: in-flight hash, field, rescues hash, id, its new record, lifetime in seconds
redis.call('EXPIRE', ARGV[3], ARGV[6]) -- passes on a full server, and so the rest does
if redis.call('HEXISTS', ARGV[1], ARGV[2]) == 1 then
  redis.call('HSET', ARGV[3], ARGV[4], ARGV[5])
end
