"""Forwards in Postfix's tables: aliases, virtual aliases, canonical addresses, copies, transports.

The parameters are those of main.cf and of every service of master.cf that sets its own. What goes round the egress
hop is the business of `mailgate.wiring`; here a transport counts that takes one of our mailboxes to a host outside.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ..identity.organization import Organization
from ..identity.spelling import canonical_domain, domain_of
from ..postfix.instance import Instance, Service
from ..postfix.next_hops import host_of, is_outside_host, transport_of
from ..postfix.tables import ANY, Entry, Shape, read_maps
from .edges import Edge, Harvest, addresses_of, canonical
from .local_names import LocalNames
from .recipients import Origin, recipients_of

_KINDS = {
    "alias_maps": "alias",
    "virtual_alias_maps": "virtual-alias",
    "canonical_maps": "canonical",
    "recipient_canonical_maps": "canonical",
    "recipient_bcc_maps": "bcc",
    "sender_bcc_maps": "bcc",
    "transport_maps": "transport",
}
_TO_ALL = {"always_bcc": "bcc", "luser_relay": "luser-relay"}


def harvest_postfix(
    instance: Instance, organization: Organization, local: LocalNames, mailboxes: Sequence[str]
) -> Harvest:
    """Read every parameter that can forward; `mailboxes` are what tables are asked for that cannot be listed."""
    harvest = Harvest()
    for service in (None, *instance.services):
        for parameter, kind in _KINDS.items():
            if service is None or parameter in service.options:
                harvest.add(_maps(instance, service, parameter, kind, organization, local, mailboxes))
        for parameter, kind in _TO_ALL.items():
            if service is None or parameter in service.options:
                place = instance.place(parameter, service)
                domains = local.official if parameter == "luser_relay" else sorted(organization.domains)
                for target in addresses_of(instance.get(parameter, service)):
                    note = (
                        f"{parameter}: of every mailbox" if kind == "bcc" else f"{parameter}: of every unknown name"
                    )
                    harvest.edges += [
                        Edge(f"@{domain}", target, kind, place.file, place.line, note) for domain in domains
                    ]
    return harvest


def _maps(
    instance: Instance,
    service: Service | None,
    parameter: str,
    kind: str,
    organization: Organization,
    local: LocalNames,
    mailboxes: Sequence[str],
) -> Harvest:
    shape = Shape.ALIAS if parameter == "alias_maps" else Shape.TABLE
    keys = _keys(shape, mailboxes, local)
    reading = read_maps(instance, instance.get(parameter, service), instance.place(parameter, service), shape, keys)
    harvest = Harvest([], reading.unread, reading.notes)
    for entry in reading.entries:
        for source in _sources(entry, shape, organization, local):
            harvest.add(_targets(instance, entry, source, kind, organization))
    return harvest


def _keys(shape: Shape, mailboxes: Sequence[str], local: LocalNames) -> list[str]:
    """Return what Postfix would ask a table for these mailboxes, each key once."""
    known: dict[str, None] = {}
    for mailbox in mailboxes:
        name, _, domain = mailbox.rpartition("@")
        if shape is Shape.ALIAS:
            known[name] = None
        else:
            known |= dict.fromkeys((mailbox, f"@{domain}", domain))
            if domain in local.domains:
                known[name] = None
    return list(known)


def _sources(entry: Entry, shape: Shape, organization: Organization, local: LocalNames) -> list[str]:
    """Return whose mail an entry speaks of; patterns and `every address` only as far as they are ours."""
    domains = local.official if shape is Shape.ALIAS else tuple(sorted(organization.domains))
    if entry.key == ANY:
        return [f"@{domain}" for domain in domains]
    if not entry.is_pattern:
        return [canonical(_quoted(entry.key) if shape is Shape.ALIAS else entry.key)]
    literal = re.sub(r"\\([^\w\s])", r"\1", entry.key.removeprefix("^").removesuffix("$"))
    if _is_literal(entry.key):
        return [canonical(literal)]
    return [f"/{entry.key}/"] if domains and (shape is Shape.ALIAS or _may_match(entry.key, domains)) else []


def _quoted(name: str) -> str:
    """Return an alias' name as the local part of an address has it."""
    return f'"{name}"' if re.search(r'[\s(),:;<>@\[\]"]', name) else name


def _is_literal(pattern: str) -> bool:
    """Tell whether a pattern, but for its anchors, matches one text alone."""
    inner = re.sub(r"\\[^\w\s]", "", pattern[1:-1])
    return pattern.startswith("^") and pattern.endswith("$") and not re.search(r"[.*+?()\[\]{}|^$\\]", inner)


def _may_match(pattern: str, domains: Sequence[str]) -> bool:
    """Tell whether a pattern may match an address of one of these domains; what cannot be told may."""
    at = pattern.rfind("@")
    if at < 0:
        return True
    tail = pattern[at + 1 :]
    # Brackets that were opened before the @ are closed behind it.
    tail = tail.rstrip(")") if tail.count(")") > tail.count("(") else tail
    try:
        return any(re.search("^" + tail.removeprefix("^"), domain, re.IGNORECASE) for domain in domains)
    except re.error:
        return True


def _targets(instance: Instance, entry: Entry, source: str, kind: str, organization: Organization) -> Harvest:
    place = entry.place
    if kind == "alias":
        return recipients_of(entry.value, Origin(source, kind, place.file, place.line, entry.note), Path)
    if kind == "transport":
        return _transport(instance, entry, source, organization)
    edges = []
    for target in addresses_of(entry.value):
        note = entry.note
        if "$" in domain_of(target):
            note = "; ".join(filter(None, [f"target not known: {target}", note]))
            target = ""
        edges.append(Edge(source, target, kind, place.file, place.line, note))
    return Harvest(edges)


def _transport(instance: Instance, entry: Entry, source: str, organization: Organization) -> Harvest:
    """A next hop outside for a mailbox of ours; a domain as key stands for all its mailboxes."""
    transport, nexthop = transport_of(entry.value)
    service = instance.named(transport, "unix")
    host, _ = host_of(nexthop)
    leaves = (service is not None and service.command in ("smtp", "lmtp")) or not transport
    if not leaves or not host or not is_outside_host(host, organization):
        return Harvest()
    if "@" not in source and not source.startswith("/"):
        source = f"@{canonical_domain(source)}"
    return Harvest([Edge(source, entry.value.strip(), "transport", entry.place.file, entry.place.line, entry.note)])
