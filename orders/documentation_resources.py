"""The log-in of the documentation page, which is at another origin than the service that issues tokens."""

from falcon import Response

from common import web
from common.tracing import headers_to_pass_on
from common.web import Request
from orders.customers_client import CustomersClient


class DocumentationToken:
    """`/docs/token`: passes a log-in on to Customers, which a browser would not let this page ask."""

    def __init__(self, customers: CustomersClient):
        self._customers = customers

    def on_post(self, req: Request, resp: Response):
        """Answer as Customers does."""
        headers = headers_to_pass_on(req.get_header, req.context.request_id)
        token = self._customers.fetch_token(req.context.body, headers)
        resp.set_header("Cache-Control", "no-store")
        web.send_json(resp, token)
