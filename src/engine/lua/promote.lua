-- Moves due jobs from a timed set to their queues. Only the call that removes a member pushes
-- it, so several processes may try at once and a crash loses nothing.
-- ARGV: timed set, queues set, prefix of queue keys, dead set, now, hash of counters,
--       the dead set's oldest score and its first rank from the end to go,
--       then triples: member as it stands, payload to push, queue ('' = no job: to the dead set)
-- returns: the number of members moved, of those that the dead set had to let go, and why the last
--          one that could not be moved could not ('' if all were): such a one is tried again after
--          a minute, so that it does not stand before the others
local trimmed = 0

local function bury(member)
  local buried = redis.pcall('ZADD', ARGV[4], ARGV[5], member)
  if type(buried) == 'number' then
    trimmed = trimmed + redis.call('ZREMRANGEBYSCORE', ARGV[4], '-inf', ARGV[7])
    trimmed = trimmed + redis.call('ZREMRANGEBYRANK', ARGV[4], 0, ARGV[8])
    -- counted here, because the call that moves it is the one that knows
    redis.pcall('HINCRBY', ARGV[6], 'buried', 1)
  end
  return buried
end

local function move(member, payload, queue)
  if queue == '' then return bury(member) end
  redis.pcall('SADD', ARGV[2], queue)
  return redis.pcall('LPUSH', ARGV[3] .. queue, payload)
end

local moved, failed = 0, nil
for at = 9, #ARGV, 3 do
  local member = ARGV[at]
  if redis.call('ZREM', ARGV[1], member) == 1 then
    local done = move(member, ARGV[at + 1], ARGV[at + 2])
    if type(done) == 'table' and done.err then
      redis.call('ZADD', ARGV[1], ARGV[5] + 60, member)
      failed = done
    else
      moved = moved + 1
    end
  end
end
if trimmed > 0 then redis.pcall('HINCRBY', ARGV[6], 'dead_trimmed', trimmed) end
return { moved, trimmed, failed and failed.err or '' }
