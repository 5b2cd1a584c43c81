-- Enqueues jobs for a client that sends them again until it has read an answer: each once,
-- however often and however late they arrive. A marker per push says that it has been done.
-- ARGV: lifetime of a marker in seconds, queues set, prefix of queue keys, timed set,
--       n, n markers that nobody needs any more,
--       counters hash, marker of the increments, n, n words: counter, increment, …,
--       then quadruples: marker, queue, time in seconds ('' = now), payload
-- returns: for each job 1 if it is enqueued, by this call or an earlier one; else why not
local ttl, queues, prefix, timed, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4], 5

local function list()
  local n = tonumber(ARGV[at])
  local words = { unpack(ARGV, at + 1, at + n) }
  at = at + 1 + n
  return words
end

local function first_time(marker) return redis.call('SET', marker, '', 'NX', 'EX', ttl) end

local function push(queue, time, payload)
  if time ~= '' then return redis.pcall('ZADD', timed, time, payload) end
  redis.pcall('SADD', queues, queue)
  return redis.pcall('LPUSH', prefix .. queue, payload)
end

local obsolete = list()
local counters, counted = ARGV[at], ARGV[at + 1]
at = at + 2
local increments = list()

-- the first write adds something, so a full server refuses it as it does any enqueue
local replies = {}
for i = at, #ARGV, 4 do
  local reply = 1
  if first_time(ARGV[i]) then
    local pushed = push(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    if type(pushed) == 'table' and pushed.err then
      redis.call('DEL', ARGV[i]) -- not done, so nothing may say that it was
      reply = pushed.err
    end
  end
  replies[#replies + 1] = reply
end
if #increments > 0 and first_time(counted) then
  for i = 1, #increments, 2 do redis.pcall('HINCRBY', counters, increments[i], increments[i + 1]) end
end
for _, marker in ipairs(obsolete) do redis.call('DEL', marker) end
return replies
