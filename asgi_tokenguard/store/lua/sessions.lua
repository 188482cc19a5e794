-- sessions: every live session of a user; expired ones are dropped on the way.
--
--   ARGV     idle (s)
--   returns  {now (ms), sid, record, sid, record, ...}
local idle = tonumber(ARGV[1])
local all = redis.call('HGETALL', KEYS[1])
local live = {now_ms}
for i = 1, #all, 2 do
  local r = decode(all[i + 1])
  if r and now < ends_at(r, idle) then
    live[#live + 1] = all[i]
    live[#live + 1] = all[i + 1]
  elseif r then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return live
