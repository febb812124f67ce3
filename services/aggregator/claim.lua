-- Assigns each event id to the first record that claims it; a record may claim again what it owns.
--
-- KEYS: claims (hash id → record), log of the newest ids (list), replays (hash id → record, never expires).
-- ARGV: how many of the newest ids to keep, then id, record, 'replay' or '', …
-- Returns the owning record of each id, in order.

local call = redis.call
local claims, log, replays, kept = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
local replayed_before = call('EXISTS', replays) == 1

local function claim(id, record)
  if call('HSETNX', claims, id, record) == 1 then
    call('RPUSH', log, id)
    return record
  end
  return call('HGET', claims, id)
end

local owners = {}
for i = 2, #ARGV, 3 do
  local id, record, is_replay = ARGV[i], ARGV[i + 1], ARGV[i + 2] == 'replay'
  local owner = replayed_before and call('HGET', replays, id)
  if not owner and is_replay then
    -- The current owner keeps it: otherwise a replay would count again once the claim has been dropped.
    owner = call('HGET', claims, id) or record
    call('HSET', replays, id, owner)
    replayed_before = true
  end
  owners[#owners + 1] = owner or claim(id, record)
end
for _ = kept + 1, call('LLEN', log) do
  call('HDEL', claims, call('LPOP', log))
end
return owners
