-- Takes jobs out of where they wait and does with each what a person wants, only if it was still
-- there: into its queue, into the dead set, or nothing more.
-- ARGV: the command that takes them out (ZREM or LREM), the key they are under, queues set, prefix
--       of queue keys, dead set, now, its oldest score and its first rank from the end to go, hash
--       of counters,
--       then for each job: its bytes as they stand, what it becomes ('' = it is deleted), the queue
--       for that ('' = the dead set), its lock ('' = none), for how many seconds to take that ('' =
--       it is given back), jid, its status ('' = none) and the lifetime of that, its state
-- returns: how many the dead set had to let go, then for each job 1 if it is done, 0 if it was not
--          there any more, { jid } of the one that has its lock, else why it stays
local out, source = ARGV[1], ARGV[2]
local trimmed = 0

local function failed(reply) return type(reply) == 'table' and reply.err end

local function take(member)
  if out == 'ZREM' then
    local score = redis.call('ZSCORE', source, member)
    return redis.call('ZREM', source, member) == 1, score
  end
  return redis.call('LREM', source, -1, member) == 1
end

-- into a queue at its head: its place is not known any more, and it has waited
local function back(member, score)
  if score then redis.call('ZADD', source, score, member) else redis.call('RPUSH', source, member) end
end

local function bury(payload)
  local buried = redis.pcall('ZADD', ARGV[5], ARGV[6], payload)
  if not failed(buried) then
    trimmed = trimmed + redis.call('ZREMRANGEBYSCORE', ARGV[5], '-inf', ARGV[7])
    trimmed = trimmed + redis.call('ZREMRANGEBYRANK', ARGV[5], 0, ARGV[8])
    redis.pcall('HINCRBY', ARGV[9], 'buried', 1)
  end
  return buried
end

local function put(payload, queue)
  if payload == '' then return redis.pcall('HINCRBY', ARGV[9], 'deleted', 1) and 1 end
  if queue == '' then return bury(payload) end
  redis.pcall('SADD', ARGV[3], queue)
  return redis.pcall('LPUSH', ARGV[4] .. queue, payload)
end

local function edit(at)
  local member, lock, seconds, jid = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local was, score = take(member)
  if not was then return 0 end
  local holder = lock ~= '' and redis.pcall('GET', lock)
  local ours = holder == jid
  if seconds ~= '' and holder and not ours then
    back(member, score)
    return failed(holder) and holder.err or { holder }
  end
  local done = put(ARGV[at + 1], ARGV[at + 2])
  if failed(done) then
    back(member, score)
    return done.err
  end
  if lock ~= '' and seconds ~= '' then redis.pcall('SET', lock, jid, 'EX', seconds) end
  if ours and seconds == '' then redis.pcall('DEL', lock) end
  if ARGV[at + 6] ~= '' then
    redis.pcall('HSET', ARGV[at + 6], 'state', ARGV[at + 8], 'at', ARGV[6])
    redis.pcall('EXPIRE', ARGV[at + 6], ARGV[at + 7])
  end
  return 1
end

local replies = { 0 }
for at = 10, #ARGV, 9 do replies[#replies + 1] = edit(at) end
replies[1] = trimmed
if trimmed > 0 then redis.pcall('HINCRBY', ARGV[9], 'dead_trimmed', trimmed) end
return replies
