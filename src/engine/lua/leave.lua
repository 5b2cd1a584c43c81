-- A process leaves, or is found to be gone. First its lease goes, so that no late request takes
-- a job; if it holds no delivery, the rest goes too. What it still holds is the reaper's, once
-- the record has expired.
-- ARGV: identity, in-flight hash, owners set, processes set,
--       '1' if the process must be gone already (the reaper asks), further keys to delete
-- returns: the number of deliveries still held; -1 if it should be gone and is not
if ARGV[5] == '1' and redis.call('EXISTS', ARGV[1]) == 1 then return -1 end
redis.call('HDEL', ARGV[1], 'lease')
local held = redis.call('HLEN', ARGV[2])
if held == 0 then
  redis.call('DEL', ARGV[1], unpack(ARGV, 6))
  redis.call('SREM', ARGV[3], ARGV[1])
  redis.call('SREM', ARGV[4], ARGV[1])
end
return held
