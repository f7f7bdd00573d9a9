"""What a part's header block says of it: type, file name, encoding, boundaries.

A pure function of the block, so that it is cached: most mails repeat the same few blocks. Only the boundary
of a whole message is ever new: its usual form is read at sight.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..caches import remembered
from ..model import Header
from ..text.file_names import PROGRAMS, opens_alike, read_name
from .fields import CONTROLS, Parameters, boundaries_to_the_letter, decode_words, parse_parameters
from .names import told_names
from .transfer import IDENTITY, is_known


class PartHeader(NamedTuple):
    """A part's own account of itself; `type` is "" where it names none. All of it lower-cased but the name.

    multipart: the subtype when any Content-Type says multipart, else "". boundaries: every plausible
    reading, each once. charset: the label of a text, "" for none. names: what other programs read for its name, those
    that open otherwise (mime.names).
    """

    type: str = ""
    name: str = ""
    disposition: str = ""
    encoding: str = ""
    multipart: str = ""
    boundaries: tuple[bytes, ...] = ()
    defects: tuple[str, ...] = ()
    charset: str = ""
    names: tuple[str, ...] = ()


_DESCRIPTION = b"content-description"  # webmail takes it for the name of an attachment that has none
# A description is a sentence first: its end is that of an address, of a site, of a piece of software.
_OF_A_SITE = re.compile(r"@|://|\bwww\.|\.com\W*\Z|\s.*\.(?:js|py|app)\W*\Z", re.IGNORECASE)
CONTENT_FIELDS = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition", _DESCRIPTION})


def _octets_of(fields: tuple[Header, ...]) -> int:
    return sum([len(name) + len(value) for name, value in fields])


_USUAL_MULTIPART = re.compile(
    rb"[ \t]*multipart/([a-z]{1,20});(?:\r?\n)?[ \t]*"
    rb'boundary="([^"\\\x00-\x20\x7f?](?:[^"\\\x00-\x1f\x7f?]{0,68}[^"\\\x00-\x20\x7f?])?)"'
)


def describe(fields: tuple[Header, ...]) -> PartHeader:
    """Read the Content-* fields of a part; names in lower case, values as they stand, folds too."""
    if len(fields) == 1 and fields[0][0] == b"content-type":
        usual = _USUAL_MULTIPART.fullmatch(fields[0][1])
        if usual is not None:
            subtype = usual[1].decode("ascii")
            return PartHeader(f"multipart/{subtype}", multipart=subtype, boundaries=(usual[2],))
    return read_fields(fields)


@remembered("read_fields", _octets_of)
def read_fields(fields: tuple[Header, ...]) -> PartHeader:
    """Read any fields; what `describe` knows at sight is read to the same."""
    types = [parse_parameters(value) for name, value in fields if name == b"content-type"]
    encodings = [value for name, value in fields if name == b"content-transfer-encoding"]
    dispositions = [parse_parameters(value) for name, value in fields if name == b"content-disposition"]
    defects = {defect for parsed in (*types, *dispositions) for defect in parsed.defects}
    if len(types) > 1:
        defects.add("duplicate-content-type")
    if len(encodings) > 1:
        defects.add("duplicate-transfer-encoding")
    if len({name.rpartition(".")[2].lower() for name in _file_names((*dispositions, *types[:1]))}) > 1:
        defects.add("differing-names")  # of two kinds of files
    encoding = parse_parameters(encodings[0]).main.strip(" \t.'\"") if encodings else ""
    if encoding not in IDENTITY and not is_known(encoding):
        defects.add("unknown-transfer-encoding")
    multipart = next((parsed.main for parsed in types if parsed.main.startswith("multipart/")), "")
    boundaries = _boundaries(types, fields) if multipart else ()
    if any(len(boundary) > 70 for boundary in boundaries):
        defects.add("long-boundary")
    if multipart and not any(boundaries):
        defects.add("no-boundary")
    kinds = {(parsed.main, parsed.values.get("boundary")) for parsed in types}
    has_parts = multipart or (types and types[0].main.startswith("message/"))
    if has_parts and (
        (multipart and len(kinds) > 1) or not _TYPE.fullmatch(types[0].main) or types[0].is_oddly_spelled
    ):
        defects.add("multipart-or-file")
    if multipart and encoding not in IDENTITY:
        defects.add("encoded-multipart")
    name = _file_name((*dispositions, *types[:1]))
    names = told_names([value for name, value in fields if name in (b"content-disposition", b"content-type")])
    if not name and names:
        name = names[0]
    type_ = _TYPE.match(types[0].main) if types else None
    is_shown = not types or types[0].main.startswith(("text/", "image/"))
    if not names and (not is_shown or any(parsed.main == "attachment" for parsed in dispositions)):
        described = [decode_words(value).strip() for name, value in fields if name == _DESCRIPTION]
        names = tuple([text for text in described if read_name(text).extensions and not _OF_A_SITE.search(text)])
    return PartHeader(
        type_[0] if type_ else types[0].main if types else "",
        name,
        dispositions[0].main if dispositions else "",
        encoding,
        _SUBTYPE.match(multipart.partition("/")[2])[0] or ("mixed" if multipart else ""),  # type: ignore[index]
        boundaries,
        tuple(sorted(defects)),
        types[0].values.get("charset", "").strip().lower() if types else "",
        tuple([other for other in names if not opens_alike(other, name)]),
    )


_TYPE = re.compile(r"[!#-'*+.0-9A-Z^-~-]+/[!#-'*+.0-9A-Z^-~-]+", re.IGNORECASE)  # RFC 2045 section 5.1
_BLOCK = re.compile(rb"(?:[!-9;-~]+:[^\r\n]*\r\n(?:[ \t]+[^\r\n]*\r\n)*)*")
_FIELD = re.compile(
    rb"^(content-(?:type|transfer-encoding|disposition|description))[ \t]*:((?:[^\r\n]*\r\n[ \t])*[^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)


@remembered("describe_block")
def describe_block(block: bytes) -> PartHeader | None:
    """Read a whole header block, blank line excluded; None when it is not plainly well-formed."""
    if not _BLOCK.fullmatch(block):
        return None
    return describe(tuple((name.lower(), value) for name, value in _FIELD.findall(block)))


_SUBTYPE = re.compile(r"[!#-'*+.0-9A-Z^-~-]*", re.IGNORECASE)
_LONGEST_BOUNDARY = 80  # octets that Dovecot looks at


def _boundaries(types: Sequence[Parameters], fields: Sequence[Header]) -> tuple[bytes, ...]:
    """Return every reading of the boundary, the likeliest first. An empty one delimits by each line of `--`."""
    read = [boundary for parsed in types for boundary in parsed.readings.get("boundary", ())]
    for name, value in fields:
        if name == b"content-type":
            read += boundaries_to_the_letter(value)
    stripped = [boundary.rstrip(b" \t") for boundary in read]
    stripped += [boundary.strip(CONTROLS) for boundary in stripped]  # as Python's parser does
    stripped += [boundary[:_LONGEST_BOUNDARY] for boundary in stripped]
    return tuple(dict.fromkeys(stripped))


def names_a_program(*names: str) -> bool:
    """Tell whether a part may be saved as a program: of an attached mail its content says whether it is one."""
    return any(not PROGRAMS.isdisjoint(read_name(name).extensions) for name in names)


def _file_name(sources: Sequence[Parameters]) -> str:
    return next(iter(_file_names(sources)), "")


def _file_names(sources: Sequence[Parameters]) -> dict[str, None]:
    """Return the names that a part gives itself, the likeliest first, each once."""
    found: dict[str, None] = {}
    for parsed in sources:
        for parameter in ("filename", "name"):
            name = parsed.values.get(parameter, "").strip()
            if name:
                found[name] = None
    return found
