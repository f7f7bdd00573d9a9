"""The milter protocol, seen from the filter: bytes in, commands out, replies to bytes.

No IO, no clock, no policy. Source: libmilter's mfdef.h and mfapi.h (Sendmail 8.18), protocol
versions 2 to 6, and Postfix's src/milter/milter8.c for what an MTA really sends.

A frame is `uint32 length, uint8 command, payload`, the length counting command and payload.
`Conversation.receive` turns a buffer into `(command, start, stop)` triples: the payload stays
where it is, since a body chunk of 64 KiB is looked at once and copied never. Only headers, half of
all frames, are taken apart at once. i64 is an int; it tells the compiler that a machine word will do.
"""

import re
import struct
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from mypy_extensions import i64

from ..caches import remembered
from ..model import Header
from . import ProtocolError

# -- commands of the MTA (mfdef.h, SMFIC_*) ------------------------------------------------------

ABORT = ord("A")  # SMFIC_ABORT
BODY = ord("B")  # SMFIC_BODY
CONNECT = ord("C")  # SMFIC_CONNECT
MACRO = ord("D")  # SMFIC_MACRO
END_OF_MESSAGE = ord("E")  # SMFIC_BODYEOB
HELO = ord("H")  # SMFIC_HELO
QUIT_NEW_CONNECTION = ord("K")  # SMFIC_QUIT_NC
HEADER = ord("L")  # SMFIC_HEADER
MAIL = ord("M")  # SMFIC_MAIL
END_OF_HEADERS = ord("N")  # SMFIC_EOH
NEGOTIATE = ord("O")  # SMFIC_OPTNEG
QUIT = ord("Q")  # SMFIC_QUIT
RECIPIENT = ord("R")  # SMFIC_RCPT
DATA = ord("T")  # SMFIC_DATA
UNKNOWN = ord("U")  # SMFIC_UNKNOWN

NAMES: Mapping[int, str] = {
    ABORT: "ABORT",
    BODY: "BODY",
    CONNECT: "CONNECT",
    MACRO: "MACRO",
    END_OF_MESSAGE: "BODYEOB",
    HELO: "HELO",
    QUIT_NEW_CONNECTION: "QUIT_NC",
    HEADER: "HEADER",
    MAIL: "MAIL",
    END_OF_HEADERS: "EOH",
    NEGOTIATE: "OPTNEG",
    QUIT: "QUIT",
    RECIPIENT: "RCPT",
    DATA: "DATA",
    UNKNOWN: "UNKNOWN",
}


class Actions(IntFlag):
    """What a filter may do to a message (SMFIF_*)."""

    ADD_HEADERS = 0x01  # SMFIF_ADDHDRS
    CHANGE_BODY = 0x02  # SMFIF_CHGBODY
    ADD_RECIPIENT = 0x04  # SMFIF_ADDRCPT
    DELETE_RECIPIENT = 0x08  # SMFIF_DELRCPT
    CHANGE_HEADERS = 0x10  # SMFIF_CHGHDRS
    QUARANTINE = 0x20  # SMFIF_QUARANTINE
    CHANGE_SENDER = 0x40  # SMFIF_CHGFROM
    ADD_RECIPIENT_WITH_ARGUMENTS = 0x80  # SMFIF_ADDRCPT_PAR
    SET_MACRO_LIST = 0x100  # SMFIF_SETSYMLIST


