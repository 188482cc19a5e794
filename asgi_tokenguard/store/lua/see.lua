-- see: an access token was accepted, so its generation has arrived.
--
--   ARGV     sid, gen, access jti, idle (s)
--   returns  {now (ms), 1 where that token is live (and seen from now on), else 0}
--
-- Conditional on gen and jti: the plain read before it may be old by now.
local r = load(ARGV[1], tonumber(ARGV[4]))
if not r or r.gen ~= tonumber(ARGV[2]) or r.access_jti ~= ARGV[3] then return {now_ms, 0} end
if see(r) then save(ARGV[1], r, tonumber(ARGV[4])) end
return {now_ms, 1}
