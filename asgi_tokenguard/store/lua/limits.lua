-- What there are limits of; core/limits.py in Lua, tested against it.  This file stands before the scripts that count.
--
--   KEYS[3]  hash of one user: field = what is counted, value = when all of it will have been let through at its rate (us)
--            (only where something is to be counted)
local MOST_COUNTS = 128

-- Who comes from ever new networks fills them up: what would be idle soonest is worth least.
local function make_room_for_counts(more)
  if redis.call('HLEN', KEYS[3]) + more <= MOST_COUNTS then return end
  local all, by_time = redis.call('HGETALL', KEYS[3]), {}
  for i = 1, #all, 2 do
    by_time[#by_time + 1] = {tonumber(all[i + 1]) or 0, all[i]}
  end
  table.sort(by_time, function(one, other) return one[1] < other[1] end)
  for i = 1, math.min(OLD_ONES, #by_time) do redis.call('HDEL', KEYS[3], by_time[i][2]) end
end

-- Count one more against each triple (field, period, interval; us) behind ARGV[first], which says how long (ms) the key lives;
-- where any is full, against none.  Returns how long (ms) to wait, else 0.  Without arguments it asks nothing.
local function wait_for(first)
  local now_us, wait, after = now_ms * 1000, 0, {}
  for at = first + 1, #ARGV, 3 do
    local full_at, interval = now_us + tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local before = tonumber(redis.call('HGET', KEYS[3], ARGV[at]) or 0) or 0
    -- Further ahead than the period it was written under another rate, or by another clock.
    if before < now_us or before > full_at then before = now_us end
    after[#after + 1] = ARGV[at]
    after[#after + 1] = string.format('%.0f', before + interval)
    wait = math.max(wait, before + interval - full_at)
  end
  if wait > 0 then return math.ceil(wait / 1000) end
  if #after > 0 then
    make_room_for_counts(#after / 2)
    redis.call('HSET', KEYS[3], unpack(after))
    redis.call('PEXPIRE', KEYS[3], ARGV[first])
  end
  return 0
end
