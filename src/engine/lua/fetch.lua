-- Takes jobs from the queues in the order of KEYS and records each in the process's in-flight
-- hash, in one step. Nothing else is in KEYS: on Redis 7.0 a read inside a script arms the
-- tracking of all its KEYS, and these are exactly the keys to be woken by.
-- ARGV: identity, lease, in-flight hash, batch, jobs at most, jobs in the first step and in any,
--       bytes at most, rescues hash, then the bare names of the queues
-- returns: false if the lease is not ours; else 1 if there are rescues to look up (0 if not), the
--          indices into KEYS of the queues that are empty now, then for each taking: index into
--          KEYS, number of jobs, their payloads
local identity, lease, inflight, batch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left, step, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local budget, largest = tonumber(ARGV[8]), 1
if redis.call('HGET', identity, 'lease') ~= lease then return false end

local reply, serial, indices, empty = { 0 }, 0, {}, {}
reply[2] = indices
for k, key in ipairs(KEYS) do
  local place = ':' .. ARGV[9 + k]
  local more = true
  while more and left > 0 and budget > 0 do
    local asked = math.min(left, step)
    local jobs = redis.pcall('RPOP', key, asked) or {}
    if jobs.err then
      -- no list at all, or not for us: as good as empty. Anything else concerns the server, and
      -- must not look like empty queues
      local here = string.find(jobs.err, '^WRONGTYPE') or string.find(jobs.err, '^NOPERM')
      if not here and serial == 0 then return jobs end
      if not here then break end
      jobs = {}
    end
    more = #jobs == asked
    if not more then indices[#indices + 1], empty[#empty + 1] = k, key end
    if #jobs == 0 then break end
    local record = {}
    for i, raw in ipairs(jobs) do
      -- the queue stands in the field: joined to the payload, it would cost a copy of that
      record[2 * i - 1], record[2 * i] = batch .. ':' .. (serial + i) .. place, raw
      budget, largest = budget - #raw, math.max(largest, #raw)
    end
    local kept = redis.pcall('HSET', inflight, unpack(record))
    if type(kept) == 'table' and kept.err then
      -- scripts are not rolled back: what was taken goes back by hand, oldest last
      for i = #jobs, 1, -1 do redis.call('RPUSH', key, jobs[i]) end
      return kept
    end
    serial, left = serial + #jobs, left - #jobs
    reply[#reply + 1], reply[#reply + 2] = k, #jobs
    for _, raw in ipairs(jobs) do reply[#reply + 1] = raw end
    -- few at first, and more while they turn out to be small: sizes are known when it is too late
    step = math.max(1, math.min(4 * step, longest, math.floor(budget / largest)))
  end
end

if serial > 0 then reply[1] = redis.call('EXISTS', ARGV[9]) end
-- a read of those in which nothing is left: it arms the tracking
if #empty > 0 then redis.call('EXISTS', unpack(empty)) end
return reply
