-- end: end one session, all but one, or all of a user, and leave a tombstone.
--
--   ARGV     one | others | all, sid (of the one, or of the one that stays), idle (s), reason, 1 where replicas are asked
--   returns  {now (ms), number of live sessions that were ended}
local how, sid, idle, reason = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local ended = {}
local function count(id, raw)
  local r = decode(raw)
  if r and now < ends_at(r, idle) then ended[#ended + 1] = id end
end

if how == 'one' then
  count(sid, redis.call('HGET', KEYS[1], sid))
  redis.call('HDEL', KEYS[1], sid)
else
  local all = redis.call('HGETALL', KEYS[1])
  local kept
  for i = 1, #all, 2 do
    if how == 'others' and all[i] == sid then kept = all[i + 1] else count(all[i], all[i + 1]) end
  end
  -- One DEL: a list of thousands of fields would not fit an argument list.
  local until_ms = redis.call('PTTL', KEYS[1])
  redis.call('DEL', KEYS[1])
  if kept then
    redis.call('HSET', KEYS[1], sid, kept)
    if until_ms > 0 then redis.call('PEXPIRE', KEYS[1], until_ms) end
  end
end

if #ended > AT_ONCE then
  bury('*', reason)
else
  for _, id in ipairs(ended) do bury(id, reason) end
end
-- Replicas are asked for the last write of this connection.  Who ends once more what was ended but not confirmed changes
-- nothing, perhaps over another connection: so that the answer covers that change too, there is a write that leaves nothing.
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[2], '~', '')
  redis.call('HDEL', KEYS[2], '~')
end
return {now_ms, #ended}
