"""PDF (ISO 32000-1): text page by page and attachments by pdfium; what runs, by what the objects name.

The text of a page is what shows: its own, and that of annotations (stamps, notes, fields of forms), of which what is
written in them and does not show is read too.

pdfium expands a stream as far as it goes, so that each is measured first, but pictures, which nothing here opens.
Actions stand in plain objects or in compressed object streams (7.5.7): both are looked at.
"""

import logging
import re
import zlib
from collections.abc import Callable, Iterator
from ctypes import byref, c_double, c_int, c_ulong, c_ushort, create_string_buffer
from functools import partial
from hashlib import sha256
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ..model import Danger, Obstacle, TextKind
from . import markup
from .budget import Blocked, Bomb, Budget, Growth
from .fonts import read_runs
from .found import Extract, Found, Inside, Threat, extracts

_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_DICTIONARY = 2_048  # octets before a stream in which its dictionary stands
_FLATE = re.compile(rb"/(?:FlateDecode|Fl)(?![A-Za-z])")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_ACTIVE = (
    ("javascript", re.compile(rb"/(?:JavaScript|JS)(?![A-Za-z0-9])")),
    ("launch", re.compile(rb"/S\s{0,16}/Launch(?![A-Za-z0-9])")),
)
_IMAGE = re.compile(rb"/Subtype\s*/Image(?![A-Za-z])")
_OLD_FONTS = re.compile(rb"/(?:[A-Z]{6}\+)?(?:\.Vn|VNI[- ]|VPS[- ])", re.IGNORECASE)
_BLANKS = re.compile(r"[ \xa0]+")
_COLUMN = (
    2.5  # heights of a letter between two columns; between words it is one at the most, and two in justified lines
)
_PLACES = tuple(c_double() for _ in range(4))
_PART = re.compile(r"^[A-Z]{6}\+")
_LONGEST_FONT = 128
# What an annotation says (12.5.2, 12.5.6, 12.7.4): text, subject, a field's value and what it is at first, rich text.
_SAID = (b"Contents", b"Subj", b"V", b"DV", b"TU", b"RC", b"RV", b"OverlayText")
_TAG = re.compile(r"<[^<>]{1,512}>")
_LONGEST_VALUE = 262_144  # octets
_MOST_ANNOTATIONS, _MOST_PACKETS = 10_000, 16  # of a page, of a document
logging.getLogger("pypdfium2").setLevel(logging.CRITICAL)  # it warns of forms in XML, which are read here
_PACKET = re.compile(rb"ns\.adobe\.com/xdp/|www\.xfa\.org/schema/|</xdp:xdp>")
_STEP = 1_048_576
_FILTERS = 4  # one over another; lawful files have two at the most
_ENCRYPTED = re.compile(rb"/Encrypt\s+\d{1,10}\s+\d{1,5}\s+R|/Encrypt\s*<<")


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a PDF holds."""
    files: list[bytes] = []
    seen: set[bytes] = set()
    old_fonts: list[bytes] = []
    yield from _objects(octets, files, old_fonts, budget)
    try:
        document = pypdfium2.PdfDocument(octets)
    except pypdfium2.PdfiumError as error:
        yield from _unnamed(files, seen, place, budget)
        is_locked = pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        if is_locked or "assword" in str(error):
            raise Blocked(Obstacle.ENCRYPTED, "pdf") from error
        raise Blocked(Obstacle.DAMAGED, "pdf") from error
    try:
        if pdfium.FPDFDoc_GetJavaScriptActionCount(document.raw) > 0:
            yield Threat(Danger.ACTIVE_PDF, "javascript")
        yield from _properties(document, place, budget)
        seen.update(sha256(packet).digest() for packet in _packets(document, budget))
        yield from _pages(document, bool(old_fonts), place, budget)
        yield from _attachments(document, files, seen, budget)
    finally:
        document.close()
    yield from _unnamed(files, seen, place, budget)


def _unnamed(files: list[bytes], seen: set[bytes], place: str, budget: Budget) -> Iterator[Found]:
    """Yield embedded files that no name leads to, as those of annotations, and former states of a form in XML."""
    for octets in files:
        if not _is_new(octets, seen):
            continue
        if _PACKET.search(octets):
            yield from _form_in_xml(octets, place, budget)
        else:
            yield Inside("attachment", octets)


def _pages(document: pypdfium2.PdfDocument, old_fonts: bool, place: str, budget: Budget) -> Iterator[Found]:
    damaged = 0
    count = len(document)
    form = _form(document)
    for number in range(count):
        try:
            page = document[number]
        except pypdfium2.PdfiumError:
            damaged += 1
            continue
        try:
            said, is_drawn = _annotations(page, form, budget)
            if is_drawn and pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY) == pdfium.FLATTEN_SUCCESS:
                page.close()
                page = document[number]
            shown, charset, letters = _page(page, old_fonts, budget)
        finally:
            page.close()
        if shown.strip():
            yield Extract(place, TextKind.DOCUMENT, shown, charset)
        yield from extracts(said, place, "", budget)
        budget.take_letters(letters)
    packets = b"".join(_packets(document, budget))
    if packets:
        yield from _form_in_xml(packets, place, budget)
    if damaged or not (count or packets):
        raise Blocked(Obstacle.DAMAGED, f"{damaged} of {count} pages")


def _page(page: pypdfium2.PdfPage, old_fonts: bool, budget: Budget) -> tuple[str, str, int]:
    """Return the text of a page as it shows, the charset that it was in, and how many letters the page has."""
    read = page.get_textpage()
    try:
        letters = max(read.count_chars(), 0)
        room = min(letters, budget.room())
        text = read.get_text_range(0, room) if room else ""
        budget.take_steps(text.count(" "))
        pieces: list[tuple[str, int]] = []  # each with where its letters begin; of blanks, those before them
        at = 0
        for match in _BLANKS.finditer(text):
            pieces.append((text[at : match.start()], at))
            pieces.append(("\t" if _is_apart(read, match.start(), match.end()) else match[0], at))
            at = match.end()
        pieces.append((text[at:], at))
        if old_fonts:
            shown, charset = read_runs([(piece, _font(read, place)) for piece, place in pieces])
        else:
            shown, charset = "".join([piece for piece, _ in pieces]), ""
    finally:
        read.close()
    return shown.replace("\r\n", "\n"), charset, letters


def _is_apart(read: pypdfium2.PdfTextPage, begin: int, end: int) -> bool:
    """Tell whether blanks stand between two columns: what is before and behind them is wider apart than words are.

    pdfium writes one blank for any distance; a stamp beside the date would be glued to it.
    """
    before, behind = _box(read, begin - 1), _box(read, end)
    if before is None or behind is None:
        return False
    height = max(before[3] - before[2], behind[3] - behind[2], 1.0)
    return not -_COLUMN * height < behind[0] - before[1] < _COLUMN * height


def _box(read: pypdfium2.PdfTextPage, at: int) -> tuple[float, float, float, float] | None:
    """Return where a letter stands: left, right, bottom, top."""
    number = pdfium.FPDFText_GetCharIndexFromTextIndex(read.raw, at)
    if number < 0 or not pdfium.FPDFText_GetCharBox(read.raw, number, *_PLACES):
        return None
    left, right, bottom, top = [place.value for place in _PLACES]
    return left, right, bottom, top


def _font(read: pypdfium2.PdfTextPage, at: int) -> str:
    """Return the name of a letter's font, without the mark of a part of it (9.6.4)."""
    number = pdfium.FPDFText_GetCharIndexFromTextIndex(read.raw, at)
    if number < 0:
        return ""
    name = create_string_buffer(_LONGEST_FONT)
    if not pdfium.FPDFText_GetFontInfo(read.raw, number, name, _LONGEST_FONT, c_int()):
        return ""
    return _PART.sub("", name.value.decode("utf-8", "replace"))


