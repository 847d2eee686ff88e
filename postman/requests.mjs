// What the documents can't say: the values that requests are sent with, what a client keeps of
// the answers, and the flow. The functions' bodies become Postman's scripts.
/* global pm, answer */

const variable = (key, value, type = "default") => ({ key, value, type, enabled: true });

export const ENVIRONMENT = [
  variable("customersUrl", "http://127.0.0.1:3001"),
  variable("ordersUrl", "http://127.0.0.1:3002"),
  variable("orchestratorUrl", "http://127.0.0.1:3003"),
  variable("username", "demo"),
  variable("password", "demo-password", "secret"),
  variable("token", "", "secret"),
  variable("serviceToken", "", "secret"),
  variable("customerId", "1"),
  variable("productId", "1"),
  variable("orderId", "1"),
  variable("customerEtag", '"1"'),
  variable("productEtag", '"1"'),
  variable("orderEtag", '"1"'),
  variable("key", ""),
  variable("cursor", ""),
  variable("firstId", ""),
  variable("orderAnswer", ""),
  variable("confirmAnswer", ""),
  variable("orchestratorAnswer", ""),
];

/** By a parameter's name. Others have the default of their schema, or the first value of its enum. */
export const PARAMETERS = {
  customer_id: "{{customerId}}",
  product_id: "{{productId}}",
  order_id: "{{orderId}}",
  search: "",
  cursor: "",
  from: "2026-01-01T00:00:00Z",
  to: "2027-01-01T00:00:00Z",
  "X-Idempotency-Key": "{{$guid}}",
  "Idempotency-Key": "{{$guid}}",
  "X-On-Behalf-Of": "{{username}}",
};

/** By operationId: the body, made of the document's examples. Others have the first example as it is. */
export const BODIES = {
  issue_token: () => ({ username: "{{username}}", password: "{{password}}" }),
  create_customer: ({ acme }) => ({ ...acme, email: "{{$guid}}@acme.example" }), // unique, as a sku is
  create_product: ({ laptop }) => ({ ...laptop, sku: "{{$guid}}" }),
  create_order: ({ no_reference }) => ours(no_reference),
  create_and_confirm_order: ({ smallest }) => ({ ...ours(smallest), idempotency_key: "{{$guid}}" }),
};

function ours(order) {
  const items = order.items.map((line) => ({ ...line, product_id: "{{productId}}" }));
  return { ...order, customer_id: "{{customerId}}", items };
}

/** By operationId: what is kept of a successful answer for the requests after it. */
export const STORED = {
  issue_token: () => {
    pm.environment.set("token", pm.response.json().token);
  },
  create_customer: () => {
    pm.environment.set("customerId", pm.response.json().id);
  },
  get_customer: () => {
    pm.environment.set("customerEtag", pm.response.headers.get("ETag"));
  },
  update_customer: () => {
    pm.environment.set("customerEtag", pm.response.headers.get("ETag"));
  },
  delete_customer: () => {
    pm.environment.set("customerId", "1"); // of the demo data, so that there is one again
  },
  create_product: () => {
    pm.environment.set("productId", pm.response.json().id);
  },
  get_product: () => {
    pm.environment.set("productEtag", pm.response.headers.get("ETag"));
  },
  update_product: () => {
    pm.environment.set("productEtag", pm.response.headers.get("ETag"));
  },
  create_order: () => {
    pm.environment.set("orderId", pm.response.json().id);
  },
  get_order: () => {
    pm.environment.set("orderEtag", pm.response.headers.get("ETag"));
  },
  create_and_confirm_order: () => {
    pm.environment.set("orderId", pm.response.json().data.order.id);
  },
};

// --- the flow --------------------------------------------------------------------------

const withKey = { "X-Idempotency-Key": "{{key}}" };
const order = (qty) => ({ customer_id: "{{customerId}}", items: [{ product_id: "{{productId}}", qty }] });
// A key of its own: the orchestrator sends it to Orders, where {{key}} has made an order already.
const orderToConfirm = (qty) => ({ ...order(qty), idempotency_key: "{{key}}-both", correlation_id: "flow" });

/**
 * A step is an operation with other `headers`, `query` and `body`. Its answer has the `status` (without one: the
 * operation's success) and the problem `code`; `keeps` stores its bytes in a variable, `replays` compares them. `test`
 * finds the parsed body in `answer`.
 */
