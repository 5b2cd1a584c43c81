-- What the limits of a queue allow at this moment. Of each the fetch script gives the place in its
-- own ARGV: six words, the index of the queue in KEYS, jobs in progress at most ('' = any number)
-- and the set of these, starts at most ('' = any number), the hash that counts them, and the
-- hundredth part of their time in ms.
-- What is no set or no hash under our keys is deleted: a queue that waits for it would wait for ever.

-- How many more may be in progress. The members of the set point to fields of in-flight hashes,
-- which are the truth; in a set that is full some are looked up, so a share that was never
-- given back is found in time, and one that is really full costs no more than that.
local function free(at, place, inflights)
  local most, set = tonumber(ARGV[at + 1]), ARGV[at + 2]
  if not most then return math.huge end
  local size = redis.pcall('SCARD', set)
  if type(size) == 'table' then
    redis.call('DEL', set)
    size = 0
  end
  if size >= most then
    for _, member in ipairs(redis.call('SRANDMEMBER', set, 16)) do
      local field, owner = string.match(member, '^(%d+:%d+):(.*)$')
      if not field or redis.pcall('HEXISTS', inflights .. owner, field .. place) ~= 1 then
        size = size - redis.call('SREM', set, member)
      end
    end
  end
  return math.max(0, most - size)
end

-- The starts that still count: those of this hundredth and the hundred before it, so at most so
-- many start in any such time, wherever it begins.
local function starts(at)
  local rate = { most = tonumber(ARGV[at + 3]), key = ARGV[at + 4], width = tonumber(ARGV[at + 5]) }
  if not rate.most then return nil end
  local time = redis.call('TIME')
  rate.now = time[1] * 1000 + math.floor(time[2] / 1000)
  rate.bucket = math.floor(rate.now / rate.width)
  local counts = redis.pcall('HGETALL', rate.key)
  if counts.err or #counts > 1000 then
    redis.call('DEL', rate.key)
    counts = {}
  end
  rate.sum, rate.counts = 0, {}
  local gone = {}
  for i = 1, #counts, 2 do
    local bucket, count = tonumber(counts[i]), tonumber(counts[i + 1])
    -- from the future: the clock was set back
    if bucket and count and math.abs(rate.bucket - bucket) <= 100 then
      rate.sum = rate.sum + count
      rate.counts[#rate.counts + 1] = { bucket, count }
    else
      gone[#gone + 1] = counts[i]
    end
  end
  if #gone > 0 then redis.call('HDEL', rate.key, unpack(gone)) end
  return rate
end

local function started(rate, count)
  redis.pcall('HINCRBY', rate.key, rate.bucket, count)
  redis.call('PEXPIRE', rate.key, rate.width * 201)
  rate.sum = rate.sum + count
  rate.counts[#rate.counts + 1] = { rate.bucket, count }
end

-- In how many ms the next may start: when enough of the oldest no longer count.
local function pause(rate)
  table.sort(rate.counts, function(one, other) return one[1] < other[1] end)
  local sum = rate.sum
  for _, entry in ipairs(rate.counts) do
    sum = sum - entry[2]
    if sum < rate.most then return (entry[1] + 101) * rate.width - rate.now end
  end
  return rate.width
end

