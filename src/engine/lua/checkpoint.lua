-- Saves the cursor of an iterable job, only while the delivery is ours.
-- ARGV: identity, lease, in-flight hash, field, cursor hash, its lifetime in seconds, cursor,
--       executions, run time, rescues hash, id under which rescues are counted, progress
--       (`CURRENT/TOTAL`, '' = none)
-- returns: 1 saved; 2 the job is cancelled; 0 the delivery is no longer ours; -1 the lease is not ours
local identity, inflight, iteration = ARGV[1], ARGV[3], ARGV[5]
if redis.call('HGET', identity, 'lease') ~= ARGV[2] then return -1 end
if redis.call('HEXISTS', inflight, ARGV[4]) == 0 then return 0 end
local before = redis.call('HMGET', iteration, 'c', 'cancelled')
if before[2] then return 2 end
redis.call('EXPIRE', iteration, ARGV[6]) -- passes on a full server, and so the rest does
redis.call('HSET', iteration, 'c', ARGV[7], 'ex', ARGV[8], 'rt', ARGV[9])
redis.call('EXPIRE', iteration, ARGV[6])
if ARGV[12] ~= '' then redis.call('HSET', iteration, 'progress', ARGV[12]) end
-- a job that moves on is no poison, however often its process died
if before[1] ~= ARGV[7] then redis.call('HDEL', ARGV[10], ARGV[11]) end
return 1
