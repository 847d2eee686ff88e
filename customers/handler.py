"""The Customers API as a Lambda function: `handle(event, context)`."""

from common.wsgi_function import make_handler
from customers.app import get_app

handle = make_handler("customers", get_app)
