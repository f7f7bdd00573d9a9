"""Outlook's message files (MS-OXMSG): subject, bodies, attachments, and messages attached to them."""

from collections.abc import Iterator
from typing import Any

from ..model import Obstacle, TextKind, Uninspected
from ..text import charsets
from .budget import Blocked, Budget
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


def read(compound: Any, paths: list[list[str]], place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a message holds; an attached message stands in a storage of its own, and so on to the limit."""
    known: dict[str, list[str]] = {"/".join(path).lower(): path for path in paths}
    waiting: list[tuple[str, str, int]] = [("", place, budget.depth)]
    while waiting:
        prefix, where, depth = waiting.pop()
        if depth <= 0:
            yield Uninspected(where, Obstacle.LIMIT, "nested too deep")
            continue
        storage = _Storage(compound, known, prefix, budget)
        yield from _texts(storage, where, budget)
        attachments = sorted({name.split("/")[0] for name in storage.names() if name.startswith(_ATTACHMENT)})
        for folder in attachments:
            inner = _Storage(compound, known, f"{prefix}{folder}/", budget)
            name = inner.text(_LONG_NAME) or inner.text(_SHORT_NAME) or "attachment"
            if any(each.startswith(f"{_STREAM}{_DATA}{_STORAGE}/".lower()) for each in inner.names()):
                nested = f"{prefix}{folder}/{_STREAM}{_DATA}{_STORAGE}/".lower()
                waiting.append((nested, f"{where} > attached message", depth - 1))
                continue
            octets = inner.octets(_DATA, _BINARY)
            if octets is not None:
                yield Inside(name, octets, inner.text(_MIME))
            else:
                yield Uninspected(f"{where} > {name}", Obstacle.UNSUPPORTED, "attachment by reference")


class _Storage:
    """The properties of one message or attachment: streams named by tag and type."""

    def __init__(self, compound: Any, known: dict[str, list[str]], prefix: str, budget: Budget) -> None:
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
        if path is None:
            return None
        self._budget.take_octets(int(self._compound.get_size(path)))
        try:
            return bytes(self._compound.openstream(path).read())
        except Exception as error:  # olefile raises whatever a damaged chain of sectors leads to
            raise Blocked(Obstacle.DAMAGED, "stream of a msg") from error

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
    elif not storage.text(_BODY) and (packed := storage.octets(_RTF, _BINARY)):
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
