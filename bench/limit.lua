#!/usr/bin/env sysbench
-- The limit: what MySQL itself does when a C client sends it the fewest statements that leave the
-- same rows as an operation of ours, or read the same. Prepared once; no HTTP, no JSON, no check of
-- anything. Run by bench/load.py.

sysbench.cmdline.options = {
   operation = {"One of `operations` below", "get_product"},
   run = {"A word that no other run has, for what must be unique", "0"},
   first = {"The first of the orders that confirm and cancel take, one after the other", 1},
   products = {"How many of the products are ordered", 1000},
}

-- As many as bench/data.sql makes.
local CUSTOMERS, PRODUCTS, ORDERS = 1000, 1000, 1000
-- What is kept under a key: an order of three lines has some 1,100 bytes.
local BODY = string.rep("x", 1100)

local INT, TEXT = sysbench.sql.type.INT, sysbench.sql.type.CHAR
local random = sysbench.rand.uniform

local con, statements
local calls = 0

-- Return a function that executes `sql`; its arguments, numbers or texts, are the placeholders'.
local function prepare(sql, kinds)
   local stmt, params = con:prepare(sql), {}
   for i = 1, #(kinds or "") do
      local is_number = kinds:sub(i, i) == "n"
      params[i] = is_number and stmt:bind_create(INT) or stmt:bind_create(TEXT, 1200)
   end
   if #params > 0 then
      stmt:bind_param(unpack(params))
   end
   return function(...)
      for i, param in ipairs(params) do
         param:set((select(i, ...)))
      end
      stmt:execute()
   end
end

local ORDER = "id, customer_id, customer_name, customer_email, customer_phone, customer_reference, " ..
   "status, total_cents, version, created_at, confirmed_at, canceled_at, expires_at"
local ORDER_AND_ITEMS = "SELECT " .. ORDER .. ", product_id, sku, name, qty, unit_price_cents, subtotal_cents " ..
   "FROM orders AS o JOIN order_items AS i ON i.order_id = o.id WHERE o.id = ? ORDER BY i.line_no"
local PRODUCT = "id, sku, name, price_cents, stock, active, version, created_at, updated_at"

-- The events of an order and of its movements of stock, in one statement.
local EVENTS = "INSERT INTO events (type, subject_type, subject_id, subject_version, order_id, stock_delta, data, " ..
   "actor, request_id, created_at) VALUES "
local ORDER_DATA = [['{"status":"CREATED","total_cents":3000,"customer_id":1,"customer_reference":null}']]
local STOCK_DATA = [['{"cause":"order","stock":1000}']]
local WHO = "'bench', ?, UTC_TIMESTAMP(6)"

-- An order's lines differ in number, and so do the statements.
local function prepare_lines(count)
   local products = string.rep("?, ", count - 1) .. "?"
   local rows = string.rep("(LAST_INSERT_ID(), ?, ?, 'SKU', 'Product', 1, 1000, 1000), ", count)
   return {
      lock = prepare("SELECT " .. PRODUCT .. " FROM products WHERE id IN (" .. products .. ") ORDER BY id FOR UPDATE",
         string.rep("n", count)),
      insert = prepare("INSERT INTO order_items (order_id, product_id, line_no, sku, name, qty, unit_price_cents, " ..
         "subtotal_cents) VALUES " .. rows:sub(1, -3), string.rep("nn", count)),
      take = prepare("UPDATE products SET stock = stock - 1, version = version + 1, updated_at = UTC_TIMESTAMP(6) " ..
         "WHERE id IN (" .. products .. ")", string.rep("n", count)),
      record = prepare(EVENTS .. "('order.created', 'order', LAST_INSERT_ID(), 1, NULL, NULL, " .. ORDER_DATA .. ", " ..
         WHO .. ")" .. string.rep(", ('product.stock_changed', 'product', ?, 2, LAST_INSERT_ID(), -1, " .. STOCK_DATA ..
         ", " .. WHO .. ")", count), "t" .. string.rep("nt", count)),
   }
end

