"""An order's life through the Python clients that `make clients` makes, as a caller writes it; mypy checks it, too."""

import os
import uuid
from datetime import UTC, datetime, timedelta

from b2b_customers import Client
from b2b_customers.api.authentication import issue_token
from b2b_customers.models import Credentials, Token
from b2b_orchestrator import AuthenticatedClient as Orchestrator
from b2b_orchestrator.api.orders import create_and_confirm_order
from b2b_orchestrator.models import OrderConfirmed, OrderToConfirm
from b2b_orchestrator.models import OrderLineRequest as LineToConfirm
from b2b_orders import AuthenticatedClient as Orders
from b2b_orders.api.orders import cancel_order, confirm_order, create_order, list_orders
from b2b_orders.api.products import create_product
from b2b_orders.models import (
    Cancellation,
    NewOrder,
    NewProduct,
    Order,
    OrderLineRequest,
    OrderList,
    OrderStatus,
    Problem,
    Product,
)

CUSTOMER = 1  # of the demo data
key = str(uuid.uuid4())
started = datetime.now(UTC)

credentials = Credentials(username="demo", password="demo-password")
token = issue_token.sync(client=Client(os.environ["B2B_CUSTOMERS"]), body=credentials)
assert isinstance(token, Token)
orders = Orders(os.environ["B2B_ORDERS"], token=token.token)

new_product = NewProduct(sku=key, name="By a generated client", price_cents=100_000_000, stock=30)
product = create_product.sync(client=orders, body=new_product)
assert isinstance(product, Product)

new_order = NewOrder(customer_id=CUSTOMER, items=[OrderLineRequest(product_id=product.id, qty=30)])
created = create_order.sync_detailed(client=orders, body=new_order, x_idempotency_key=key)
order = created.parsed
assert isinstance(order, Order)
assert order.total_cents == 3_000_000_000  # more than 32 bits

replayed = create_order.sync_detailed(client=orders, body=new_order, x_idempotency_key=key)
assert replayed.content == created.content
assert replayed.headers["Idempotent-Replayed"] == "true"

refusal = create_order.sync(client=orders, body=new_order)
assert isinstance(refusal, Problem)
assert refusal.code == "insufficient_stock"
assert refusal.items
assert (refusal.items[0].requested, refusal.items[0].available) == (30, 0)

until = started + timedelta(minutes=1)
page = list_orders.sync(client=orders, customer_id=CUSTOMER, from_=started.isoformat(), to=until.isoformat())
assert isinstance(page, OrderList)
assert page.data[0].id == order.id

confirmed = confirm_order.sync(order.id, client=orders, x_idempotency_key=key)
assert isinstance(confirmed, Order)
assert confirmed.status is OrderStatus.CONFIRMED

canceled = cancel_order.sync(order.id, client=orders, body=Cancellation(reason="a trial"), x_idempotency_key=key)
assert isinstance(canceled, Order)
assert canceled.canceled_at
assert canceled.canceled_at >= started

orchestrator = Orchestrator(os.environ["B2B_ORCHESTRATOR"], token=token.token)
to_confirm = OrderToConfirm(CUSTOMER, [LineToConfirm(product_id=product.id, qty=30)], idempotency_key=key)
both = create_and_confirm_order.sync(client=orchestrator, body=to_confirm)
assert isinstance(both, OrderConfirmed)
assert both.data.order.total_cents == order.total_cents
