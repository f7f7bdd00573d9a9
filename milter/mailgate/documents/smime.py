"""S/MIME (RFC 8551): what is signed and carried inside (opaque-signed), and that something is encrypted.

No signature is verified here: what a reader is shown is looked into, whoever signed it.
"""

from collections.abc import Iterator

from ..model import Obstacle
from .budget import Blocked, Budget
from .found import Inside

_PKCS7 = bytes.fromhex("06092a864886f70d0107")  # the object identifiers 1.2.840.113549.1.7.x (RFC 5652 section 4 on)
_OTHER = bytes.fromhex("060b2a864886f70d01091001")  # 1.2.840.113549.1.9.16.1.x: compressed (9), authenticated (23)
_DATA, _SIGNED, _ENVELOPED, _ENCRYPTED = 1, 2, 3, 6
_AUTHENTICATED = 23
_BEGIN = 32  # octets in which the first identifier stands
_INNER = 1_024  # and the one of what is signed: the digests' identifiers stand before it


def is_smime(octets: bytes) -> bool:
    """Tell whether octets begin as a ContentInfo does: a SEQUENCE and one of the identifiers."""
    return octets.startswith(b"\x30") and (_PKCS7 in octets[:_BEGIN] or _OTHER in octets[:_BEGIN])


def read(octets: bytes, budget: Budget) -> Iterator[Inside]:
    """Yield what is signed and carried inside, nothing where the signature stands beside it (multipart/signed)."""
    head = octets[:_BEGIN]
    at = head.find(_PKCS7)
    if at < 0:
        kind = octets[head.find(_OTHER) + len(_OTHER)]
        raise Blocked(Obstacle.ENCRYPTED if kind == _AUTHENTICATED else Obstacle.UNSUPPORTED, "S/MIME")
    kind = octets[at + len(_PKCS7)] if at + len(_PKCS7) < len(octets) else 0
    if kind in (_ENVELOPED, _ENCRYPTED):
        raise Blocked(Obstacle.ENCRYPTED, "S/MIME")
    if kind != _SIGNED:
        raise Blocked(Obstacle.UNSUPPORTED, "S/MIME")
    at = octets.find(_PKCS7 + bytes((_DATA,)), at + len(_PKCS7), _INNER)
    if at < 0:
        raise Blocked(Obstacle.UNSUPPORTED, "S/MIME")
    at += len(_PKCS7) + 1
    if octets[at : at + 1] != b"\xa0":  # no content: a detached signature
        return
    content = _octet_string(octets, _header(octets, at)[2])
    budget.take_octets(len(content))
    yield Inside("smime.eml", content)


def _header(octets: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag at a place, the length of its value (-1: an end mark ends it), and where that begins."""
    if at + 2 > len(octets):
        raise Blocked(Obstacle.DAMAGED, "S/MIME")
    tag, first = octets[at], octets[at + 1]
    if first < 0x80:
        return tag, first, at + 2
    if first == 0x80:
        return tag, -1, at + 2
    count = first & 0x7F
    return tag, int.from_bytes(octets[at + 2 : at + 2 + count], "big"), at + 2 + count


def _octet_string(octets: bytes, at: int) -> bytes:
    """Return an OCTET STRING's octets, also one that is made of pieces (X.690 section 8.7)."""
    tag, length, begin = _header(octets, at)
    if tag == 0x04 and length >= 0:
        return octets[begin : begin + length]
    if tag != 0x24:
        raise Blocked(Obstacle.UNSUPPORTED, "S/MIME")
    end = len(octets) if length < 0 else min(begin + length, len(octets))
    pieces = []
    while begin < end:
        tag, length, start = _header(octets, begin)
        if tag != 0x04 or length < 0:
            break
        pieces.append(octets[start : start + length])
        begin = start + length
    return b"".join(pieces)
