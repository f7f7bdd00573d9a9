"""PDF (ISO 32000-1): text page by page and attachments by pdfium; what runs, by what the objects name.

pdfium expands a stream as far as it goes, so that each is measured first. Actions stand in plain objects or in
compressed object streams (7.5.7): both are looked at.
"""

import re
import zlib
from collections.abc import Iterator
from hashlib import sha256

import pypdfium2
import pypdfium2.raw as pdfium

from ..model import Danger, Obstacle, TextKind
from .budget import Blocked, Bomb, Budget, Growth
from .found import Extract, Found, Inside, Threat

_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DICTIONARY = 2_048  # octets before a stream in which its dictionary stands
_FLATE = re.compile(rb"/(?:FlateDecode|Fl)(?![A-Za-z])")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_ACTIVE = (
    ("javascript", re.compile(rb"/(?:JavaScript|JS)(?![A-Za-z0-9])")),
    ("launch", re.compile(rb"/S\s{0,16}/Launch(?![A-Za-z0-9])")),
)
_STEP = 1_048_576
_FILTERS = 4  # one over another; lawful files have two at the most
_ENCRYPTED = re.compile(rb"/Encrypt\s+\d{1,10}\s+\d{1,5}\s+R|/Encrypt\s*<<")


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a PDF holds."""
    files: list[bytes] = []
    seen: set[bytes] = set()
    yield from _objects(octets, files, budget)
    try:
        document = pypdfium2.PdfDocument(octets)
    except pypdfium2.PdfiumError as error:
        yield from _unnamed(files, seen)
        is_locked = pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        if is_locked or "assword" in str(error):
            raise Blocked(Obstacle.ENCRYPTED, "pdf") from error
        raise Blocked(Obstacle.DAMAGED, "pdf") from error
    try:
        if pdfium.FPDFDoc_GetJavaScriptActionCount(document.raw) > 0:
            yield Threat(Danger.ACTIVE_PDF, "javascript")
        yield from _properties(document, place, budget)
        yield from _pages(document, place, budget)
        yield from _attachments(document, seen, budget)
    finally:
        document.close()
    yield from _unnamed(files, seen)


def _unnamed(files: list[bytes], seen: set[bytes]) -> Iterator[Inside]:
    """Yield embedded files that no name leads to, as those of annotations."""
    for octets in files:
        if _is_new(octets, seen):
            yield Inside("attachment", octets)


def _pages(document: pypdfium2.PdfDocument, place: str, budget: Budget) -> Iterator[Found]:
    damaged = 0
    count = len(document)
    for number in range(count):
        try:
            page = document[number]
        except pypdfium2.PdfiumError:
            damaged += 1
            continue
        text = page.get_textpage()
        try:
            letters = text.count_chars()
            shown = text.get_text_range(0, min(letters, budget.letters)) if letters > 0 and budget.letters > 0 else ""
        finally:
            text.close()
            page.close()
        if shown.strip():
            yield Extract(place, TextKind.DOCUMENT, shown.replace("\r\n", "\n"))
        budget.take_letters(max(letters, 0))
    if damaged or not count:
        raise Blocked(Obstacle.DAMAGED, f"{damaged} of {count} pages")


def _properties(document: pypdfium2.PdfDocument, place: str, budget: Budget) -> Iterator[Found]:
    known = document.get_metadata_dict(skip_empty=True)
    text = "\n".join(known[key] for key in ("Title", "Subject", "Keywords") if key in known)
    if text.strip():
        yield Extract(place, TextKind.DOCUMENT, text)
        budget.take_letters(len(text))


def _attachments(document: pypdfium2.PdfDocument, seen: set[bytes], budget: Budget) -> Iterator[Found]:
    for number in range(min(document.count_attachments(), budget.limits.files)):
        attachment = document.get_attachment(number)
        name = attachment.get_name() or "attachment"
        try:
            octets = bytes(attachment.get_data())
        except pypdfium2.PdfiumError as error:
            raise Blocked(Obstacle.DAMAGED, "attachment of a pdf") from error
        if _is_new(octets, seen):
            budget.take_octets(len(octets))
            yield Inside(name, octets)


def _is_new(octets: bytes, seen: set[bytes]) -> bool:
    digest = sha256(octets).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True


def _objects(octets: bytes, files: list[bytes], budget: Budget) -> Iterator[Threat]:
    """Measure every stream, look for actions, and put embedded files into `files`."""
    growth = Growth(len(octets), budget)
    actions: dict[str, None] = {}
    is_encrypted = _ENCRYPTED.search(octets) is not None
    position = 0
    for match in _STREAM.finditer(octets):
        if match.start() < position:
            continue
        plain = octets[position : match.start()]
        _act(plain, actions)
        dictionary = plain[-_DICTIONARY:].rpartition(b" obj")[2]
        end = octets.find(b"endstream", match.end())
        end = len(octets) if end < 0 else end
        position = end
        depth = len(_FLATE.findall(_named(dictionary)))
        if not depth or is_encrypted:
            continue
        keeps = b"ObjStm" in dictionary or b"EmbeddedFile" in dictionary
        inner = _expanded(octets[match.end() : end], min(depth, _FILTERS), keeps, growth, budget)
        if b"ObjStm" in dictionary:
            _act(inner, actions)
        elif keeps and inner:
            files.append(inner)
    _act(octets[position:], actions)
    for action in actions:
        yield Threat(Danger.ACTIVE_PDF, action)


def _named(octets: bytes) -> bytes:
    """Return a dictionary with the escapes of its names undone: /JavaScr#69pt (7.3.5)."""
    return _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), octets) if b"#" in octets else octets


def _act(octets: bytes, actions: dict[str, None]) -> None:
    octets = _named(octets)
    for action, pattern in _ACTIVE:
        if action not in actions and pattern.search(octets):
            actions[action] = None


def _expanded(octets: bytes, depth: int, keeps: bool, growth: Growth, budget: Budget) -> bytes:
    """Return what a stream holds, b"" unless it is to be kept; raise Bomb where it holds too much."""
    for level in range(depth):
        last = level == depth - 1
        decoder = zlib.decompressobj()
        out: list[bytes] = []
        size = 0
        rest = octets
        try:
            while rest and not decoder.eof:
                piece = decoder.decompress(rest, _STEP)
                rest = decoder.unconsumed_tail
                size += len(piece)
                growth.take(len(piece))
                if size > budget.limits.file_octets:
                    raise Bomb(f"a stream of more than {budget.limits.file_octets} octets")
                if keeps or not last:
                    out.append(piece)
                if not piece and not rest:
                    break
        except zlib.error:
            pass  # pdfium shows what there is
        octets = b"".join(out)
    return octets
