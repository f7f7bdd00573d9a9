"""Objects as OLE 1 embeds them (MS-OLEDS 2.2, 2.3), in RTF and by the Packager in OLE 2; links to files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Danger
from ..text.file_names import PROGRAMS
from .found import Inside, Threat
from .markup import is_remote

_PROGRAM = re.compile(
    rf"\.({'|'.join(sorted(PROGRAMS, key=len, reverse=True))})(?=[\s\"'!,;?#.]*(?:\s|\Z|[\"',]))", re.IGNORECASE
)
_LONGEST = 2_048  # letters of a target that are looked at
_LINK, _EMBEDDING = 1, 2  # OLE 1's FormatID (2.2.4)
_PACKAGED_LINK = 1  # of the Packager; 3 is a file of its own
# Monikers in a stream \1Ole (2.3.3): their classes, and the target behind a length.
_FILE_MONIKER = bytes.fromhex("0303000000000000c000000000000046")  # MS-OSHARED 2.3.7.8
_URL_MONIKER = bytes.fromhex("e0c9ea79f9bace118c8200aa004ba90b")  # 2.3.7.6


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded file, its name as the Packager has it, and the class of the object ("Package", "Equation.3")."""

    name: str
    octets: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Linked:
    """An object that is not there: opening it opens this file, or this command."""

    target: str


def shown(found: Embedded | Linked | None) -> Iterator[Inside | Threat]:
    """Yield what an object is to a reader: the file inside, or what a link does."""
    if isinstance(found, Embedded):
        yield Inside(found.name, found.octets)
    elif found:
        yield from dangers_of_link(found.target)


def dangers_of_link(target: str) -> Iterator[Threat]:
    r"""Yield what a link to a file does when it is opened: start a program, or fetch from another machine.

    >>> [[str(t.danger) for t in dangers_of_link(a)] for a in (r"C:\calc.exe", "cmd.exe /c x", r"\\a\b", r"D:\b.xls")]
    [['embedded-program'], ['embedded-program'], ['remote-template'], []]
    """
    target = target[:_LONGEST].strip()
    if is_remote(target):
        yield Threat(Danger.REMOTE_TEMPLATE, "link")
    elif found := _PROGRAM.search(target):
        yield Threat(Danger.EMBEDDED_PROGRAM, f"link to {found[1].lower()}")


def packaged(octets: bytes) -> Embedded | Linked | None:
    r"""Return the file in a Packager's stream, `\1Ole10Native` or the native data of a Package; None for none.

    After an optional size of 4 octets: 02 00, label, path, 2 octets, then 3 and the path once more after its length,
    the file's size and octets, or 1 and the path of a file that is elsewhere.
    """
    at = 4 if octets[4:6] == b"\x02\0" else 0
    if octets[at : at + 2] != b"\x02\0":
        return None
    label, position = _text(octets, at + 2)
    path, position = _text(octets, position)
    kind = int.from_bytes(octets[position + 2 : position + 4], "little")
    if kind == _PACKAGED_LINK:
        again, _ = _text(octets, position + 6)
        return Linked(f"{path} {again}".strip() or label)
    position += 4
    length = int.from_bytes(octets[position : position + 4], "little")
    position += 4 + length  # the path once more
    size = int.from_bytes(octets[position : position + 4], "little")
    inner = octets[position + 4 : position + 4 + size]
    name = label or path.replace("\\", "/").rpartition("/")[2]
    if inner:
        return Embedded(name, inner, "Package")
    return Linked(path) if path else None


def _text(octets: bytes, position: int) -> tuple[str, int]:
    end = octets.find(b"\0", position, position + 1_024)
    if end < 0:
        return "", len(octets)
    return octets[position:end].decode("cp1258", "replace"), end + 1


def object_of(octets: bytes) -> Embedded | Linked | None:
    """Return what an OLE 1 object holds (MS-OLEDS 2.2.5), or links to (2.2.6); None for what is no object."""
    form = int.from_bytes(octets[4:8], "little")
    if form not in (_LINK, _EMBEDDING):
        return None
    kind, position = _counted(octets, 8)
    topic, position = _counted(octets, position)
    _, position = _counted(octets, position)  # item
    if form == _LINK:
        return Linked(topic)
    size = int.from_bytes(octets[position : position + 4], "little")
    native = octets[position + 4 : position + 4 + size]
    if kind.lower() == "package" and (inner := packaged(native)):
        return inner
    return Embedded(kind or "object", native, kind) if native else None


def _counted(octets: bytes, position: int) -> tuple[str, int]:
    length = int.from_bytes(octets[position : position + 4], "little")
    end = position + 4 + length
    return octets[position + 4 : end][:_LONGEST].rstrip(b"\0").decode("latin-1"), end


def links_of(stream: bytes) -> Iterator[Linked]:
    r"""Yield what a stream `\1Ole` links to: the targets of its monikers."""
    at = stream.find(_FILE_MONIKER)
    while at >= 0:
        at += len(_FILE_MONIKER)
        size = int.from_bytes(stream[at + 2 : at + 6], "little")
        yield Linked(stream[at + 6 : at + 6 + size][:_LONGEST].rstrip(b"\0").decode("cp1258", "replace"))
        at += 6 + size + 24  # endServer, versionNumber, 16 reserved octets, cbUnicodePathSize is 4
        size = int.from_bytes(stream[at : at + 4], "little")
        if 0 < size <= 2 * _LONGEST:
            yield Linked(stream[at + 6 : at + 6 + size].decode("utf-16-le", "replace"))
        at = stream.find(_FILE_MONIKER, at)
    at = stream.find(_URL_MONIKER)
    while at >= 0:
        at += len(_URL_MONIKER)
        size = min(int.from_bytes(stream[at : at + 4], "little"), 2 * _LONGEST)
        yield Linked(stream[at + 4 : at + 4 + size].decode("utf-16-le", "replace").partition("\0")[0])
        at = stream.find(_URL_MONIKER, at)