# -- annotations and forms ---------------------------------------------------------------------------------


def _form(document: pypdfium2.PdfDocument) -> Any:
    """Return what knows the fields of the document's form, None where it has none."""
    if pdfium.FPDF_GetFormType(document.raw) == pdfium.FORMTYPE_NONE:
        return None
    document.init_forms()
    return document.formenv.raw if document.formenv else None


def _annotations(page: pypdfium2.PdfPage, form: Any, budget: Budget) -> tuple[list[str], bool]:
    """Return what the annotations of a page say, and whether any of them shows something by itself."""
    lines: dict[str, None] = {}
    is_drawn = False
    count = min(pdfium.FPDFPage_GetAnnotCount(page.raw), _MOST_ANNOTATIONS)
    budget.take_steps(count * len(_SAID))
    for number in range(count):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind not in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP):
            is_drawn = True
        for key in _SAID:
            _say(lines, partial(pdfium.FPDFAnnot_GetStringValue, annotation, key))
        if form and kind == pdfium.FPDF_ANNOT_WIDGET:
            for ask in (pdfium.FPDFAnnot_GetFormFieldValue, pdfium.FPDFAnnot_GetFormFieldAlternateName):
                _say(lines, partial(ask, form, annotation))
        pdfium.FPDFPage_CloseAnnot(annotation)
    return list(lines), is_drawn


