"""SMTP (RFC 5321): octets to commands and messages, and replies and messages to octets.

Only CRLF ends a line, and only CRLF.CRLF a message. A lone CR or LF, and a line that is a dot once its NULs are
taken out, end a line or a message for some servers and not for others; what one hop takes for text would then be the
next one's commands (SMTP smuggling). Here they never end anything: they are a flaw of the message that has them.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ..model import Header
from . import ProtocolError

END = b"\r\n.\r\n"
UNAVAILABLE = "[UNAVAILABLE]"

# Attributes of XFORWARD, in the order and the two commands in which Postfix sends them: each command fits 512 octets.
XFORWARD = (("NAME", "ADDR", "PORT"), ("PROTO", "HELO", "IDENT", "SOURCE"))
XFORWARD_NAMES = tuple(name for names in XFORWARD for name in names)
_LONGEST_ATTRIBUTE = 255  # Postfix's own limit


class Reply(NamedTuple):
    """A reply: its code, and its text, whose lines are joined by LF."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """Tell whether the command was done."""
        return 200 <= self.code < 300

    def octets(self) -> bytes:
        """Return the reply's lines; a control character becomes a question mark."""
        lines = [_CONTROL.sub("?", line) for line in self.text.split("\n")]
        wire = [f"{self.code}-{line}" for line in lines[:-1]] + [f"{self.code} {lines[-1]}"]
        return "".join(f"{line}\r\n" for line in wire).encode("utf-8", "surrogateescape")


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VERDICT = re.compile(r"([45]\d\d) (?:([45]\.\d{1,3}\.\d{1,3}) )?(.*)", re.DOTALL)


def reply_of(text: str) -> Reply:
    """Read a verdict's reply, `550 5.7.1 text`; each line of its text gets the enhanced code. Raises ValueError."""
    match = _VERDICT.fullmatch(text)
    if not match:
        raise ValueError(f"not an SMTP reply: {text!r}")
    enhanced = f"{match[2]} " if match[2] else ""
    return Reply(int(match[1]), "\n".join(enhanced + line for line in match[3].split("\n")))


class CommandError(ProtocolError):
    """A command that SMTP does not allow; `reply` is what its sender is told."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, text)


# -- commands ------------------------------------------------------------------------------------

# A quoted local part may hold any printable, ">" and blanks included.
_PATH = re.compile(rb'[ ]*(<(?:[^<>"\x00-\x1f\x7f]|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*")*>)(?: +(.*))?')
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?")


def split_command(line: bytes) -> tuple[bytes, bytes]:
    """Return a command's verb in upper case, and its argument."""
    verb, _, argument = line.partition(b" ")
    return verb.upper(), argument.strip(b" ")


def parse_path(argument: bytes, keyword: bytes) -> tuple[bytes, list[bytes]]:
    """Read `FROM:<path> NAME=value ...`: the path with its brackets, and each parameter as it was sent.

    Raises CommandError; every parameter is well formed, and none is there twice.
    """
    found, colon, rest = argument.partition(b":")
    match = _PATH.fullmatch(rest)
    if found.upper() != keyword or not colon or not match:
        raise CommandError(
            501, f"5.5.4 Syntax: {'MAIL' if keyword == b'FROM' else 'RCPT'} {keyword.decode()}:<address>"
        )
    parameters = (match[2] or b"").split()
    names = [parameter_name(parameter) for parameter in parameters]
    if not all(map(_PARAMETER.fullmatch, parameters)) or len(set(names)) < len(names):
        raise CommandError(501, "5.5.4 Malformed or repeated parameter")
    return match[1], parameters


def parameter_name(parameter: bytes) -> bytes:
    """Return the name of `NAME=value` in upper case."""
    return parameter.partition(b"=")[0].upper()


def parse_xforward(argument: bytes) -> dict[str, str]:
    """Read `ADDR=192.0.2.1 NAME=...` (Postfix's XFORWARD_README): what is not known is "". Raises CommandError."""
    found = {}
    for word in argument.split():
        raw_name, _, raw_value = word.partition(b"=")
        name = raw_name.decode("ascii", "replace").upper()
        value = _from_xtext(raw_value)
        if name not in XFORWARD_NAMES or not value or len(value) > _LONGEST_ATTRIBUTE:
            raise CommandError(501, "5.5.4 Bad XFORWARD attribute")
        if value.upper() == UNAVAILABLE:
            value = ""
        elif name == "ADDR":
            value = re.sub("^ipv6:", "", value, flags=re.IGNORECASE)
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise CommandError(501, "5.5.4 Bad XFORWARD address") from None
        found[name] = value
    if not found:
        raise CommandError(501, "5.5.4 Syntax: XFORWARD attribute=value")
    return found


def xforward_commands(attributes: Mapping[str, str], offered: Iterable[str]) -> Iterator[bytes]:
    """Yield the XFORWARD commands that hand on the attributes which the server offers to take."""
    wanted = set(offered)
    for names in XFORWARD:
        words = [
            f"{name}={_to_xtext(name, attributes[name])}" for name in names if name in attributes and name in wanted
        ]
        if words:
            yield " ".join(["XFORWARD", *words]).encode("ascii")


def _from_xtext(octets: bytes) -> str:
    plain = re.sub(rb"\+([0-9A-Fa-f]{2})", lambda match: bytes((int(match[1], 16),)), octets)
    return _CONTROL.sub("?", plain.decode("utf-8", "surrogateescape"))