class Steps(IntFlag):
    """Stages that are left out, replies that are not owed, and manners (SMFIP_*)."""

    NO_CONNECT = 0x01  # SMFIP_NOCONNECT
    NO_HELO = 0x02  # SMFIP_NOHELO
    NO_MAIL = 0x04  # SMFIP_NOMAIL
    NO_RECIPIENT = 0x08  # SMFIP_NORCPT
    NO_BODY = 0x10  # SMFIP_NOBODY
    NO_HEADERS = 0x20  # SMFIP_NOHDRS
    NO_END_OF_HEADERS = 0x40  # SMFIP_NOEOH
    NO_REPLY_HEADER = 0x80  # SMFIP_NR_HDR
    NO_UNKNOWN = 0x100  # SMFIP_NOUNKNOWN
    NO_DATA = 0x200  # SMFIP_NODATA
    SKIP = 0x400  # SMFIP_SKIP
    REJECTED_RECIPIENTS = 0x800  # SMFIP_RCPT_REJ
    NO_REPLY_CONNECT = 0x1000  # SMFIP_NR_CONN
    NO_REPLY_HELO = 0x2000  # SMFIP_NR_HELO
    NO_REPLY_MAIL = 0x4000  # SMFIP_NR_MAIL
    NO_REPLY_RECIPIENT = 0x8000  # SMFIP_NR_RCPT
    NO_REPLY_DATA = 0x10000  # SMFIP_NR_DATA
    NO_REPLY_UNKNOWN = 0x20000  # SMFIP_NR_UNKN
    NO_REPLY_END_OF_HEADERS = 0x40000  # SMFIP_NR_EOH
    NO_REPLY_BODY = 0x80000  # SMFIP_NR_BODY
    LEADING_SPACE = 0x100000  # SMFIP_HDR_LEADSPC


class MacroStage(IntEnum):
    """Where a filter may choose its macros (SMFIM_*; Postfix takes them at all of these)."""

    CONNECT = 0  # SMFIM_CONNECT
    HELO = 1  # SMFIM_HELO
    MAIL = 2  # SMFIM_ENVFROM
    RECIPIENT = 3  # SMFIM_ENVRCPT
    DATA = 4  # SMFIM_DATA
    END_OF_MESSAGE = 5  # SMFIM_EOM
    END_OF_HEADERS = 6  # SMFIM_EOH


OLDEST_VERSION = 2
NEWEST_VERSION = 6

# The bits that each version of the protocol knows (mfapi.h SMFI_V2_PROT ...). Version 2 ends at
# SMFIP_NOEOH; 3 and 4 brought NOUNKNOWN and NODATA; all the others came with 6.
_STEPS_OF_VERSION = {2: 0x7F, 3: 0x17F, 4: 0x37F, 5: 0x37F, 6: 0x1FFFFF}
_ACTIONS_OF_VERSION = {2: 0x3F, 3: 0x3F, 4: 0x3F, 5: 0x3F, 6: 0x1FF}

_NO_REPLY = {
    CONNECT: Steps.NO_REPLY_CONNECT,
    HELO: Steps.NO_REPLY_HELO,
    MAIL: Steps.NO_REPLY_MAIL,
    RECIPIENT: Steps.NO_REPLY_RECIPIENT,
    DATA: Steps.NO_REPLY_DATA,
    HEADER: Steps.NO_REPLY_HEADER,
    END_OF_HEADERS: Steps.NO_REPLY_END_OF_HEADERS,
    BODY: Steps.NO_REPLY_BODY,
    UNKNOWN: Steps.NO_REPLY_UNKNOWN,
}

# -- legality ------------------------------------------------------------------------------------
# State → command → next state. An MTA may leave out the stages that were negotiated away, so each
# state also allows what follows a stage that was not sent. Abort ends the message only.

_FRESH, _OPEN, _GREETED, _MAIL, _RCPT, _DATA, _HEADERS, _BODY, _ENDED = range(9)

_CONTENT = {HEADER: _HEADERS, END_OF_HEADERS: _BODY, BODY: _BODY, END_OF_MESSAGE: _ENDED}
_ALWAYS = {QUIT: _ENDED, QUIT_NEW_CONNECTION: _OPEN, ABORT: _GREETED}
_START_MAIL = {MAIL: _MAIL, HELO: _GREETED, RECIPIENT: _RCPT, CONNECT: _GREETED}

