"""Where mail goes next: transport(5) results, and whether a host is one of the state's."""

import ipaddress

from ..identity.organization import Organization
from ..identity.spelling import canonical_domain


def transport_of(text: str) -> tuple[str, str]:
    """Split a transport(5) result, `transport:nexthop`, into its two parts; either may be empty."""
    transport, _, nexthop = text.strip().partition(":")
    return transport.strip(), nexthop.strip()


def host_of(nexthop: str) -> tuple[str, str]:
    """Return the host, without brackets, and the port ("" for none) of a next hop.

    >>> host_of("[127.0.0.1]:10026"), host_of("inet:mx.example:lmtp"), host_of("unix:private/lmtp")
    (('127.0.0.1', '10026'), ('mx.example', 'lmtp'), ('', ''))
    """
    text = nexthop.strip().removeprefix("inet:")
    if text.startswith("unix:"):
        return "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host.removeprefix("IPv6:").removeprefix("ipv6:").lower(), rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host.lower(), port


def is_outside_host(host: str, organization: Organization) -> bool:
    """Tell whether a next hop is neither in our networks nor a state body's host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = canonical_domain(host)
        inside = "." not in name or name in organization.hostnames or organization.is_state(f"@{name}")
        return not inside
    return not (any(address in network for network in _PRIVATE) or organization.is_internal(host))


# RFC 1918, RFC 4193, and what never leaves the machine or the link.
_PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")
_PRIVATE = [ipaddress.ip_network(network) for network in (*_PRIVATE_RANGES, "fc00::/7", "fe80::/10", "::1")]
