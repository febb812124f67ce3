-- Adds the deltas of one batch of one partition to one shard and moves the shard's mark, or does nothing.
--
-- KEYS: every key that is touched; the batch names them by position. ARGV[1]: the batch (MessagePack), see store.py.
-- Returns {1, minute_floor} when applied, {0, mark} when the shard stands elsewhere than the batch supposes.
-- Numbers are doubles here: figures are exact up to 2^53 cents.

local batch = cmsgpack.unpack(ARGV[1])
local call, format, match = redis.call, string.format, string.match
local TOKEN = 8
local FIELDS_A_CALL = 1000 -- unpack() is bound by Lua's stack

local marks, totals = KEYS[1], KEYS[2]
local mark = call('HGET', marks, batch.partition) or '0'
if mark ~= batch.expected then
  return {0, mark}
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

-- Distinct orders: a batch supposes that its orders are new; take back what an order has counted before.
local new_orders = 0
local function take_back(order_id, tokens, counters, known)
  local seen, fresh = {}, {}
  for at = 1, #known, TOKEN do seen[known:sub(at, at + TOKEN - 1)] = true end
  for i, counter in ipairs(counters) do
    local token = tokens:sub((i - 1) * TOKEN + 1, i * TOKEN)
    if seen[token] then
      batch.orders[counter] = batch.orders[counter] - 1
    else
      fresh[#fresh + 1] = token
    end
  end
  if #fresh > 0 then call('HSET', KEYS[batch.orders_key], order_id, known .. table.concat(fresh)) end
end
for _, order in ipairs(batch.order_deltas) do
  local order_id, tokens = order[1], order[2]
  if call('HSETNX', KEYS[batch.orders_key], order_id, tokens) == 1 then
    new_orders = new_orders + 1
  else
    take_back(order_id, tokens, order[3], call('HGET', KEYS[batch.orders_key], order_id))
  end
end

-- The minute floor only rises.
local floor = tonumber(call('HGET', totals, 'minute_floor') or '0')
if batch.minute_floor > floor then
  floor = batch.minute_floor
  call('HSET', totals, 'minute_floor', format('%d', floor))
  for _, key in ipairs(batch.expired_keys) do call('UNLINK', KEYS[key]) end
end

-- Figures: one packed value a counter, read and written in bulk.
local function add_figures(key, fields, first)
  for from = 1, #fields, FIELDS_A_CALL do
    local to = math.min(from + FIELDS_A_CALL - 1, #fields)
    local known = call('HMGET', key, unpack(fields, from, to))
    local update = {}
    for i = from, to do
      local at = first + i - 1
      local revenue, quantity, orders = batch.revenue[at], batch.quantity[at], batch.orders[at]
      local packed = known[i - from + 1]
      if packed then
        local r, q, o = match(packed, '(%S+) (%S+) (%S+)')
        revenue, quantity, orders = revenue + r, quantity + q, orders + o
      end
      update[#update + 1] = fields[i]
      update[#update + 1] = format('%d %d %d', revenue, quantity, orders)
    end
    call('HSET', key, unpack(update))
  end
end
for _, group in ipairs(batch.groups) do
  add_figures(KEYS[group[1]], group[2], group[3])
end
for _, minute in ipairs(batch.minutes) do
  if tonumber(minute[2]) >= floor then add_figures(KEYS[minute[1]], {minute[2]}, minute[3]) end
end

local buyers = 0
for _, user in ipairs(batch.users) do
  local user_id, revenue, first_seen, last_seen, purchases = user[3], user[4], user[5], user[6], user[7]
  if extend_range(KEYS[user[1]], 'first_seen', first_seen, 'last_seen', last_seen) then
    buyers = buyers + 1
    call('ZADD', KEYS[batch.users_key], 0, user_id)
  end
  call('ZINCRBY', KEYS[batch.spenders_key], format('%d', -revenue), user_id)
  for from = 1, #purchases, FIELDS_A_CALL do
    call('ZADD', KEYS[user[2]], unpack(purchases, from, math.min(from + FIELDS_A_CALL - 1, #purchases)))
  end
  call('ZREMRANGEBYRANK', KEYS[user[2]], 0, -batch.purchases_kept - 1)
end

for _, product in ipairs(batch.products) do
  local key, product_id, revenue, seen_at, facts = KEYS[product[1]], product[2], product[3], product[4], product[5]
  call('ZINCRBY', KEYS[batch.products_key], format('%d', -revenue), product_id)
  if seen_at >= tonumber(call('HGET', key, 'facts_at') or '0') then
    call('HSET', key, 'facts', facts, 'facts_at', format('%d', seen_at))
  end
end

if batch.events > 0 then
  extend_range(totals, 'first_event', batch.first_event, 'last_event', batch.last_event)
end
add(totals, 'revenue', batch.total_revenue)
add(totals, 'quantity', batch.total_quantity)
add(totals, 'events', batch.events)
add(totals, 'orders', new_orders)
add(totals, 'buyers', buyers)
call('HSET', totals, 'applied_at', batch.applied_at, 'freshness_ms', batch.freshness_ms)

for _, pair in ipairs(batch.arrivals) do call('HINCRBY', KEYS[batch.arrivals_key], pair[1], pair[2]) end
if #batch.arrivals > 0 and call('HLEN', KEYS[batch.arrivals_key]) > 2 * batch.arrivals_kept then
  local oldest = batch.newest_arrival - batch.arrivals_kept
  for _, second in ipairs(call('HKEYS', KEYS[batch.arrivals_key])) do
    if tonumber(second) < oldest then call('HDEL', KEYS[batch.arrivals_key], second) end
  end
end
for _, pair in ipairs(batch.lateness) do call('HINCRBY', KEYS[batch.lateness_key], pair[1], pair[2]) end
for _, pair in ipairs(batch.dead_letters) do call('HINCRBY', KEYS[batch.dead_letters_key], pair[1], pair[2]) end
for _, line in ipairs(batch.ticker) do
  call('XADD', KEYS[batch.ticker_key], 'MAXLEN', batch.ticker_kept, '*', 'line', line)
end
for _, pair in ipairs(batch.rows) do call('HSET', KEYS[batch.rows_key], pair[1], pair[2]) end

call('HSET', marks, batch.partition, batch.next)
return {1, format('%d', floor)}
