"""Plain text and HTML: octets in some charset, as a reader sees them, and the files that text holds (uuencode)."""

import re
from collections import Counter
from collections.abc import Iterator

from ..mime.transfer import decoder_for
from ..model import Danger, Obstacle, TextKind, Uninspected
from ..text import charsets
from ..text.html import fonts_in, visible_text
from ..text.simple_html import OLD_FONTS, label_of
from .budget import Budget
from .fonts import charset_of, octets_of
from .found import Extract, Found, Inside, Threat

_OLD = frozenset({*charsets.LEGACY, charsets.VPS})
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_BEGIN = re.compile(rb"^begin(?:-base64)?[ \t]+[0-7]{1,6}[ \t]+(\S[^\r\n]{0,255})\r?\n", re.MULTILINE)
_END = re.compile(rb"^(?:end|====)[ \t\r]*$", re.MULTILINE)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]{0,15})")
# What needs no end, and is not open where the next one begins (HTML 13.1.2).
_CLOSED_BY_OTHERS = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr", "p", "li", "dt"),
    *("dd", "option", "tr", "td", "th", "tbody"),
}
_OPEN_IN_A_STEP = 200  # open elements that are looked through in the time of one step, about
_PGP = b"-----BEGIN PGP MESSAGE-----"  # RFC 9580 section 6.2
_YENC = re.compile(rb"^=ybegin ", re.MULTILINE)
# =cmd|'/c calc'!A0, in a field of a CSV
_DDE = re.compile(r"^\"?[=+@-][+ \t=@-]{0,16}[A-Za-z][\w.]{0,60}\|[^\r\n]{0,255}!", re.MULTILINE)


def read_text(octets: bytes, label: str, place: str, kind: TextKind, budget: Budget) -> Iterator[Found]:
    """Yield a plain text; label: its charset, "" for none."""
    if octets.startswith(_WIDE):
        label = "utf-16"
    decoded = charsets.read(octets, label)
    charset = decoded.charset if decoded.charset in _OLD else ""
    yield Extract(place, kind, decoded.text[: budget.room()], charset, decoded.declared)
    budget.take_letters(len(decoded.text))
    if _PGP in octets:
        yield Uninspected(place, Obstacle.ENCRYPTED, "PGP")
    if _YENC.search(octets):
        yield Uninspected(place, Obstacle.UNSUPPORTED, "yEnc")
    position = 0
    for match in _BEGIN.finditer(octets):
        if match.start() < position:
            continue
        end = _END.search(octets, match.end())
        position = end.end() if end else len(octets)
        body = octets[match.end() : end.start() if end else len(octets)]
        decoder = decoder_for("base64" if match[0].startswith(b"begin-base64") else "x-uuencode")
        inner = decoder.feed(body) + decoder.finish()
        if inner:
            budget.take_octets(len(inner))
            yield Inside(charsets.read(match[1]).text, inner)


def read_csv(octets: bytes, label: str, place: str, kind: TextKind, budget: Budget) -> Iterator[Found]:
    """Yield a text that a spreadsheet opens, and whether it makes that run something."""
    for found in read_text(octets, label, place, kind, budget):
        yield found
        if isinstance(found, Extract) and _DDE.search(found.text):
            yield Threat(Danger.DYNAMIC_DATA, "DDE")


def read_html(octets: bytes, label: str, place: str, kind: TextKind, budget: Budget) -> Iterator[Found]:
    """Yield what shows of HTML; where its fonts are from before Unicode, as they show it."""
    if octets.startswith(_WIDE):
        label = "utf-16"
    decoded = charsets.read(octets, label or label_of(octets))
    charset = decoded.charset if decoded.charset in _OLD else ""
    budget.take_steps(_steps(decoded.text))
    text = visible_text(decoded.text)
    if not charset and OLD_FONTS.search(decoded.text):
        fonts = [charset_of(font) for font in fonts_in(decoded.text)]
        for old in filter(None, fonts):
            text = "\n".join([_as_shown(line, old) for line in text.split("\n")])
            charset = old
            break
    yield Extract(place, kind, text[: budget.room()], charset, decoded.declared, is_html=True)
    budget.take_letters(len(text))


def _steps(html: str) -> int:
    """Return what an HTML text costs: the algorithm of WHATWG looks through all open elements at each block."""
    counted = Counter(_TAG.findall(html.lower()))
    tags = counted.total()
    names = {name for _, name in counted} - _CLOSED_BY_OTHERS
    depth = sum(max(0, counted["", name] - counted["/", name]) for name in names)
    return tags + tags * depth // _OPEN_IN_A_STEP


def _as_shown(line: str, charset: str) -> str:
    """Read a line in a charset, where it can have been in it."""
    octets = octets_of(line)
    return line if octets is None or octets.isascii() else charsets.read(octets, charset).text
