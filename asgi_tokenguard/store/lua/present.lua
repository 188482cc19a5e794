-- present: what showing a refresh token does; the same table as core/rotation.py, tested against it row by row.
--
--   ARGV     sid, shown gen, shown jti, shown issued (s), caller (script | document | other),
--            new access jti, new refresh jti, access lifetime (s), idle (s), grace (ms), packed address or ''
--   returns  {now (ms), presented, outcome, record after}, or {now (ms), 'none', 'gone' | 'expired', ''}
--
-- One script, since a check that is written back later lets two requests rotate one token.
local sid, gen, jti, issued, caller = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local new_access, new_refresh = ARGV[6], ARGV[7]
local access, idle, grace_ms, address = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]

local r, missing = load(sid, idle)
if not r then return {now_ms, 'none', missing, ''} end

local presented
if gen > r.gen then presented = 'ahead'
elseif gen == r.gen then presented = jti == r.refresh_jti and 'head' or 'twin'
elseif gen == r.gen - 1 then presented = 'previous'
else presented = 'older' end

local settled = is_settled(r, grace_ms)
local over = now >= r.access_issued + access

local outcome
if presented == 'head' then outcome = settled and over and 'rotate' or 'repeat'
elseif presented == 'twin' then outcome = r.seen and 'refuse' or 'redeliver'
elseif presented == 'ahead' then outcome = 'adopt'
elseif presented == 'older' then outcome = 'reuse'
elseif not r.seen then outcome = 'redeliver'
else outcome = settled and 'reuse' or 'straggler' end

if outcome == 'reuse' then
  redis.call('HDEL', KEYS[1], sid)
  return {now_ms, presented, outcome, ''}
end

local changed = false
if outcome == 'repeat' then
  changed = see(r)
  if over and caller == 'script' then
    with_access(r, new_access)
    changed = true
  end
elseif caller ~= 'other' then
  if outcome == 'rotate' then
    rotate(r, new_access, new_refresh)
    if address ~= '' then splice(r, 2, address) end
    changed = true
  elseif outcome == 'redeliver' then
    r.mark, changed = now_ms, true
    if over and caller == 'script' then with_access(r, new_access) end
  elseif outcome == 'adopt' then
    r.gen, r.refresh_jti, r.refresh_issued, r.seen, r.mark = gen, jti, issued, true, now_ms
    with_access(r, new_access)
    changed = true
  end
end
return {now_ms, presented, outcome, changed and save(sid, r, idle) or encode(r)}
