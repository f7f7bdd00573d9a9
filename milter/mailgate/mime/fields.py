"""Header field values: RFC 2047 words, RFC 2045 parameters with RFC 2231's forms.

Lenient as mail programs are, linear in time, and never raising: what is malformed or can be read in
two ways is named in `defects`. Octets that no charset explains become U+FFFD or Latin-1, since the
result is only looked at, never sent.
"""

import binascii
import re
from dataclasses import dataclass, field

from ..caches import remembered

_FOLD = re.compile(rb"\r?\n(?=[ \t])|[\r\n]")
_FOLDS = re.compile(rb"\r?\n(?=[ \t])")
_WORD = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_GAP = re.compile(rb"[ \t\r\n]*")
_SEGMENT = re.compile(rb'(?:[^;"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+', re.DOTALL)
_COMMENT = re.compile(rb"\([^()]*\)")
_NAME = re.compile(rb"([^*\s]+?)(?:\*(\d{1,4}))?(\*)?")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)(?:"|\\?\Z)', re.DOTALL)
_NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
CONTROLS = bytes(range(33)) + b"\x7f"
_AROUND_SLASH = re.compile(r"[\x00-\x20\x7f]*/[\x00-\x20\x7f]*")  # a comment or a fold may stand there
_TOKEN = re.compile(rb"=\S*|[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]*")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")

_PLAIN_PARAMETER = re.compile(rb'([A-Za-z0-9-]+)=("[^"\\\r\n]*"|[^\s;"()*\\=]+)')
_PLAIN = re.compile(
    rb'[ \t]*[A-Za-z0-9./+-]+(?:;(?:\r?\n)?[ \t]*[A-Za-z0-9-]{1,40}=(?:"[^"\\\r\n]*"|[^\s;"()*\\=]+)){0,20}'
)

MOST_PARAMETERS = 200  # ordinary fields have under ten; a name in RFC 2231's pieces may have dozens


@dataclass(slots=True)
class Parameters:
    """A structured value: `main` lower-cased (`text/plain`, `attachment`), its parameters, its defects.

    readings: for a parameter that was given twice or in two forms, every value, first the likeliest. is_plain: it can
    be read in one way alone.
    """

    main: str = ""
    values: dict[str, str] = field(default_factory=dict)
    readings: dict[str, list[bytes]] = field(default_factory=dict)
    defects: set[str] = field(default_factory=set)
    is_oddly_spelled: bool = False  # its type has blanks or controls that some programs pass over
    is_plain: bool = False


def unfold(value: bytes) -> bytes:
    """Return a field value on one line, without the leading space that follows the colon."""
    if b"\n" in value or b"\r" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t")


def to_text(octets: bytes, charset: str = "") -> str:
    """Decode octets: by UTF-8 where they are UTF-8, else by the charset, else as Latin-1."""
    try:
        return octets.decode(charset if _ESCAPING.match(charset) else "utf-8")
    except (UnicodeError, LookupError):
        pass
    try:
        return octets.decode(charset or "latin-1", "replace")
    except (LookupError, UnicodeError, ValueError):
        return octets.decode("latin-1")


# Charsets of which the octets are UTF-8 too, and mean something else.
_ESCAPING = re.compile(r"(?:cs|unicode-1-1-)?utf[-_]?(?:7|16|32)|(?:cs)?iso-?2022|hz|ucs-?2", re.IGNORECASE)


def decode_words(value: bytes) -> str:
    """Decode RFC 2047 encoded words wherever they stand; neighbours of one charset join as octets first.

    b"=?UTF-8?Q?M=E1=BA?= =?UTF-8?Q?=ADt?=" is "Mật": real senders cut inside a character.
    """
    value = unfold(value)
    if b"=?" not in value:
        return to_text(value)
    out: list[str] = []
    run = b""
    run_charset = ""
    position = 0
    for match in _WORD.finditer(value):
        between = value[position : match.start()]
        charset = match[1].partition(b"*")[0].decode("ascii", "replace").lower()
        octets = _decode_q(match[3]) if match[2] in b"qQ" else _decode_b(match[3])
        if run_charset and _GAP.fullmatch(between):
            if charset != run_charset:
                out.append(to_text(run, run_charset))
                run = b""
        else:
            if run_charset:
                out.append(to_text(run, run_charset))
                run = b""
            out.append(to_text(between))
        run += octets
        run_charset = charset
        position = match.end()
    out.append(to_text(run, run_charset))
    out.append(to_text(value[position:]))
    return "".join(out)


def _decode_q(text: bytes) -> bytes:
    return binascii.a2b_qp(text, header=True)


def _decode_b(text: bytes) -> bytes:
    clean = text.translate(None, _NO_BASE64).rstrip(b"=")
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        try:
            return binascii.a2b_base64(clean[: len(clean) - len(clean) % 4])
        except binascii.Error:
            return b""


@remembered("parse_parameters")
def parse_parameters(value: bytes) -> Parameters:
    """Parse `main; name=value; name*0*=utf-8''...`: Content-Type and Content-Disposition.

    Defects: comment, escape (a backslash in a boundary), folded-type, duplicate-parameter, rfc2231-boundary,
    unterminated-quote, too-many-parameters. The result is shared: it is only read.
    """
    if _PLAIN.fullmatch(value) and b"=?" not in value:
        return _parse_plain(value)
    result = Parameters()
    if _FOLD.search(value.split(b";", 1)[0].rstrip()):
        result.defects.add("folded-type")
    text = unfold(value)
    if b"(" in text and b")" in text:
        bare = _strip_comments(text)
        if bare != text:
            result.defects.add("comment")
            text = bare
    segments = _SEGMENT.findall(text, 0, 1_048_576)
    if not segments:
        return result
    if text.startswith(b";"):
        segments.insert(0, b"")
    spelled = to_text(segments[0]).strip().lower()
    result.main = _AROUND_SLASH.sub("/", to_text(segments[0].strip(CONTROLS)).strip().lower())
    result.is_oddly_spelled = spelled != result.main
    if len(segments) > MOST_PARAMETERS + 1:
        result.defects.add("too-many-parameters")
        del segments[MOST_PARAMETERS + 1 :]
    pieces: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for segment in segments[1:]:
        raw_name, found, raw_value = segment.partition(b"=")
        match = _NAME.fullmatch(raw_name.strip())
        if not found or match is None:
            continue
        name = match[1].decode("latin-1").lower()
        octets = _unquote(raw_value.strip(), name, result)
        extended = match[3] is not None
        if match[2] is None and not extended:
            result.readings.setdefault(name, []).append(octets)
        else:
            pieces.setdefault(name, {}).setdefault(int(match[2] or 0), (octets, extended))
    for name, readings in result.readings.items():
        if len(set(readings)) > 1:
            result.defects.add("duplicate-parameter")
        result.values[name] = decode_words(readings[0])
    for name, numbered in pieces.items():
        if name == "boundary":
            result.defects.add("rfc2231-boundary")
        octets, charset = _join_continuations(numbered)
        # RFC 2231 section 3: where both forms stand, the extended one is meant.
        result.values[name] = to_text(octets, charset)
        result.readings.setdefault(name, []).insert(0, octets)
    return result


def _parse_plain(value: bytes) -> Parameters:
    """Parse what nearly all mails have: no comment, escape, encoded word or RFC 2231 form."""
    main, _, rest = value.partition(b";")
    result = Parameters(to_text(main).strip().lower(), is_plain=True)
    for name, octets in _PLAIN_PARAMETER.findall(rest):
        octets = octets.strip(b'"')
        readings = result.readings.setdefault(name.decode("ascii").lower(), [])
        readings.append(octets)
        if len(readings) > 1 and octets not in readings[:-1]:
            result.defects.add("duplicate-parameter")
    for key, readings in result.readings.items():
        result.values[key] = to_text(readings[0])
    return result


def _unquote(value: bytes, name: str, result: Parameters) -> bytes:
    if not value.startswith(b'"'):
        return value
    if len(value) < 2 or not value.endswith(b'"'):
        result.defects.add("unterminated-quote")
        return value[1:]
    value = value[1:-1]
    if b"\\" in value:
        if name == "boundary":
            result.defects.add("escape")
            result.readings.setdefault(name, []).append(value)
        value = _ESCAPE.sub(rb"\1", value)
    return value


def _join_continuations(numbered: dict[int, tuple[bytes, bool]]) -> tuple[bytes, str]:
    charset = ""
    octets = b""
    for index in sorted(numbered):
        value, extended = numbered[index]
        if extended:
            if index == min(numbered) and value.count(b"'") >= 2:
                label, _, value = value.split(b"'", 2)
                charset = label.decode("ascii", "replace")
            value = percent_decoded(value)
        octets += value
    return octets, charset


def boundaries_to_the_letter(value: bytes) -> list[bytes]:
    """Return the boundaries of a Content-Type as RFC 2045 section 5.1 spells them, where what follows a quoted string
    or a token is no part of it, and as they stand. So Dovecot and CPython read them; parentheses stand for
    themselves, or for a comment.
    """
    text = unfold(value)
    found: list[bytes] = []
    kept = _FOLDS.sub(b"", value)  # a bare CR ends a token
    readings = [text, kept, _strip_comments(text)]
    if not any(
        segment.lstrip().lower().startswith(b"boundary") for segment in _SEGMENT.findall(text, 0, 1_048_576)[1:]
    ):
        readings.append(_COMMENT.sub(b" ", text))  # where quotes inside of comments hide it
    for reading in dict.fromkeys(readings):
        pieces: dict[int, bytes] = {}
        wholes: dict[int, tuple[bytes, bool]] = {}
        for segment in _SEGMENT.findall(reading, 0, 1_048_576)[1 : MOST_PARAMETERS + 1]:
            name, _, octets = segment.partition(b"=")
            match = _NAME.fullmatch(_strip_comments(name).strip())
            if match is None or match[1].lower() != b"boundary":
                continue
            octets = octets.strip(b" \t\r\n")
            quoted = _QUOTED.match(octets)
            exact = _ESCAPE.sub(rb"\1", quoted[1]) if quoted else _TOKEN.match(octets)[0]  # type: ignore[index]
            whole = exact if quoted else octets
            if match[2] is None and match[3] is None:
                found += (exact, whole)
            else:
                pieces.setdefault(int(match[2] or 0), exact)
                wholes.setdefault(int(match[2] or 0), (whole, match[3] is not None))
        if pieces:
            found += (b"".join(pieces[index] for index in sorted(pieces)), _join_continuations(wholes)[0])
    return found


def percent_decoded(octets: bytes) -> bytes:
    """Return octets with each %41 as the octet that it stands for (RFC 2231 section 4)."""
    return _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), octets)


def _strip_comments(text: bytes) -> bytes:
    """Take out RFC 5322 comments that stand outside quotes, innermost first, ten deep at the most."""
    if b"(" not in text or b")" not in text:
        return text
    quoted = [match.span() for match in re.finditer(rb'"(?:[^"\\]|\\.)*"', text, re.DOTALL)]
    if quoted:
        pieces = []
        position = 0
        for start, stop in quoted:
            pieces.append(_strip_comments(text[position:start]))
            pieces.append(text[start:stop])
            position = stop
        pieces.append(_strip_comments(text[position:]))
        return b"".join(pieces)
    for _ in range(10):
        text, count = _COMMENT.subn(b" ", text)
        if not count:
            break
    return text
