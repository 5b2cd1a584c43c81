-- Enqueues jobs that need more than a push: at most once however often and however late the
-- request arrives (a marker says that it has been done), only if no other job has its lock, with a
-- status that others can ask for.
-- ARGV: lifetime of a marker in seconds, queues set, prefix of queue keys, timed set, time now,
--       n, n markers that nobody needs any more,
--       counters hash, marker of the increments, n, n words: counter, increment, …,
--       then for each job: marker, lock and its lifetime in seconds, jid, status hash and its
--       lifetime in seconds, queue, time to wait for, payload ('' = has none)
-- returns: for each job 1 if it is enqueued, by this call or an earlier one; { jid } of the one
--          that has its lock; else why not
local ttl, queues, prefix, timed, now, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], 6

local function list()
  local n = tonumber(ARGV[at])
  local words = { unpack(ARGV, at + 1, at + n) }
  at = at + 1 + n
  return words
end

local function failed(reply) return type(reply) == 'table' and reply.err end

-- of a foreign type there is nothing to wait for: it makes the job fail to be enqueued
local function taken(key, value, seconds)
  return not redis.call('SET', key, value, 'NX', 'EX', seconds)
end

local function push(queue, time, payload)
  if time ~= '' then return redis.pcall('ZADD', timed, time, payload) end
  local named = redis.pcall('SADD', queues, queue)
  if failed(named) and string.find(named.err, '^OOM') then return named end
  return redis.pcall('LPUSH', prefix .. queue, payload)
end

local function enqueue(i)
  local marker, lock, jid, status = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 4]
  if marker ~= '' and taken(marker, '', ttl) then return 1 end
  if lock ~= '' and taken(lock, jid, ARGV[i + 2]) then
    if marker ~= '' then redis.call('DEL', marker) end
    local holder = redis.pcall('GET', lock)
    return failed(holder) or { holder } -- an error inside would be one of the whole reply
  end
  local pushed = push(ARGV[i + 6], ARGV[i + 7], ARGV[i + 8])
  if failed(pushed) then
    -- not done, so nothing may say that it was
    if marker ~= '' then redis.call('DEL', marker) end
    if lock ~= '' then redis.call('DEL', lock) end
    return pushed.err
  end
  if status ~= '' then
    redis.pcall('DEL', status)
    redis.pcall('HSET', status, 'state', 'queued', 'at', now)
    redis.pcall('EXPIRE', status, ARGV[i + 5])
  end
  return 1
end

local obsolete = list()
local counters, counted = ARGV[at], ARGV[at + 1]
at = at + 2
local increments = list()

-- the first write adds something, so a full server refuses it as it does any enqueue
local replies = {}
for i = at, #ARGV, 9 do replies[#replies + 1] = enqueue(i) end
if #increments > 0 and not taken(counted, '', ttl) then
  for i = 1, #increments, 2 do redis.pcall('HINCRBY', counters, increments[i], increments[i + 1]) end
end
for _, marker in ipairs(obsolete) do redis.call('DEL', marker) end
return replies
