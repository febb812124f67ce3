-- Adds the deltas of one batch of one partition to one shard and moves the shard's mark, or does nothing.
--
-- KEYS: every key that is touched; the batch refers to them by position. ARGV[1]: 'check' to write nothing. ARGV[2]: the
-- batch (MessagePack, see payload.py), then bytes that MessagePack could not carry here: the new entry of each order; the
-- present entry of each known order; the members of each large order's set.
-- Returns {1, minute_floor, near_limit} when applied, {0, mark} when the shard's mark (applied offset) is not the expected
-- one, {2, order} when the entry of an order is not the one that the batch was built on, {3, table and field} when a
-- figure would exceed LIMIT. Lists are flat, since each nested one costs an allocation.
--
-- A script is not rolled back: whatever can fail is read first, then all is written.

local check_only = ARGV[1] == 'check'
local batch = cmsgpack.unpack(ARGV[2])
local call, format, match, min, max = redis.call, string.format, string.match, math.min, math.max
local FIELDS_A_CALL = 1000 -- unpack() is bound by Lua's stack
local LIMIT = 2 ^ 53 -- numbers are doubles here, and scores in Redis too
local NEAR = LIMIT / 2 -- far more below LIMIT than one batch can add
-- Another partition's batch may come between a check and what it allows: for that a 64th is left.
if check_only then LIMIT = LIMIT - LIMIT / 64 end

local marks, totals_key = KEYS[1], KEYS[2]
local mark = call('HGET', marks, batch.mark_field) or '0'
if mark ~= batch.expected then
  return {0, mark}
end

