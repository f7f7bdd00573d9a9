"""The leaves of the mail itself: what it shows is a text, everything else a file to be looked into."""

from collections.abc import Iterator
from hashlib import sha256

from ..mime.walker import Leaf
from ..model import File, Obstacle, Taken, TextKind, Uninspected
from .budget import Budget
from .content import guarded, look_into, taken
from .eml import is_shown, read_leaf
from .found import Extract, Inside, Threat


def look_into_leaf(
    octets: bytes, leaf: Leaf, place: str, budget: Budget, body: bool
) -> Iterator[File | Extract | Taken | Uninspected]:
    """Yield the decoded octets of a mail's leaf: a text where it is shown, else as look_into does; never raise.

    body: the leaf is the mail's own, not one of an attached mail.
    """
    if not is_shown(leaf):
        yield from look_into(octets, leaf.name or place, leaf.type, place, budget, leaf.names)
        return
    kind = TextKind.BODY if body else TextKind.DOCUMENT
    for found in guarded(read_leaf(octets, leaf, place, budget, kind), place):
        if isinstance(found, Inside):
            if budget.files <= 0:
                yield Uninspected(place, Obstacle.LIMIT, f"more than {budget.limits.files} files")
                break
            inner_place = f"{place} > {found.name}"
            yield from taken(inner_place, found.octets, budget)
            yield from look_into(found.octets, found.name, found.declared, inner_place, budget, found.names)
        elif isinstance(found, Threat):
            told = (found.danger, found.detail)
            yield File(place, "", "html", leaf.type, len(octets), sha256(octets).hexdigest(), (told,))
        else:
            yield found
