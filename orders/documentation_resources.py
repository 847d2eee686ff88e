"""The log-in of the documentation page, which is at another origin than the service that issues tokens."""

from dataclasses import dataclass

from falcon import Response

from common import web
from common.addresses import Addresses
from common.tracing import headers_to_pass_on
from common.web import Request
from orders.customers_client import CustomersClient


@dataclass(frozen=True)
class DocumentationToken:
    """`/docs/token`: passes a log-in on to Customers, which a browser would not let this page ask."""

    customers: CustomersClient
    addresses: Addresses

    def on_post(self, req: Request, resp: Response):
        """Answer as Customers does."""
        headers = headers_to_pass_on(req.get_header, req.context.request_id)
        token = self.customers.fetch_token(req.context.body, self.addresses.of(req), headers)
        web.send_json(resp, token)
