"""The way into a file: what it is, which reader opens it, and into what is inside, to the limits of a budget.

Nothing here raises, whatever the octets: what stops a reader is an Uninspected, so that nothing is silently clean.
What is known is yielded at once, for whoever looks may be ended in the middle.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from hashlib import sha256
from itertools import chain

from ..model import Danger, File, Obstacle, Taken, TextKind, Uninspected
from ..text.file_names import DOCUMENTS, PROGRAMS, extension_of, read_name
from . import (
    archives,
    calendar,
    eml,
    macros,
    markup,
    mso,
    odf,
    office_xml,
    ole,
    onenote,
    ooxml,
    page,
    pdf,
    plain,
    rtf,
    smime,
    sylk,
    tnef,
    zips,
)
from .budget import Blocked, Bomb, Budget
from .found import Extract as Extract
from .found import Found, Inside, Threat
from .types import ARCHIVES, RUNNING, UNOPENED, dangers_of, packed_behind, types_of

_OOXML = frozenset(["docx", "docm", "xlsx", "xlsm", "xlsb", "pptx", "pptm"])
_ODF = frozenset(["odt", "ods", "odp", "odg", "odc", "odf"])
_OLE = frozenset(["doc", "xls", "ppt", "msg", "ole"])
_TEXTS = frozenset(
    {
        *("text", "script", "reg", "url", "batch", "vbe", "scf", "wsh", "autorun", "desktop", "rdp", "iqy", "oqy"),
    }
)
_MARKUP = frozenset(
    {
        *("svg", "wsf", "msc", "jnlp", "task", "contact", "library-ms", "search-ms", "searchconnector-ms"),
        *("settingcontent-ms", "appinstaller", "application"),
    }
)
_DOCUMENTS = _OOXML | _ODF | _OLE | {"pdf", "rtf", "xml"}
_PROMISING = (
    _OOXML
    | _ODF
    | _OLE
    | ARCHIVES
    | UNOPENED
    | {"pdf", "rtf", "tgz", "tbz", "txz", "zst", "z", "lzh", "lz", "wim", "zipx"}
)
_NEVER_TEXT = _OOXML | _ODF | {"pdf"}  # names of what no program opens as text
_SPREADSHEETS = frozenset({"csv", "xls", "slk", "iqy"})
# Programs look for an archive also behind what stands before it, as in one that unpacks itself.
_PACKED = frozenset({"zip", "7z", "rar"})
_ZIPS = frozenset({"zip", "jar", "apk", "epub"})
_SHORTEST_ZIP = 22  # octets, with nothing in it (APPNOTE 4.3.16)
_HOLDING = ARCHIVES | _DOCUMENTS | UNOPENED | {"epub", "exe", "tnef", "one", "mso"}
# What is shown stands in other mails, or is fetched from a server (RFC 2046 sections 5.2.2, 5.2.3).
_ELSEWHERE = frozenset({"message/partial", "message/external-body"})
# What clamd opens by itself, and scans what is inside (libclamav 1.0); what is taken out of all else is given to it.
_SCANNED = (
    _OOXML | _ODF | {"doc", "xls", "ppt", "pdf", "rtf", "zip", "7z", "rar", "tar", "gz", "bz2", "xz", "cab", "iso"}
)
_MAIL_TYPES = frozenset({"message/rfc822", "message/global", "message/news", *_ELSEWHERE})
_MAILS = frozenset({"eml", "mht", "mhtml", "mbox"})
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_PAGES = frozenset({"html", "htm", "xhtml", "xht", "shtml", "hta"})
_SHOWN_AS_PAGES = frozenset({"html", "hta", "connection"})
_CALENDARS = frozenset({"ics", "ical", "vcs", "vcf", "vcard", "ifb"})
# What a part or a name says beyond doubt, and what it is then.
_DECLARED = {"application/ms-tnef": "tnef", "application/vnd.ms-tnef": "tnef", "text/calendar": "calendar"}


def missing() -> list[str]:
    """Return what cannot be looked into because a library is missing: a line for each, with what to install."""
    found = []
    if archives.is_missing():
        found.append("libarchive (Debian: libarchive13) is missing: of archives only zips are looked into")
    if macros.is_missing():
        found.append("oletools (pip: mailgate[macros]) is missing: what macros do is not looked into")
    return found


def look_into(
    octets: bytes, name: str, declared: str, place: str, budget: Budget, names: tuple[str, ...] = ()
) -> Iterator[File | Extract | Taken | Uninspected]:
    """Yield a file, then what is inside it; never raise. names: what else programs read for its name.

    Where more of its dangers show later, the file is yielded once more, with all of them: `merged` keeps the last.
    """
    kinds: tuple[str, ...] = ()
    file = File(place, name, "", declared, len(octets), names=names)
    called = {extension_of(each) for each in (name, *names)}
    try:
        by_content = types_of(octets)
        readings = {each for own in (name, *names) for each in read_name(own).extensions}
        kinds = _as_it_is_opened(by_content, called, declared, readings)
        is_zip = bool(kinds) and kinds[0] in _ZIPS | _OOXML | _ODF
        behind = packed_behind(octets, called - {"zip"} if is_zip else called)
        kinds = tuple(dict.fromkeys((*kinds, *behind)))
        file = replace(file, type=kinds[0] if kinds else "", sha256=sha256(octets).hexdigest())
        file = replace(file, dangers=dangers_of(kinds, name))
    except Exception as error:
        yield file
        yield _uninspected(place, error)
        return
    yield file
    if declared in _ELSEWHERE:
        yield Uninspected(place, Obstacle.UNSUPPORTED, declared)
    try:
        if budget.depth == budget.limits.depth:
            budget.begin(len(octets))
        budget.take_file()
        if budget.depth <= 0:
            raise Blocked(Obstacle.LIMIT, f"nested more than {budget.limits.depth} deep")
    except Blocked as blocked:
        if set(kinds) & (_HOLDING | _TEXTS | _MARKUP | {"eml", "html", "slk", "calendar"}):
            yield Uninspected(place, blocked.obstacle, blocked.detail)
        return
    if octets and (promise := _broken_promise(octets, kinds if by_content else behind, called, declared)):
        yield Uninspected(place, Obstacle.DAMAGED, f"no {promise} by its content")
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
                    if kind not in _SCANNED or kind != kinds[0] or found.is_hidden:
                        yield from taken(inner_place, found.octets, budget)
                    for inner in look_into(
                        found.octets, found.name, found.declared, inner_place, budget, found.names
                    ):
                        yield inner
                        if isinstance(inner, File) and inner.place == inner_place:
                            threats = (*threats, *_shared(file, kind, inner))
                elif isinstance(found, Taken):
                    threats = ()
                    yield from taken(found.place, found.octets, budget)
                else:
                    threats = _shared(file, kind, found) if isinstance(found, File) else ()
                    yield found
                more = [threat for threat in dict.fromkeys(threats) if threat not in file.dangers]
                if more:
                    file = replace(file, dangers=(*file.dangers, *more))
                    yield file
    finally:
        budget.depth += 1


def _broken_promise(octets: bytes, kinds: tuple[str, ...], called: AbstractSet[str], declared: str) -> str:
    """Return what a file says that it is and is not, "" for nothing: its reader found no way in."""
    promised: AbstractSet[str] = set()
    if not kinds:
        promised = called & _PROMISING
    elif len(octets) >= _SHORTEST_ZIP and not set(kinds) & _HOLDING:
        promised = called & (_PACKED | (_NEVER_TEXT if kinds == ("text",) else frozenset()))
    if _DECLARED.get(declared) == "tnef" and "tnef" not in kinds:
        promised |= {"tnef"}
    return min(promised, default="")


def _as_it_is_opened(
    kinds: tuple[str, ...], called: AbstractSet[str], declared: str, readings: AbstractSet[str]
) -> tuple[str, ...]:
    """Return the kinds of a file, and what else it is opened as: a mail may begin with any field, and a browser takes
    for a page what is named or declared one, whatever it begins with.

    called: the extensions that it may be opened by; readings: all that its names may be read with.
    """
    if kinds == ("text",) and (_DECLARED.get(declared) == "calendar" or called & _CALENDARS):
        kinds = ("calendar",)
    elif kinds in (("text",), ("xml",)) and (declared.startswith("image/svg") or called & {"svg", "svgz"}):
        kinds = ("svg",)
    if declared in _MAIL_TYPES or not called.isdisjoint(_MAILS):
        kinds = ("eml",) if kinds == ("text",) else (*kinds, "eml")
    if (declared in _PAGE_TYPES or not readings.isdisjoint(_PAGES)) and not set(kinds) & _SHOWN_AS_PAGES:
        kinds = (*kinds, "html")
    return tuple(dict.fromkeys(kinds))


def taken(place: str, octets: bytes, budget: Budget) -> Iterator[Taken | Uninspected]:
    """Yield a file for the virus scanner, as far as one mail may have it scan more than itself."""
    if not octets:
        return
    if budget.take_scanned(len(octets)):
        yield Taken(place, octets)
    else:
        yield Uninspected(
            place, Obstacle.LIMIT, f"more than {budget.limits.scanned_octets} octets to scan for viruses"
        )


def merged(
    found: Iterable[File | Extract | Taken | Uninspected],
) -> Iterator[File | Extract | Taken | Uninspected]:
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
    readings = [read_name(name) for name in (inner.name, *inner.names)]
    named = [each for reading in readings for each in reading.extensions if each in PROGRAMS]
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
    if kind in _ZIPS:
        return zips.read(octets, name, place, budget)
    if kind in ARCHIVES:
        return archives.read(octets, name, kind, place, budget)
    if kind in _OLE:
        return ole.read(octets, kind, place, budget)
    if kind in _TEXTS:
        reader = plain.read_csv if extension_of(name) in _SPREADSHEETS else plain.read_text
        return reader(octets, "", place, TextKind.DOCUMENT, budget)
    if kind == "calendar":
        return calendar.read(octets, place, budget)
    if kind == "tnef":
        return tnef.read(octets, place, budget)
    if kind == "mso":
        return mso.read(octets, budget)
    if kind == "one":
        return onenote.read(octets, place, budget)
    if kind == "slk":
        return sylk.read(octets, place, budget)
    if kind in _SHOWN_AS_PAGES:
        shown = plain.read_html(octets, "", place, TextKind.DOCUMENT, budget)
        return chain(page.read(octets, place, budget), shown)
    if kind == "xml":
        return chain(page.read_picture(octets, False, budget), office_xml.read(octets, place, budget))
    if kind in _MARKUP:
        return chain(page.read_picture(octets, kind == "svg", budget), markup.read(octets, place, budget))
    if kind == "rtf":
        return rtf.read(octets, place, budget)
    if kind == "pdf":
        return pdf.read(octets, place, budget)
    if kind == "eml":
        return eml.read(octets, place, budget)
    if kind == "p7m":
        return smime.read(octets, name, budget)
    return _unopened(kind)


def _unopened(kind: str) -> Iterator[Found]:
    if kind in UNOPENED:
        raise Blocked(Obstacle.UNSUPPORTED, kind)
    yield from ()


def _document(kind: str, octets: bytes, name: str, place: str, budget: Budget) -> Iterator[Found]:
    """Read an office document; where its zip is damaged, what members there are, each for itself."""
    read = ooxml.read if kind in _OOXML else odf.read
    is_damaged = False
    try:
        yield from read(octets, kind, place, budget)
    except Blocked as blocked:
        if blocked.obstacle is not Obstacle.DAMAGED:
            raise
        yield Uninspected(place, blocked.obstacle, blocked.detail)
        is_damaged = True
    yield from zips.read(octets, name, place, budget, beside=not is_damaged)
