-- Removes a cron line and all that is known of it, if the asker still keeps the list.
-- ARGV: who keeps the list, id of the asker, set of all lines, hash of the line, its slots, its
--       history
-- returns: 1 if it was listed
if redis.call('GET', ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('DEL', ARGV[4], ARGV[5], ARGV[6])
return redis.call('SREM', ARGV[3], ARGV[4])
