"""Zips, in every way that programs list them (APPNOTE 6.3.10).

A zip is read from its end: what stands last is its directory, of which each entry leads to a member and the member's
own header. Explorer and office programs take the last directory, 7-Zip the first zip of two, what repairs or streams
the members as they stand, wherever no directory names them; and names and sizes stand in the directory and at the
member. All of it is looked into, each member once.
"""

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..model import Obstacle
from . import archives
from .budget import Blocked, Budget, Growth
from .found import Found, Inside
from .members import member, named

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_SUMS = b"PK\x07\x08"  # 4.3.9
_END_64, _LOCATOR_64 = b"PK\x06\x06", b"PK\x06\x07"
_MEMBER = struct.Struct("<4sHHHHHIIIHH")  # 4.3.7
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")  # 4.3.12
_ENDING = struct.Struct("<4sHHHHIIH")  # 4.3.16
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 1, 8, 2_048  # flags (4.4.4)
_STORED, _DEFLATED = 0, 8  # methods (4.4.5)
_METHODS = frozenset([*range(15), 16, 18, 19, 20, *range(93, 100)])  # all that there are
_OF_CLAMD = frozenset([*range(13)])  # methods that libclamav 1.0 decompresses
_SIZE_64, _UNICODE_PATH = 0x0001, 0x7075  # extra fields (4.5.3, 4.6.9)
_HUGE = 0xFFFFFFFF
_NOTHING = b"\x03\0"  # no octets, deflated: what a folder has
_BLOCK = 262_144
_MOST_ENDS = 100  # directories that one file has; each may be another program's
_LONGEST_NAME = 4_096


@dataclass(frozen=True, slots=True)
class _Member:
    """A member as one header tells it. at: where its own header stands; begin: its octets; size: unpacked; sum: None
    for none. is_unusual: it is not in the last directory."""

    at: int
    names: tuple[bytes | str, ...]
    flags: int
    method: int
    sum: int | None
    packed: int
    size: int
    begin: int
    is_unusual: bool = False

    @property
    def way(self) -> tuple[int, int, int, int]:
        """Of two members with the same, the octets are the same."""
        return self.begin, self.method, self.packed, self.flags & _ENCRYPTED


def read(octets: bytes, name: str, place: str, budget: Budget, beside: bool = False) -> Iterator[Found]:
    """Yield what a zip holds. beside: only what its last directory does not name."""
    growth = Growth(len(octets), budget)
    most = 2 * budget.limits.files
    seen: set[object] = set()
    count = 0
    is_doubtful = octets.count(_END) != 1  # of two zips in one file clamd finds what is in neither
    for each in _members(octets, most, beside):
        count += 1
        if count > most:
            raise Blocked(Obstacle.LIMIT, f"more than {most} files")
        if (each.way, each.names) in seen:
            continue
        seen.add((each.way, each.names))
        names = named(*each.names)
        if each.size == 0 and each.packed <= len(_NOTHING) and names[0].endswith(("/", "\\")):
            continue
        is_hidden = is_doubtful or each.is_unusual or each.method not in _OF_CLAMD
        for found in member(names, _blocks(octets, each), each.size, place, growth, budget):
            yield replace(found, is_hidden=is_hidden) if isinstance(found, Inside) else found
    if not count and not beside and not octets.startswith(_END):  # an empty one is its directory alone
        raise Blocked(Obstacle.DAMAGED, "zip: nothing in it")


