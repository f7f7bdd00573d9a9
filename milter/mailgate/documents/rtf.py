"""RTF (Microsoft's specification 1.9.1): text by its fonts, drawings, embedded objects, links, remote templates, DDE.

A reader of its own, in one pass: what a letter is depends on the font's charset, and for .VnTime on its name, which
libraries that return plain text have forgotten by then.
"""

import binascii
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..model import Danger, Obstacle
from . import drawings
from .budget import Blocked, Budget
from .fonts import Run, charset_of, read_run, read_runs
from .found import Found, Inside, Threat, extracts
from .markup import is_remote
from .objects import object_of, shown

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})? ?"
    rb"|\\'([0-9a-fA-F]{2})"
    rb"|\\([^a-zA-Z])"
    rb"|([{}])"
    rb"|[\r\n]+"
    rb"|([^\\{}\r\n]+)"
    rb"|\\"
)
# Destinations without text that a reader sees. After \* what is not known is skipped too, as the specification says.
_SKIPPED = frozenset(
    b"colortbl themedata colorschememapping datastore latentstyles listtable listoverridetable "
    b"rsidtbl revtbl filetbl generator xmlnstbl bkmkstart bkmkend mmathPr pgdsctbl xe tc".split()
)
_KEPT = frozenset(
    b"shptxt shpinst shp sp sn sv do nextfile annotation footnote header footer fldrslt nonshppict shppict userprops "
    b"atnauthor company manager category hlinkbase background".split()
)
_LINES = frozenset(b"par line row sect page softline nestrow".split())
# Destinations whose text is a line of its own: what is said of the document, and what stands outside of the text.
_APART = frozenset(
    b"title subject keywords doccomm author operator company manager category hlinkbase comment header headerl "
    b"headerr headerf footer footerl footerr footerf footnote annotation atnid atnauthor shptxt propname "
    b"staticval".split()
)
_SYMBOLS = {
    b"tab": "\t",
    b"cell": "\t",
    b"nestcell": "\t",
    b"emdash": "—",
    b"endash": "–",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"emspace": " ",
    b"enspace": " ",
}
_DESTINATIONS = frozenset(
    {b"objdata", b"fldinst", b"template", b"fonttbl", b"stylesheet", b"result", b"sn", b"sv", b"pict", b"upr"}
)
_STATES = frozenset(
    {
        b"u",
        b"f",
        b"fcharset",
        b"deff",
        b"ansicpg",
        b"uc",
        b"plain",
        b"caps",
        b"scaps",
        b"s",
        b"pard",
        b"sbasedon",
        b"cs",
    }
)
# What is text again inside of a destination that is none: what shows of a picture, and Unicode beside ANSI.
_WITHIN = {b"picprop": b"pict", b"ud": b"upr"}
_HANDLED = _SKIPPED | _LINES | _APART | _WITHIN.keys() | _DESTINATIONS | _STATES | _SYMBOLS.keys()
# \fcharsetN (Windows' GDI) to Python's codec; 163 is Vietnamese.
_CODECS = {
    0: "cp1252",
    1: "cp1252",
    128: "cp932",
    129: "cp949",
    134: "cp936",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}
_DDE = re.compile(r"(?<![^\W_])DDE(?:AUTO)?(?![^\W_])", re.IGNORECASE)
_NOT_HEX = re.compile(rb"[^0-9a-fA-F]+")
_LONGEST_TARGET = 4_096
_LONGEST_NAME = 64
_NO_STYLE = 222  # "no style" of sbasedon


@dataclass(frozen=True, slots=True)
class _State:
    """What a group changes, and gives back at its end."""

    destination: bytes = b""  # "" is text
    font: int = -1
    skip: int = 1  # what stands for a \u where Unicode is not known
    caps: bool = False
    style: int = 0  # of the paragraph
    is_apart: bool = False  # a line of its own ends with the group


