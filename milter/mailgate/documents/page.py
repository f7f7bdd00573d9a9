"""Pages that make a file when they are opened, and pictures that run a script (HTML smuggling; SVG).

A browser runs an attached page as if it were a site's: its script decodes a file that it carries, and has it saved,
so that no gateway saw it. What the page carries in the usual ways is decoded here and looked into as a file; what a
script hides better still shows by what it calls. Nothing is run.
"""

import html
import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from ..model import Danger, File
from ..text.file_names import PROGRAMS, read_name
from .budget import Budget
from .data_urls import file_of, from_base64
from .found import Found, Inside, Threat
from .members import named
from .types import IMAGES, SOUNDS, type_by_head

_SCRIPT = re.compile(r"<(?:[\w-]{1,20}:)?script\b", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</(?:[\w-]{1,20}:)?script\b", re.IGNORECASE)
_HANDLER = re.compile(r"[\s\"'/]on[a-z]{3,30}\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_NOT_IN_URLS = str.maketrans("", "", "\t\r\n")
_SCRIPT_URL = re.compile(r"(?:javascript|vbscript)\s*:\s*([^\"'>]*)", re.IGNORECASE)
# 'cre' + 'ateObjectURL', \x63reate, \u0063reate
_JOINT = re.compile(r"(?<!\\)([\"'`])\s*\+\s*[\"'`]")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})|\\u\{?([0-9a-fA-F]{4})\}?")

_MAKES = re.compile(
    r"createObjectURL|ms?Save(?:OrOpen)?Blob|\bnew\s+(?:[\w.]+\.)?(?:Blob|File)\b|\[[\"'](?:Blob|File)[\"']\]|showSaveFilePicker"
    r"|requestFileSystem|MozBlobBuilder|\bsaveAs\s*\(|ADODB\.Stream|FileSystemObject"
)
_SAVES = re.compile(
    r"\.download\b|[\"']download[\"']|\bdownload\s*=|msSave(?:OrOpen)?Blob|\bsaveAs\s*\(|showSaveFilePicker|SaveToFile"
)
_BY_ITSELF = re.compile(
    r"\.click\b|[\"']click[\"']|dispatchEvent|msSave(?:OrOpen)?Blob|\bsaveAs\s*\(|SaveToFile|location\b"
)
_DECODES = re.compile(
    r"\batob\b|fromCharCode|charCodeAt|Uint8Array|\bunescape\b|decodeURI|TextDecoder|crypto\.subtle|CryptoJS|\bparseInt\b"
    r"|fetch\s*\(\s*[\"']data:|WebAssembly|XMLDOM"
)
_RUNS = re.compile(
    r"\beval\b|\bFunction\s*\(|document\.write|execScript|insertAdjacentHTML|innerHTML|srcdoc|\bset(?:Timeout|Interval)\s*\(\s*[\"']"
)
# What Windows hands to a program of its own by the scheme of a URL.
_HANDS_OVER = re.compile(
    r"[\"'=\s(](?:search-ms|search|ms-msdt|ms-appinstaller|ms-officecmd|shell|ms-cxh)\s*:[^\s/]", re.IGNORECASE
)
_RENAMED = re.compile(r"\b_0x[0-9a-f]{4,}\b")  # as the usual program that hides scripts names everything
_MOST_RENAMED = 20
# What Windows hands to a program of its own by the scheme of a URL.
_SCHEMES = r"(?:search-ms|search:query|ms-msdt|ms-appinstaller|ms-officecmd|ms-cxh)\b"
_HANDS_OVER = re.compile(rf"[\"'=(]\s*{_SCHEMES}", re.IGNORECASE)

