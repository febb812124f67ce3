-- Adds the deltas of one batch of one partition to one shard and moves the shard's mark, or does nothing.
--
-- KEYS: every key that is touched; the batch names them by position. ARGV[1]: the batch (MessagePack, see store.py),
-- ARGV[2]: the orders' counter tokens, one after the other.
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

-- Facets are spread over counters: revenue[c], quantity[c], orders[c] is what counter c gains.
local revenue, quantity, orders = {}, {}, {}
for c = 1, batch.counters do
  revenue[c], quantity[c], orders[c] = 0, 0, 0
end
local tokens, token_at = {}, 1
for f, counters in ipairs(batch.facets) do
  tokens[f] = ARGV[2]:sub(token_at, token_at + #counters * TOKEN - 1)
  token_at = token_at + #counters * TOKEN
  for i = 1, #counters do
    local c = counters[i]
    revenue[c] = revenue[c] + batch.revenue[f]
    quantity[c] = quantity[c] + batch.quantity[f]
  end
end

-- Distinct orders: a counter counts an order once, ever; the order's entry lists the tokens of those that have.
local function count_new(facets)
  local seen, entry = {}, {}
  for i = 1, #facets do
    local counters = batch.facets[facets[i]]
    entry[i] = tokens[facets[i]]
    for j = 1, #counters do
      local c = counters[j]
      if not seen[c] then
        seen[c] = true
        orders[c] = orders[c] + 1
      end
    end
  end
  return table.concat(entry)
end
local function count_known(facets, known)
  local seen, fresh = {}, {}
  for at = 1, #known, TOKEN do seen[known:sub(at, at + TOKEN - 1)] = true end
  for i = 1, #facets do
    local counters, named = batch.facets[facets[i]], tokens[facets[i]]
    for j = 1, #counters do
      local token = named:sub((j - 1) * TOKEN + 1, j * TOKEN)
      if not seen[token] then
        seen[token] = true
        fresh[#fresh + 1] = token
        orders[counters[j]] = orders[counters[j]] + 1
      end
    end
  end
  return table.concat(fresh)
end
local new_orders, orders_key = 0, KEYS[batch.orders_key]
for _, order in ipairs(batch.orders) do
  local known = call('HGET', orders_key, order[1])
  if not known then
    new_orders = new_orders + 1
    call('HSET', orders_key, order[1], count_new(order[2]))
  else
    local fresh = count_known(order[2], known)
    if fresh ~= '' then call('HSET', orders_key, order[1], known .. fresh) end
  end
end

-- The minute floor only rises.
local floor = tonumber(call('HGET', totals, 'minute_floor') or '0')
if batch.minute_floor > floor then
  floor = batch.minute_floor
  call('HSET', totals, 'minute_floor', format('%d', floor))
  for _, key in ipairs(batch.expired_keys) do call('UNLINK', KEYS[key]) end
end

-- Figures: one packed value a counter, read and written in bulk. `first` is the counter of fields[1].
local function packed_sum(packed, c)
  if not packed then return format('%d %d %d', revenue[c], quantity[c], orders[c]) end
  local r, q, o = match(packed, '(%S+) (%S+) (%S+)')
  return format('%d %d %d', revenue[c] + r, quantity[c] + q, orders[c] + o)
end
local function add_figures(key, fields, first)
  for from = 1, #fields, FIELDS_A_CALL do
    local to = math.min(from + FIELDS_A_CALL - 1, #fields)
    local known = call('HMGET', key, unpack(fields, from, to))
    local update = {}
    for i = from, to do
      local at = 2 * (i - from)
      update[at + 1], update[at + 2] = fields[i], packed_sum(known[i - from + 1], first + i - 1)
    end
    call('HSET', key, unpack(update))
  end
end
for _, entry in ipairs(batch.tables) do add_figures(KEYS[entry[1]], entry[2], entry[3]) end
for _, entry in ipairs(batch.minutes) do
  for i, minute in ipairs(entry[2]) do
    if tonumber(minute) >= floor then add_figures(KEYS[entry[1]], {minute}, entry[3] + i - 1) end
  end
end

for _, product in ipairs(batch.products) do
  local key, fields, first, product_id, seen_at, facts = KEYS[product[1]], unpack(product, 2)
  if seen_at >= tonumber(call('HGET', key, 'facts_at') or '0') then
    call('HSET', key, 'facts', facts, 'facts_at', format('%d', seen_at))
  end
  add_figures(key, fields, first)
  call('ZINCRBY', KEYS[batch.products_key], format('%d', -revenue[first]), product_id) -- the first field is `total`
end

local buyers = 0
for _, user in ipairs(batch.users) do
  local key, fields, first, user_id, first_seen, last_seen, purchases_key, purchases = KEYS[user[1]], unpack(user, 2)
  if extend_range(key, 'first_seen', first_seen, 'last_seen', last_seen) then
    buyers = buyers + 1
    call('ZADD', KEYS[batch.users_key], 0, user_id)
  end
  add_figures(key, fields, first)
  call('ZINCRBY', KEYS[batch.spenders_key], format('%d', -revenue[first]), user_id)
  for from = 1, #purchases, FIELDS_A_CALL do
    call('ZADD', KEYS[purchases_key], unpack(purchases, from, math.min(from + FIELDS_A_CALL - 1, #purchases)))
  end
  call('ZREMRANGEBYRANK', KEYS[purchases_key], 0, -batch.purchases_kept - 1)
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
