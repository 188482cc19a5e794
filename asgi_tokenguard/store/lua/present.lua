-- present: what showing a refresh token does; core/rotation.py and core/doubts.py in Lua, tested against them row by row.
--
--   ARGV     sid, shown gen, shown jti, shown issued (s), caller (script | document | other), new access jti, new refresh
--            jti, access lifetime (s), idle (s), grace (ms)
--            packed address or '', network, device, gen of a genuine access token beside it or -1, 1 where it has passed,
--            1 where there is a visit at all
--            1 to doubt networks, 1 to doubt devices, linger after (ms), linger generations, user agent
--            known replication id or '', known since (ms)
--            limits (limits.lua), where there are some
--   returns  {now (ms), presented, outcome, record after, doubts}
--            {now (ms), presented, 'reuse', '', reason}
--            {now (ms), presented, 'limited', record after, how long to wait (ms)}
--            {now (ms), 'none', 'gone' | 'expired', '', reason or ''}
--            {now (ms), 'lineage', unknown}
--
-- One script, since a check that is written back later lets two requests rotate one token.
local sid, gen, jti, issued, caller = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local new_access, new_refresh = ARGV[6], ARGV[7]
local access, idle, grace_ms = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local address, network, device, held = ARGV[11], ARGV[12], ARGV[13], tonumber(ARGV[14])
local passed, visits = ARGV[15] == '1', ARGV[16] == '1'
local watch_network, watch_device = ARGV[17] == '1', ARGV[18] == '1'
local linger_after, linger_generations = tonumber(ARGV[19]), tonumber(ARGV[20])

local r, missing = load(sid, idle)
if not r then return {now_ms, 'none', missing, '', epitaph(sid)} end

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

-- Marks that are lost would make a head settled which is not: it waits, and nobody is accused.
if outcome == 'rotate' and lost_within((r.seen and 1 or 2) * grace_ms, sid, ARGV[22], ARGV[23]) then outcome = 'repeat'
elseif outcome == 'reuse' and presented == 'previous' and lost_within(grace_ms, sid, ARGV[22], ARGV[23]) then
  outcome = 'straggler'
elseif outcome == 'reuse' and lost_within(2 * grace_ms, sid, ARGV[22], ARGV[23]) then outcome = 'refuse' end
if unknown then return {now_ms, 'lineage', unknown} end

local knows_network = false
for at = 1, 13, 4 do
  knows_network = knows_network or string.sub(r.networks, at, at + 3) == network
end
local known, shown = string.byte(r.device, 4), string.byte(device, 4)
local same_strings = string.sub(r.device, 1, 3) == string.sub(device, 1, 3) and (known == shown or known == 0 or shown == 0)
local other_device = r.device ~= UNSET and device ~= UNSET and not same_strings
local left_at = (r.refresh_issued + r.left) * 1000

if outcome == 'reuse' then
  local reason = 'reuse_detected'
  if presented == 'previous' and visits and knows_network and not other_device then
    if held == r.gen then reason = 'cookie_not_stored'
    elseif math.abs(r.mark - left_at) <= 30000 then reason = 'rolled_back_client' end
  end
  bury(sid, reason, {presented, part(r, ADDRESS), part(r, DEVICE), address, ARGV[21]})
  redis.call('HDEL', KEYS[1], sid)
  return {now_ms, presented, outcome, '', reason}
end
if outcome == 'refuse' then return {now_ms, presented, outcome, encode(r), ''} end

-- Only now: a thief who keeps a limit exhausted is caught like any other.  Nothing is handed out to who has to wait, so that
-- what follows is what follows for a caller that can receive nothing (core/limits.py).
local wait = wait_for(24)
if wait > 0 then caller = 'other' end

local changed = false
if presented == 'previous' and linger_generations > 0 and not r.late and now_ms > left_at + linger_after then
  r.late, changed = true, true
end

local doubts = {}
if watch_network and not knows_network then doubts[#doubts + 1] = 'network' end
if (outcome == 'redeliver' and caller ~= 'other' or watch_device) and other_device then doubts[#doubts + 1] = 'device' end
local lingers = presented == 'previous' and linger_generations > 0 and r.late and r.late_run + 1 >= linger_generations
if lingers then doubts[#doubts + 1] = 'lingering' end
if #doubts > 0 and not passed then
  local raw = changed and save(sid, r, idle) or encode(r)
  if wait > 0 then return {now_ms, presented, 'limited', raw, wait} end
  return {now_ms, presented, 'judge', raw, table.concat(doubts, ',')}
end

if outcome == 'repeat' then
  changed = see(r) or changed
  if over and caller == 'script' then
    with_access(r, new_access)
    changed = true
  end
elseif caller ~= 'other' then
  if outcome == 'rotate' then
    rotate(r, new_access, new_refresh)
    changed = true
  elseif outcome == 'redeliver' then
    r.mark, changed = now_ms, true
    if over and caller == 'script' then with_access(r, new_access) end
  elseif outcome == 'adopt' then
    r.gen, r.refresh_jti, r.refresh_issued, r.seen, r.mark, r.late = gen, jti, issued, true, now_ms, false
    leaves(r)
    with_access(r, new_access)
    changed = true
  end
end

if visits and (passed or (outcome == 'rotate' and caller ~= 'other')) then
  local networks = network
  for at = 1, 13, 4 do
    local each = string.sub(r.networks, at, at + 3)
    if each ~= network and #networks < 16 then networks = networks .. each end
  end
  r.networks = networks
  if lingers and passed then r.late, r.late_run = false, 0 end
  if caller ~= 'other' and device ~= UNSET and device ~= r.device then
    r.device = device
    splice(r, DEVICE, '')
  end
  if address ~= '' then moved_to(r, address) end
  changed = true
end
local raw = changed and save(sid, r, idle) or encode(r)
if wait > 0 then return {now_ms, presented, 'limited', raw, wait} end
return {now_ms, presented, outcome, raw, table.concat(doubts, ',')}
