-- What is next in each of some queues, of long jobs only the end: a list's member has no length that
-- could be asked for, and it may be huge. Only reads, so a replica and a full server answer, too.
-- ARGV: how many bytes a job may have, how many of a longer one's end to return, then keys of queues
-- returns: for each the job or its end, nil where there is none (or the key is no list)
local found = {}
for at = 3, #ARGV do
  local job = redis.pcall('LINDEX', ARGV[at], -1)
  if type(job) ~= 'string' then
    job = false
  elseif #job > tonumber(ARGV[1]) then
    job = job:sub(-tonumber(ARGV[2]))
  end
  found[#found + 1] = job
end
return found
