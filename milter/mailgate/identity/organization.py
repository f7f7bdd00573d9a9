"""Whose mail this is: domains, hosts, networks, and which domains are state bodies' (4.5)."""

import ipaddress
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Organization:
    """A mail system and its neighbours. All domains are canonical (`spelling.canonical_domain`).

    A name in a set stands for itself and for all below it, compared label by label: `gov.vn` covers
    `hanam.gov.vn`, not `hanam-gov.vn`. lists: addresses of mailing lists that this system hosts. state_networks:
    clients that are state bodies' mail servers.
    """

    domains: frozenset[str]
    hostnames: frozenset[str] = frozenset()
    state_domains: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    lists: frozenset[str] = frozenset()
    state_networks: tuple[Network, ...] = ()
    _internal: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def is_official_domain(self, domain: str) -> bool:
        """Tell whether mailboxes of this domain are of this system; sub-domains are not."""
        return domain in self.domains

    def is_official(self, mailbox: str) -> bool:
        """Tell whether a mailbox is of this system (hộp thư công vụ)."""
        return mailbox.rpartition("@")[2] in self.domains

    def is_state(self, mailbox: str) -> bool:
        """Tell whether a mailbox is issued by a state body (4.5), ours included."""
        domain = mailbox.rpartition("@")[2]
        return domain in self.domains or _is_below(domain, self.state_domains)

    def is_internal(self, address: str) -> bool:
        """Tell whether a client's IP address is of our own networks; a Unix socket ("") is."""
        known = self._internal.get(address)
        if known is None:
            known = not address or in_networks(address, self.networks)
            if len(self._internal) > _ADDRESSES_KEPT or len(address) > _LONGEST_ADDRESS:
                self._internal.clear()
            self._internal[address] = known
        return known

    def is_state_client(self, address: str) -> bool:
        """Tell whether a client's IP address is of a state body's mail servers."""
        return bool(self.state_networks) and in_networks(address, self.state_networks)


def _is_below(domain: str, names: frozenset[str]) -> bool:
    """Tell whether a domain is one of these names or below one.

    >>> _is_below("hanam.gov.vn", frozenset({"gov.vn"})), _is_below("hanam-gov.vn", frozenset({"gov.vn"}))
    (True, False)
    """
    while domain:
        if domain in names:
            return True
        domain = domain.partition(".")[2]
    return False


_ADDRESSES_KEPT = 16_384  # of clients whose network is known: 2 MB at the most
_LONGEST_ADDRESS = 64  # IPv6 takes 39 octets, and the zone of a link-local one


def in_networks(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an IP address is in one of these networks; what is none is in no network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)
