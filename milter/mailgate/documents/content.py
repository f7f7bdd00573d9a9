"""The way into a file: what it is, which reader opens it, and into what is inside, to the limits of a budget.

Nothing here raises, whatever the octets: what stops a reader is an Uninspected, so that nothing is silently clean.
What is known is yielded at once, for whoever looks may be ended in the middle.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256

from ..model import Danger, File, Obstacle, TextKind, Uninspected
from ..text.file_names import DOCUMENTS, PROGRAMS, extension_of, read_name
from . import archives, eml, macros, markup, odf, office_xml, ole, ooxml, pdf, plain, rtf, smime
from .budget import Blocked, Bomb, Budget
from .found import Extract as Extract
from .found import Found, Inside, Threat
from .types import ARCHIVES, RUNNING, UNOPENED, dangers_of, types_of

_OOXML = frozenset(["docx", "docm", "xlsx", "xlsm", "xlsb", "pptx", "pptm"])
_ODF = frozenset(["odt", "ods", "odp", "odg", "odc", "odf"])
_OLE = frozenset(["doc", "xls", "ppt", "msg", "ole"])
_TEXTS = frozenset(["text", "script", "reg", "url", "batch", "vbe"])
_MARKUP = frozenset(["svg", "wsf"])
_DOCUMENTS = _OOXML | _ODF | _OLE | {"pdf", "rtf", "xml"}
_PROMISING = _OOXML | _ODF | _OLE | {"pdf", "rtf", "zip", "7z", "rar", "tar", "iso"}
_SPREADSHEETS = frozenset({"csv", "xls", "slk", "iqy"})
# Programs look for an archive also behind what stands before it, as in one that unpacks itself.
_PACKED = frozenset({"zip", "7z", "rar"})
_SHORTEST_ZIP = 22  # octets, with nothing in it (APPNOTE 4.3.16)
_HOLDING = ARCHIVES | _DOCUMENTS | UNOPENED | {"epub", "exe"}
_MAILS = frozenset({"eml", "mht", "mhtml", "mbox"})


def missing() -> list[str]:
    """Return what cannot be looked into because a library is missing: a line for each, with what to install."""
    found = []
    if archives.is_missing():
        found.append("libarchive (Debian: libarchive13) is missing: archives are not looked into")
    if macros.is_missing():
        found.append("oletools (pip: mailgate[macros]) is missing: what macros do is not looked into")
    return found


def look_into(
    octets: bytes, name: str, declared: str, place: str, budget: Budget
) -> Iterator[File | Extract | Uninspected]:
    """Yield a file, then what is inside it; never raise.

    Where more of its dangers show later, the file is yielded once more, with all of them: `merged` keeps the last.
    """
    kinds: tuple[str, ...] = ()
    file = File(place, name, "", declared, len(octets))
    try:
        kinds = _as_it_is_opened(types_of(octets), name, declared)
        file = replace(file, type=kinds[0] if kinds else "", sha256=sha256(octets).hexdigest())
        file = replace(file, dangers=dangers_of(kinds, name))
    except Exception as error:
        yield file
        yield _uninspected(place, error)
        return
    yield file
    try:
        if budget.depth == budget.limits.depth:
            budget.begin(len(octets))
        budget.take_file()
        if budget.depth <= 0:
            raise Blocked(Obstacle.LIMIT, f"nested more than {budget.limits.depth} deep")
    except Blocked as blocked:
        if set(kinds) & (ARCHIVES | _DOCUMENTS | UNOPENED | {"eml", "text", "html", "xml"}):
            yield Uninspected(place, blocked.obstacle, blocked.detail)
        return
    promised = extension_of(name)
    may_be_packed = promised in _PACKED and len(octets) >= _SHORTEST_ZIP and not set(kinds) & _HOLDING
    if octets and promised in _PROMISING and (not kinds or may_be_packed):
        yield Uninspected(place, Obstacle.DAMAGED, f"no {promised} by its content")
    budget.depth -= 1
    try:
        for kind in kinds:
            for found in guarded(_reader(kind, octets, name, place, budget), place):
                if isinstance(found, Threat):
                    threats: Iterable[tuple[Danger, str]] = ((found.danger, found.detail),)
                elif isinstance(found, Inside):
                    threats = ()
                    if budget.files <= 0:
                        yield Uninspected(place, Obstacle.LIMIT, f"more than {budget.limits.files} files")
                        break
                    inner_place = f"{place} > {found.name}"
                    for inner in look_into(found.octets, found.name, found.declared, inner_place, budget):
                        yield inner
                        if isinstance(inner, File) and inner.place == inner_place:
                            threats = (*threats, *_shared(file, kind, inner))
                else:
                    threats = _shared(file, kind, found) if isinstance(found, File) else ()
                    yield found
                more = [threat for threat in dict.fromkeys(threats) if threat not in file.dangers]
                if more:
                    file = replace(file, dangers=(*file.dangers, *more))
                    yield file
    finally:
        budget.depth += 1


def _as_it_is_opened(kinds: tuple[str, ...], name: str, declared: str) -> tuple[str, ...]:
    """Return the kinds of a file, a mail too where it is opened as one: one may begin with any field."""
    is_mail = declared in ("message/rfc822", "message/global") or extension_of(name) in _MAILS
    if not is_mail or kinds not in ((), ("text",), ("html",)):
        return kinds
    return ("html", "eml") if kinds == ("html",) else ("eml",)


def merged(found: Iterable[File | Extract | Uninspected]) -> Iterator[File | Extract | Uninspected]:
    """Yield what was found, each file once, as it was known last."""
    files: dict[tuple[str, str], File] = {}
    for each in found:
        if isinstance(each, File):
            files[each.place, each.sha256] = each
        else:
            yield each
    yield from files.values()


def guarded(found: Iterator[Found], place: str) -> Iterator[Found]:
    """Yield what a reader finds; whatever stops it becomes an Uninspected."""
    try:
        yield from found
    except Bomb as bomb:
        yield Threat(Danger.BOMB, bomb.detail)
        yield Uninspected(place, bomb.obstacle, bomb.detail)
    except Exception as error:
        yield _uninspected(place, error)


def _uninspected(place: str, error: Exception) -> Uninspected:
    if isinstance(error, Blocked):
        return Uninspected(place, error.obstacle, error.detail)
    if isinstance(error, MemoryError | RecursionError):
        return Uninspected(place, Obstacle.LIMIT, type(error).__name__)
    return Uninspected(place, Obstacle.DAMAGED, type(error).__name__)


def _shared(outer: File, kind: str, inner: File) -> tuple[tuple[Danger, str], ...]:
    """Return what a file inside makes of the outer one: a document with a program in it, an archive that only calls
    itself a document."""
    dangers = {danger for danger, _ in inner.dangers}
    named = [each for each in read_name(inner.name).extensions if each in PROGRAMS]
    if not dangers & RUNNING and not named:
        return ()
    if kind in _DOCUMENTS and kind != "msg":
        return ((Danger.EMBEDDED_PROGRAM, inner.type if dangers & RUNNING else named[0]),)
    promised = extension_of(outer.name)
    if kind in ARCHIVES and promised in DOCUMENTS and promised not in ("eml", "msg"):
        return ((Danger.DISGUISED, f"{kind} with a program named {promised}"),)
    return ()


def _reader(kind: str, octets: bytes, name: str, place: str, budget: Budget) -> Iterator[Found]:
    """Return what reads a kind of file, nothing for what has nothing inside."""
    if kind in _OOXML or kind in _ODF:
        return _document(kind, octets, name, place, budget)
    if kind in ARCHIVES:
        return archives.read(octets, name, kind, place, budget)
    if kind in _OLE:
        return ole.read(octets, kind, place, budget)
    if kind in _TEXTS:
        reader = plain.read_csv if extension_of(name) in _SPREADSHEETS else plain.read_text
        return reader(octets, "", place, TextKind.DOCUMENT, budget)
    if kind in ("html", "hta"):
        return plain.read_html(octets, "", place, TextKind.DOCUMENT, budget)
    if kind == "xml":
        return office_xml.read(octets, place, budget)
    if kind in _MARKUP:
        return markup.read(octets, place, budget)
    if kind == "rtf":
        return rtf.read(octets, place, budget)
    if kind == "pdf":
        return pdf.read(octets, place, budget)
    if kind == "eml":
        return eml.read(octets, place, budget)
    if kind == "p7m":
        return smime.read(octets, name, budget)
    if kind == "epub":
        return archives.read(octets, name, "zip", place, budget)
    return _unopened(kind)


def _unopened(kind: str) -> Iterator[Found]:
    if kind in UNOPENED:
        raise Blocked(Obstacle.UNSUPPORTED, kind)
    yield from ()


def _document(kind: str, octets: bytes, name: str, place: str, budget: Budget) -> Iterator[Found]:
    """Read an office document; where its zip is damaged, what members there are, each for itself."""
    read = ooxml.read if kind in _OOXML else odf.read
    try:
        yield from read(octets, kind, place, budget)
    except Blocked as blocked:
        if blocked.obstacle is not Obstacle.DAMAGED:
            raise
        yield Uninspected(place, blocked.obstacle, blocked.detail)
        yield from archives.read(octets, name, "zip", place, budget)
