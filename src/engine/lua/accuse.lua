-- Notes that a job with many deaths behind it is about to run.
-- ARGV: rescues hash, its lifetime in seconds, id of the job, its record
redis.call('EXPIRE', ARGV[1], ARGV[2]) -- passes on a full server, and so the rest does
redis.call('HSET', ARGV[1], ARGV[3], ARGV[4])
redis.call('EXPIRE', ARGV[1], ARGV[2])
