-- When the server may last have lost writes; this file stands before the scripts that ask.
--
-- A server that starts, or is promoted, takes a new replication id.  What it was given to read or had heard of by then may be
-- the past: sessions that began before are judged as if their `mark` were no older than that (core/rotation.py).

-- Of an id that the caller does not know: the id and a guess (ms), with a blank between.  Nothing is decided then: the caller
-- asks whoever has met it first (store/lineage.py), and comes again.
local unknown

-- The moment (ms): since, where the caller has known this id since then.  An id that nobody has met is one of a server that was
-- promoted, perhaps just now, or else has it since it started.  A user who may not ask INFO knows of no loss.
local function lost_at(known, since)
  local info = redis.pcall('INFO', 'replication')
  local id = type(info) == 'string' and string.match(info, 'master_replid:(%x+)')
  if not id then return nil end
  if id ~= known then
    local server = redis.pcall('INFO', 'server')
    local uptime = type(server) == 'string' and string.match(server, 'uptime_in_seconds:(%d+)')
    local promoted = string.find(string.match(info, 'master_replid2:(%x+)') or '1', '[^0]')
    since = (promoted or not uptime) and now_ms or now_ms - (tonumber(uptime) + 1) * 1000
    unknown = string.format('%s %.0f', id, since)
  end
  return tonumber(since)
end

local asked, lost
-- Whether sid began before writes may have been lost, less than so many milliseconds ago.
local function lost_within(ms, sid, known, since)
  if not asked then asked, lost = true, lost_at(known, since) end
  return lost ~= nil and began_at(sid) * 1000 < lost and now_ms < lost + ms
end
