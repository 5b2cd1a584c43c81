-- Puts deliveries back to the head of their queues, to be the next to run. In the order given,
-- so pass the newest first. A process that leaves does it for itself; the reaper for the dead.
-- ARGV: in-flight hash, the identity that must be dead ('' = no such condition) and what tells
--       (see dead.lua), queues set, prefix of queue keys, rescues hash, lifetime of the rescues
--       in seconds, prefix of the sets of what is in progress in a queue and the identity that
--       holds the deliveries, then triples: field, id to count the rescue under ('' = do not count), its new record;
--       after them the hash of counters, if what is moved counts as rescued: in this step,
--       because the reaper may be the next to die
-- returns: the number of deliveries moved, or why none could be; -1 if the process is not dead
local inflight, owner = ARGV[1], ARGV[2]
if owner ~= '' and not dead(owner, ARGV[3], ARGV[4]) then return -1 end
local moved, refusal = 0, nil
local last = 10 + math.floor((#ARGV - 10) / 3) * 3
for at = 11, last, 3 do
  local raw = redis.call('HGET', inflight, ARGV[at])
  local place, name = string.match(ARGV[at], '^(%d+:%d+:)(.*)$')
  if raw and name and redis.call('HDEL', inflight, ARGV[at]) == 1 then
    local pushed = redis.pcall('RPUSH', ARGV[6] .. name, raw)
    if type(pushed) == 'table' and pushed.err then
      redis.call('HSET', inflight, ARGV[at], raw) -- this one stays; the others go on
      refusal = pushed
    else
      redis.pcall('SADD', ARGV[5], name)
      redis.pcall('SREM', ARGV[9] .. name, place .. ARGV[10]) -- its share, if there is a limit
      if ARGV[at + 1] ~= '' then
        redis.pcall('HSET', ARGV[7], ARGV[at + 1], ARGV[at + 2])
        redis.pcall('EXPIRE', ARGV[7], ARGV[8])
      end
      moved = moved + 1
    end
  end
end
if moved > 0 and ARGV[last + 1] then
  redis.pcall('HINCRBY', ARGV[last + 1], 'rescued', moved)
end
return moved == 0 and refusal or moved
