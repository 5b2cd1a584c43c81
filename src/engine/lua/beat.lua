-- One heartbeat: prolongs the life of the process's record, never creates it, and brings the
-- running jobs and the counters up to date.
-- ARGV: identity, lifetime ms, processes set, sequence number of the counters,
--       the key that remembers it and its lifetime in seconds, the key that tells since when
--       beats come through (see dead.lua),
--       n, n words of the heartbeat record, n, n names of work hashes to be written anew, n, n words of running
--       jobs, then commands that add to counters, each as the number of its words followed by
--       the words; they are run once however often the same beat is sent
-- returns: false if the record is gone, else the server's TIME
local identity, ttl, at = ARGV[1], ARGV[2], 8
if redis.call('PEXPIRE', identity, ttl) == 0 then return false end

local function list()
  local n = tonumber(ARGV[at])
  local words = { unpack(ARGV, at + 1, at + n) }
  at = at + 1 + n
  return words
end

redis.call('HSET', identity, unpack(list()))
-- a gap of half a lifetime is a break: the last beats of others may be older than ours, and they
-- too need time to come back
local time, unbroken = redis.call('TIME'), ARGV[7]
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('GETEX', unbroken, 'PX', math.floor(ttl / 2))
if not since or tonumber(since) > now then
  redis.call('SET', unbroken, now, 'PX', math.floor(ttl / 2))
end

redis.pcall('SADD', ARGV[3], identity) -- what others keep there must not cost a beat
for _, key in ipairs(list()) do
  redis.call('DEL', key)
  local n = tonumber(ARGV[at])
  for i = at + 1, at + n, 1000 do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, at + n)))
  end
  redis.call('PEXPIRE', key, ttl)
end
at = at + 1 + tonumber(ARGV[at])

-- not in the record: that may expire before a beat without a reply is sent again
if at <= #ARGV and redis.call('GET', ARGV[5]) ~= ARGV[4] then
  redis.call('SET', ARGV[5], ARGV[4], 'EX', ARGV[6])
  -- pcall: a counter that is none (somebody's SET) must not look like a failed heartbeat
  while at <= #ARGV do redis.pcall(unpack(list())) end
end
return time
