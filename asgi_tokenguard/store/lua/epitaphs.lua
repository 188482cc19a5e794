-- epitaphs: the tombstones of a user.
--
--   ARGV     none
--   returns  {now (ms), sid, tombstone, sid, tombstone, ...}
local all, kept = redis.call('HGETALL', KEYS[2]), {now_ms}
for i = 1, #all, 2 do
  if buried_at(all[i + 1]) + DAY > now then
    kept[#kept + 1] = all[i]
    kept[#kept + 1] = all[i + 1]
  end
end
return kept
