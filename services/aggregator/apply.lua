-- Adds the deltas of one batch of one partition to one shard and moves the shard's mark, or does nothing.
--
-- KEYS: every key that is touched; the batch refers to them by position. ARGV[1]: the batch (MessagePack, see payload.py),
-- ARGV[2]: the counters' tokens, group by group.
-- Returns {1, minute_floor} when applied, {0, mark} when the shard's mark (applied offset) is not the expected one.
-- Numbers are doubles here: figures are exact up to 2^53 cents. Lists are flat, since each nested one costs an allocation.

local batch = cmsgpack.unpack(ARGV[1])
local call, format, match = redis.call, string.format, string.match
local TOKEN = 8
local FIELDS_A_CALL = 1000 -- unpack() is bound by Lua's stack

local marks, totals = KEYS[1], KEYS[2]
local mark = call('HGET', marks, batch.partition) or '0'
if mark ~= batch.expected then
  return {0, mark}
end
-- Check before the first write: a script that fails half-way would be applied twice.
if math.abs(tonumber(call('HGET', totals, 'revenue') or '0') + batch.revenue) > 2 ^ 53 then
  return redis.error_reply('revenue exceeds 2^53 cents, beyond which figures are not exact')
end

local function add(key, field, by)
  if by ~= 0 then call('HINCRBY', key, field, format('%d', by)) end
end

local function extend_range(key, low_field, low, high_field, high)
  local known = call('HMGET', key, low_field, high_field)
  if not known[1] or low < tonumber(known[1]) then call('HSET', key, low_field, format('%d', low)) end
  if not known[2] or high > tonumber(known[2]) then call('HSET', key, high_field, format('%d', high)) end
  return known[1] == false
end

-- Expand groups into counters: counter c gains revenue[c], quantity[c], orders[c].
local revenue, quantity, orders = {}, {}, {}
for c = 1, #batch.fields do
  revenue[c], quantity[c], orders[c] = 0, 0, 0
end
local counters_of, tokens_of = batch.group_counters, {} -- group g has counters_of[first[g]] .. counters_of[first[g + 1] - 1]
local first = {1}
for g, size in ipairs(batch.group_sizes) do
  local from = first[g]
  first[g + 1] = from + size
  tokens_of[g] = ARGV[2]:sub((from - 1) * TOKEN + 1, (from + size - 1) * TOKEN)
  local r, q = batch.group_revenue[g], batch.group_quantity[g]
  for i = from, from + size - 1 do
    local c = counters_of[i]
    revenue[c], quantity[c] = revenue[c] + r, quantity[c] + q
  end
end

-- Distinct orders: a counter counts each order once. The order's entry lists the tokens of the counters that have.
local counted_by = {} -- counter -> the last order of this batch that it has counted
local function count_new(order, groups, from, to)
  for i = from, to do
    for j = first[groups[i]], first[groups[i] + 1] - 1 do
      local c = counters_of[j]
      if counted_by[c] ~= order then
        counted_by[c] = order
        orders[c] = orders[c] + 1
      end
    end
  end
