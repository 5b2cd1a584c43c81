-- Deals with one slot of a cron line once, whichever process asks first, be it one of ours or of
-- Ruby's with the sidekiq-cron gem, which claims a slot by the same member of the same set. Claim,
-- push and memory are one step, so that no crash leaves a slot remembered but not enqueued.
-- ARGV: hash of the line, its slots, its history,
--       its times and its message as the asker has them,
--       slot and now (epoch seconds), slot (ISO 8601), oldest slot to keep, now (as the gem has it),
--       queues set, queue name, queue list, payload ('' = remember the slot only),
--       record for the history, last index of the history,
--       lock of the job ('' = none), its lifetime in seconds, jid
-- returns: 1 if this call enqueued it; 0 if not; -1 if the line is not, or not any more, what the
--          asker takes it for
local line, slots, history, times, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local slot, now, member = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local known = redis.call('HMGET', line, 'cron', 'message', 'status', 'last_slot')
if known[1] ~= times or known[2] ~= message then return -1 end
local last = tonumber(known[4])
-- a last slot still to come: the clock has been set back. What was enqueued by then is in the set,
-- but for what is old; the line begins anew with its next slot
local anew = not last or last > now + 60
if not anew and last >= slot then return 0 end
local enqueue = not anew and ARGV[14] ~= '' and known[3] ~= 'disabled'
  and not redis.call('ZSCORE', slots, member)
-- on a full server the first write is refused, as any enqueue is there. What fails later leaves
-- the slot to be tried again
if enqueue then
  redis.call('SADD', ARGV[11], ARGV[12])
  if ARGV[17] ~= '' and not redis.call('SET', ARGV[17], ARGV[19], 'NX', 'EX', ARGV[18]) then
    local holder = redis.pcall('GET', ARGV[17])
    if type(holder) == 'table' then return holder end -- something else stands there
    enqueue = false -- one of them is enough, and there is one
  else
    local pushed = redis.pcall('LPUSH', ARGV[13], ARGV[14])
    if type(pushed) == 'table' and pushed.err then
      if ARGV[17] ~= '' then redis.call('DEL', ARGV[17]) end
      return pushed
    end
  end
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', '(' .. ARGV[9])
  redis.call('ZADD', slots, slot, member)
end
redis.call('HSET', line, 'last_slot', slot)
if not enqueue then return 0 end
-- the rest is for the gem and its pages
redis.call('HSET', line, 'last_enqueue_time', ARGV[10])
redis.pcall('LPUSH', history, ARGV[15])
redis.pcall('LTRIM', history, 0, ARGV[16])
return 1
