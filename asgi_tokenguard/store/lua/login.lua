-- login: start a session, end those that the browser carried, drop what has expired, keep to the limit of a user.
--
--   ARGV     sid, sids to end (26 characters each, no separator), access jti, refresh jti, idle (s), absolute (s), claims,
--            packed address or '', network, device, most sessions of a user
--            limits (limits.lua), where there are some
--   returns  {now (ms), record}, or {now (ms), '', how long to wait (ms)}
--
-- One script: a login beside "end all sessions" is either before it, and ended, or after it, and listed.

-- Before anything ends: a login that has to wait changes nothing.
local wait = wait_for(12)
if wait > 0 then return {now_ms, '', wait} end

local idle = tonumber(ARGV[5])
local function replaced(sid)
  if redis.call('HDEL', KEYS[1], sid) == 1 then bury(sid, 'replaced') end
end
for at = 1, #ARGV[2], 26 do
  replaced(string.sub(ARGV[2], at, at + 25))
end

local all, live = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local r = decode(all[i + 1])
  if r and now >= ends_at(r, idle) then
    redis.call('HDEL', KEYS[1], all[i])
  elseif r then
    live[#live + 1] = {r.refresh_issued, all[i]}
  end
end
-- The one that rotated longest ago goes first; of equals the older one: sids sort by time.
table.sort(live, function(one, other) return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2]) end)
local too_many = #live + 1 - tonumber(ARGV[11])
if too_many > AT_ONCE then  -- a limit that has been lowered: one tombstone for all
  for i = 1, too_many do redis.call('HDEL', KEYS[1], live[i][2]) end
  bury('*', 'replaced')
else
  for i = 1, too_many do replaced(live[i][2]) end
end

local function one_byte(text) return string.char(#text) .. text end
local tail = struct.pack('>I2', #ARGV[7]) .. ARGV[7] .. one_byte(ARGV[8]) .. '\0\0'
local r = {
  gen = 0, access_jti = ARGV[3], refresh_jti = ARGV[4], access_issued = now, refresh_issued = now, seen = false, mark = now_ms,
  absolute = now + tonumber(ARGV[6]), auth_time = now, late = false, late_run = 0, device = ARGV[10],
  networks = ARGV[9] .. string.rep('\0', 12), tail = tail,
}
leaves(r)
return {now_ms, save(ARGV[1], r, idle)}
