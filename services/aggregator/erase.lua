-- Removes one customer from one shard: the entry in `users` says whether the shard counts them as a buyer.
--
-- KEYS: users, totals, spenders, user:<id>, purchases:<id>. ARGV[1]: the id.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'buyers', -1)
end
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('UNLINK', KEYS[4], KEYS[5])
