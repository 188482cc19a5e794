-- update_claims: new claims for one session or all of a user; their access tokens are replaced at once.
--
--   ARGV     one | all, sid of the one, claims, 16 random bytes that sort as a ULID, idle (s)
--   returns  {now (ms), number of sessions that were changed}
--
-- The refresh tokens stay.  Nobody has the new access token yet: the next presentation repeats it.
local whose, only, claims, base, idle = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

-- A jti of its own for every session from one random argument; it has to be unique, not secret.
local function derived_jti(sid)
  local digest = redis.sha1hex(base .. sid)
  local entropy = string.gsub(string.sub(digest, 1, 20), '%x%x', function(byte)
    return string.char(tonumber(byte, 16))
  end)
  return string.sub(base, 1, 6) .. entropy
end

local fields = whose == 'all' and redis.call('HKEYS', KEYS[1]) or {only}
local changed = 0
for _, sid in ipairs(fields) do
  local r = load(sid, idle)
  if r then
    splice(r, CLAIMS, claims)
    with_access(r, derived_jti(sid))
    save(sid, r, idle)
    changed = changed + 1
  end
end
return {now_ms, changed}
