"""The egress hop: the smtp client that default_transport names, and the smtpd that it hands mail to."""

from dataclasses import dataclass

from ..postfix.instance import Instance, Service
from ..postfix.next_hops import host_of, transport_of

_LOOPBACK = ("127.", "::1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Egress:
    """Both halves of the hop; `transport` is default_transport, as transport tables would have to name it."""

    transport: str
    client: Service
    server: Service


def find_egress(instance: Instance) -> Egress | str:
    """Return the hop that default_transport leads to, or why it leads to none."""
    text = instance.get("default_transport")
    name, nexthop = transport_of(text)
    client = instance.named(name, "unix")
    if client is None or client.command not in ("smtp", "lmtp"):
        return f"default_transport = {text} names no smtp client of master.cf"
    host, port = host_of(nexthop)
    if not host:
        return f"default_transport = {text} sends straight to the recipient's own host"
    if not is_loopback(host):
        return f"default_transport = {text} sends straight to {host}"
    for service in instance.services:
        if service.command == "smtpd" and service.type == "inet" and listening_of(service)[1] == port:
            return Egress(text, client, service)
    return f"default_transport = {text}, and no smtpd of master.cf listens on port {port}"


def listening_of(service: Service) -> tuple[str, str]:
    """Return host ("" for all that inet_interfaces names) and port of an inet service."""
    host, _, port = service.name.rpartition(":")
    return host.strip("[]"), port


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by loopback alone."""
    return host.startswith(_LOOPBACK)


def is_on_loopback(instance: Instance, service: Service) -> bool:
    """Tell whether an smtpd can be reached from this machine alone."""
    if service.type != "inet":
        return True
    host = listening_of(service)[0] or instance.get("inet_interfaces", service)
    return host == "loopback-only" or all(is_loopback(name) for name in host.replace(",", " ").split())