_BASE_64 = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
_BASE_64_PIECES = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{4,}+={0,2}(?:[\"'\s,]++[A-Za-z0-9+/]{4,}+={0,2}){7,}")
_HEX = re.compile(r"[0-9A-Fa-f]{64,}")
_ESCAPES = re.compile(r"(?:\\x[0-9A-Fa-f]{2}){16,}")
_PERCENTS = re.compile(r"(?:%[0-9A-Fa-f]{2}){16,}")
_NUMBERS = re.compile(r"(?:(?:0x[0-9A-Fa-f]{1,2}|\d{1,3})\s*,\s*){31,}(?:0x[0-9A-Fa-f]{1,2}|\d{1,3})")
_MOST_LITERALS = 200
_DATA_URL = re.compile(r"data:[\w.+/-]{0,100}(?:;[\w.+=\"-]{1,100}){0,5},[^\"'\s)>\\]*", re.IGNORECASE)
_VALUE = re.compile(r"=\s*+(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+))")
_BEFORE_URL = re.compile(
    rf"(?:[\x00-\x20]*+[\d.]{{1,10}}[;,\s]*+url\s*+=\s*+[\"']?)?[\x00-\x20]*+(?=data:|{_SCHEMES})", re.IGNORECASE
)
_FILE_NAME = re.compile(r"[\"']([^\"'\\/:*?<>|\r\n;{}()]{1,200}\.[A-Za-z0-9-]{1,16})[\"']")
_DOWNLOAD_NAME = re.compile(r"\bdownload\s*=\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s>\"']+))", re.IGNORECASE)
# What random octets may look like, and what a page shows.
_NO_FILES = frozenset({*IMAGES, *SOUNDS, "text", "arj", "compress", "lzma"})
_FONTS = (b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0", b"true")
_SHARE = 8  # of a page that is made for it the file is this part at the least; one with a library of charts is not
_SHORTEST = 40  # letters of a file in a page

_RUNNING = re.compile(
    r"<(?:[\w-]{1,20}:)?(?:script|iframe|object|embed|handler|listener)\b|[\s\"'/]on[a-z]{3,30}\s*="
    r"|attributeName\s*=\s*[\"']\s*on",
    re.IGNORECASE,
)
_ACTIVE = re.compile(
    _RUNNING.pattern + r"|<(?:[\w-]{1,20}:)?(?:meta|form|base)\b|<\?xml-stylesheet|data:text/(?:html|xml|javascript)"
    r"|data:image/svg",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"<!ENTITY[^>]{0,2000}(?:<|&(?:#|\w)|SYSTEM|PUBLIC)", re.IGNORECASE)
_DOCTYPE = 262_144  # letters in which entities are declared
_FOREIGN = re.compile(r"<(?:[\w-]{1,20}:)?foreignObject\b", re.IGNORECASE)
_SCRIPTED_NAMESPACE = re.compile(r"http://www\.w3\.org/(?:1999/xhtml|2000/svg)")


class _Parts(NamedTuple):
    """A page without its scripts, these as one text, and what they say where it is written as escapes; the URLs of
    files and of programs that its attributes are, as a browser reads them."""

    shown: str
    written: str
    code: str
    urls: tuple[str, ...]


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the files that a page carries, and whether it makes them by script."""
    page = _text(octets)
    parts = _parted(page)
    code, lower = parts.code, parts.shown.lower()
    if _HANDS_OVER.search(page) or any(_HANDS_OVER.match(f"={url}") for url in parts.urls):
        yield Threat(Danger.ACTIVE_PAGE, "URL of a program")
    if not code and "<script" not in lower and "data:" not in lower and not parts.urls:
        return
    makes, saves, decodes = (each.search(code) is not None for each in (_MAKES, _SAVES, _DECODES))
    names = _names_in(parts.shown, code if makes or saves else "")
    carried, letters = 0, 0
    for octets_inside, declared, length in _files_in(parts, takes_text=makes and decodes):
        letters += length
        carried += 1
        budget.take_octets(len(octets_inside))
        yield Inside(names[0] or "data", octets_inside, declared, names[1])
    longest = max((len(match[0]) for match in _BASE_64.finditer(code)), default=0)
    letters = max(letters, longest)
    if makes and saves:
        is_made_for_it = letters * _SHARE >= len(code) and letters >= _SHORTEST
        if decodes and is_made_for_it and _BY_ITSELF.search(code):
            yield Threat(Danger.HTML_SMUGGLING, "script")
        else:
            yield Threat(Danger.ACTIVE_PAGE, "script makes a file")
        if not carried and names[0]:
            yield File(f"{place} > {names[0]}", names[0], names=names[1])
    elif makes and decodes:
        yield Threat(Danger.ACTIVE_PAGE, "script makes a file")
    elif decodes and _RUNS.search(code) and letters >= _SHORTEST * 5:
        yield Threat(Danger.ACTIVE_PAGE, "script unpacks itself")
    elif len(_RENAMED.findall(code)) > _MOST_RENAMED:
        yield Threat(Danger.ACTIVE_PAGE, "script hides itself")
    elif carried:
        yield Threat(Danger.ACTIVE_PAGE, "file in a URL")


def runs_script(octets: bytes) -> Iterator[Found]:
    """Yield whether a page that is shown as the mail's own text makes a file: it may be opened by itself too."""
    if b"<script" in octets.lower():
        code = _parted(_text(octets)).code
        if _MAKES.search(code) and (_SAVES.search(code) or _DECODES.search(code)):
            yield Threat(Danger.HTML_SMUGGLING, "script")


def read_picture(octets: bytes, is_picture: bool, budget: Budget) -> Iterator[Found]:
    """Yield whether an SVG, or XML with one or with HTML in it, runs something, and the files in its URLs."""
    picture = _text(octets)
    if not is_picture and not _SCRIPTED_NAMESPACE.search(picture):
        return
    active = _ACTIVE if is_picture else _RUNNING
    has_entities = is_picture and _ENTITY.search(picture, 0, _DOCTYPE)
    if active.search(picture) or has_entities or _SCRIPT_URL.search(_as_url(picture)):
        yield Threat(Danger.ACTIVE_IMAGE, "script")
    elif _FOREIGN.search(picture):
        yield Threat(Danger.ACTIVE_PAGE, "foreign object")
    parts = _parted(picture)
    names = _names_in(parts.shown, "")
    for inner, declared, _ in _files_in(parts, takes_text=False):
        budget.take_octets(len(inner))
        yield Inside(names[0] or "data", inner, declared, names[1])


def _text(octets: bytes) -> str:
    """Return a page as ASCII sees it: scripts, URLs and names of elements are in no other letters."""
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return octets.decode("utf-16", "replace")
    return octets.decode("latin-1")


def _parted(page: str) -> _Parts:
    """Part a page into its scripts and the rest."""
    pieces, rest = [], []
    at = 0
    while match := _SCRIPT.search(page, at):
        begin = page.find(">", match.end()) + 1 or len(page)
        end = _SCRIPT_END.search(page, begin)
        rest.append(page[at:begin])
        at = end.start() if end else len(page)
        pieces.append(page[begin:at])
    rest.append(page[at:])
    shown = "".join(rest)
    pieces += [html.unescape(match[1]) for match in _HANDLER.finditer(shown)]
    if "script" in shown.lower():
        pieces += [match[1] for match in _SCRIPT_URL.finditer(_as_url(shown))]
    urls = tuple(_urls_in(shown))
    for url in dict.fromkeys([*(match[0] for match in _DATA_URL.finditer(shown)), *urls]):
        if "script" in url[:40].lower() and (inner := file_of(url.encode("latin-1", "replace"))):
            pieces.append(inner.octets.decode("latin-1"))
    written = _JOINT.sub("", "\n".join(pieces))
    code = _ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)), written)
    return _Parts(shown, written, _JOINT.sub("", code), urls)


