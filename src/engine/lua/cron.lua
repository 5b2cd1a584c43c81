-- Enqueues one slot of a cron line once, whichever process asks first; crash-safe, because
-- remembering the slot and pushing the job are one step. A line seen for the first time starts
-- with the next slot.
-- ARGV: hash of last slots, name of the line, slot (epoch seconds),
--       queues set, queue name, queue list, payload
-- returns: 1 if this call enqueued it
local last = redis.call('HGET', ARGV[1], ARGV[2])
if last and tonumber(last) >= tonumber(ARGV[3]) then return 0 end
-- the slot last: what fails before it leaves the slot to be tried again. On a full server the
-- first of these is refused, as any enqueue is there
if last then
  redis.call('SADD', ARGV[4], ARGV[5])
  redis.call('LPUSH', ARGV[6], ARGV[7])
end
redis.call('HSET', ARGV[1], ARGV[2], ARGV[3])
return last and 1 or 0
