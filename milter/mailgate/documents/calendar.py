"""Calendars and cards (RFC 5545, RFC 6350, and the versions before): their text, and the files that they carry.

An invitation may hold a file, `ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=a.pdf:JVBERi…`, a card a picture. What is
only named by a URL is elsewhere, and nothing of this mail.
"""

import re
from collections.abc import Iterator

from ..mime.transfer import decoder_for
from ..model import TextKind
from .budget import Budget
from .data_urls import file_of, from_base64
from .found import Found, Inside
from .members import named
from .plain import read_text

_FOLD = re.compile(rb"\r?\n[ \t]")
_LINE = re.compile(
    rb"^([\w.-]{1,100})((?:;[^\"\r\n:]*(?:\"[^\"\r\n]*\"[^\"\r\n:]*)*)?):"
    rb"([^\r\n]*(?:\r?\n[A-Za-z0-9+/=]++(?=\r?\n|\Z))*)",  # also where digits are broken without a fold
    re.MULTILINE,
)
_PARAMETER = re.compile(rb";[ \t]*([\w-]+)[ \t]*(?:=[ \t]*(\"[^\"]*\"|[^;]*))?")
_BINARY = frozenset({b"base64", b"b", b"binary"})
_SHORTEST = 4  # digits of base64 that hold anything


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a calendar or card without its files, then these."""
    unfolded = _FOLD.sub(b"", octets)
    files: list[Inside] = []
    kept: list[bytes] = []
    position = 0
    for line in _LINE.finditer(unfolded):
        inner = _file_in(line[1], line[2], line[3])
        if inner is not None:
            budget.take_octets(len(inner.octets))
            files.append(inner)
            kept.append(unfolded[position : line.start(3)])
            position = line.end()
    kept.append(unfolded[position:])
    yield from files
    yield from read_text(b"".join(kept), "", place, TextKind.DOCUMENT, budget)


def _file_in(what: bytes, parameters: bytes, value: bytes) -> Inside | None:
    told = [(name.lower(), text.strip(b' \t"')) for name, text in _PARAMETER.findall(parameters)]
    values = {text.lower() for _, text in told} | {name for name, text in told if not text}
    if embedded := file_of(value):
        octets, declared = embedded.octets, embedded.declared
    elif values & _BINARY and len(value) >= _SHORTEST:
        octets, declared = from_base64(value), ""
    elif b"quoted-printable" in values and what.upper() == b"ATTACH":
        decoder = decoder_for("quoted-printable")
        octets, declared = decoder.feed(value) + decoder.finish(), ""
    else:
        return None
    names = [text for name, text in told if (b"name" in name or b"label" in name) and text]
    declared = next((text.decode("latin-1").lower() for name, text in told if name == b"fmttype"), declared)
    name, others = named(*names, *(b"%s" % what.lower() for _ in range(not names)))
    return Inside(name, octets, declared, others)
