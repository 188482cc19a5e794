-- The record of a session, as core/records.py packs it; this file stands before every script.
--
--   KEYS[1]  hash of one user: field = sid, value = head and tail
--   KEYS[2]  hash of one user: field = sid, value = tombstone (core/endings.py)
--   head     82 bytes, big-endian: version, flags, gen, access jti, refresh jti, access issued (s), refresh issued (s),
--            mark (ms, 6 bytes), absolute end (s), auth time (s), left (s after refresh issued), device, networks
--   tail     claims with a two-byte length before them; address, device, place with a one-byte length; spliced, never parsed
--
-- Rule: no script writes a record that is not there, but login.  A slow request thus never brings an ended session back.
local FORMAT, HEAD, VERSION = '>BBI4c16c16I4I4I6I4I4I2c4c16', 82, 2
local SEEN, LATE, RUN, LONGEST_RUN = 1, 2, 4, 15
local UNSET = '\0\0\0\0'  -- the name of no device

local time = redis.call('TIME')
local now = tonumber(time[1])
local now_ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The record in raw, or nil where it is not one of ours: then it counts as no session.
local function decode(raw)
  if not raw or #raw < HEAD or string.byte(raw) ~= VERSION then return nil end
  local r = {}
  local flags, _
  _, flags, r.gen, r.access_jti, r.refresh_jti, r.access_issued, r.refresh_issued, r.mark, r.absolute, r.auth_time, r.left,
    r.device, r.networks = struct.unpack(FORMAT, raw)
  r.seen = flags % 2 == SEEN
  r.late = math.floor(flags / LATE) % 2 == 1
  r.late_run = math.floor(flags / RUN) % (LONGEST_RUN + 1)
  r.tail = string.sub(raw, HEAD + 1)
  return r
end

local function encode(r)
  local flags = (r.seen and SEEN or 0) + (r.late and LATE or 0) + RUN * r.late_run
  return struct.pack(FORMAT, VERSION, flags, r.gen, r.access_jti, r.refresh_jti, r.access_issued, r.refresh_issued, r.mark,
    r.absolute, r.auth_time, r.left, r.device, r.networks) .. r.tail
end

local function ends_at(r, idle)
  return math.min(r.refresh_issued + idle, r.absolute)
end

-- Write the record; the user's key lives as long as its longest session.
local function save(sid, r, idle)
  local raw = encode(r)
  redis.call('HSET', KEYS[1], sid, raw)
  local left = redis.call('TTL', KEYS[1])
  if left < 0 or now + left < ends_at(r, idle) then
    redis.call('EXPIREAT', KEYS[1], ends_at(r, idle))
  end
  return raw
end

-- The live record of sid; an expired one is deleted and reported as such.
local function load(sid, idle)
  local r = decode(redis.call('HGET', KEYS[1], sid))
  if not r then return nil, 'gone' end
  if now >= ends_at(r, idle) then
    redis.call('HDEL', KEYS[1], sid)
    return nil, 'expired'
  end
  return r
end

local function see(r)
  if not r.seen then
    r.seen, r.mark = true, now_ms
    return true
  end
  return false
end

-- An access token belongs to one generation and to one moment; its predecessor is dead at once.
local function with_access(r, jti)
  r.access_jti, r.access_issued = jti, now
end

-- The cookie of the head leaves now, for the first time (core/doubts.py).
local function leaves(r)
  r.left = math.max(0, math.min(65535, math.ceil(now_ms / 1000) - r.refresh_issued))
end

local function rotate(r, access_jti, refresh_jti)
  r.late_run = r.late and math.min(LONGEST_RUN, r.late_run + 1) or 0
  r.gen, r.refresh_jti, r.refresh_issued, r.seen, r.mark, r.late = r.gen + 1, refresh_jti, now, false, now_ms, false
  leaves(r)
  with_access(r, access_jti)
end

-- One trip over the wire since the head was seen; two while it is on its way (core/rotation.py).
local function is_settled(r, grace_ms)
  return r.gen == 0 or now_ms >= r.mark + (r.seen and 1 or 2) * grace_ms
end

-- Where the nth part of the tail starts, and its length.  The claims come first, and alone have two bytes of length.
local function part_at(tail, nth)
  local length = struct.unpack('>I2', tail)
  if nth == 1 then return 3, length end
  local at = 3 + length
  for _ = 3, nth do
    at = at + 1 + string.byte(tail, at)
  end
  return at + 1, string.byte(tail, at)
end

local function part(r, nth)
  local at, length = part_at(r.tail, nth)
  return string.sub(r.tail, at, at + length - 1)
end

local function splice(r, nth, new)
  local at, length = part_at(r.tail, nth)
  local size = nth == 1 and 2 or 1
  r.tail = string.sub(r.tail, 1, at - 1 - size) .. struct.pack('>I' .. size, #new) .. new .. string.sub(r.tail, at + length)
end

local CLAIMS, ADDRESS, DEVICE, PLACE = 1, 2, 3, 4

-- Another address: the place that was found for the old one is not its.
local function moved_to(r, address)
  if address ~= part(r, ADDRESS) then
    splice(r, ADDRESS, address)
    splice(r, PLACE, '')
  end
end

-- Tombstones are kept for a day, and 128 of a user: a script that logs in and out each minute would leave 1,440.
-- Where more than a hundred end at once, one tombstone stands for all.
local DAY, MOST, OLD_ONES, AT_ONCE = 86400, 128, 32, 100

-- When it was buried; what is none of ours was so long ago that it counts for nothing and goes first.
local function buried_at(packed)
  return #packed > 4 and struct.unpack('>I4', packed) or 0
end

local function make_room()
  if redis.call('HLEN', KEYS[2]) < MOST then return end
  local all, by_time = redis.call('HGETALL', KEYS[2]), {}
  for i = 1, #all, 2 do
    by_time[#by_time + 1] = {buried_at(all[i + 1]), all[i]}
  end
  table.sort(by_time, function(one, other) return one[1] < other[1] end)
  for i = 1, OLD_ONES do redis.call('HDEL', KEYS[2], by_time[i][2]) end
end

-- Remember for a day why sid ended ('*': all that were there).  parts: row of the table, the holder's address and device,
-- the other party's address and device; each up to 255 bytes.
local function bury(sid, reason, parts)
  make_room()
  local packed = struct.pack('>I4', now)
  for _, each in ipairs({reason, unpack(parts or {})}) do
    packed = packed .. string.char(#each) .. each
  end
  redis.call('HSET', KEYS[2], sid, packed)
  redis.call('EXPIRE', KEYS[2], DAY)
end

-- When the session of that id began (s): the first ten characters of a ULID are milliseconds, in Crockford's base 32.
local function began_at(sid)
  local ms = 0
  for i = 1, 10 do
    ms = ms * 32 + (string.find('0123456789ABCDEFGHJKMNPQRSTVWXYZ', string.sub(sid, i, i), 1, true) or 1) - 1
  end
  return math.floor(ms / 1000)
end

-- The reason why sid ended, or ''.  The one of all tells nothing of a session that began later.
local function epitaph(sid)
  local packed = redis.call('HGET', KEYS[2], sid)
  if not packed then
    packed = redis.call('HGET', KEYS[2], '*')
    if packed and buried_at(packed) < began_at(sid) then return '' end
  end
  if not packed or buried_at(packed) + DAY <= now then return '' end
  return string.sub(packed, 6, 5 + string.byte(packed, 5))
end