_NEXT: tuple[dict[int, int], ...] = (
    {NEGOTIATE: _OPEN, QUIT: _ENDED},
    {**_ALWAYS, ABORT: _OPEN, **_START_MAIL, UNKNOWN: _OPEN},  # _OPEN
    {**_ALWAYS, **_START_MAIL, UNKNOWN: _GREETED},  # _GREETED
    # _MAIL: a sender that was refused may be followed by another one.
    {**_ALWAYS, HELO: _GREETED, MAIL: _MAIL, RECIPIENT: _RCPT, DATA: _DATA, **_CONTENT, UNKNOWN: _MAIL},
    {**_ALWAYS, HELO: _GREETED, RECIPIENT: _RCPT, DATA: _DATA, **_CONTENT, UNKNOWN: _RCPT},  # _RCPT
    {**_ALWAYS, **_CONTENT, UNKNOWN: _DATA},  # _DATA
    {**_ALWAYS, **_CONTENT},  # _HEADERS
    {**_ALWAYS, BODY: _BODY, END_OF_MESSAGE: _ENDED},  # _BODY
    {**_ALWAYS, **_START_MAIL, UNKNOWN: _GREETED},  # _ENDED
)
_STATE_NAMES = ("start", "negotiated", "greeted", "MAIL", "RCPT", "DATA", "headers", "body", "end of message")

_ILLEGAL = 255
_NEXT_STATE = bytes(states.get(command, _ILLEGAL) for states in _NEXT for command in range(256))

_HEAD = struct.Struct(">IB")
_THREE = struct.Struct(">III")
_LENGTH = struct.Struct(">I")

Frame = tuple[int, int, int]

_USUAL_LENGTH = 65_536  # a full body chunk and its command: what is longer is looked at twice
_NEAR_BYTES = 16_384  # most mails' headers end before
_OF_CONNECTION = (CONNECT, HELO, MAIL)  # stages whose macros outlive a message; MAIL's come before it begins
_NEVER = b""  # no frame is empty


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest payload taken of each kind, in octets.

    header_bytes: Postfix sends a header of header_size_limit (102,400 by default) in one frame;
    libmilter closes at 65,535, we do not. body_bytes: Postfix sends 65,535; a milter may be offered
    1 MiB (SMFIP_MDS_1M). other_bytes: an SMTP command line or a list of macros.
    """

    header_bytes: int = 1_048_576
    body_bytes: int = 1_048_576
    other_bytes: int = 65_535

    def largest(self) -> int:
        """Return the octets of the largest frame that can arrive, head included."""
        return max(self.header_bytes, self.body_bytes, self.other_bytes) + _HEAD.size


@dataclass(frozen=True, slots=True)
class Wish:
    """What this filter would like; `negotiate` gives it what the MTA offers of that."""

    actions: Actions
    steps: Steps
    macros: tuple[tuple[MacroStage, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was agreed on for one connection."""

    version: int
    actions: Actions
    steps: Steps

    def owes_reply(self, command: int) -> bool:
        """Tell whether the MTA waits for an answer to this command."""
        if command == END_OF_MESSAGE:
            return True
        bit = _NO_REPLY.get(command)
        return bit is not None and not self.steps & bit


def negotiate(payload: bytes, wish: Wish) -> tuple[Agreement, bytes]:
    """Intersect the MTA's offer with what we wish, and return the agreement and the reply frame.

    Raises ProtocolError on an offer that is short or older than version 2.
    """
    if len(payload) < _THREE.size:
        raise ProtocolError(f"OPTNEG of {len(payload)} octets, at least 12 expected")
    version, offered_actions, offered_steps = _THREE.unpack_from(payload)
    if version < OLDEST_VERSION:
        raise ProtocolError(f"milter protocol version {version}, at least {OLDEST_VERSION} expected")
    version = min(version, NEWEST_VERSION)
    actions = Actions(wish.actions & offered_actions & _ACTIONS_OF_VERSION[version])
    steps = Steps(wish.steps & offered_steps & _STEPS_OF_VERSION[version])
    reply = _THREE.pack(version, actions, steps)
    if actions & Actions.SET_MACRO_LIST:
        for stage, names in wish.macros:
            reply += _LENGTH.pack(stage) + names.encode("ascii") + b"\0"
    return Agreement(version, actions, steps), frame(NEGOTIATE, reply)


