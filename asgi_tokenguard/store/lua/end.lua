-- end: end one session, all but one, or all of a user.
--
--   ARGV     one | others | all, sid (of the one, or of the one that stays), idle (s)
--   returns  {now (ms), number of live sessions that were ended}
local how, sid, idle = ARGV[1], ARGV[2], tonumber(ARGV[3])

local ended = 0
local function count(raw)
  local r = decode(raw)
  if r and now < ends_at(r, idle) then ended = ended + 1 end
end

if how == 'one' then
  count(redis.call('HGET', KEYS[1], sid))
  redis.call('HDEL', KEYS[1], sid)
  return {now_ms, ended}
end

local all = redis.call('HGETALL', KEYS[1])
local kept
for i = 1, #all, 2 do
  if how == 'others' and all[i] == sid then kept = all[i + 1] else count(all[i + 1]) end
end
-- One DEL: a list of thousands of fields would not fit an argument list.
local until_ms = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
if kept then
  redis.call('HSET', KEYS[1], sid, kept)
  if until_ms > 0 then redis.call('PEXPIRE', KEYS[1], until_ms) end
end
return {now_ms, ended}
