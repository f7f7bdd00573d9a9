"""Outlook's message files (MS-OXMSG): subject, bodies, attachments, and messages attached to them."""

from collections.abc import Iterator, Mapping

from ..model import Obstacle, TextKind, Uninspected
from ..text import charsets
from .budget import Blocked, Budget
from .compound import Compound
from .found import Extract, Found, Inside

_SUBJECT, _BODY, _HTML, _RTF = (
    "0037",
    "1000",
    "1013",
    "1009",
)  # PidTagSubject, PidTagBody, PidTagHtml, PidTagRtfCompressed
_DATA, _LONG_NAME, _SHORT_NAME, _MIME = "3701", "3707", "3704", "370E"
_WIDE, _NARROW, _BINARY, _STORAGE = "001F", "001E", "0102", "000D"
_STREAM, _ATTACHMENT = "__substg1.0_", "__attach_version1.0_"


def read(compound: Compound, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a message holds; an attached message stands in a storage of its own, and so on to the limit.

    An attached object of OLE has streams like those of any compound file, and is read with them.
    """
    known = {"/".join(path).lower(): path for path in compound.paths}
    waiting: list[tuple[str, str, int]] = [("", place, budget.depth)]
    is_empty = True
    while waiting:
        prefix, where, depth = waiting.pop()
        if depth <= 0:
            yield Uninspected(where, Obstacle.LIMIT, "nested too deep")
            continue
        storage = _Storage(compound, known, prefix, budget)
        for found in _texts(storage, where, budget):
            is_empty = False
            yield found
        attachments = sorted({name.split("/")[0] for name in storage.names() if name.startswith(_ATTACHMENT)})
        for folder in attachments:
            is_empty = False
            inner = _Storage(compound, known, f"{prefix}{folder}/", budget)
            name = inner.text(_LONG_NAME) or inner.text(_SHORT_NAME) or "attachment"
            nested = f"{_STREAM}{_DATA}{_STORAGE}/".lower()
            inside = [each.removeprefix(nested) for each in inner.names() if each.startswith(nested)]
            if any(each.startswith((_STREAM, "__properties")) for each in inside):
                waiting.append((f"{prefix}{folder}/{nested}", f"{where} > attached message", depth - 1))
            elif (octets := inner.octets(_DATA, _BINARY)) is not None:
                yield Inside(name, octets, inner.text(_MIME))
            elif not inside:
                yield Uninspected(f"{where} > {name}", Obstacle.UNSUPPORTED, "attachment by reference")
    if is_empty:
        yield Uninspected(place, Obstacle.UNSUPPORTED, "msg: nothing in it")


class _Storage:
    """The properties of one message or attachment: streams named by tag and type."""

    def __init__(self, compound: Compound, known: Mapping[str, tuple[str, ...]], prefix: str, budget: Budget) -> None:
        self._compound = compound
        self._known = known
        self._prefix = prefix.lower()
        self._budget = budget

    def names(self) -> list[str]:
        """Return the names of the streams below, in lower case."""
        cut = len(self._prefix)
        return [name[cut:] for name in self._known if name.startswith(self._prefix)]

    def octets(self, tag: str, kind: str) -> bytes | None:
        """Return a property as it stands, None where it is not there."""
        path = self._known.get(f"{self._prefix}{_STREAM}{tag}{kind}".lower())
        return None if path is None else self._compound.stream(path, self._budget)

    def text(self, tag: str) -> str:
        """Return a property of text, "" where it is not there."""
        wide = self.octets(tag, _WIDE)
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        narrow = self.octets(tag, _NARROW)
        return charsets.read(narrow.rstrip(b"\0")).text if narrow is not None else ""


def _texts(storage: _Storage, place: str, budget: Budget) -> Iterator[Found]:
    for tag, kind in ((_SUBJECT, TextKind.SUBJECT), (_BODY, TextKind.DOCUMENT)):
        text = storage.text(tag).replace("\r\n", "\n")
        if text.strip():
            yield Extract(place, kind, text[: budget.room()])
            budget.take_letters(len(text))
    html = storage.octets(_HTML, _BINARY)
    if html is None and (text := storage.text(_HTML)):
        html = text.encode()
    if html:
        yield Inside("body.html", html, "text/html")
    if packed := storage.octets(_RTF, _BINARY):  # Outlook shows it before the others
        yield Inside("body.rtf", unpacked(packed, budget), "application/rtf")


# What every compressed body may refer to from its first octet on (MS-OXRTFCP 2.1.2.1).
_BEFORE = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4_096


def unpacked(octets: bytes, budget: Budget) -> bytes:
    """Return a compressed body of RTF (MS-OXRTFCP 2.2); raise Blocked where it is none."""
    if octets[8:12] == b"MELA":
        return octets[16:]
    if octets[8:12] != b"LZFu":
        raise Blocked(Obstacle.DAMAGED, "rtf of a msg")
    size = int.from_bytes(octets[4:8], "little")
    if size > budget.limits.file_octets:
        raise Blocked(Obstacle.LIMIT, "rtf of a msg")
    budget.take_octets(size)
    out = bytearray(_BEFORE)
    at, end = 16, len(octets)
    while at < end:
        control = octets[at]
        at += 1
        for bit in range(8):
            if at >= end or len(out) - len(_BEFORE) >= size:
                return bytes(out[len(_BEFORE) :])
            if not control >> bit & 1:
                out.append(octets[at])
                at += 1
                continue
            reference = int.from_bytes(octets[at : at + 2], "big")
            at += 2
            # An offset into a ring of 4,096 octets that is written from 207 on, where what is before all ends.
            back = (len(out) - (reference >> 4)) % _WINDOW
            if not back or back > len(out):
                return bytes(out[len(_BEFORE) :])
            for _ in range((reference & 15) + 2):
                out.append(out[-back])
    return bytes(out[len(_BEFORE) :])