class Conversation:
    """The frames of one milter connection, checked for length and legality.

    receive(data, end) is given the buffer from its start each time: what it did not consume, the
    caller keeps and puts in front of the next octets. `macros[command]` is the last macro payload
    that was sent for a command; Postfix repeats it before every header and chunk, and a repeated one
    costs one comparison. Those of RCPT wait in `recipient_macros`, one for each such frame: several recipients come
    in one read, and each has its own.
    """

    __slots__ = ("_header_macro", "_state", "consumed", "headers", "limits", "macros", "recipient_macros")

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.macros: dict[int, bytes] = {}
        self.recipient_macros: deque[bytes] = deque()
        self.consumed = 0
        self.headers: list[list[Header]] = []
        self._state = _FRESH
        self._header_macro = _NEVER

    def receive(self, data: bytes | bytearray, end: int) -> list[Frame]:
        """Return the whole frames in data[:end] and set `consumed` to where they end.

        A run of header frames is one frame, `(HEADER, number, count)`: its headers are `headers[number]` until the
        next call. Raises ProtocolError on a frame that is over its limit, empty, malformed, or illegal at this
        point; the frames before it are lost with the connection.
        """
        frames: list[Frame] = []
        self.headers = []
        state = self._state
        position: i64 = 0
        stop: i64
        last: i64 = end
        # A large read is left where it stands, but for its beginning, where the headers are.
        near = data if isinstance(data, bytes) else bytes(memoryview(data)[: min(end, _NEAR_BYTES)])
        reach: i64 = end if isinstance(data, bytes) else len(near)
        repeated = self._header_macro
        while last - position >= 5:
            head = _head(near, position) if position + 5 <= reach else _far_head(data, position)
            length = head >> 8
            command = head & 0xFF
            stop = position + 4 + length
            if length > _USUAL_LENGTH:
                self._check_length(int(command), int(length))
            elif length == 0:
                raise ProtocolError("empty frame")
            if stop > last:
                break
            if command == MACRO:
                macro = near[position:stop] if stop <= reach else bytes(data[position:stop])
                if macro != repeated:
                    self._take_macros(macro)
                    repeated = self._header_macro
                position = stop
                continue
            following = _NEXT_STATE[state * 256 + int(command)]
            if following == _ILLEGAL:
                name = NAMES.get(int(command)) or f"0x{int(command):02x}"
                raise ProtocolError(f"command {name} after {_STATE_NAMES[state]}")
            if command == HEADER:
                if state == _HEADERS and self.headers:
                    run = self.headers[-1]
                else:
                    run = []
                    frames.append((HEADER, len(self.headers), 0))
                    self.headers.append(run)
                if stop <= reach:
                    run.append(_header(near, position + 5, stop))
                else:
                    run.append(_header(bytes(data[position:stop]), 5, length + 4))
            else:
                if command in (MAIL, ABORT):
                    self._forget_message()
                    repeated = self._header_macro
                elif command == RECIPIENT:
                    self.recipient_macros.append(self.macros.pop(RECIPIENT, b""))
                frames.append((int(command), int(position + 5), int(stop)))
            state = following
            position = stop
        self._state = state
        self.consumed = int(position)
        return frames

    def _check_length(self, command: int, length: int) -> None:
        limits = self.limits
        if command == HEADER:
            limit = limits.header_bytes
        elif command == BODY:
            limit = limits.body_bytes
        else:
            limit = limits.other_bytes
        if length - 1 > limit:
            name = NAMES.get(command) or f"0x{command:02x}"
            raise ProtocolError(f"{name} frame of {length} octets, limit {limit}")

    def _take_macros(self, frame_octets: bytes) -> None:
        if len(frame_octets) < 6:
            raise ProtocolError("macro frame without a command")
        command = frame_octets[5]
        self.macros[command] = frame_octets[6:]
        if command in (HEADER, BODY):
            self._header_macro = frame_octets

    def _forget_message(self) -> None:
        self._header_macro = _NEVER
        self.macros = {command: self.macros[command] for command in _OF_CONNECTION if command in self.macros}


def _head(data: bytes, at: i64) -> i64:
    """Return a frame's length and command as one number of 40 bits."""
    first: i64 = data[at]
    second: i64 = data[at + 1]
    third: i64 = data[at + 2]
    fourth: i64 = data[at + 3]
    command: i64 = data[at + 4]
    return (first << 32) | (second << 24) | (third << 16) | (fourth << 8) | command


def _far_head(data: bytes | bytearray, at: i64) -> i64:
    return int.from_bytes(data[at : at + 5], "big")