def _say(lines: dict[str, None], ask: Callable[[Any, int], int]) -> None:
    """Put what pdfium answers into `lines`."""
    size = ask(None, 0)
    if not 2 < size <= _LONGEST_VALUE:
        return
    buffer = (c_ushort * (size // 2))()
    ask(buffer, size)
    text = bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")
    if text.strip():
        lines[_TAG.sub(" ", text).replace("\r\n", "\n").replace("\r", "\n")] = None


def _form_in_xml(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a form in XML (12.7.8); one that is damaged hides no page."""
    budget.take_steps(octets.count(b"<"))
    lines = markup.Lines()
    if markup.parse((octets,), lines.start, lines.end, lines.data):
        lines.lines = [_TAG.sub("\n", octets.decode("utf-8", "replace"))]
    yield from extracts(lines.lines, place, "", budget)


def _packets(document: pypdfium2.PdfDocument, budget: Budget) -> Iterator[bytes]:
    """Yield the packets of a form in XML, which only together are a document."""
    for number in range(min(pdfium.FPDF_GetXFAPacketCount(document.raw), _MOST_PACKETS)):
        size = c_ulong()
        pdfium.FPDF_GetXFAPacketContent(document.raw, number, None, 0, byref(size))
        budget.take_octets(size.value)
        content = create_string_buffer(size.value)
        if pdfium.FPDF_GetXFAPacketContent(document.raw, number, content, size.value, byref(size)):
            yield content.raw


# -- what is beside the pages ------------------------------------------------------------------------------


def _properties(document: pypdfium2.PdfDocument, place: str, budget: Budget) -> Iterator[Found]:
    known = document.get_metadata_dict(skip_empty=True)
    text = "\n".join(known[key] for key in ("Title", "Subject", "Keywords") if key in known)
    if text.strip():
        yield Extract(place, TextKind.DOCUMENT, text)
        budget.take_letters(len(text))


def _attachments(
    document: pypdfium2.PdfDocument, files: list[bytes], seen: set[bytes], budget: Budget
) -> Iterator[Found]:
    for number in range(min(document.count_attachments(), budget.limits.files)):
        attachment = document.get_attachment(number)
        name = attachment.get_name() or "attachment"
        try:
            octets = bytes(attachment.get_data())
        except pypdfium2.PdfiumError as error:
            if number < len(files):  # pdfium has none where its size is left out: it is read as one that has no name
                continue
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


def _objects(octets: bytes, files: list[bytes], old_fonts: list[bytes], budget: Budget) -> Iterator[Threat]:
    """Measure every stream, look for actions; put embedded files into `files`, fonts from before Unicode into
    `old_fonts`."""
    growth = Growth(len(octets), budget)
    actions: dict[str, None] = {}
    is_encrypted = _ENCRYPTED.search(octets) is not None
    position = 0
    for match in _STREAM.finditer(octets):
        if match.start() < position:
            continue
        plain = octets[position : match.start()]
        _act(plain, actions)
        old_fonts += _OLD_FONTS.findall(_named(plain))[:1]
        dictionary = plain[-_DICTIONARY:].rpartition(b" obj")[2]
        end = octets.find(b"endstream", match.end())
        end = len(octets) if end < 0 else end
        position = end
        dictionary = _named(dictionary)
        depth = len(_FLATE.findall(dictionary))
        is_file = b"EmbeddedFile" in dictionary or b"/Params" in dictionary  # the type may be left out (table 45)
        keeps = is_file or b"ObjStm" in dictionary
        if is_file and b"/Filter" not in dictionary and not is_encrypted:
            files.append(octets[match.end() : end].removesuffix(b"\n").removesuffix(b"\r"))
        if not depth or is_encrypted or (_IMAGE.search(dictionary) and not keeps):
            continue
        inner = _expanded(octets[match.end() : end], min(depth, _FILTERS), keeps, growth, budget)
        if b"ObjStm" in dictionary:
            _act(inner, actions)
            old_fonts += _OLD_FONTS.findall(_named(inner))[:1]
        elif keeps and inner:
            files.append(inner)
    _act(octets[position:], actions)
    old_fonts += _OLD_FONTS.findall(_named(octets[position:]))[:1]
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