function thread_init()
   con = sysbench.sql.driver():connect()
   con:query("SET time_zone = '+00:00', SESSION transaction_isolation = 'READ-COMMITTED'")
   statements = {
      begin = prepare("START TRANSACTION"),
      commit = prepare("COMMIT"),
      product = prepare("SELECT " .. PRODUCT .. " FROM products WHERE id = ?", "n"),
      customer = prepare("SELECT id, name, email, phone FROM customers WHERE id = ? AND deleted_at IS NULL", "n"),
      order = prepare(ORDER_AND_ITEMS, "n"),
      orders = prepare("SELECT " .. ORDER .. " FROM orders ORDER BY created_at DESC, id DESC LIMIT 21"),
      lock_order = prepare(ORDER_AND_ITEMS .. " FOR UPDATE OF o", "n"),
      insert_order = prepare("INSERT INTO orders (customer_id, customer_name, customer_email, status, total_cents, " ..
         "created_at, expires_at) VALUES (?, 'ACME', 'ops@acme.example', 'CREATED', ?, UTC_TIMESTAMP(6), " ..
         "UTC_TIMESTAMP(6))", "nn"),
      confirm = prepare("UPDATE orders SET status = 'CONFIRMED', confirmed_at = UTC_TIMESTAMP(6), " ..
         "version = version + 1 WHERE id = ?", "n"),
      cancel = prepare("UPDATE orders SET status = 'CANCELED', canceled_at = UTC_TIMESTAMP(6), " ..
         "version = version + 1 WHERE id = ?", "n"),
      restore = prepare("UPDATE products SET stock = stock + 1, version = version + 1, updated_at = UTC_TIMESTAMP(6) " ..
         "WHERE id IN (?, ?, ?)", "nnn"),
      insert_confirmed = prepare(EVENTS .. "('order.confirmed', 'order', ?, 2, NULL, NULL, " .. ORDER_DATA .. ", " .. WHO .. ")",
         "nt"),
      insert_canceled = prepare(EVENTS .. "('order.canceled', 'order', ?, 2, NULL, NULL, " .. ORDER_DATA .. ", " .. WHO .. ")" ..
         string.rep(", ('product.stock_changed', 'product', ?, 2, ?, 1, " .. STOCK_DATA .. ", " .. WHO .. ")", 3),
         "nt" .. string.rep("nnt", 3)),
      record_customer = prepare(EVENTS .. "('customer.created', 'customer', LAST_INSERT_ID(), 1, NULL, NULL, NULL, " .. WHO ..
         ")", "t"),
      insert_customer = prepare("INSERT INTO customers (name, email, phone, created_at, updated_at) " ..
         "VALUES (?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", "ttt"),
      insert_key = prepare("INSERT INTO idempotency_keys (caller, operation, idempotency_key, fingerprint, " ..
         "target_type, target_id, status, response_body, created_at, expires_at) VALUES ('limit', ?, ?, " ..
         "REPEAT('f', 32), 'order', LAST_INSERT_ID(), 200, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))", "ttt"),
      key = prepare("SELECT fingerprint, target_type, target_id, status, response_body, expires_at " ..
         "FROM idempotency_keys WHERE caller = 'limit' AND operation = 'replay' AND idempotency_key = ?", "t"),
   }
   for _, count in ipairs({1, 3, 20}) do
      statements[count] = prepare_lines(count)
   end
   if sysbench.opt.operation == "replay" then
      -- One key a thread; the others read nothing else either.
      statements.insert_key("replay", sysbench.opt.run .. "-" .. sysbench.tid, BODY)
   end
end

local function unique()
   return sysbench.opt.run .. "-" .. sysbench.tid .. "-" .. calls
end

-- `count` neighbours from a random place, in id order as ours locks them.
local function some_products(count)
   local start = random(1, sysbench.opt.products - count + 1)
   local ids, numbered = {}, {}
   for i = 1, count do
      ids[i] = start + i - 1
      numbered[2 * i - 1], numbered[2 * i] = ids[i], i
   end
   return ids, numbered
end

local function create_order(count)
   local ids, numbered = some_products(count)
   local lines, customer = statements[count], random(1, CUSTOMERS)
   statements.customer(customer)
   statements.begin()
   lines.lock(unpack(ids))
   statements.insert_order(customer, 1000 * count)
   lines.insert(unpack(numbered))
   lines.take(unpack(ids))
   statements.insert_key("create", unique(), BODY)
   local recorded = {unique()}
   for i, product in ipairs(ids) do
      recorded[2 * i], recorded[2 * i + 1] = product, unique()
   end
   lines.record(unpack(recorded))
   statements.commit()
end

-- The order that is next for this thread.
local function next_order()
   return sysbench.opt.first + sysbench.tid % sysbench.opt.threads + (calls - 1) * sysbench.opt.threads
end

local function change_order(id, event, update, record)
   statements.begin()
   statements.lock_order(id)
   update(id)
   record(id)
   statements.insert_key(event, unique(), BODY)
   statements.commit()
end

local function confirmed(id)
   statements.insert_confirmed(id, unique())
end

-- Three neighbours, as every order of bench/data.sql has; which ones makes no difference.
local function canceled(id)
   local a, b, c, request = id % PRODUCTS + 1, (id + 1) % PRODUCTS + 1, (id + 2) % PRODUCTS + 1, unique()
   statements.restore(a, b, c)
   statements.insert_canceled(id, request, a, id, request, b, id, request, c, id, request)
end

-- The entries that common/search.py keeps of a customer.
local function entries_of(...)
   local seen, rows = {}, {}
   for _, text in ipairs({...}) do
      for start = 1, #text do
         local gram = {text:sub(start, start), text:sub(start + 1, start + 1), text:sub(start + 2, start + 2)}
         local row = "('" .. table.concat(gram, "', '") .. "', LAST_INSERT_ID(), '" .. text:sub(start + 3, start + 5) .. "')"
         if not seen[row:lower()] then
            seen[row:lower()] = true
            rows[#rows + 1] = row
         end
      end
   end
   return table.concat(rows, ", ")
end

local operations = {
   get_product = function() statements.product(random(1, PRODUCTS)) end,
   get_order = function() statements.order(random(1, ORDERS)) end,
   list_orders = function() statements.orders() end,
   create_customer = function()
      local name, email = "Customer " .. unique(), unique() .. "@limit.example"
      local phone = string.format("+1-555-%07d", random(0, 9999999))
      statements.begin()
      statements.insert_customer(name, email, phone)
      con:query("INSERT INTO customer_search (c1, c2, c3, id, rest) VALUES " .. entries_of(name, email, phone))
      statements.insert_key("customer", unique(), BODY)
      statements.record_customer(unique())
      statements.commit()
   end,
   create_order_1 = function() create_order(1) end,
   create_order_3 = function() create_order(3) end,
   create_order_20 = function() create_order(20) end,
   confirm = function() change_order(next_order(), "confirmed", statements.confirm, confirmed) end,
   replay = function() statements.key(sysbench.opt.run .. "-" .. sysbench.tid) end,
   cancel = function() change_order(next_order(), "canceled", statements.cancel, canceled) end,
   -- The two transactions; the second on an order that is there, which costs the same.
   create_and_confirm = function()
      create_order(3)
      change_order(next_order(), "confirmed", statements.confirm, confirmed)
   end,
}

function event()
   calls = calls + 1
   operations[sysbench.opt.operation]()
end