def _header(data: bytes, start: i64, stop: i64) -> Header:
    """Decode `name NUL value NUL`; the value is left as it stands, folds and leading space too."""
    nul: i64 = data.find(b"\0", start, stop)
    if nul < 0 or nul + 1 >= stop or data[stop - 1]:
        raise ProtocolError("header payload is not name NUL value NUL")
    return data[start:nul], data[nul + 1 : stop - 1]


# -- payloads ------------------------------------------------------------------------------------


def parse_macros(payload: bytes) -> dict[str, str]:
    """Decode `name NUL value NUL ...`; names lose their braces: `{auth_authen}` is `auth_authen`."""
    fields = payload.split(b"\0")
    names = fields[0:-1:2]
    values = fields[1::2]
    return {
        name.strip(b"{}").decode("ascii", "replace"): value.decode("utf-8", "surrogateescape")
        for name, value in zip(names, values, strict=False)
    }


def parse_arguments(payload: bytes) -> list[bytes]:
    """Decode MAIL or RCPT: `<address> NUL argument NUL ...`; raises ProtocolError without a NUL."""
    if not payload or payload[-1]:
        raise ProtocolError("command payload does not end in NUL")
    return payload[:-1].split(b"\0")


class Client(NamedTuple):
    """The SMTP client of a CONNECT command; family is b"4", b"6", b"L" (Unix) or b"U" (unknown)."""

    name: str
    family: bytes
    port: int
    address: str


@remembered("parse_connect")
def parse_connect(payload: bytes) -> Client:
    """Decode `hostname NUL family [port address NUL]`; raises ProtocolError.

    b"mx.example.com\\x004\\x00\\x19203.0.113.7\\x00"
    """
    name, found, rest = payload.partition(b"\0")
    if not found or not rest:
        raise ProtocolError("CONNECT without an address family")
    family = rest[:1]
    host = name.decode("utf-8", "surrogateescape")
    if family == b"U":
        return Client(host, family, 0, "")
    if family not in (b"4", b"6", b"L") or len(rest) < 4:
        raise ProtocolError(f"CONNECT with address family {family!r}")
    port = int.from_bytes(rest[1:3], "big")
    address = rest[3:].rstrip(b"\0").decode("ascii", "replace")
    # RFC 5321 section 4.1.3 writes IPv6 with a tag; Sendmail passes it on, Postfix does not.
    return Client(host, family, port, address.removeprefix("IPv6:"))


# -- replies -------------------------------------------------------------------------------------


def frame(command: int, payload: bytes = b"") -> bytes:
    """Frame one command or reply."""
    return _HEAD.pack(len(payload) + 1, command) + payload


CONTINUE = frame(ord("c"))  # SMFIR_CONTINUE
ACCEPT = frame(ord("a"))  # SMFIR_ACCEPT
REJECT = frame(ord("r"))  # SMFIR_REJECT
TEMPFAIL = frame(ord("t"))  # SMFIR_TEMPFAIL
DISCARD = frame(ord("d"))  # SMFIR_DISCARD
SKIP = frame(ord("s"))  # SMFIR_SKIP
PROGRESS = frame(ord("p"))  # SMFIR_PROGRESS
CONNECTION_FAILED = frame(ord("f"))  # SMFIR_CONN_FAIL
# SMFIR_SHUTDOWN ("4") is left out on purpose: at end of message Postfix answers 250 and drops the mail.

_REPLY_LINE = re.compile(r"([45])(\d\d) (?:([45])\.(\d{1,3})\.(\d{1,3}) )?(.*)", re.DOTALL)
_LONGEST_LINE = 480  # RFC 5321 4.5.3.1.5: 512 octets a reply line, less code and line ending


