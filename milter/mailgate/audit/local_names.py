"""Which domains local(8) delivers on this machine: a name without a domain is a mailbox of each of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..identity.organization import Organization
from ..identity.spelling import canonical_domain
from ..postfix.instance import Instance
from ..postfix.lists import split_list
from ..postfix.tables import Shape, read_table
from ..sources import SCRIPT_LIMIT_BYTES, UnreadError, read_source, text_of


@dataclass(frozen=True, slots=True)
class LocalNames:
    """The domains that local(8) delivers, and those of them whose mailboxes are ours."""

    domains: frozenset[str] = frozenset()
    official: tuple[str, ...] = ()

    def is_local(self, domain: str) -> bool:
        """Tell whether mail for a domain stays on this machine."""
        return domain in self.domains or "." not in domain or domain.startswith("localhost.")


def local_names(instance: Instance, organization: Organization) -> LocalNames:
    """Read mydestination and myorigin, the latter from a file where Debian has it."""
    domains = {canonical_domain(domain) for domain in _domains(instance)} - {""}
    return LocalNames(frozenset(domains), tuple(sorted(filter(organization.is_official_domain, domains))))


def _domains(instance: Instance) -> Iterator[str]:
    for item in split_list(instance.get("mydestination")):
        if item.startswith("/"):
            yield from _file(item)
        elif ":" in item:
            place = instance.place("mydestination")
            yield from (entry.key for entry in read_table(instance, item, place, Shape.TABLE, ()).entries)
        elif not item.startswith("!"):
            yield item
    origin = instance.get("myorigin")
    yield from _file(origin)[:1] if origin.startswith("/") else [origin]
    yield instance.get("myhostname")


def _file(name: str) -> list[str]:
    try:
        text = text_of(read_source(Path(name), SCRIPT_LIMIT_BYTES))
    except UnreadError:
        return []  # Postfix would not start with it
    return re.sub(r"#.*", "", text).split()
