-- login: start a session, end those that the browser carried, drop what has expired.
--
--   ARGV     sid, sids to end (26 characters each, no separator), access jti, refresh jti, idle (s), absolute (s), tail
--   returns  {now (ms), record, number of sessions that were ended}
--
-- One script: a login beside "end all sessions" is either before it, and ended, or after it, and listed.
local idle = tonumber(ARGV[5])
local ended = 0
for at = 1, #ARGV[2], 26 do
  ended = ended + redis.call('HDEL', KEYS[1], string.sub(ARGV[2], at, at + 25))
end

local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local r = decode(all[i + 1])
  if r and now >= ends_at(r, idle) then redis.call('HDEL', KEYS[1], all[i]) end
end

local r = {
  gen = 0, access_jti = ARGV[3], refresh_jti = ARGV[4], access_issued = now, refresh_issued = now,
  seen = false, mark = now_ms, absolute = now + tonumber(ARGV[6]), auth_time = now, tail = ARGV[7],
}
return {now_ms, save(ARGV[1], r, idle), ended}