def _to_xtext(name: str, value: str) -> str:
    """Encode a value by RFC 3461 section 4: "+", "=", blanks and non-ASCII as +HH."""
    if not value:
        return UNAVAILABLE
    if name == "ADDR" and ":" in value:
        value = f"IPV6:{value}"
    octets = value.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in octets)


# -- messages ------------------------------------------------------------------------------------


class Flaw(StrEnum):
    """What makes a message unfit to be handed on."""

    LINE_ENDINGS = "line endings"
    LONG_LINE = "long line"
    TOO_LARGE = "too large"


class MessageDecoder:
    """The octets after DATA, without their dot-stuffing, to the one true end.

    What is held back between two calls is four octets at the most, however long a line is.
    """

    def __init__(self, line_bytes: int, message_bytes: int) -> None:
        self.flaws: set[Flaw] = set()
        self.octets = 0
        self.ended = False
        self.rest = b""  # what came after the end
        self._line_bytes = line_bytes
        self._message_bytes = message_bytes
        self._held = b"\r\n"  # as if a line ended before: a message may begin with its end
        self._is_first = True
        self._line = 0  # octets of the line that is not yet at its end
        self._has_nul = False
        self._last = b""  # the last octets that are no NUL, once there was one

    def feed(self, data: bytes) -> bytes:
        """Take what came and return what of it is message; once the end was seen, `ended` says so."""
        buffer = self._held + data
        end = buffer.find(END)
        if end >= 0:
            raw, self.rest, self._held, self.ended = buffer[: end + 2], buffer[end + 5 :], b"", True
        else:
            keep = _begun(buffer)
            raw, self._held = buffer[: len(buffer) - keep], buffer[len(buffer) - keep :]
        if not raw:
            return b""
        self._look_for_flaws(raw)
        message = raw.replace(b"\r\n.", b"\r\n")
        if self._is_first:
            message = message[2:]
            self._is_first = False
        self.octets += len(message)
        if self.octets > self._message_bytes:
            self.flaws.add(Flaw.TOO_LARGE)
        return message

    def _look_for_flaws(self, raw: bytes) -> None:
        # A held CR is never split from its LF, so that counting is enough.
        pairs = raw.count(b"\r\n")
        if raw.count(b"\r") != pairs or raw.count(b"\n") != pairs:
            self.flaws.add(Flaw.LINE_ENDINGS)
        if self._has_nul or b"\0" in raw:
            # Some servers take NULs out before they look for the end.
            self._has_nul = True
            plain = self._last + raw.translate(None, b"\0")
            if END in plain:
                self.flaws.add(Flaw.LINE_ENDINGS)
            self._last = plain[-4:]
        else:
            self._last = (self._last + raw[-4:])[-4:]
        self._measure_lines(raw)

    def _measure_lines(self, raw: bytes) -> None:
        """Look for a line over the limit: from a line's beginning to the last line end within reach, and on."""
        reach = self._line_bytes + 2  # with its CRLF
        start = -self._line
        while len(raw) - start > reach:
            newline = raw.rfind(b"\n", max(start, 0), max(start + reach, 0))
            if newline < 0:
                self.flaws.add(Flaw.LONG_LINE)
                break
            start = newline + 1
        newline = raw.rfind(b"\n")
        self._line = self._line + len(raw) if newline < 0 else len(raw) - newline - 1


def _begun(buffer: bytes) -> int:
    """Return how many octets at the end of a buffer may be the beginning of END."""
    for length in range(len(END) - 1, 0, -1):
        if buffer.endswith(END[:length]):
            return length
    return 0


def stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a message, whose every line ends in CRLF, with its dots stuffed; END's `.` CRLF is not among it."""
    last = b"\r\n"
    for chunk in chunks:
        joined = last + chunk
        yield joined.replace(b"\r\n.", b"\r\n..")[len(last) :]
        last = joined[-2:]


_FIELD_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_MBOX = re.compile(rb">*From ")


def split_header(octets: bytes, most: int | None = None) -> tuple[list[Header], int]:
    """Return a message's header fields, as Postfix shows them to a milter, and where its body begins.

    most: of so many and one more the rest is not split; then a blank line alone ends the header.

    A value keeps what follows its colon, its folds joined by LF. A line that is no field ends the header without a
    blank line, and is of the body; a mailbox file's `From ` line before the fields is passed over.
    """
    fields: list[tuple[bytes, list[bytes]]] = []  # a value by its lines: there may be hundreds of thousands
    position = length_of_mbox_line(octets)
    while position < len(octets):
        stop = octets.find(b"\r\n", position)
        if stop < 0:
            stop = len(octets)
        line = octets[position:stop]
        if not line:
            position = stop + 2
            break
        if line[0] in b" \t" and fields:
            fields[-1][1].append(line)
        elif most is not None and len(fields) > most:
            blank = octets.find(b"\r\n\r\n", position)
            position = len(octets) if blank < 0 else blank + 4
            break
        elif _FIELD_NAME.match(line):
            name, _, value = line.partition(b":")
            fields.append((name.rstrip(b" \t"), [value]))
        else:
            break
        position = min(stop + 2, len(octets))
    return [(name, b"\n".join(lines)) for name, lines in fields], position


def length_of_mbox_line(octets: bytes) -> int:
    """Return the length of a message's first line where it is a mailbox file's `From ` line, else 0."""
    stop = octets.find(b"\r\n")
    return stop + 2 if stop >= 0 and _MBOX.match(octets) else 0


def header_lines(fields: Sequence[Header]) -> bytes:
    """Write header fields that are to be added, each on one line."""
    return b"".join(
        b"%s: %s\r\n" % (name, b" ".join(value.split(b"\n")).replace(b"\r", b"")) for name, value in fields
    )
