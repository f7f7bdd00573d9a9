"""ActiveMime (mso): the compound file with the macros of an office document that is saved as a page."""

import zlib
from collections.abc import Iterator

from ..model import Obstacle
from .budget import Blocked, Budget, Growth
from .found import Inside

_BEGIN, _LONGEST_HEAD = 32, 2_048  # octets between which the compressed data begin
_STREAMS = (b"x\x9c", b"x\x01", b"x\xda", b"x^")  # RFC 1950 section 2.2, as it is usually made
_BLOCK = 262_144


def read(octets: bytes, budget: Budget) -> Iterator[Inside]:
    """Yield the compound file; raise Blocked where there is none."""
    at = _BEGIN
    while at < _LONGEST_HEAD:
        at = min((place for mark in _STREAMS if (place := octets.find(mark, at, _LONGEST_HEAD)) >= 0), default=-1)
        if at < 0:
            break
        if inner := _unpacked(octets[at:], budget):
            yield Inside("oledata.mso", inner)
            return
        at += 1
    raise Blocked(Obstacle.DAMAGED, "mso")


def _unpacked(octets: bytes, budget: Budget) -> bytes:
    growth = Growth(len(octets), budget)
    unpacker = zlib.decompressobj()
    blocks: list[bytes] = []
    try:
        while octets and not unpacker.eof:
            blocks.append(unpacker.decompress(octets, _BLOCK))
            growth.take(len(blocks[-1]))
            octets = unpacker.unconsumed_tail
    except zlib.error:
        pass
    return b"".join(blocks)
