"""Every name that mail programs read out of a Content-Type or Content-Disposition that is not plainly written.

Programs differ in which of two parameters they take, in which pieces of a name they join, in what they decode, and in
where a value without quotes ends. None of them is the truth: the file is what any of them makes of it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from ..text.file_names import DOCUMENTS, Reading, extension_of, read_name
from .fields import decode_words, parse_parameters, percent_decoded, to_text, unfold

_PARAMETER = re.compile(
    rb"(?<![\w*-])((?:file)?name)[ \t]*(?:\*{1,9}[ \t]*(\d{1,9})[ \t]*)?(\*{0,9})[ \t]*=[ \t]*", re.IGNORECASE
)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)', re.DOTALL)
_TO_THE_NEXT = re.compile(rb"(?s:.*?)(?=;[ \t]*[\w*-]+[ \t]*=|\Z)")
_TOKEN = re.compile(rb'[^\s()<>@,;:\\"/\[\]?=]+')  # RFC 2045 section 5.1
_WORD = re.compile(rb"\S+")
_COMMENT = re.compile(rb"\([^()]*\)")
_CUT = re.compile(rb'name=[^"\s;][^\s;]*?[<>@,:/\[\]?]', re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LONGEST = 8_192  # octets of a value that is looked at; nobody's file system takes a longer name
_Piece = tuple[int, bool, bytes]  # its number, whether it says its charset or has percent signs, the octets
_MOST = 100  # parameters from the first on and from the last back, and names that are kept, each of another kind


def told_names(values: Iterable[bytes]) -> tuple[str, ...]:
    """Return the names in field values, the likeliest of each first; of those that open alike the first alone."""
    found: dict[Reading, str] = {}
    for value in values:
        for name in _names_in(value):
            kept = name.strip()
            reading = read_name(kept)
            if kept and len(found) < _MOST and (not found or reading.extensions or reading.tricks):
                found.setdefault(reading, kept)
    return tuple(found.values())


def _names_in(value: bytes) -> Iterator[str]:
    parsed = parse_parameters(value)
    for parameter in ("filename", "name"):
        if parameter in parsed.values:
            yield parsed.values[parameter]
    if parsed.is_plain and not _CUT.search(value):
        for parameter in ("filename", "name"):
            for octets in parsed.readings.get(parameter, ()):
                yield from _decoded(octets)
    else:
        yield from _by_any_program(unfold(value)[:_LONGEST])


def _by_any_program(text: bytes) -> Iterator[str]:
    pieces: dict[bytes, list[_Piece]] = {}
    matches = list(_PARAMETER.finditer(text))
    for match in (*matches[:_MOST], *matches[_MOST:][-_MOST:]):
        values = list(_values(text, match.end()))
        if match[2] is not None:
            pieces.setdefault(match[1].lower(), []).append((int(match[2]), bool(match[3]), values[0]))
            continue
        for octets in values:
            yield from _extended(octets) if match[3] else _decoded(octets)
    for numbered in pieces.values():
        yield from _joined(numbered)


def _values(text: bytes, begin: int) -> Iterator[bytes]:
    """Yield what may be the value that begins here: within its quotes, up to a blank, a semicolon, the next one, and
    as a token, which ends where RFC 2045 has it end (so Dovecot).
    """
    quoted = _QUOTED.match(text, begin)
    if quoted:
        yield _ESCAPE.sub(rb"\1", quoted[1])
        yield quoted[1]
    whole = _TO_THE_NEXT.match(text, begin)
    rest = whole[0].strip(b" \t\"';") if whole else b""
    yield rest
    if not quoted:
        first = rest.partition(b";")[0]
        yield first
        for title in (first, _COMMENT.sub(b" ", rest).strip()):
            for cut in (_WORD.match(title), _TOKEN.match(title)):
                if cut and not _is_site_in_a_title(cut[0], title):
                    yield cut[0]


def _is_site_in_a_title(cut: bytes, whole: bytes) -> bool:
    """Tell whether a blank ends the name of a site, and a document's name goes on: VNG.com thang 12.docx."""
    is_site = cut.lower().endswith(b".com") and whole[len(cut) :][:1].isspace()
    return is_site and extension_of(to_text(whole)) in DOCUMENTS


def _decoded(octets: bytes) -> Iterator[str]:
    """Yield what octets say: by encoded words, by percent signs, by one inside the other."""
    yield decode_words(octets)
    if b"=?" in octets and not octets.endswith(b"?="):
        yield decode_words(octets.rstrip(b"?=") + b"?=")  # a word that is cut
    if not octets.isascii() and b"=?" not in octets:
        yield octets.decode("ascii", "ignore")  # as of programs that drop what they cannot read
    if b"%" in octets:
        yield decode_words(percent_decoded(octets))
        if b"=?" in octets:
            yield to_text(percent_decoded(decode_words(octets).encode("utf-8", "replace")))


def _extended(octets: bytes) -> Iterator[str]:
    """Yield what RFC 2231's charset'language'value says, also with one quotation mark, or none."""
    charset, mark, rest = octets.partition(b"'")
    for value in (rest.partition(b"'")[2], rest) if mark else (octets,):
        yield from _in_charset(percent_decoded(value), charset if mark else b"")


def _in_charset(octets: bytes, charset: bytes) -> Iterator[str]:
    yield to_text(octets, charset.decode("ascii", "replace"))
    if b"=?" in octets:
        yield decode_words(octets)


def _joined(numbered: Sequence[_Piece]) -> Iterator[str]:
    """Yield a name from its pieces: by number or as they stand, the first or last of a number, up to a gap or all."""
    last = {index: (is_extended, octets) for index, is_extended, octets in numbered}
    first = {index: (is_extended, octets) for index, is_extended, octets in reversed(numbered)}
    orders = [[chosen[index] for index in sorted(chosen)] for chosen in (first, last)]
    gap = next((at for at, index in enumerate(sorted(first)) if index != at), len(first))
    orders += [[(is_extended, octets) for _, is_extended, octets in numbered], orders[0][:gap]]
    for order in orders:
        if not any(is_extended for is_extended, _ in order):
            yield from _decoded(b"".join(octets for _, octets in order))
            continue
        # A charset stands before the first piece; a piece that is not marked is decoded by some all the same.
        head = order[0][1]
        prefix = head[: len(head) - len(head.split(b"'", 2)[-1])] if order[0][0] else b""
        tail = b"".join(percent_decoded(octets) if is_extended else octets for is_extended, octets in order)
        yield from _in_charset(tail[len(prefix) :], prefix.partition(b"'")[0])
        yield from _extended(b"".join(octets for _, octets in order))
