"""Text that Office's drawings have as a property (MS-ODRAW): WordArt, as of watermarks, and descriptions of pictures.

Its records stand in the streams of doc, xls and ppt; what is written in a text box stands elsewhere.
"""

from collections.abc import Iterator

_PROPERTIES = frozenset({0xF00B, 0xF121, 0xF122})  # OfficeArtFOPT, and its second and third (2.2.9 to 2.2.11)
_SHOWN = frozenset(
    {
        0x00C0,  # gtextUNICODE (2.3.22.1): WordArt
        0x0381,  # wzDescription (2.3.4.5): what a reader who does not see the picture is told
        0x038D,  # wzTooltip (2.3.4.13)
    }
)
_NAMES = frozenset({"gtextUNICODE", "wzDescription", "wzTooltip"})
"""The same, as RTF names them."""
_COMPLEX = 0x8000  # the value is a length: the octets follow the table
_LONGEST = 131_072  # octets of one text
_MOST = 100_000  # records of a stream; a shape has some ten


def is_text(name: str) -> bool:
    """Tell whether a property of a shape in RTF is text that shows."""
    return name in _NAMES


def texts_in(octets: bytes, begin: int = 0, end: int | None = None) -> Iterator[str]:
    """Yield the texts of the drawings in these records; what is no record ends them."""
    end = len(octets) if end is None else min(end, len(octets))
    at = begin
    for _ in range(_MOST):
        if at + 8 > end:
            return
        head = int.from_bytes(octets[at : at + 2], "little")
        kind = int.from_bytes(octets[at + 2 : at + 4], "little")
        size = int.from_bytes(octets[at + 4 : at + 8], "little")
        at += 8
        if head & 0xF == 0xF:  # a container: its records follow
            continue
        if kind in _PROPERTIES:
            yield from texts_of(octets[at : min(at + size, end)], head >> 4)
        at += size


def texts_of(table: bytes, count: int) -> Iterator[str]:
    """Yield the texts of a table of properties: `count` of 6 octets each, then the complex values in their order."""
    value = 6 * count
    for at in range(0, min(value, len(table)), 6):
        identifier = int.from_bytes(table[at : at + 2], "little")
        if not identifier & _COMPLEX:
            continue
        size = int.from_bytes(table[at + 2 : at + 6], "little")
        if identifier & 0x3FFF in _SHOWN and (text := _text(table[value : value + min(size, _LONGEST)])):
            yield text
        value += size


def _text(octets: bytes) -> str:
    return octets.decode("utf-16-le", "replace").partition("\0")[0].replace("\r", "\n").strip()
