"""OneNote's sections (MS-ONESTORE): the files that are embedded in one. The text of its pages is not read."""

import re
from collections.abc import Iterator

from ..model import Obstacle
from .budget import Blocked, Budget
from .found import Found, Inside
from .members import named

_FILE = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")  # 2.6.13: {BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC}
_HEAD = 36  # octets: that, the length in 8, 12 more
# The name of an embedded file stands among the properties, in UTF-16 behind its length.
_EXTENSION = re.compile(rb"\.\0(?:[A-Za-z0-9_-]\0){1,16}\0\0")
_STEM = re.compile(r"[^\0-\x1f\"*/:<>?\\|]+$")
_LONGEST = 512  # octets of a name before its extension
_MOST_NAMES = 100


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the files that a section embeds, then raise Blocked: its pages are not read."""
    name, others = named(*_names_in(octets))
    at = octets.find(_FILE)
    count = 0
    while at >= 0:
        count += 1
        length = int.from_bytes(octets[at + 16 : at + 24], "little")
        inner = octets[at + _HEAD : at + _HEAD + length]
        budget.take_octets(len(inner))
        if inner:
            # Which name is whose is told far away: any of them may be this file's.
            yield Inside(name or f"file {count}", inner, names=others)
        at = octets.find(_FILE, at + _HEAD)
    raise Blocked(Obstacle.UNSUPPORTED, "one")


def _names_in(octets: bytes) -> list[str]:
    found: dict[str, None] = {}
    for match in _EXTENSION.finditer(octets):
        before = octets[max(match.start() % 2, match.start() - _LONGEST) : match.start()].decode(
            "utf-16-le", "replace"
        )
        if stem := _STEM.search(before):
            found[stem[0] + match[0].decode("utf-16-le").rstrip("\0")] = None
        if len(found) == _MOST_NAMES:
            break
    return list(found)
