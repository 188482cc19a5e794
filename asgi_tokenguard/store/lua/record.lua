-- The record of a session, as core/records.py packs it; this file stands before every script.
--
--   KEYS[1]  hash of one user: field = sid, value = head and tail
--   head     62 bytes, big-endian: version, flags, gen, access jti, refresh jti, access issued (s),
--            refresh issued (s), mark (ms), absolute end (s), auth time (s)
--   tail     parts with a two-byte length before each: claims, address; spliced, never parsed
--
-- Rule: no script writes a record that is not there, but login.  A slow request thus never brings an ended session back.
local FORMAT, HEAD, VERSION, SEEN = '>BBI4c16c16I4I4I8I4I4', 62, 1, 1

local time = redis.call('TIME')
local now = tonumber(time[1])
local now_ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The record in raw, or nil where it is not one of ours: then it counts as no session.
local function decode(raw)
  if not raw or #raw < HEAD or string.byte(raw) ~= VERSION then return nil end
  local r = {}
  local flags, _
  _, flags, r.gen, r.access_jti, r.refresh_jti, r.access_issued, r.refresh_issued, r.mark, r.absolute, r.auth_time =
    struct.unpack(FORMAT, raw)
  r.seen = flags % 2 == SEEN
  r.tail = string.sub(raw, HEAD + 1)
  return r
end

local function encode(r)
  return struct.pack(FORMAT, VERSION, r.seen and SEEN or 0, r.gen, r.access_jti, r.refresh_jti, r.access_issued,
    r.refresh_issued, r.mark, r.absolute, r.auth_time) .. r.tail
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

local function rotate(r, access_jti, refresh_jti)
  r.gen, r.refresh_jti, r.refresh_issued, r.seen, r.mark = r.gen + 1, refresh_jti, now, false, now_ms
  with_access(r, access_jti)
end

-- One trip over the wire since the head was seen; two while it is on its way (core/rotation.py).
local function is_settled(r, grace_ms)
  return r.gen == 0 or now_ms >= r.mark + (r.seen and 1 or 2) * grace_ms
end

-- Replace the nth part of the tail.
local function splice(r, nth, part)
  local at = 1
  for _ = 2, nth do
    at = at + 2 + struct.unpack('>I2', r.tail, at)
  end
  local length = struct.unpack('>I2', r.tail, at)
  local old = string.sub(r.tail, at + 2, at + 1 + length)
  if old ~= part then
    r.tail = string.sub(r.tail, 1, at - 1) .. struct.pack('>I2', #part) .. part .. string.sub(r.tail, at + 2 + length)
  end
end
