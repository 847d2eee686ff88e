// An order's life through the TypeScript clients that `make clients` makes, as a caller writes it; tsc checks it, too.

import createClient from "openapi-fetch";
import type { paths as Customers } from "../../.local/clients/customers.js";
import type { paths as Orchestrator } from "../../.local/clients/orchestrator.js";
import type { paths as Orders } from "../../.local/clients/orders.js";

declare const process: { env: Record<string, string> };

function check(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`not so: ${what}`);
}

const CUSTOMER = 1; // of the demo data
const key = crypto.randomUUID();
const started = new Date();

const customers = createClient<Customers>({ baseUrl: process.env.B2B_CUSTOMERS });
const { data: token } = await customers.POST("/auth/token", { body: { username: "demo", password: "demo-password" } });
check(token, "logged in");
const headers = { Authorization: `Bearer ${token.token}` };
const orders = createClient<Orders>({ baseUrl: process.env.B2B_ORDERS, headers });

const newProduct = { sku: key, name: "By a generated client", price_cents: 100_000_000, stock: 30 };
const { data: product } = await orders.POST("/products", { body: newProduct });
check(product, "there is a product");

const params = { header: { "X-Idempotency-Key": key } };
const items = [{ product_id: product.id, qty: 30 }];
const body = { customer_id: CUSTOMER, items };
const { data: order } = await orders.POST("/orders", { params, body });
check(order?.total_cents === 3_000_000_000, "the order costs more than 32 bits");

const replayed = await orders.POST("/orders", { params, body });
check(replayed.data?.id === order.id, "a repeat is the same order");
check(replayed.response.headers.get("Idempotent-Replayed") === "true", "a repeat is a replay");

const { error: refusal } = await orders.POST("/orders", { body });
check(refusal?.code === "insufficient_stock", "the stock is taken");
check(refusal.items?.[0]?.requested === 30 && refusal.items[0].available === 0, "the refusal says what is short");

const until = new Date(started.getTime() + 60_000);
const query = { customer_id: CUSTOMER, from: started.toISOString(), to: until.toISOString() };
const { data: page } = await orders.GET("/orders", { params: { query } });
check(page?.data[0]?.id === order.id, "it is the newest order");

const path = { order_id: order.id };
const { data: confirmed } = await orders.POST("/orders/{order_id}/confirm", { params: { ...params, path } });
check(confirmed?.status === "CONFIRMED", "the order is confirmed");

const reason = { reason: "a trial" };
const { data: canceled } = await orders.POST("/orders/{order_id}/cancel", { params: { ...params, path }, body: reason });
check(canceled?.canceled_at && new Date(canceled.canceled_at) >= started, "the order is canceled");

const orchestrator = createClient<Orchestrator>({ baseUrl: process.env.B2B_ORCHESTRATOR, headers });
const { data: both } = await orchestrator.POST("/orchestrator/create-and-confirm-order", {
  body: { ...body, idempotency_key: key },
});
check(both?.data.order.total_cents === order.total_cents, "one call makes and confirms it");