export const FLOW = {
  description:
    "An order's whole life, in order; each answer is tested. Run it with the collection runner, or send one after " +
    'the other. "Log in" makes a new key, which also names this run\'s customer and product.',
  steps: [
    {
      name: "Log in",
      operation: "customers.issue_token",
      before: () => {
        pm.environment.set("key", pm.variables.replaceIn("{{$guid}}"));
      },
      test: () => {
        pm.test("the token is a bearer token that lasts", () => {
          pm.expect(answer.token_type).to.eql("Bearer");
          pm.expect(answer.expires_in).to.be.above(0);
        });
      },
    },
    {
      name: "Add a customer",
      operation: "customers.create_customer",
      headers: withKey,
      body: { name: "Flow {{key}}", email: "{{key}}@flow.example" },
      test: () => {
        pm.test("it says where the customer is", () => {
          pm.expect(pm.response.headers.get("Location")).to.eql(`/customers/${answer.id}`);
          pm.expect(answer.phone).to.eql(null);
        });
      },
    },
    {
      name: "Search for the customer",
      operation: "customers.list_customers",
      query: { search: "{{key}}" },
      test: () => {
        pm.test("it is the only one found", () => {
          pm.expect(answer.data.map((customer) => customer.id)).to.eql([Number(pm.environment.get("customerId"))]);
          pm.expect(answer.next_cursor).to.eql(null);
        });
      },
    },
    {
      name: "List customers, the first page",
      operation: "customers.list_customers",
      query: { limit: "1" },
      test: () => {
        pm.test("one entry, and where to go on", () => {
          pm.expect(answer.data).to.have.lengthOf(1);
          pm.expect(answer.next_cursor).to.be.a("string");
        });
        pm.environment.set("firstId", answer.data[0].id);
        pm.environment.set("cursor", answer.next_cursor);
      },
    },
    {
      name: "List customers, the next page",
      operation: "customers.list_customers",
      query: { limit: "1", cursor: "{{cursor}}" },
      test: () => {
        pm.test("another entry, in id order", () => {
          pm.expect(answer.data[0].id).to.be.above(Number(pm.environment.get("firstId")));
        });
      },
    },
    {
      name: "Read the customer",
      operation: "customers.get_customer",
      test: () => {
        pm.test("it is the one that was added", () => {
          pm.expect(answer.email).to.eql(`${pm.environment.get("key")}@flow.example`);
        });
      },
    },
    {
      name: "Read the customer, unchanged",
      operation: "customers.get_customer",
      headers: { "If-None-Match": "{{customerEtag}}" },
      status: 304,
    },
    {
      name: "Change the customer",
      operation: "customers.update_customer",
      headers: { "If-Match": "{{customerEtag}}" },
      body: { phone: "+1-555-0142" },
      test: () => {
        pm.test("the phone is new, the name stays, the version is another", () => {
          pm.expect(answer.phone).to.eql("+1-555-0142");
          pm.expect(answer.name).to.eql(`Flow ${pm.environment.get("key")}`);
          pm.expect(pm.response.headers.get("ETag")).to.not.eql(pm.environment.get("customerEtag"));
        });
      },
    },
    {
      name: "Change the customer, too late: refused",
      operation: "customers.update_customer",
      headers: { "If-Match": '"0"' },
      body: { phone: null },
      status: 412,
      code: "precondition_failed",
    },
    {
      name: "Add a product",
      operation: "orders.create_product",
      headers: withKey,
      body: { sku: "{{key}}", name: "Flow product", price_cents: 1250, stock: 10 },
      test: () => {
        pm.test("it says where the product is", () => {
          pm.expect(pm.response.headers.get("Location")).to.eql(`/products/${answer.id}`);
        });
      },
    },
    {
      name: "Read the product",
      operation: "orders.get_product",
      test: () => {
        pm.test("its stock and price are those given", () => {
          pm.expect([answer.stock, answer.price_cents, answer.active]).to.eql([10, 1250, true]);
        });
      },
    },
    {
      name: "Change the stock by a number of pieces",
      operation: "orders.update_product",
      headers: { "If-Match": "{{productEtag}}" },
      body: { stock_delta: 5 },
      test: () => {
        pm.test("5 more than 10", () => {
          pm.expect(answer.stock).to.eql(15);
        });
      },
    },
    {
      name: "Make an order",
      operation: "orders.create_order",
      headers: withKey,
      body: order(2),
      keeps: "orderAnswer",
      test: () => {
        pm.test("two pieces at their price, not confirmed yet", () => {
          pm.expect([answer.status, answer.total_cents]).to.eql(["CREATED", 2500]);
          pm.expect(answer.customer.phone).to.eql("+1-555-0142");
          pm.expect(pm.response.headers.has("Idempotent-Replayed")).to.eql(false);
        });
      },
    },
    {
      name: "Make the order again: a replay",
      operation: "orders.create_order",
      headers: withKey,
      body: order(2),
      replays: "orderAnswer",
    },
    {
      name: "Make another order with the same key: refused",
      operation: "orders.create_order",
      headers: withKey,
      body: order(3),
      status: 422,
      code: "idempotency_key_reused",
    },
    {
      name: "Make an order beyond the stock: refused",
      operation: "orders.create_order",
      body: order(14),
      status: 409,
      code: "insufficient_stock",
      test: () => {
        pm.test("it says what there is: 15 less the order", () => {
          pm.expect(answer.items.map((line) => [line.product_id, line.requested, line.available])).to.eql([
            [Number(pm.environment.get("productId")), 14, 13],
          ]);
        });
      },
    },
    {
      name: "Read the order",
      operation: "orders.get_order",
      test: () => {
        pm.test("it can be confirmed or canceled", () => {
          pm.expect(answer.allowed_actions).to.eql(["confirm", "cancel"]);
        });
      },
    },
    {
      name: "Confirm the order",
      operation: "orders.confirm_order",
      headers: withKey,
      body: {},
      keeps: "confirmAnswer",
      test: () => {
        pm.test("it is confirmed and can still be canceled", () => {
          pm.expect([answer.status, answer.allowed_actions]).to.eql(["CONFIRMED", ["cancel"]]);
        });
      },
    },
    {
      name: "Confirm the order again: a replay",
      operation: "orders.confirm_order",
      headers: withKey,
      body: {},
      replays: "confirmAnswer",
    },
    {
      name: "List the customer's confirmed orders",
      operation: "orders.list_orders",
      query: { customer_id: "{{customerId}}", status: "CONFIRMED" },
      test: () => {
        pm.test("there is exactly this one", () => {
          pm.expect(answer.data.map((listed) => listed.id)).to.eql([Number(pm.environment.get("orderId"))]);
        });
      },
    },
    {
      name: "Cancel the order",
      operation: "orders.cancel_order",
      headers: withKey,
      body: { reason: "ordered twice" },
      test: () => {
        pm.test("it is canceled for good", () => {
          pm.expect([answer.status, answer.allowed_actions]).to.eql(["CANCELED", []]);
        });
      },
    },
    {
      name: "See what happened to the order",
      operation: "orders.list_order_events",
      test: () => {
        pm.test("three steps, the last with its reason", () => {
          pm.expect(answer.data.map((event) => event.type)).to.eql(["created", "confirmed", "canceled"]);
          pm.expect(answer.data.map((event) => event.actor)).to.eql(Array(3).fill(pm.environment.get("username")));
          pm.expect(answer.data[2].reason).to.eql("ordered twice");
        });
      },
    },
    {
      name: "Read the product: its stock is back",
      operation: "orders.get_product",
      test: () => {
        pm.test("all 15 pieces", () => {
          pm.expect(answer.stock).to.eql(15);
        });
      },
    },
    {
      name: "Make and confirm an order in one call",
      operation: "orchestrator.create_and_confirm_order",
      body: orderToConfirm(2),
      keeps: "orchestratorAnswer",
      test: () => {
        pm.test("confirmed, with the correlation id", () => {
          pm.expect([answer.success, answer.correlationId]).to.eql([true, "flow"]);
          pm.expect([answer.data.order.status, answer.data.order.total_cents]).to.eql(["CONFIRMED", 2500]);
          pm.expect(answer.data.customer.id).to.eql(Number(pm.environment.get("customerId")));
        });
      },
    },
    {
      name: "Make and confirm it again: a replay",
      operation: "orchestrator.create_and_confirm_order",
      body: orderToConfirm(2),
      replays: "orchestratorAnswer",
    },
    {
      name: "Make and confirm another order with the same key: refused",
      operation: "orchestrator.create_and_confirm_order",
      body: orderToConfirm(3),
      status: 422,
      code: "idempotency_key_reused",
    },
    {
      name: "Make and confirm an order beyond the stock: refused",
      operation: "orchestrator.create_and_confirm_order",
      body: { ...orderToConfirm(14), idempotency_key: "{{key}}-beyond" },
      status: 409,
      code: "insufficient_stock",
      test: () => {
        pm.test("it names the step and says what there is", () => {
          pm.expect([answer.success, answer.step, answer.retryable]).to.eql([false, "create_order", false]);
          pm.expect(answer.items[0].available).to.eql(13);
        });
      },
    },
    {
      name: "Delete the customer",
      operation: "customers.delete_customer",
      headers: { "If-Match": "{{customerEtag}}" },
    },
    {
      name: "Search for the customer: gone",
      operation: "customers.list_customers",
      query: { search: "{{key}}" },
      test: () => {
        pm.test("nobody is found", () => {
          pm.expect(answer.data).to.eql([]);
        });
      },
    },
  ],
};