def _members(octets: bytes, most: int, beside: bool) -> Iterator[_Member]:
    """Yield the members of each directory, the last first, then those that none names; raise Blocked without one.

    beside: leave those of the last one out.
    """
    stored = _Spans()  # a zip that stands in one is looked into as a file of its own
    known: set[int] = set()
    count = 0
    at = len(octets)
    while (at := octets.rfind(_END, 0, at)) >= 0:
        if stored.end_of(at) > at:
            continue
        if count == _MOST_ENDS:
            raise Blocked(Obstacle.LIMIT, f"more than {_MOST_ENDS} directories")
        for entry, own in _listed(octets, at, most):
            known.add(entry.at)
            if own and entry.method == _STORED:
                stored.add(entry.begin, entry.begin + entry.packed)
            names = tuple(dict.fromkeys((*entry.names, *(own.names if own else ()))))
            if count or not beside:
                yield replace(entry, names=names, is_unusual=count > 0)
            if own and own.flags & _SIZES_BEHIND and not own.packed:
                own = replace(own, packed=entry.packed, size=entry.size, sum=entry.sum)
            if own and own.way != entry.way:
                yield replace(own, names=names, is_unusual=True)
        count += 1
    marks = dict.fromkeys((_SUMS, _CENTRAL, _LOCAL), 0)
    at = octets.find(_LOCAL)
    while at >= 0:
        following = max(stored.end_of(at), at + 1)
        own = None if at in known or following > at + 1 else _own(octets, at)
        if own is not None:
            own = _ended(octets, own, marks)
            yield replace(own, is_unusual=True)
            following = own.begin + (own.packed if own.method == _STORED else 0)
        at = octets.find(_LOCAL, following)
    if not count:
        raise Blocked(Obstacle.DAMAGED, "zip: no directory")


def _ended(octets: bytes, own: _Member, marks: dict[bytes, int]) -> _Member:
    """Return a member with its size, where that stands behind its octets: they end at the next mark.

    marks: where each was found last, for members are asked for in the order in which they stand.
    """
    if not own.flags & _SIZES_BEHIND or own.packed:
        return own
    for mark, place in marks.items():
        if place < own.begin:
            found = octets.find(mark, own.begin)
            marks[mark] = found if found >= 0 else len(octets)
    packed = min(marks.values()) - own.begin
    return replace(own, packed=packed, sum=None)


def _listed(octets: bytes, end: int, most: int) -> Iterator[tuple[_Member, _Member | None]]:
    """Yield what a directory that ends here names, each with what stands at the member itself."""
    if end + _ENDING.size > len(octets):
        return
    *_, size, told, _ = _ENDING.unpack_from(octets, end)
    close = end
    if octets.startswith(_LOCATOR_64, end - 20):
        place = octets.rfind(_END_64, 0, end)
        if place >= 0 and place + 56 <= end:
            size, told = struct.unpack_from("<QQ", octets, place + 40)
            close = place
    begin = close - size
    if begin < 0 or not octets.startswith(_CENTRAL, begin):
        begin = told
    shift = begin - told  # what stands before the zip
    for _ in range(most + 1):
        if begin < 0 or not octets.startswith(_CENTRAL, begin) or begin + _ENTRY.size > len(octets):
            return
        fields = _ENTRY.unpack_from(octets, begin)
        _, _, _, flags, method, _, _, checksum, packed, full, name, extra, comment, _, _, _, offset = fields
        start = begin + _ENTRY.size
        label = octets[start : start + name]
        more = _extras(octets[start + name : start + name + extra])
        full, packed, offset = _large(more, full, packed, offset)
        begin = start + name + extra + comment
        own = _own(octets, offset + shift) or _own(octets, offset)
        place = own.at if own else offset + shift
        data = own.begin if own else place + _MEMBER.size + name
        yield _Member(place, _names(label, flags, more), flags, method, checksum, packed, full, data), own


def _own(octets: bytes, at: int) -> _Member | None:
    """Return the member whose header stands here, None for none."""
    if at < 0 or not octets.startswith(_LOCAL, at) or at + _MEMBER.size > len(octets):
        return None
    _, _, flags, method, _, _, checksum, packed, full, name, extra = _MEMBER.unpack_from(octets, at)
    start = at + _MEMBER.size
    begin = start + name + extra
    if method not in _METHODS or name > _LONGEST_NAME or begin > len(octets):
        return None
    more = _extras(octets[start + name : begin])
    full, packed, _ = _large(more, full, packed, 0)
    packed = min(packed, len(octets) - begin)
    names = _names(octets[start : start + name], flags, more)
    return _Member(at, names, flags, method, checksum, packed, full, begin)


