"""Where a request comes from, behind the proxies that are ours (TRUSTED_PROXIES)."""

import functools
import ipaddress

import falcon

from common.config import Network, Settings

# From Orders to Customers: the address of whoever logs in on its page. Believed with the service token alone.
ADDRESS_HEADER = "X-On-Behalf-Of-Address"


class Addresses:
    """Tells who sent a request, as log-ins are counted."""

    def __init__(self, settings: Settings):
        self._proxies = settings.trusted_proxies

    def of(self, req: falcon.Request) -> str:
        """Return the address of the client."""
        return client_address(req.remote_addr, req.get_header("X-Forwarded-For"), self._proxies)


@functools.lru_cache(1000)  # it takes as long as a line in the log does
def client_address(peer: str, forwarded_for: str | None, proxies: tuple[Network, ...]) -> str:
    """Return the right-most address that is no proxy's; an IPv6 one as its /64, which is what one client has.

    Each proxy adds the peer that it sees on the right. What stands left of the first address that
    isn't ours was written by the client, and may be anything.
    """
    address = peer
    for hop in reversed((forwarded_for or "").split(",")):
        parsed = _parse(address)
        if parsed is None or not any(parsed in network for network in proxies):
            break
        address = hop.strip() or address
    parsed = _parse(address)
    if parsed is None:
        return "unknown"  # what comes over a Unix socket, or a proxy that writes something else; all are one client
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def _parse(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if address.version == 6 else address