local order_ids, known_orders, orders_key = batch.order_ids, batch.known_orders, KEYS[batch.orders_key]
local present = {}
for i, order in ipairs(known_orders) do present[order] = ARGV[2 + #order_ids + i] end
for at = 1, #order_ids, FIELDS_A_CALL do
  local to = min(at + FIELDS_A_CALL - 1, #order_ids)
  local found = call('HMGET', orders_key, unpack(order_ids, at, to))
  for order = at, to do
    if found[order - at + 1] ~= (present[order] or false) then return {2, order_ids[order]} end
  end
end

-- Counter c is the field fields[c] of its table; revenue[c], quantity[c] and orders[c] are added to it.
local fields, revenue, quantity, orders = batch.fields, batch.counter_revenue, batch.counter_quantity, batch.counter_orders

-- What is written: hashes and sorted sets, each a key and its arguments.
local hash_keys, hash_updates, set_keys, set_updates = {}, {}, {}, {}
local too_large, near
local function write_hash(key, update)
  hash_keys[#hash_keys + 1], hash_updates[#hash_updates + 1] = key, update
end
local function write_set(key, update)
  if #update > 0 then set_keys[#set_keys + 1], set_updates[#set_updates + 1] = key, update end
end

-- A sum beyond the limit refuses what leads away from 0 alone: a batch that adds nothing must always pass.
local function beyond(sum, by) return (sum > LIMIT and by > 0) or (sum < -LIMIT and by < 0) end

-- Figures are one packed value per counter; `update` gains it.
local function add_up(key, c, packed, update, n)
  local r, q, o = revenue[c], quantity[c], orders[c]
  if packed then
    local known_r, known_q, known_o = match(packed, '(%S+) (%S+) (%S+)')
    r, q, o = known_r + r, known_q + q, known_o + o
  end
  if r > NEAR or r < -NEAR or q > NEAR or q < -NEAR then
    near = true
    if beyond(r, revenue[c]) or beyond(q, quantity[c]) then too_large = key .. ' ' .. fields[c] end
  end
  update[n + 1], update[n + 2] = fields[c], format('%d %d %d', r, q, o)
  return r
end

local function add_figures(key, low, high)
  for at = low, high, FIELDS_A_CALL do
    local to = min(at + FIELDS_A_CALL - 1, high)
    local known = call('HMGET', key, unpack(fields, at, to))
    local update = {}
    for c = at, to do add_up(key, c, known[c - at + 1], update, 2 * (c - at)) end
    write_hash(key, update)
  end
end

local product_scores = {}
local function add_product(product, key, low, high)
  local known = call('HMGET', key, 'facts_at', unpack(fields, low, high)) -- three fields per day sold
  local update, n = {}, 2 * (high - low + 1)
  local total = add_up(key, low, known[2], update, 0)
  for c = low + 1, high do add_up(key, c, known[c - low + 2], update, 2 * (c - low)) end
  local seen_at = batch.product_seen_at[product]
  if seen_at >= tonumber(known[1] or '0') then
    update[n + 1], update[n + 2] = 'facts', batch.product_facts[product]
    update[n + 3], update[n + 4] = 'facts_at', format('%d', seen_at)
  end
  write_hash(key, update)
  local at = #product_scores
  product_scores[at + 1], product_scores[at + 2] = format('%d', -total), batch.product_ids[product]
end

local spenders, new_users, trimmed = {}, {}, {}
local function add_user(user, key, low, high)
  local user_id, first_seen, last_seen, purchases_key, purchases = unpack(user)
  local known = call('HMGET', key, 'first_seen', 'last_seen', unpack(fields, low, high))
  local update, n = {}, 2 * (high - low + 1)
  local total = add_up(key, low, known[3], update, 0)
  for c = low + 1, high do add_up(key, c, known[c - low + 3], update, 2 * (c - low)) end
  if not known[1] then new_users[#new_users + 1], new_users[#new_users + 2] = '0', user_id end
  if not known[1] or first_seen < tonumber(known[1]) then
    update[n + 1], update[n + 2], n = 'first_seen', format('%d', first_seen), n + 2
  end
  if not known[2] or last_seen > tonumber(known[2]) then
    update[n + 1], update[n + 2] = 'last_seen', format('%d', last_seen)
  end
  write_hash(key, update)
  spenders[#spenders + 1], spenders[#spenders + 2] = format('%d', -total), user_id
  write_set(KEYS[purchases_key], purchases)
  if known[1] or #purchases > 2 * batch.purchases_kept then trimmed[#trimmed + 1] = KEYS[purchases_key] end
end

local totals = {}
do
  local names = {'revenue', 'quantity', 'events', 'orders', 'buyers', 'minute_floor', 'first_event', 'last_event', 'near_limit'}
  for i, value in ipairs(call('HMGET', totals_key, unpack(names))) do totals[names[i]] = tonumber(value or nil) end
end
local floor = max(totals.minute_floor or 0, batch.minute_floor) -- it only rises
local function add_minutes(key, low, high)
  local from = low -- runs of minutes that are kept, each with one read and one write
  for c = low, high do
    if tonumber(fields[c]) < floor then
      if from < c then add_figures(key, from, c - 1) end
      from = c + 1
    end
  end
  if from <= high then add_figures(key, from, high) end
end

-- Tables are in this order: products, users, all others, minutes.
local products, users = #batch.product_ids, #batch.users
local minutes_from = #batch.table_keys - batch.minute_tables
local low = 1
for t, position in ipairs(batch.table_keys) do
  local key, high = KEYS[position], low + batch.table_sizes[t] - 1
  if t <= products then
    add_product(t, key, low, high)
  elseif t <= products + users then
    add_user(batch.users[t - products], key, low, high)
  elseif t <= minutes_from then
    add_figures(key, low, high)
  else
    add_minutes(key, low, high)
  end
  low = high + 1
end

local update = {}
local function set_total(name, value) update[#update + 1], update[#update + 2] = name, format('%d', value) end
local function add_total(name, by)
  local sum = (totals[name] or 0) + by
  if sum > NEAR or sum < -NEAR then near = true end
  if beyond(sum, by) then too_large = totals_key .. ' ' .. name end
  if by ~= 0 then set_total(name, sum) end
end
add_total('revenue', batch.revenue)
add_total('quantity', batch.quantity)
add_total('events', batch.events)
add_total('orders', #order_ids - #known_orders)
add_total('buyers', #new_users / 2)
if batch.minute_floor > (totals.minute_floor or 0) then set_total('minute_floor', floor) end
if batch.events > 0 then
  if not totals.first_event or batch.first_event < totals.first_event then
    set_total('first_event', batch.first_event)
  end
  if not totals.last_event or batch.last_event > totals.last_event then set_total('last_event', batch.last_event) end
  for _, name in ipairs({'applied_at', 'freshness_ms'}) do update[#update + 1], update[#update + 2] = name, batch[name] end
  -- The ledger holds the same sums by source partition: where a reconciliation differs, it names the partition.
  local key = KEYS[batch.ledger_key]
  local r, q, n = match(call('HGET', key, batch.partition) or '0 0 0', '(%S+) (%S+) (%S+)')
  r, q = r + batch.revenue, q + batch.quantity
  if beyond(r, batch.revenue) or beyond(q, batch.quantity) then
    too_large = too_large or key .. ' ' .. batch.partition
  end
  write_hash(key, {batch.partition, format('%d %d %d', r, q, n + batch.events)})
end
if near and not totals.near_limit then set_total('near_limit', 1) end
if #update > 0 then write_hash(totals_key, update) end
if too_large then return {3, too_large} end
if check_only then return {1, format('%d', floor), 1} end

-- From here on all is written.
for i, key in ipairs(hash_keys) do call('HSET', key, unpack(hash_updates[i])) end
for at = 1, #order_ids, FIELDS_A_CALL do
  local entries, n = {}, 0
  for order = at, min(at + FIELDS_A_CALL - 1, #order_ids) do
    entries[n + 1], entries[n + 2], n = order_ids[order], ARGV[2 + order], n + 2
  end
  call('HSET', orders_key, unpack(entries))
end
local member = 2 + #order_ids + #known_orders
for i = 1, #batch.large_orders, 2 do
  local key, last = KEYS[batch.large_orders[i]], member + batch.large_orders[i + 1]
  for at = member + 1, last, FIELDS_A_CALL do
    call('SADD', key, unpack(ARGV, at, min(at + FIELDS_A_CALL - 1, last)))
  end
  member = last
end
write_set(KEYS[batch.products_key], product_scores)
write_set(KEYS[batch.spenders_key], spenders)
write_set(KEYS[batch.users_key], new_users)
for i, key in ipairs(set_keys) do
  local pairs_of = set_updates[i]
  for at = 1, #pairs_of, FIELDS_A_CALL do
    call('ZADD', key, unpack(pairs_of, at, min(at + FIELDS_A_CALL - 1, #pairs_of)))
  end
end
for _, key in ipairs(trimmed) do call('ZREMRANGEBYRANK', key, 0, -batch.purchases_kept - 1) end
if batch.minute_floor > (totals.minute_floor or 0) then
  for _, key in ipairs(batch.expired_keys) do call('UNLINK', KEYS[key]) end
end

for _, pair in ipairs(batch.arrivals) do call('HINCRBY', KEYS[batch.arrivals_key], pair[1], pair[2]) end
if #batch.arrivals > 0 and call('HLEN', KEYS[batch.arrivals_key]) > 2 * batch.arrivals_kept then
  local oldest = batch.newest_arrival - batch.arrivals_kept
  for _, second in ipairs(call('HKEYS', KEYS[batch.arrivals_key])) do
    if tonumber(second) < oldest then call('HDEL', KEYS[batch.arrivals_key], second) end
  end
end
if #batch.newest_events > 0 then -- the shop's present depends on these alone
  call('ZADD', KEYS[batch.newest_events_key], unpack(batch.newest_events))
  call('ZREMRANGEBYRANK', KEYS[batch.newest_events_key], 0, -batch.newest_events_kept - 1)
end
for _, pair in ipairs(batch.lateness) do call('HINCRBY', KEYS[batch.lateness_key], pair[1], pair[2]) end
for _, pair in ipairs(batch.dead_letters) do call('HINCRBY', KEYS[batch.dead_letters_key], pair[1], pair[2]) end
for _, line in ipairs(batch.ticker) do
  call('XADD', KEYS[batch.ticker_key], 'MAXLEN', batch.ticker_kept, '*', 'line', line)
end
for _, pair in ipairs(batch.rows) do call('HSET', KEYS[batch.rows_key], pair[1], pair[2]) end
for at = 1, #batch.file_rows, FIELDS_A_CALL do
  call('SADD', KEYS[batch.file_rows_key], unpack(batch.file_rows, at, min(at + FIELDS_A_CALL - 1, #batch.file_rows)))
end
for _, pair in ipairs(batch.replays) do call('HSET', KEYS[batch.replays_key], pair[1], pair[2]) end
if batch.uncounted ~= '' then
  call('RPUSH', KEYS[batch.uncounted_key], batch.uncounted)
  call('LTRIM', KEYS[batch.uncounted_key], -batch.uncounted_kept, -1)
end

call('HSET', marks, batch.mark_field, batch.next)
if batch.timestamp ~= '' then call('HSET', marks, batch.timestamp_field, batch.timestamp) end
return {1, format('%d', floor), (near or totals.near_limit) and 1 or 0}