class _Reader:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.charset = ""
        self.objects: list[bytes] = []
        self.targets: dict[bytes, list[bytes]] = {b"fldinst": [], b"template": []}
        self.closed = False
        self._stack: list[_State] = []
        self._state = _State()
        self._fonts: dict[int, tuple[str, str]] = {}  # name and codec
        self._font_name: list[bytes] = []
        self._codec = "cp1252"
        self._default = -1
        self._styles: dict[int, tuple[int, int]] = {}  # its font, and the style that it is based on
        self._based = _NO_STYLE
        self._property: list[bytes] = []  # name of a shape's property
        self._runs: list[Run] = []
        self._octets: list[bytes] = []
        self._object: list[bytes] = []
        self._starred = False
        self._to_skip = 0

    def feed(self, octets: bytes) -> None:
        position, size = 0, len(octets)
        while position < size and not self.closed:
            match = _TOKEN.match(octets, position)
            if match is None:  # no octet is without a token
                return
            position = match.end()
            kind = match.lastindex
            if kind == 6:
                self._take(match[6])
            elif kind == 3:
                self._take(bytes((int(match[3], 16),)))
            elif kind == 5:
                if match[5] == b"{":
                    self._stack.append(self._state)
                    self._starred = False
                else:
                    self._close()
            elif kind == 4:
                if match[4] == b"*":
                    self._starred = True
                else:
                    self._symbol(match[4])
            elif kind is not None:
                word, number = match[1], match[2]
                if word == b"bin" and number:
                    begin = position
                    position += max(0, int(number))
                    if self._state.destination == b"objdata":
                        self._object.append(binascii.hexlify(octets[begin:position]))
                elif self._starred or word in _HANDLED:  # nine of ten words are about looks
                    self._word(word, int(number) if number else None)
        self.end_line()

    def _close(self) -> None:
        self._flush()
        if not self._stack:
            self.closed = True
            return
        state, outer = self._state, self._stack[-1]
        if state.destination == b"objdata" and outer.destination != b"objdata":
            self.objects.append(b"".join(self._object))
            self._object = []
        elif state.destination == b"stylesheet" and outer.destination == b"stylesheet":
            self._styles[state.style] = (state.font, self._based)
            self._based = _NO_STYLE
        if state.is_apart and not outer.is_apart:
            self.end_line()
        self._state = self._stack.pop()
        self.closed = not self._stack  # what stands behind the last brace is no RTF

    def _word(self, word: bytes, number: int | None) -> None:
        starred, self._starred = self._starred, False
        state = self._state
        if word == b"u" and number is not None:
            if not state.destination:
                self._flush()
                self._text(chr(number & 0xFFFF))
            self._to_skip = state.skip
            return
        if word == b"sn":
            self._property = []
        if word in _WITHIN:
            if state.destination == _WITHIN[word]:
                self._state = replace(state, destination=b"")
        elif word in _DESTINATIONS and not (word == b"sv" and self._shows()):
            if word != b"upr" or not state.destination:
                self._enter(b"" if word == b"result" else word)
        elif word in _APART or word == b"sv":
            if not state.destination:
                self.end_line()
                self._state = replace(state, is_apart=True)
        elif word in _SKIPPED or (starred and word not in _KEPT):
            self._enter(b"skipped")
        elif word == b"f":
            if state.destination == b"fonttbl":
                self._state = replace(state, font=number or 0)
            else:
                self._flush()
                self._state = replace(state, font=number or 0)
        elif word == b"fcharset" and state.destination == b"fonttbl":
            self._fonts[state.font] = (self._fonts.get(state.font, ("", ""))[0], _CODECS.get(number or 0, ""))
        elif word == b"deff":
            self._default = number or 0
        elif word == b"ansicpg":
            self._codec = _codec(number)
        elif word == b"uc":
            self._state = replace(state, skip=max(0, min(number if number is not None else 1, 16)))
        elif word == b"plain":
            self._flush()
            self._state = replace(state, font=-1, caps=False)
        elif word == b"s":
            self._flush()
            self._state = replace(state, style=number or 0)
        elif word == b"pard":
            self._flush()
            self._state = replace(state, style=0)
        elif word == b"cs" and state.destination == b"stylesheet":
            self._state = replace(state, style=-1)  # of letters: they have their font beside it
        elif word == b"sbasedon":
            self._based = number if number is not None else _NO_STYLE
        elif word in (b"caps", b"scaps"):
            self._flush()
            self._state = replace(state, caps=number != 0)
        elif word in _LINES:
            if not state.destination:
                self.end_line()
        elif word in _SYMBOLS and not state.destination:
            self._flush()
            self._text(_SYMBOLS[word])

    def _enter(self, destination: bytes) -> None:
        self._flush()
        if self._state.destination != b"skipped":
            self._state = replace(self._state, destination=destination)

    def _symbol(self, symbol: bytes) -> None:
        if self._state.destination:
            return
        if symbol in (b"\r", b"\n"):
            self.end_line()
        elif symbol in (b"\\", b"{", b"}"):
            self._take(symbol)
        elif symbol in (b"~", b"_"):
            self._flush()
            self._text(" " if symbol == b"~" else "-")

    def _take(self, octets: bytes) -> None:
        if self._to_skip:
            cut = min(self._to_skip, len(octets))
            self._to_skip -= cut
            octets = octets[cut:]
        destination = self._state.destination
        if not destination:
            self._octets.append(octets)
        elif destination == b"sn":
            self._property.append(octets[:_LONGEST_NAME])
        elif destination == b"fonttbl":
            self._take_font(octets)
        elif destination == b"objdata":
            self._object.append(octets)
        elif destination in self.targets:
            held = self.targets[destination]
            if len(held) < _LONGEST_TARGET:
                held.append(octets[:_LONGEST_TARGET])

    def _take_font(self, octets: bytes) -> None:
        name, end, _ = octets.partition(b";")
        self._font_name.append(name[:128])
        if end:
            codec = self._fonts.get(self._state.font, ("", ""))[1]
            self._fonts[self._state.font] = (b"".join(self._font_name).strip().decode("latin-1"), codec)
            self._font_name = []

    def _shows(self) -> bool:
        """Tell whether the value of a shape's property is text that shows."""
        return drawings.is_text(b"".join(self._property[:2]).strip().decode("latin-1"))

    def _font(self) -> tuple[str, str]:
        number = self._state.font
        style = self._state.style
        for _ in range(12):  # a circle of styles ends
            if number >= 0 or style not in self._styles:
                break
            number, style = self._styles[style]
        return self._fonts.get(number if number >= 0 else self._default, ("", ""))

    def _flush(self) -> None:
        if self._octets:
            octets = b"".join(self._octets)
            self._octets = []
            name, codec = self._font()
            self._text(octets.decode("latin-1" if charset_of(name) else codec or self._codec, "replace"))

    def _text(self, text: str) -> None:
        name = self._font()[0]
        if self._state.caps:
            shown, charset = read_run(text, name)
            self.charset = self.charset or charset
            text, name = shown.upper(), ""
        self._runs.append((text, name))

    def end_line(self) -> None:
        self._flush()
        text, charset = read_runs(self._runs)
        if "\ud800" <= max(text, default="") <= "\udfff" or any("\ud800" <= each <= "\udfff" for each in text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._runs = []
        self.charset = self.charset or charset
        self.lines.append(text)


def _codec(page: int | None) -> str:
    try:
        return codecs.lookup(f"cp{page}").name
    except LookupError:
        return "cp1252"


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an RTF file holds."""
    reader = _Reader()
    reader.feed(octets)
    template = b"".join(reader.targets[b"template"]).decode("latin-1")
    if is_remote(template):
        yield Threat(Danger.REMOTE_TEMPLATE, "template")
    if _DDE.search(b"".join(reader.targets[b"fldinst"]).decode("latin-1")):
        yield Threat(Danger.DYNAMIC_DATA, "DDE")
    yield from extracts(reader.lines, place, reader.charset, budget)
    for data in reader.objects:
        digits = _NOT_HEX.sub(b"", data)
        raw = binascii.unhexlify(digits[: len(digits) // 2 * 2])
        budget.take_octets(len(raw))
        if found := object_of(raw):
            yield from shown(found)
        elif raw:
            yield Inside("object", raw)
    if not reader.closed:
        raise Blocked(Obstacle.DAMAGED, "rtf: no end")
