-- Ends one delivery: takes it out of the in-flight hash and, only if it was still there, does
-- what its fate asks for. So a process that was declared dead while it lived cannot retry what
-- somebody else has taken back, and sending this twice does no harm.
-- ARGV: in-flight hash, field, the identity that must be dead ('' = no such condition) and what
--       tells (see dead.lua), the number of commands that must succeed, then commands, each as the
--       number of its words followed by the words; those beyond that number may fail, and may be
--       'UNLOCK' key jid: a removal if that is whose lock it is
-- returns: false if the delivery was no longer there, else the replies of those that must succeed
local inflight, field, owner, musts = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
if owner ~= '' and not dead(owner, ARGV[4], ARGV[5]) then return false end
local raw = redis.call('HGET', inflight, field)
if redis.call('HDEL', inflight, field) == 0 then return false end

local function unlock(key, jid)
  if redis.pcall('GET', key) == jid then redis.pcall('DEL', key) end
end

local replies, at = {}, 7
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  if ARGV[at + 1] == 'UNLOCK' then
    unlock(ARGV[at + 2], ARGV[at + 3])
  else
    local reply = redis.pcall(unpack(ARGV, at + 1, at + words))
    if #replies < musts then
      if type(reply) == 'table' and reply.err then
        redis.call('HSET', inflight, field, raw) -- not done, so it stays with us
        return reply
      end
      replies[#replies + 1] = reply
    end
  end
  at = at + 1 + words
end
return replies