def _extras(octets: bytes) -> dict[int, bytes]:
    """Return the extra fields by their numbers (4.5)."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(octets):
        number, length = struct.unpack_from("<HH", octets, at)
        found.setdefault(number, octets[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _large(extras: dict[int, bytes], full: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return sizes and offset, from the extra field where they are larger than the header holds (4.5.3)."""
    at = 0
    field = extras.get(_SIZE_64, b"")
    values = [full, packed, offset]
    for number, value in enumerate(values):
        if value == _HUGE and at + 8 <= len(field):
            values[number] = int.from_bytes(field[at : at + 8], "little")
            at += 8
    return values[0], values[1], values[2]


def _names(label: bytes, flags: int, extras: dict[int, bytes]) -> tuple[bytes | str, ...]:
    """Return a member's names: as it stands, and in Unicode beside it."""
    unicode = extras.get(_UNICODE_PATH, b"")[5:]  # behind its version and the sum of the other
    names: list[bytes | str] = [unicode.decode("utf-8", "replace")] if unicode else []
    if flags & _UTF8:
        names.append(label.decode("utf-8", "replace"))
    return (*names, label)


def _blocks(octets: bytes, each: _Member) -> Iterator[bytes]:
    if each.flags & _ENCRYPTED:
        raise Blocked(Obstacle.ENCRYPTED, "member")
    if each.begin > len(octets):
        raise Blocked(Obstacle.DAMAGED, "member")
    packed = octets[each.begin : each.begin + each.packed]
    checksum, size = 0, 0
    for block in _unpacked(packed, each):
        checksum = zlib.crc32(block, checksum)
        size += len(block)
        yield block
    if each.sum is not None and (checksum, size) != (each.sum, each.size):
        raise Blocked(Obstacle.DAMAGED, "member")


def _unpacked(packed: bytes, each: _Member) -> Iterator[bytes]:
    if each.method == _STORED:
        yield packed
        return
    if each.method != _DEFLATED:
        yield from archives.only_member(_alone(packed, each), ("zip",))
        return
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        rest = packed
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, _BLOCK)
            rest = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise Blocked(Obstacle.DAMAGED, "member") from error
    if not unpacker.eof:
        raise Blocked(Obstacle.DAMAGED, "member")


def _alone(packed: bytes, each: _Member) -> bytes:
    """Return a zip with this member alone."""
    sizes = (each.sum or 0, len(packed), each.size)
    local = _MEMBER.pack(_LOCAL, 63, 0, each.method, 0, 0, *sizes, 1, 0) + b"a" + packed
    entry = _ENTRY.pack(_CENTRAL, 63, 63, 0, each.method, 0, 0, *sizes, 1, 0, 0, 0, 0, 0, 0) + b"a"
    return local + entry + _ENDING.pack(_END, 0, 0, 1, 1, len(entry), len(local), 0)


class _Spans:
    """Where the octets of members stand."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._is_sorted = True
        self._merged: list[tuple[int, int]] = []

    def add(self, begin: int, end: int) -> None:
        """Take a span."""
        if end > begin:
            self._spans.append((begin, end))
            self._is_sorted = False

    def end_of(self, at: int) -> int:
        """Return the end of the span that a place is in, the place itself where it is in none."""
        if not self._is_sorted:
            self._merge()
        index = bisect_right(self._merged, (at, 1 << 63)) - 1
        return max(at, self._merged[index][1]) if index >= 0 else at

    def _merge(self) -> None:
        self._merged = []
        for begin, end in sorted(self._spans):
            if self._merged and begin <= self._merged[-1][1]:
                self._merged[-1] = (self._merged[-1][0], max(end, self._merged[-1][1]))
            else:
                self._merged.append((begin, end))
        self._is_sorted = True
