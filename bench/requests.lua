-- The requests of one operation, for wrk. Prints one line of JSON at the end. Run by bench/load.py:
--
--   wrk -t1 -s bench/requests.lua URL -- OPERATION TOKEN RUN FIRST PRODUCTS

-- As many as bench/data.sql makes.
local CUSTOMERS, PRODUCTS, ORDERS = 1000, 1000, 1000

local operation, run, first, products, headers
local calls = 0

local function unique()
   return run .. "-" .. calls
end

local function get(path)
   return function() return wrk.format("GET", path(), headers) end
end

local function post(path, body)
   return function()
      headers["X-Idempotency-Key"] = unique()
      return wrk.format("POST", path(), headers, body and body() or nil)
   end
end

local function order_of(count)
   local start = math.random(1, products - count + 1)
   local items = {}
   for id = start, start + count - 1 do
      items[#items + 1] = '{"product_id":' .. id .. ',"qty":1}'
   end
   return '"customer_id":' .. math.random(1, CUSTOMERS) .. ',"items":[' .. table.concat(items, ",") .. "]"
end

local function create_order(count)
   return post(function() return "/orders" end, function() return "{" .. order_of(count) .. "}" end)
end

local function change_order(action)
   return post(function() return "/orders/" .. first + calls - 1 .. action end)
end

local operations = {
   get_product = get(function() return "/products/" .. math.random(1, PRODUCTS) end),
   get_order = get(function() return "/orders/" .. math.random(1, ORDERS) end),
   list_orders = get(function() return "/orders" end),
   create_customer = post(function() return "/customers" end, function()
      return string.format('{"name":"Customer %s","email":"%s@limit.example","phone":"+1-555-%07d"}',
         unique(), unique(), math.random(0, 9999999))
   end),
   create_order_1 = create_order(1),
   create_order_3 = create_order(3),
   create_order_20 = create_order(20),
   confirm = change_order("/confirm"),
   replay = function()
      headers["X-Idempotency-Key"] = run
      return wrk.format("POST", "/orders/" .. first .. "/confirm", headers)
   end,
   cancel = change_order("/cancel"),
   create_and_confirm = function()
      return wrk.format("POST", "/orchestrator/create-and-confirm-order", headers,
         "{" .. order_of(3) .. ',"idempotency_key":"' .. unique() .. '"}')
   end,
}

function init(arguments)
   operation, run = arguments[1], arguments[3]
   first, products = tonumber(arguments[4]), tonumber(arguments[5])
   headers = {["Authorization"] = "Bearer " .. arguments[2], ["Content-Type"] = "application/json"}
   math.randomseed(os.time())
end

function request()
   calls = calls + 1
   return operations[operation]()
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%f,"p50":%f,"p95":%f,"p99":%f,"max":%f,"errors":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
      latency:percentile(99) / 1e3, latency.max / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
