"""Transports that go round the egress hop: tables and parameters that name another way out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..identity.organization import Organization
from ..identity.spelling import canonical_domain
from ..postfix.instance import Instance, Place, Service
from ..postfix.lists import split_list
from ..postfix.next_hops import host_of, is_outside_host, transport_of
from ..postfix.tables import ANY, Entry, Shape, read_maps
from ..sources import TABLE_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .egress import Egress
from .roads import Road

_BY_RECIPIENT = ("transport_maps",)
_BY_SENDER = ("sender_dependent_default_transport_maps",)
_BY_LOCAL = ("mailbox_transport_maps", "fallback_transport_maps")
_PARAMETERS = ("relay_transport", "local_transport", "virtual_transport", "mailbox_transport", "fallback_transport")
# Services that deliver here, or not at all.
_STAYS = ("local", "virtual", "error", "retry", "discard")
_WHY = "forwarded copies leave by it, past the one milter that sees them"
_SAMPLE = "gmail.com"  # a domain that is surely not ours


def open_routes(instance: Instance, organization: Organization, egress: Egress | None) -> Iterator[Road]:
    """Yield each route to the outside that is not the egress hop, and each table of routes that cannot be read."""
    for service in (None, *instance.services):
        for parameter in (*_BY_RECIPIENT, *_BY_SENDER, *_BY_LOCAL):
            if service is None or parameter in service.options:
                yield from _table(instance, organization, egress, service, parameter)
        for parameter in _PARAMETERS:
            if service is None or parameter in service.options:
                value = instance.get(parameter, service)
                if _names_outside(instance, organization, egress, value):
                    yield _round(instance.place(parameter, service), f"{parameter} = {value}", egress)
        own = service.options.get("default_transport") if service else None
        if service and own and egress and _leaves(instance, egress, own):
            yield _round(service.place, f"default_transport = {own} of {service.key}", egress)
    yield from _relay_domains(instance, organization, egress)
    if egress and (maps := instance.get("sender_dependent_relayhost_maps")):
        yield Road(
            "sender-relayhost",
            str(instance.place("sender_dependent_relayhost_maps")),
            f"sender_dependent_relayhost_maps = {maps} has no effect any more",
            "default_transport names the egress hop for every sender, and content_filter where mail goes from there",
            "empty it",
            is_note=True,
        )


def _table(
    instance: Instance, organization: Organization, egress: Egress | None, service: Service | None, parameter: str
) -> Iterator[Road]:
    place = instance.place(parameter, service)
    reading = read_maps(instance, instance.get(parameter, service), place, Shape.TABLE, ())
    yield from map(_unread, reading.unread)
    for entry in reading.entries:
        if parameter in _BY_LOCAL:
            leaves = _names_outside(instance, organization, egress, entry.value)
        elif parameter in _BY_SENDER or _is_outside_key(entry, organization):
            leaves = _leaves(instance, egress, entry.value)
        else:
            leaves = _names_outside(instance, organization, egress, entry.value)
        if leaves:
            key = f"/{entry.key}/" if entry.is_pattern else entry.key
            yield _round(entry.place, f"{parameter}: {key} {entry.value}", egress)


def _unread(entry: Unread) -> Road:
    where = str(Place(entry.file, entry.line))
    return Road("unread", where, entry.reason, "what it routes is not known", "make it readable, and check again")


def _round(place: Place, what: str, egress: Egress | None) -> Road:
    mend = f"take it out, or let it name {egress.transport}" if egress else "take it out"
    return Road("round-egress", str(place), what, _WHY, mend)


def _is_outside_key(entry: Entry, organization: Organization) -> bool:
    """Tell whether a key of transport(5) covers recipients whom no state body gave a mailbox."""
    if entry.key == ANY:
        return True
    if entry.is_pattern:
        return _matches_outside(entry.key, organization)
    domain = canonical_domain(entry.key.rpartition("@")[2].lstrip("."))
    return "." in domain and not organization.is_state(f"@{domain}") and domain not in organization.hostnames


def _matches_outside(pattern: str, organization: Organization) -> bool:
    tail = pattern[pattern.rfind("@") + 1 :].removeprefix("^").removesuffix("$")
    domain = re.sub(r"\\(.)", r"\1", tail).lower()
    if re.fullmatch(r"[a-z0-9.-]+", domain):  # a plain domain, as most are
        return not organization.is_state(f"@{domain}")
    try:
        return re.search(f"^(?:{tail})$", _SAMPLE, re.IGNORECASE) is not None or not any(
            re.search(f"^(?:{tail})$", known, re.IGNORECASE) for known in organization.domains
        )
    except re.error:
        return True


def _leaves(instance: Instance, egress: Egress | None, value: str) -> bool:
    """Tell whether a route leads to another machine otherwise than through the egress hop."""
    transport, nexthop = transport_of(value)
    if value.strip().upper() == "DUNNO" or (egress and value.strip() == egress.transport):
        return False
    if not transport:
        return bool(nexthop)  # the default transport, to another host than its own
    service = instance.named(transport, "unix")
    return service is not None and service.command not in _STAYS and not nexthop.startswith("unix:")


def _names_outside(instance: Instance, organization: Organization, egress: Egress | None, value: str) -> bool:
    """Tell whether a route for mailboxes of ours leads to a host outside."""
    host, _ = host_of(transport_of(value)[1])
    return bool(host) and _leaves(instance, egress, value) and is_outside_host(host, organization)


def _relay_domains(instance: Instance, organization: Organization, egress: Egress | None) -> Iterator[Road]:
    """Mail for relay_domains goes by relay_transport: right for ours, a way round for others'."""
    relay = instance.get("relay_transport")
    if egress and relay.strip() == egress.transport:
        return
    place = instance.place("relay_domains")
    for domain, where, unread in _domains(instance, place):
        if unread is not None:
            yield _unread(unread)
            continue
        entry = Entry(domain, "", where)
        if _is_outside_key(entry, organization) and domain not in _destinations(instance):
            yield _round(where, f"relay_domains: {domain}, by relay_transport = {relay}", egress)


def _destinations(instance: Instance) -> Sequence[str]:
    return split_list(instance.get("mydestination"))


def _domains(instance: Instance, place: Place) -> Iterator[tuple[str, Place, Unread | None]]:
    for item in split_list(instance.get("relay_domains")):
        if item.startswith("/"):
            try:
                lines = text_of(read_source(Path(item), TABLE_LIMIT_BYTES)).split("\n")
            except UnreadError as error:
                yield "", place, error.unread
                continue
            for number, line in enumerate(lines, 1):
                if line.strip() and not line.startswith("#"):
                    yield line.strip(), Place(item, number), None
        elif ":" in item:
            reading = read_maps(instance, item, place, Shape.TABLE, ())
            for entry in reading.entries:
                if not entry.is_pattern and entry.key != ANY:
                    yield entry.key, entry.place, None
            for unread in reading.unread:
                yield "", place, unread
        else:
            yield item, place, None
