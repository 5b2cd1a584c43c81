-- Registers a process on a new connection: from here on only this lease may take jobs, so a
-- request of an earlier connection that arrives late can do nothing.
-- ARGV: identity, lease number, lifetime ms, in-flight hash, owners set, processes set,
--       then fields and values of the heartbeat record
-- returns: the fields of the in-flight hash; false if a later registration is already there
local identity, lease, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if tonumber(redis.call('HGET', identity, 'lease') or 0) > lease then return false end
-- the first write must be one that a full server lets pass; then the others pass as well
redis.call('PEXPIRE', identity, ttl)
redis.call('HSET', identity, 'lease', ARGV[2], unpack(ARGV, 7))
redis.call('PEXPIRE', identity, ttl)
redis.call('SADD', ARGV[5], identity)
redis.call('SADD', ARGV[6], identity)
return redis.call('HKEYS', ARGV[4])
