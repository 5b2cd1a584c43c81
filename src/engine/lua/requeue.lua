-- Puts deliveries back to the head of their queues, to be the next to run. In the order given,
-- so pass the newest first. A process that leaves does it for itself; the reaper for the dead.
-- ARGV: in-flight hash, identity that must be gone ('' = no such condition), queues set,
--       prefix of queue keys, rescues hash, lifetime of the rescues in seconds,
--       then triples: field, id to count the rescue under ('' = do not count), its new record;
--       after them the hash of counters, if what is moved counts as rescued: in this step,
--       because the reaper may be the next to die
-- returns: the number of deliveries moved, or why none could be; -1 if the process is alive
local inflight, owner = ARGV[1], ARGV[2]
if owner ~= '' and redis.call('EXISTS', owner) == 1 then return -1 end
local moved, refusal = 0, nil
local last = #ARGV - #ARGV % 3
for at = 7, last, 3 do
  local value = redis.call('HGET', inflight, ARGV[at])
  if value and redis.call('HDEL', inflight, ARGV[at]) == 1 then
    local length, start = string.match(value, '^(%d+):()')
    local name = string.sub(value, start, start + length - 1)
    local raw = string.sub(value, start + length)
    local pushed = redis.pcall('RPUSH', ARGV[4] .. name, raw)
    if type(pushed) == 'table' and pushed.err then
      redis.call('HSET', inflight, ARGV[at], value) -- this one stays; the others go on
      refusal = pushed
    else
      redis.pcall('SADD', ARGV[3], name)
      if ARGV[at + 1] ~= '' then
        redis.pcall('HSET', ARGV[5], ARGV[at + 1], ARGV[at + 2])
        redis.pcall('EXPIRE', ARGV[5], ARGV[6])
      end
      moved = moved + 1
    end
  end
end
if moved > 0 and ARGV[last + 1] then
  redis.pcall('HINCRBY', ARGV[last + 1], 'rescued', moved)
end
return moved == 0 and refusal or moved
