"""Edges to forwards: from a mailbox of ours to one that no state body issued, also by way of names in between.

An edge counts where its target is outside. Whose mailbox it leaves is its source, when that is ours; a local name
is that mailbox of each local domain of ours; of any other name, it is the mailboxes of ours whose mail comes there
(a virtual alias to a local name whose alias leads outside).

A mailing list that [organization] lists names is no mailbox: what it sends to its members is no automatic forward, as
the rule auto-forward has it when mail flows. Its edges are notes: a forward that is called a list is still seen.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..identity.identity import Identity
from ..identity.organization import Organization
from ..identity.spelling import domain_of
from ..model import Exemption
from ..postfix.next_hops import is_outside_host
from ..sources import Unread
from .edges import Edge, Harvest
from .local_names import LocalNames

RULE = "auto-forward"
COLUMNS = ("mailbox", "target", "kind", "file", "line", "exempt", "note")


@dataclass(frozen=True, slots=True)
class Forward:
    """One forward to a mailbox that no state body issued.

    mailbox: ours; `@domain` is every one of a domain, `/pattern/` those that it matches. target: "" where the
    configuration does not tell. exempt: the number of the document that allows it, "" for none.
    """

    mailbox: str
    target: str
    kind: str
    file: str
    line: int
    exempt: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found, in the order of files and lines."""

    forwards: tuple[Forward, ...]
    unread: tuple[Unread, ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status: 2 something was not audited, 1 a forward that nothing allows, 0 neither."""
        if self.unread:
            return 2
        return 1 if any(not forward.exempt for forward in self.forwards) else 0


def exempting_document(exemptions: Iterable[Exemption], mailbox: str, target: str, at: datetime) -> str:
    """Return the document that allows a forward at a time, "" for none.

    `exemptions` may be of any source and any rule; those of auto-forward that have not ended count.
    """
    for exemption in exemptions:
        if (
            exemption.rule == RULE
            and at.timestamp() < exemption.until
            and _speaks_of(exemption.mailbox, mailbox)
            and _speaks_of(exemption.counterpart, target)
        ):
            return exemption.document
    return ""


def _speaks_of(wanted: str, mailbox: str) -> bool:
    return not wanted or mailbox == wanted or ("@" not in wanted and mailbox.endswith(f"@{wanted}"))


def audit(
    harvest: Harvest,
    identity: Identity,
    local: LocalNames,
    exemptions: Sequence[Exemption],
    at: datetime,
) -> Audit:
    """Return the forwards among edges."""
    organization = identity.organization
    graph = _Graph(harvest.edges, identity, local)
    found: dict[Forward, None] = {}
    notes = list(harvest.notes)
    for edge in harvest.edges:
        if not _is_outside(edge, organization, local):
            continue
        mailboxes = graph.mailboxes(edge.source)
        if not mailboxes and "@" not in edge.source:
            notes.append(f"{edge.file}:{edge.line}: {edge.source} is no mailbox of ours here; goes to {edge.target}")
        for mailbox in mailboxes:
            if identity.is_list(mailbox):
                notes.append(f"{edge.file}:{edge.line}: {mailbox} is a mailing list; goes to {edge.target}")
                continue
            way = "" if graph.is_of(edge.source, mailbox) else f"by way of {edge.source}"
            note = "; ".join(filter(None, [way, edge.note]))
            document = exempting_document(exemptions, mailbox, edge.target, at)
            found[Forward(mailbox, edge.target, edge.kind, edge.file, edge.line, document, note)] = None
    forwards = sorted(found, key=lambda forward: (forward.file, forward.line, forward.mailbox, forward.target))
    return Audit(tuple(forwards), tuple(sorted(set(harvest.unread))), tuple(dict.fromkeys(notes)))


def _is_outside(edge: Edge, organization: Organization, local: LocalNames) -> bool:
    if edge.kind == "transport" or not edge.target:
        return True
    domain = domain_of(edge.target)
    if domain.startswith("["):
        return is_outside_host(domain.strip("[]"), organization)
    return not (organization.is_state(edge.target) or local.is_local(domain))


class _Graph:
    """Which mailboxes of ours come to an address."""

    def __init__(self, edges: Sequence[Edge], identity: Identity, local: LocalNames) -> None:
        self._identity = identity
        self._organization = identity.organization
        self._local = local
        self._before: dict[str, set[str]] = defaultdict(set)
        for edge in edges:
            if edge.target:
                self._before[self._name(edge.target)].add(edge.source)

    def is_of(self, source: str, mailbox: str) -> bool:
        """Tell whether an edge's source is this mailbox itself."""
        name = self._identity.account(source)
        return name == mailbox or ("@" not in source and self._bare(source) == mailbox.rpartition("@")[0])

    def mailboxes(self, source: str) -> list[str]:
        """Return the mailboxes of ours that are a source, or whose mail comes to it, by address."""
        found: set[str] = set()
        todo, seen = [source], set[str]()
        while todo:
            name = self._name(todo.pop())
            if name in seen:
                continue
            seen.add(name)
            if name.startswith("/"):
                found.add(name)
            elif self._organization.is_official(name):
                found.add(self._identity.account(name))
            elif "@" not in name and self._local.official:
                found.update(f"{self._bare(name)}@{domain}" for domain in self._local.official)
            else:
                todo += self._before[name]
                local, _, domain = name.rpartition("@")
                # `@ours -> @this` leaves the local part as it is; `@this` is all that comes to this domain.
                heads = self._before[f"@{domain}"] if local and domain else set()
                todo += [f"{local}{head}" if head.startswith("@") else head for head in heads]
                if name.startswith("@"):
                    todo += [s for target, sources in self._before.items() if target.endswith(name) for s in sources]
        return sorted(found)

    def _name(self, address: str) -> str:
        """Return an address as a node: a mailbox of a local domain that is not ours is its local name."""
        local, at, domain = address.rpartition("@")
        if at and local and self._local.is_local(domain) and not self._organization.is_official_domain(domain):
            return self._bare(local)
        return self._bare(address) if not at and not address.startswith("/") else address

    def _bare(self, name: str) -> str:
        """Return a local name without its extension."""
        for separator in self._identity.separators:
            base, found, _ = name.partition(separator)
            name = base if found and base else name
        return name
