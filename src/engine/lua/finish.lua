-- Ends one delivery: takes it out of the in-flight hash and, only if it was still there, does
-- what its fate asks for. So a process that was declared dead while it lived cannot retry what
-- somebody else has taken back, and sending this twice does no harm.
-- ARGV: in-flight hash, field, the identity that must be dead ('' = no such condition) and what
--       tells (see dead.lua), the set of what is in progress of its queue ('' = there is no limit)
--       and the member for this delivery, then commands, each as the number of its words followed
--       by the words
-- returns: false if the delivery was no longer there, else the replies of the commands
local inflight, field, owner = ARGV[1], ARGV[2], ARGV[3]
if owner ~= '' and not dead(owner, ARGV[4], ARGV[5]) then return false end
local raw = redis.call('HGET', inflight, field)
if redis.call('HDEL', inflight, field) == 0 then return false end
local replies, at = {}, 8
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  local reply = redis.pcall(unpack(ARGV, at + 1, at + words))
  if type(reply) == 'table' and reply.err then
    redis.call('HSET', inflight, field, raw) -- not done, so it stays with us
    return reply
  end
  replies[#replies + 1] = reply
  at = at + 1 + words
end
-- last, since it must not fail: what is no set there is the fetch script's to repair
if ARGV[6] ~= '' then redis.pcall('SREM', ARGV[6], ARGV[7]) end
return replies