def reply_code(reply: str) -> bytes:
    """Encode SMFIR_REPLYCODE from `550 5.7.1 text`; a line break in the text starts a further line.

    `%` is doubled, since libmilter and Postfix format the text. Raises ValueError when the reply has
    no 4xx or 5xx code, its enhanced code is of another class (RFC 3463), a line is too long, or a
    character is not printable ASCII (RFC 5321 section 4.2; we promise no SMTPUTF8 client).
    """
    match = _REPLY_LINE.fullmatch(reply)
    if not match:
        raise ValueError(f"not an SMTP reply: {reply!r}")
    kind, rest, enhanced_kind, subject, detail, text = match.groups()
    if enhanced_kind and enhanced_kind != kind:
        raise ValueError(f"enhanced code of another class: {reply!r}")
    code = kind + rest
    enhanced = f"{enhanced_kind}.{subject}.{detail} " if enhanced_kind else ""
    lines = text.split("\n")
    for line in lines:
        if len(line) > _LONGEST_LINE or not line.isascii() or not line.isprintable():
            raise ValueError(f"unfit for a reply line: {line!r}")
    wire = [f"{code}-{enhanced}{line}" for line in lines[:-1]]
    wire.append(f"{code} {enhanced}{lines[-1]}")
    return frame(ord("y"), "\r\n".join(wire).replace("%", "%%").encode("ascii") + b"\0")  # SMFIR_REPLYCODE


def add_header(name: bytes, value: bytes) -> bytes:
    """Append a header at the end (SMFIR_ADDHEADER)."""
    return frame(ord("h"), _strings(name, value))


def insert_header(index: int, name: bytes, value: bytes) -> bytes:
    """Insert a header (SMFIR_INSHEADER); Postfix puts index 0 and 1 above its own Received."""
    return frame(ord("i"), _LENGTH.pack(index) + _strings(name, value))


def change_header(index: int, name: bytes, value: bytes) -> bytes:
    """Replace the index-th header of this name, from 1; an empty value deletes it (SMFIR_CHGHEADER)."""
    return frame(ord("m"), _LENGTH.pack(index) + _strings(name, value))


def add_recipient(address: bytes, arguments: bytes = b"") -> bytes:
    """Add an envelope recipient, with ESMTP arguments when given (SMFIR_ADDRCPT, SMFIR_ADDRCPT_PAR)."""
    if arguments:
        return frame(ord("2"), _strings(address, arguments))
    return frame(ord("+"), _strings(address))


def delete_recipient(address: bytes) -> bytes:
    """Delete an envelope recipient (SMFIR_DELRCPT); Postfix compares case-sensitively."""
    return frame(ord("-"), _strings(address))


def change_sender(address: bytes, arguments: bytes = b"") -> bytes:
    """Change the envelope sender (SMFIR_CHGFROM)."""
    return frame(ord("e"), _strings(address, arguments) if arguments else _strings(address))


def replace_body(chunk: bytes) -> bytes:
    """Replace the body by this and the chunks that follow (SMFIR_REPLBODY); 65,535 octets at most."""
    if len(chunk) > 65_535:
        raise ValueError("a body chunk has at most 65,535 octets")
    return frame(ord("b"), chunk)


def quarantine(reason: str) -> bytes:
    """Put the message on hold (SMFIR_QUARANTINE); Postfix does not log the reason."""
    return frame(ord("q"), _strings(reason.encode("ascii", "replace")))


def _strings(*fields: bytes) -> bytes:
    for field in fields:
        if b"\0" in field:
            raise ValueError(f"NUL in a milter string: {field!r}")
    return b"".join(field + b"\0" for field in fields)


def modifications_allowed(frames: Iterable[bytes], agreed: Actions) -> list[bytes]:
    """Return the modification frames that were agreed on.

    Postfix executes an action that was never negotiated, Sendmail closes the connection: so we check.
    """
    return [octets for octets in frames if _ACTION_OF_REPLY[octets[4]] & agreed]


_ACTION_OF_REPLY = {
    ord("h"): Actions.ADD_HEADERS,
    ord("i"): Actions.ADD_HEADERS,
    ord("m"): Actions.CHANGE_HEADERS,
    ord("+"): Actions.ADD_RECIPIENT,
    ord("2"): Actions.ADD_RECIPIENT_WITH_ARGUMENTS,
    ord("-"): Actions.DELETE_RECIPIENT,
    ord("e"): Actions.CHANGE_SENDER,
    ord("b"): Actions.CHANGE_BODY,
    ord("q"): Actions.QUARANTINE,
}
