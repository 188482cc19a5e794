-- reauthenticated: the user has proved who they are once more; what is safe to renew is renewed (core/rotation.py: renew).
--
--   ARGV     sid, new access jti, new refresh jti, idle (s), grace (ms), known replication id or '', known since (ms)
--   returns  {now (ms), 'rotate' | 'replace', record}, {now (ms), 'gone' | 'expired', ''}, or {now (ms), 'lineage', unknown}
local idle, grace_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local r, missing = load(ARGV[1], idle)
if not r then return {now_ms, missing, ''} end

local outcome
r.late, r.late_run = false, 0  -- whoever lingered has proved who they are
if r.refresh_jti == ARGV[3] then
  -- This very call ran before and its reply was lost.  Replacing now would let an access token leave without its cookie.
  return {now_ms, 'rotate', encode(r)}
end
local is_safe = is_settled(r, grace_ms) and (r.seen or r.gen == 0)
is_safe = is_safe and not lost_within((r.seen and 1 or 2) * grace_ms, ARGV[1], ARGV[6], ARGV[7])
if unknown then return {now_ms, 'lineage', unknown} end
if is_safe then
  outcome = 'rotate'
  rotate(r, ARGV[2], ARGV[3])
else
  outcome = 'replace'
  with_access(r, ARGV[2])
end
r.auth_time = now
return {now_ms, outcome, save(ARGV[1], r, idle)}
