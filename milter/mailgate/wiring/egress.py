"""The egress hop: the smtp client that default_transport names, and the smtpd that it hands mail to.

Or it hands mail to Mailgate's SMTP door, and the door to the smtpds that [smtp] of mailgate.toml names.
"""

from dataclasses import dataclass

from ..postfix.instance import Instance, Service
from ..postfix.next_hops import host_of, transport_of
from .doors import Doors

_LOOPBACK = ("127.", "::1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Egress:
    """Both halves of the hop; `transport` is default_transport, as transport tables would have to name it.

    servers: the hop's one smtpd; or, where `door` is an SMTP door of ours, those of this Postfix that it hands on to.
    """

    transport: str
    client: Service
    servers: tuple[Service, ...]
    door: str = ""


def find_egress(instance: Instance, doors: Doors) -> Egress | str:
    """Return the hop that default_transport leads to, or why it leads to none."""
    text = instance.get("default_transport")
    name, nexthop = transport_of(text)
    client = instance.named(name, "unix")
    if client is None or client.command not in ("smtp", "lmtp"):
        return f"default_transport = {text} names no smtp client of master.cf"
    host, port = host_of(nexthop)
    if not host:
        return f"default_transport = {text} sends straight to the recipient's own host"
    if door := doors.filter_of(nexthop):
        return Egress(text, client, ways_back(instance, doors), door)
    if not is_loopback(host):
        return f"default_transport = {text} sends straight to {host}"
    server = smtpd_at(instance, nexthop)
    if server is None:
        return f"default_transport = {text}, and no smtpd of master.cf listens on port {port}"
    return Egress(text, client, (server,))


def ways_back(instance: Instance, doors: Doors) -> tuple[Service, ...]:
    """Return the smtpds of this Postfix that our SMTP doors hand mail on to, each once."""
    back, hold = (smtpd_at(instance, address) for address in (doors.next_hop, doors.hold_next_hop))
    return tuple(service for service in (back, None if hold == back else hold) if service)


def smtpd_at(instance: Instance, address: str) -> Service | None:
    """Return the smtpd of this Postfix that listens at inet:HOST:PORT of this machine, or at unix:/PATH."""
    host, port = host_of(address)
    for service in instance.services:
        if service.command != "smtpd":
            continue
        if service.type == "inet" and host and is_loopback(host) and listening_of(service)[1] == port:
            return service
        # Postfix makes the socket of a service below its queue directory, by whether it is private (master(5)).
        folders = (f"unix:{instance.queue_directory}/{folder}" for folder in ("private", "public"))
        if service.type == "unix" and address in [f"{folder}/{service.name}" for folder in folders]:
            return service
    return None


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