end
local function count_known(groups, from, to, known)
  local seen, fresh = {}, {}
  for at = 1, #known, TOKEN do seen[known:sub(at, at + TOKEN - 1)] = true end
  for i = from, to do
    local g = groups[i]
    for j = first[g], first[g + 1] - 1 do
      local at = (j - first[g]) * TOKEN
      local token = tokens_of[g]:sub(at + 1, at + TOKEN)
      if not seen[token] then
        seen[token] = true
        fresh[#fresh + 1] = token
        orders[counters_of[j]] = orders[counters_of[j]] + 1
      end
    end
  end
  return table.concat(fresh)
end
local new_orders, orders_key, from = 0, KEYS[batch.orders_key], 1
for order, order_id in ipairs(batch.order_ids) do
  local to = from + batch.order_sizes[order] - 1
  local entry = {}
  for i = from, to do entry[i - from + 1] = tokens_of[batch.order_groups[i]] end
  if call('HSETNX', orders_key, order_id, table.concat(entry)) == 1 then
    new_orders = new_orders + 1
    count_new(order, batch.order_groups, from, to)
  else
    local known = call('HGET', orders_key, order_id)
    local fresh = count_known(batch.order_groups, from, to, known)
    if fresh ~= '' then call('HSET', orders_key, order_id, known .. fresh) end
  end
  from = to + 1
end

-- The minute floor only rises.
local floor = tonumber(call('HGET', totals, 'minute_floor') or '0')
if batch.minute_floor > floor then
  floor = batch.minute_floor
  call('HSET', totals, 'minute_floor', format('%d', floor))
  for _, key in ipairs(batch.expired_keys) do call('UNLINK', KEYS[key]) end
end

-- Figures: one packed value per counter, read and written in bulk. Counter c is the field batch.fields[c] of its table.
-- Tables are in this order: products, users, all others, minutes.
local function packed_sum(packed, c)
  if not packed then return format('%d %d %d', revenue[c], quantity[c], orders[c]) end
  local r, q, o = match(packed, '(%S+) (%S+) (%S+)')
  return format('%d %d %d', revenue[c] + r, quantity[c] + q, orders[c] + o)
end
local function add_figures(key, low, high)
  for at = low, high, FIELDS_A_CALL do
    local to = math.min(at + FIELDS_A_CALL - 1, high)
    local known = call('HMGET', key, unpack(batch.fields, at, to))
    local update, n = {}, 0
    for c = at, to do
      update[n + 1], update[n + 2] = batch.fields[c], packed_sum(known[c - at + 1], c)
      n = n + 2
    end
    call('HSET', key, unpack(update))
  end
end

local function add_product(product, key, low, high)
  local known = call('HMGET', key, 'facts_at', unpack(batch.fields, low, high)) -- three fields per day sold
  local update, n = {}, 0
  for c = low, high do
    update[n + 1], update[n + 2] = batch.fields[c], packed_sum(known[c - low + 2], c)
    n = n + 2
  end
  local seen_at = batch.product_seen_at[product]
  if seen_at >= tonumber(known[1] or '0') then
    update[n + 1], update[n + 2] = 'facts', batch.product_facts[product]
    update[n + 3], update[n + 4] = 'facts_at', format('%d', seen_at)
  end
  call('HSET', key, unpack(update))
  call('ZINCRBY', KEYS[batch.products_key], format('%d', -revenue[low]), batch.product_ids[product])
end

local buyers = 0
local function add_user(user, key, low, high)
  local user_id, first_seen, last_seen, purchases_key, purchases = unpack(user)
  if extend_range(key, 'first_seen', first_seen, 'last_seen', last_seen) then
    buyers = buyers + 1
    call('ZADD', KEYS[batch.users_key], 0, user_id)
  end
  add_figures(key, low, high)
  call('ZINCRBY', KEYS[batch.spenders_key], format('%d', -revenue[low]), user_id)
  for at = 1, #purchases, FIELDS_A_CALL do
    call('ZADD', KEYS[purchases_key], unpack(purchases, at, math.min(at + FIELDS_A_CALL - 1, #purchases)))
  end
  call('ZREMRANGEBYRANK', KEYS[purchases_key], 0, -batch.purchases_kept - 1)
end

local function add_minutes(key, low, high)
  for c = low, high do
    if tonumber(batch.fields[c]) >= floor then add_figures(key, c, c) end
  end
end

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

if batch.events > 0 then
  extend_range(totals, 'first_event', batch.first_event, 'last_event', batch.last_event)
end
add(totals, 'revenue', batch.revenue)
add(totals, 'quantity', batch.quantity)
add(totals, 'events', batch.events)
add(totals, 'orders', new_orders)
add(totals, 'buyers', buyers)
if batch.events > 0 then
  call('HSET', totals, 'applied_at', batch.applied_at, 'freshness_ms', batch.freshness_ms)
  -- The ledger holds the same sums by source partition: where a reconciliation differs, it names the partition.
  local r, q, n = match(call('HGET', KEYS[batch.ledger_key], batch.partition) or '0 0 0', '(%S+) (%S+) (%S+)')
  local entry = format('%d %d %d', r + batch.revenue, q + batch.quantity, n + batch.events)
  call('HSET', KEYS[batch.ledger_key], batch.partition, entry)
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

call('HSET', marks, batch.partition, batch.next, batch.timestamp_field, batch.timestamp)
return {1, format('%d', floor)}
