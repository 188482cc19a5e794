-- describe: what was found out off the request path of a session's device and place.
--
--   ARGV     sid, device name, packed device, packed address, packed place, idle (s)
--   returns  {now (ms), 1 where it was written}
--
-- It may come late: only what still fits is written, and never a record that is not there.
local r = load(ARGV[1], tonumber(ARGV[6]))
if not r then return {now_ms, 0} end
local fits = 0
if r.device == ARGV[2] and ARGV[3] ~= '' then
  splice(r, DEVICE, ARGV[3])
  fits = 1
end
if part(r, ADDRESS) == ARGV[4] and ARGV[5] ~= '' then
  splice(r, PLACE, ARGV[5])
  fits = 1
end
if fits == 1 then save(ARGV[1], r, tonumber(ARGV[6])) end
return {now_ms, fits}
