"""What comes out of a container: a member's names, in each way that programs read them, and its octets."""

from collections.abc import Iterable, Iterator

from ..model import File, Obstacle, Uninspected
from ..text import charsets
from ..text.file_names import Reading, read_name
from .budget import Blocked, Budget, Growth
from .found import Found, Inside

# What unpackers take a name for that does not say what it is in: Windows' own reads cp437, a Vietnamese one cp1258.
_CHARSETS = ("utf-8", "cp437", "cp1258")
_MOST = 20  # names of a member that are kept, each of another kind of file


def named(*names: bytes | str) -> tuple[str, tuple[str, ...]]:
    """Return the likeliest of a member's names, and the others that open otherwise; octets in every charset."""
    found: dict[Reading, str] = {}
    for name in names:
        for text in (name,) if isinstance(name, str) else _readings(name):
            if len(found) < _MOST:
                found.setdefault(read_name(text), text)
    first, *others = found.values() or ("",)
    return first, tuple(others)


def _readings(octets: bytes) -> Iterator[str]:
    yield charsets.read(octets).text
    if not octets.isascii():
        for charset in _CHARSETS:
            yield octets.decode(charset, "replace")
        yield octets.decode("ascii", "ignore")  # as of programs that drop what they cannot read


def member(
    names: tuple[str, tuple[str, ...]],
    blocks: Iterable[bytes],
    told: int,
    place: str,
    growth: Growth,
    budget: Budget,
) -> Iterator[Found]:
    """Yield a member of these blocks, which raise Blocked; told: how many octets the container says that it has."""
    name, others = names
    inner = f"{place} > {name}"
    limit = budget.limits.file_octets
    taken: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            growth.take(len(block))
            size += len(block)
            if size > limit:
                taken = [b"".join(taken)[:1_024]]
                continue
            taken.append(block)
    except Blocked as blocked:
        if blocked.obstacle is Obstacle.LIMIT:
            raise
        if size and blocked.obstacle is Obstacle.DAMAGED:  # what came before the damage may still be read
            yield Inside(name, b"".join(taken), names=others)
        else:
            budget.take_file()
            yield File(inner, name, size=told, names=others)
        yield Uninspected(inner, blocked.obstacle, blocked.detail)
        return
    if size > limit:
        budget.take_file()
        yield File(inner, name, size=size, names=others)
        yield Uninspected(inner, Obstacle.LIMIT, f"larger than {limit} octets")
        return
    yield Inside(name, b"".join(taken), names=others)
