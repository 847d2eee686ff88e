"""From where a request comes."""

import ipaddress

import pytest

from common.addresses import client_address

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        # Who is no proxy of ours may write what it likes.
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        # The client wrote all but the right-most, and each of our proxies added one.
        ("10.0.0.1", "127.0.0.1, 198.51.100.7, 10.2.0.1", "198.51.100.7"),
        ("10.0.0.1", "10.3.0.3", "10.3.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, nonsense", "unknown"),
        ("", None, "unknown"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        ("fd00::1", "2001:DB8::7", "2001:db8::/64"),
    ],
)
def test_client_is_the_right_most_address_that_is_no_proxy_of_ours(peer, forwarded_for, address):
    assert client_address(peer, forwarded_for, PROXIES) == address
