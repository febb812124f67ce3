-- Gives each event id to the first record that asks for it; a record may ask again for what it owns.
--
-- KEYS: claims (hash id → record), log of the newest ids (list). ARGV: how many ids to keep, then id, record, …
-- Returns the owning record of each id, in order.

local claims, log, kept = KEYS[1], KEYS[2], tonumber(ARGV[1])
local owners = {}
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', claims, ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('RPUSH', log, ARGV[i])
    owners[#owners + 1] = ARGV[i + 1]
  else
    owners[#owners + 1] = redis.call('HGET', claims, ARGV[i])
  end
end
for _ = kept + 1, redis.call('LLEN', log) do
  redis.call('HDEL', claims, redis.call('LPOP', log))
end
return owners
