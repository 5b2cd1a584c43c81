-- A process leaves, or is found to be dead. First its lease goes, so that no late request takes
-- a job; if it holds no delivery, the rest goes too. What it still holds is the reaper's, once
-- the record has expired.
-- ARGV: identity, in-flight hash, owners set, processes set,
--       the identity again if it must be dead (the reaper asks; else '') and what tells (see
--       dead.lua), further keys to delete
-- returns: the number of deliveries still held; -1 if it should be dead and is not
if ARGV[5] ~= '' and not dead(ARGV[5], ARGV[6], ARGV[7]) then return -1 end
redis.call('HDEL', ARGV[1], 'lease')
local held = redis.call('HLEN', ARGV[2])
if held == 0 then
  redis.call('DEL', ARGV[1], unpack(ARGV, 8))
  redis.call('SREM', ARGV[3], ARGV[1])
  redis.call('SREM', ARGV[4], ARGV[1])
end
return held
