"""TNEF, what Outlook sends as winmail.dat (MS-OXTNEF): the message's text, and its attachments with their names.

A stream of attributes, each with its level, number, length, octets and sum; two kinds of them hold MAPI properties.
The sums are not asked for: whoever opens it does not either.
"""

import struct
from collections.abc import Iterator

from ..model import Obstacle, TextKind
from ..text import charsets
from .budget import Blocked, Budget
from .found import Extract, Found, Inside
from .members import named
from .msg import unpacked

SIGNATURE = b'x\x9f>"'  # 2.1.3.1
_ATTRIBUTE = struct.Struct("<BII")
_BEGIN = 6  # octets: the signature and a key
# 2.1.3.2, by the lower half of their numbers
_SUBJECT, _BODY, _MESSAGE = 0x8004, 0x800C, 0x9003
_RENDERING, _TITLE, _TRANSPORT_NAME, _DATA, _PROPERTIES = 0x9002, 0x8010, 0x9001, 0x800F, 0x9005
# MS-OXPROPS: PidTagAttachLongFilename, ...Filename, ...DisplayName, ...AttachLongPathname, ...MimeTag, ...DataBinary
_NAMES, _MIME, _BINARY = (0x3707, 0x3704, 0x3001, 0x370D, 0x3708), 0x370E, 0x3701
_TEXT, _RTF, _HTML, _TOPIC = 0x1000, 0x1009, 0x1013, 0x0037
_NARROW, _WIDE, _OCTETS, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D  # MS-OXCDATA 2.11.1
_FIXED = {0: 0, 1: 0, 2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_MANY = 0x1000
_MOST_PROPERTIES = 4_096  # a message has some hundred
_INTERFACE = 16  # octets before an object: which kind of object it is

Properties = dict[int, list[tuple[int, bytes]]]


class _Attachment:
    """What was said of one attachment."""

    def __init__(self) -> None:
        self.names: list[bytes | str] = []
        self.contents: dict[bytes, None] = {}
        self.declared = ""

    def take(self, properties: Properties) -> None:
        """Take what MAPI says of it."""
        for number in _NAMES:
            self.names += [text for kind, octets in properties.get(number, ()) if (text := _text_of(kind, octets))]
        for kind, octets in properties.get(_MIME, ()):
            self.declared = _text_of(kind, octets).lower()
        for kind, octets in properties.get(_BINARY, ()):
            inner = octets[_INTERFACE:] if kind == _OBJECT else octets
            if inner:
                self.contents[inner] = None

    def found(self) -> Iterator[Inside]:
        """Yield it; it has two contents where it says so twice."""
        name, others = named(*self.names)
        for octets in self.contents:
            declared = "application/ms-tnef" if octets.startswith(SIGNATURE) else self.declared
            yield Inside(name or "attachment", octets, declared, others)


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a TNEF holds; what comes before the damage is yielded, then Blocked raised."""
    attachment: _Attachment | None = None
    message: Properties = {}
    count = 0
    at = _BEGIN
    damage = ""
    while at + _ATTRIBUTE.size <= len(octets):
        _, number, length = _ATTRIBUTE.unpack_from(octets, at)
        start = at + _ATTRIBUTE.size
        value = octets[start : start + length]
        at = start + length + 2
        count += 1
        number &= 0xFFFF
        if at > len(octets):
            damage = "tnef: cut"
        try:
            if number == _RENDERING:
                if attachment:
                    yield from attachment.found()
                attachment = _Attachment()
            elif number in (_TITLE, _TRANSPORT_NAME, _DATA, _PROPERTIES):
                attachment = attachment or _Attachment()
                budget.take_octets(length if number == _DATA else 0)
                if number == _DATA:
                    attachment.contents[value] = None
                elif number == _PROPERTIES:
                    attachment.take(_properties(value))
                else:
                    attachment.names.append(value.partition(b"\0")[0])
            elif number == _MESSAGE:
                message = _properties(value)
            elif number in (_SUBJECT, _BODY):
                message.setdefault(_TOPIC if number == _SUBJECT else _TEXT, []).append((_NARROW, value))
        except struct.error:
            damage = "tnef: properties"
    if attachment:
        yield from attachment.found()
    yield from _texts(message, place, budget)
    if damage or not count:
        raise Blocked(Obstacle.DAMAGED, damage or "tnef: nothing in it")


def _texts(message: Properties, place: str, budget: Budget) -> Iterator[Found]:
    for number, kind in ((_TOPIC, TextKind.SUBJECT), (_TEXT, TextKind.DOCUMENT)):
        for text in dict.fromkeys(_text_of(each, octets) for each, octets in message.get(number, ())):
            if text.strip():
                yield Extract(place, kind, text.replace("\r\n", "\n")[: budget.room()])
                budget.take_letters(len(text))
    for form, octets in message.get(_HTML, ()):
        yield Inside("body.html", _text_of(form, octets).encode() if form == _WIDE else octets, "text/html")
    for _, octets in message.get(_RTF, ()):
        yield Inside("body.rtf", unpacked(octets, budget), "application/rtf")


def _text_of(kind: int, octets: bytes) -> str:
    if kind == _WIDE:
        return octets.decode("utf-16-le", "replace").partition("\0")[0]
    return charsets.read(octets.partition(b"\0")[0]).text if kind in (_NARROW, _OCTETS) else ""


def _properties(octets: bytes) -> Properties:
    """Return MAPI properties by their numbers (2.1.3.4); raise struct.error where they end too early."""
    found: Properties = {}
    (count,) = struct.unpack_from("<I", octets)
    at = 4
    for _ in range(min(count, _MOST_PROPERTIES)):
        kind, number = struct.unpack_from("<HH", octets, at)
        at += 4
        if number >= 0x8000:  # a named one
            (is_text,) = struct.unpack_from("<I", octets, at + 16)
            at += 24
            if is_text:
                (length,) = struct.unpack_from("<I", octets, at - 4)
                at += length + -length % 4
        values = 1
        is_long = kind & ~_MANY in (_NARROW, _WIDE, _OCTETS, _OBJECT)
        if is_long or kind & _MANY:
            (values,) = struct.unpack_from("<I", octets, at)
            at += 4
        kind &= ~_MANY
        for _ in range(values):
            if is_long:
                (length,) = struct.unpack_from("<I", octets, at)
                at += 4
                found.setdefault(number, []).append((kind, octets[at : at + length]))
            else:
                length = _FIXED.get(kind, -1)
                if length < 0:
                    raise struct.error("a property of no known type")
                if not length:
                    break
            at += length + -length % 4
            if at > len(octets) + 3:
                raise struct.error("cut")
    return found
