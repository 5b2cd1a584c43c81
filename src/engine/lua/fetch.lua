-- Takes jobs from the queues in the order of KEYS and records each in the process's in-flight
-- hash, in one step. On Redis 7.0 a read inside a script arms the tracking of all its KEYS, and
-- newer servers arm what was read; so KEYS are exactly what there is to be woken by: the queues,
-- the set of the paused ones, and the sets of what is in progress in those with such a limit.
-- ARGV: identity, lease, in-flight hash, batch, jobs at most, jobs in the first step and in any,
--       bytes at most, rescues hash, number of queues, their bare names, then the limits, six words
--       for each queue that has some (see limits.lua)
-- returns: false if the lease is not ours; else 1 if there are rescues to look up (0 if not), the
--          indices into KEYS of the queues that need no look before something is heard of them
--          (empty, paused, or at a limit), of those whose starts are used up index and the ms until
--          the next, then for each taking: index into KEYS, number of jobs, their payloads
local identity, lease, inflight, batch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left, step, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local budget, largest, queues = tonumber(ARGV[8]), 1, tonumber(ARGV[10])
if redis.call('HGET', identity, 'lease') ~= lease then return false end

local limits, paused
for at = 11 + queues, #ARGV, 6 do
  limits = limits or {}
  limits[tonumber(ARGV[at])] = at
end
if redis.call('EXISTS', KEYS[queues + 1]) == 1 then
  -- no set: not for us, so nothing is paused
  paused = redis.pcall('SMISMEMBER', KEYS[queues + 1], unpack(ARGV, 11, 10 + queues))
end

local serial, indices, waits, watched = 0, {}, {}, {}
local reply = { 0, indices, waits }
for k = 1, queues do
  local key, place, limit = KEYS[k], ':' .. ARGV[10 + k], limits and limits[k]
  local more, room, rate = not (paused and paused[k] == 1), math.huge, nil
  if not more then indices[#indices + 1] = k end
  if limit and more and left > 0 and budget > 0 then
    room = free(limit, place, string.sub(inflight, 1, #inflight - #identity))
    rate = starts(limit)
  end
  while more and left > 0 and budget > 0 do
    local asked = math.min(left, step)
    if limit then
      asked = math.min(asked, room, rate and rate.most - rate.sum or room)
      if asked <= 0 then break end
    end
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
    if not more then indices[#indices + 1], watched[#watched + 1] = k, key end
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
    if limit and room < math.huge then
      local members = {}
      for i = 1, #jobs do members[i] = batch .. ':' .. (serial + i) .. ':' .. identity end
      redis.pcall('SADD', ARGV[limit + 2], unpack(members))
      room = room - #jobs
    end
    if rate then started(rate, #jobs) end
    serial, left = serial + #jobs, left - #jobs
    reply[#reply + 1], reply[#reply + 2] = k, #jobs
    for _, raw in ipairs(jobs) do reply[#reply + 1] = raw end
    -- few at first, and more while they turn out to be small: sizes are known when it is too late
    step = math.max(1, math.min(4 * step, longest, math.floor(budget / largest)))
  end
  if limit and more then
    local used_up = rate and rate.sum >= rate.most
    if room <= 0 or used_up then indices[#indices + 1] = k end
    if room <= 0 then watched[#watched + 1] = ARGV[limit + 2] end
    if used_up then waits[#waits + 1], waits[#waits + 2] = k, pause(rate) end
  end
end

if serial > 0 then reply[1] = redis.call('EXISTS', ARGV[9]) end
-- a read of what is to be heard of, after all that was written to it: it arms the tracking
if #watched > 0 then redis.call('EXISTS', unpack(watched)) end
return reply
