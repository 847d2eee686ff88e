"""What goes on to the next program with a request, and what does not."""

import pytest

from common.tracing import headers_to_pass_on, trace_id

W3C = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"traceparent": W3C}, "4bf92f3577b34da6a3ce929d0e0e4736"),
    ],
)
def test_trace_goes_on_as_it_came(headers, expected):
    assert headers_to_pass_on(headers.get, "abc") == {"X-Request-ID": "abc", **headers}
    assert trace_id(headers.get) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": ""},
        {"traceparent": W3C + "\n"},
        {"traceparent": W3C.upper()},
        {"traceparent": "00-4bf92f-00f067aa0ba902b7-01"},
        {"traceparent": "ff" + W3C[2:]},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01"},
    ],
)
def test_trace_that_is_not_of_its_form_is_dropped(headers):
    assert headers_to_pass_on(headers.get, "abc") == {"X-Request-ID": "abc"}
    assert trace_id(headers.get) is None
