"""A Falcon app as a Lambda function behind API Gateway: serverless-wsgi, made total.

A handler that raises is a Lambda error, and the caller gets an answer of API Gateway's
own. So what goes wrong outside the app is a problem document too, a missing setting
included.
"""

import binascii
import contextlib
import functools
import logging

import serverless_wsgi

from common import problems
from common.tracing import new_request_id

log = logging.getLogger(__name__)

# What is not in this list goes out in base64, and as such reaches clients that send no Accept.
serverless_wsgi.TEXT_MIME_TYPES.append(problems.MEDIA_TYPE)


def make_handler(get_app):
    """Return the Lambda handler of the app that `get_app()` builds; it takes payload formats 1.0 and 2.0."""
    get_app = functools.cache(get_app)
    # Lambda gives a function that starts more of a processor than it has later. What fails
    # now fails again with the first event, where it is answered.
    with contextlib.suppress(Exception, SystemExit):
        get_app()

    def handle(event, context):
        """Answer one API Gateway proxy event; never raises."""
        try:
            return serverless_wsgi.handle_request(get_app(), event, context)
        except (binascii.Error, UnicodeError):  # a body that is not base64, or no text
            return _refuse(problems.MalformedJson())
        except BaseException:  # SystemExit too: nothing may pass through
            return _refuse(problems.InternalError())

    return handle


def _refuse(problem):
    request_id = new_request_id()
    log.exception("event %s failed before or outside the app", request_id)
    return {
        "statusCode": problem.status,
        "headers": {"Content-Type": problems.MEDIA_TYPE, "X-Request-ID": request_id},
        "body": problem.to_json(request_id).decode(),
        "isBase64Encoded": False,
    }
