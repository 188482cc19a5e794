-- look: a response head leaves late; what of it may still leave? (I15)
--
--   ARGV     sid, gen, refresh jti, 1 where a cookie wants to leave, idle (s), decided so long ago (ms)
--            known replication id or '', known since (ms)
--   returns  {now (ms), 'gone' (the session is over) | 'moved' (no pair leaves) | 'seen' (no cookie) | 'unseen' (all leaves)},
--            or {now (ms), 'lineage', unknown}
local r = load(ARGV[1], tonumber(ARGV[5]))
if not r then return {now_ms, 'gone'} end
if r.gen ~= tonumber(ARGV[2]) or r.refresh_jti ~= ARGV[3] then return {now_ms, 'moved'} end
-- Decided before the store lost writes: it may have been seen and superseded, and the store not know of it any more.
local late = lost_within(tonumber(ARGV[6]), ARGV[1], ARGV[7], ARGV[8])
if unknown then return {now_ms, 'lineage', unknown} end
if late then return {now_ms, 'moved'} end
if r.seen then return {now_ms, 'seen'} end
if ARGV[4] == '1' then
  -- Not sent again since its rotation: it leaves for the first time.
  if math.floor(r.mark / 1000) == r.refresh_issued then leaves(r) end
  r.mark = now_ms  -- the grace counts from the last sending
  save(ARGV[1], r, tonumber(ARGV[5]))
end
return {now_ms, 'unseen'}