def _urls_in(shown: str) -> Iterator[str]:
    """Yield the URLs of files and of programs that attributes are, without what a browser drops of them (WHATWG URL
    4.4)."""
    for match in _VALUE.finditer(shown):
        value = match[match.lastindex or 0]
        if ":" not in value and "&" not in value:
            continue
        value = _as_url(value)
        if begin := _BEFORE_URL.match(value):
            yield value[begin.end() :]


def _as_url(text: str) -> str:
    """Return a text as URLs in it are read: references resolved, no line ends and tabs in them."""
    return html.unescape(text).translate(_NOT_IN_URLS)


def _names_in(page: str, code: str) -> tuple[str, tuple[str, ...]]:
    """Return the names that what a page saves may have; of those in scripts, the ones of programs before others."""
    found = [next(filter(None, match.groups())) for match in _DOWNLOAD_NAME.finditer(page)]
    quoted = _FILE_NAME.findall(code)
    found += [name for name in quoted if not PROGRAMS.isdisjoint(read_name(name).extensions)]
    names = [name for name in found if read_name(name).extensions]
    return named(*names) if names else ("", ())


def _files_in(parts: _Parts, takes_text: bool) -> Iterator[tuple[bytes, str, int]]:
    """Yield the files in a page: octets, the type that is said of them, and how many letters they took.

    takes_text: also what is no more than text by its content.
    """
    seen: set[bytes] = set()
    found = (match[0] for source in (parts.shown, parts.code) for match in _DATA_URL.finditer(source))
    for url in chain(found, parts.urls):
        inner = file_of(url.encode("latin-1", "replace"))
        if inner and inner.octets and inner.octets not in seen and not _is_media(inner.octets):
            seen.add(inner.octets)
            if inner.declared not in ("text/css", "text/javascript", "application/javascript"):
                yield inner.octets, inner.declared, len(url)
    for source in (parts.written, parts.shown):
        for letters, octets, is_plain in _literals(_DATA_URL.sub(" ", source)):
            if octets in seen or not octets:
                continue
            seen.add(octets)
            kind = type_by_head(octets)
            is_file = kind and kind not in _NO_FILES
            if is_file or (takes_text and is_plain and source is parts.written and not _is_media(octets)):
                yield octets, "", letters


def _is_media(octets: bytes) -> bool:
    kind = type_by_head(octets[:1_024])
    return kind in IMAGES or kind in SOUNDS or octets.startswith(_FONTS)


def _literals(source: str) -> Iterator[tuple[int, bytes, bool]]:
    """Yield what may be a file in a script's literals: how many letters it took, its octets, and whether they stand
    there plainly."""
    count = 0
    for pattern in (_BASE_64_PIECES, _BASE_64, _HEX, _ESCAPES, _PERCENTS, _NUMBERS):
        for match in pattern.finditer(source):
            count += 1
            if count > _MOST_LITERALS:
                return
            for number, octets in enumerate(_decoded(pattern, match[0])):
                yield len(match[0]), octets, not number


def _decoded(pattern: re.Pattern[str], text: str) -> Iterator[bytes]:
    """Yield what a literal says, and what it says from its end."""
    if pattern in (_BASE_64, _BASE_64_PIECES):
        letters = re.sub(r"[\"'\s,]+", "", text).encode()
        yield from_base64(letters)
        yield from_base64(letters[::-1].lstrip(b"="))
    elif pattern is _NUMBERS:
        numbers = [
            int(number, 0) if number[:2] in ("0x", "0X") else int(number) for number in re.split(r"\s*,\s*", text)
        ]
        if max(numbers) < 256:
            yield bytes(numbers)
            yield bytes(numbers[::-1])
    else:
        digits = re.sub(r"\\x|%", "", text)
        octets = bytes.fromhex(digits[: len(digits) // 2 * 2])
        yield octets
        yield octets[::-1]
