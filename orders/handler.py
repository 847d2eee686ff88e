"""The Orders API as a Lambda function: `handle(event, context)`."""

from common.wsgi_function import make_handler
from orders.app import get_app

handle = make_handler("orders", get_app)
