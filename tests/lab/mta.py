"""A fake MTA: speaks the milter protocol as Postfix 3.7 does, and keeps what the filter answers.

It shares no code with mailgate.wire, so that one checks the other. `Talk` has no IO; `Mta` holds a talk over
a socket, `MemoryMta` with an asyncio protocol and no socket. `deliver` is one mail, as Postfix would send it: a
generator of commands that is sent their answers, and run by either.
"""

import asyncio
import socket
import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from mailgate.doors.milter import MilterConnection

TIMEOUT_S = 20.0
CHUNK_BYTES = 65_535  # MILTER_CHUNK_SIZE

# SMFIC_*
CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, EOM = b"C", b"H", b"M", b"R", b"T", b"L", b"N", b"B", b"E"
ABORT, QUIT, QUIT_NEW, MACRO, OPTNEG, UNKNOWN = b"A", b"Q", b"K", b"D", b"O", b"U"

# Stage: the bit by which a filter does not want it (SMFIP_NO*), and the one by which it owes no reply (SMFIP_NR_*).
STAGE_BITS = {
    CONNECT: (0x01, 0x1000),
    HELO: (0x02, 0x2000),
    MAIL: (0x04, 0x4000),
    RCPT: (0x08, 0x8000),
    DATA: (0x200, 0x10000),
    HEADER: (0x20, 0x80),
    EOH: (0x40, 0x40000),
    BODY: (0x10, 0x80000),
    UNKNOWN: (0x100, 0x20000),
    EOM: (0, 0),
}
SKIP = 0x400  # SMFIP_SKIP
LEADING_SPACE = 0x100000  # SMFIP_HDR_LEADSPC

MACRO_STAGES = (CONNECT, HELO, MAIL, RCPT, DATA, EOM, EOH)  # SMFIM_*, by number
MACROS_OF = {HEADER: EOH, BODY: EOM}  # stages without macros of their own
MACRO_NAMES = {
    CONNECT: "j {daemon_name} v",
    MAIL: "{mail_addr}",
    RCPT: "{rcpt_addr}",
    DATA: "i",
    EOM: "i",
    EOH: "i",
}  # Postfix's defaults, the part that matters
MACROS = {"j": "mx.hanam.gov.vn", "{daemon_name}": "MX", "v": "Postfix 3.7.11", "i": "4Cw3Jx2yZz"}

DECISIVE = {
    b"c": "continue",
    b"a": "accept",
    b"r": "reject",
    b"t": "tempfail",
    b"d": "discard",
    b"s": "skip",
    b"y": "reply",
}
CHANGES = {b"h": "add-header", b"-": "delete-recipient", b"q": "quarantine"}  # all that Mailgate ever asks for


@dataclass(frozen=True, slots=True)
class Offer:
    """What the MTA offers; by default all that Postfix 3.7 does."""

    version: int = 6
    actions: int = 0x1FF
    steps: int = 0x1FFFFF


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: continue, accept, reject, tempfail, discard or skip; its text; the changes asked for before it.

    text: of SMFIR_REPLYCODE, its lines as "550 5.7.1 text", joined by LF.
    """

    kind: str
    text: str = ""
    changes: tuple[tuple[str, ...], ...] = ()

    @property
    def code(self) -> str:
        """The SMTP code with the enhanced one: "550 5.7.1"."""
        return " ".join(self.text.split(" ")[:2])


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail, and the client that brings it. Header values begin with what follows the colon."""

    sender: bytes = b"<a@example.com>"
    recipients: tuple[bytes, ...] = (b"<b@hanam.gov.vn>",)
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Subject", b" x"),)
    body: bytes = b"x\r\n"
    arguments: tuple[bytes, ...] = ()
    client_ip: str = "203.0.113.7"
    client_name: str = "mail.example.com"
    helo: str = "mail.example.com"
    login: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of a mail: the answers to recipients who were refused, the answer that ended it, its stage."""

    refused: dict[bytes, Answer] = field(default_factory=dict)
    stage: bytes = b""
    answer: Answer = field(default_factory=lambda: Answer("continue"))

    @property
    def action(self) -> str:
        """Mailgate's word for it."""
        if self.answer.kind in ("continue", "accept") and any(c[0] == "quarantine" for c in self.answer.changes):
            return "quarantine"
        return "accept" if self.answer.kind == "continue" else self.answer.kind


Command = tuple[bytes, bytes]
Script = Generator[Command, Answer | None, Outcome]


class ProtocolViolation(AssertionError):
    """The filter answered what the MTA may close the connection for."""


def frame(command: bytes, payload: bytes = b"") -> bytes:
    """Frame one command."""
    return struct.pack(">I", len(payload) + 1) + command + payload


def client_payload(name: str, ip: str, port: int = 50_000) -> bytes:
    """Return CONNECT's payload; without an address the family is unknown."""
    if not ip:
        return name.encode() + b"\0U"
    family = b"6" if ":" in ip else b"4"
    return name.encode() + b"\0" + family + struct.pack(">H", port) + ip.encode() + b"\0"


class Talk:
    """One connection's side of the MTA, without IO."""

    def __init__(self, offer: Offer | None = None, macros: Mapping[str, str] | None = None) -> None:
        self.offer = offer or Offer()
        self.macros = {**MACROS, **(macros or {})}
        self.version = self.actions = self.steps = 0
        self._names = dict(MACRO_NAMES)
        self._pending = bytearray()
        self._unread = b""
        self._changes: list[tuple[str, ...]] = []

    def opening(self) -> bytes:
        """Return the OPTNEG frame."""
        return frame(OPTNEG, struct.pack(">III", self.offer.version, self.offer.actions, self.offer.steps))

    def put(self, stage: bytes, payload: bytes = b"") -> bool:
        """Add a command to what goes out; tell whether its reply is owed. One that is not wanted is left out."""
        if stage not in STAGE_BITS:
            self._pending += frame(stage, payload)
            return False
        unwanted, no_reply = STAGE_BITS[stage]
        if self.steps & unwanted:
            return False
        names = self._names.get(MACROS_OF.get(stage, stage), "").split()
        values = "".join(f"{name}\0{self.macros[name]}\0" for name in names if name in self.macros)
        self._pending += frame(MACRO, stage + values.encode("utf-8", "surrogateescape")) + frame(stage, payload)
        return not self.steps & no_reply

    def take(self) -> bytes:
        """Return what goes out."""
        octets = bytes(self._pending)
        self._pending.clear()
        return octets

    def feed(self, octets: bytes) -> Answer | None:
        """Take octets of the filter; return the answer once it is whole."""
        self._unread += octets
        while len(self._unread) >= 5:
            end = 4 + int.from_bytes(self._unread[:4], "big")
            if len(self._unread) < end:
                return None
            kind, payload = self._unread[4:5], self._unread[5:end]
            self._unread = self._unread[end:]
            if kind == OPTNEG:
                self._agree(payload)
                return Answer("negotiated")
            if kind in CHANGES:
                strings = payload.removesuffix(b"\0").decode("utf-8", "surrogateescape").split("\0")
                self._changes.append((CHANGES[kind], *strings))
            elif kind in DECISIVE:
                if self._unread:
                    raise ProtocolViolation(f"more after the answer {kind!r}: {self._unread[:80]!r}")
                changes, self._changes = tuple(self._changes), []
                return _answer(DECISIVE[kind], payload, changes)
            elif kind != b"p":  # SMFIR_PROGRESS
                raise ProtocolViolation(f"unknown reply {kind!r} {payload[:80]!r}")
        return None

    def _agree(self, payload: bytes) -> None:
        self.version, self.actions, self.steps = struct.unpack_from(">III", payload)
        offer = self.offer
        if self.version > offer.version or self.actions & ~offer.actions or self.steps & ~offer.steps:
            raise ProtocolViolation(f"{payload[:12].hex()} was not offered")
        lists = payload[12:]
        while lists:
            asked, _, rest = lists[4:].partition(b"\0")
            self._names[MACRO_STAGES[int.from_bytes(lists[:4], "big")]] = asked.decode("ascii")
            lists = rest


def _answer(kind: str, payload: bytes, changes: tuple[tuple[str, ...], ...]) -> Answer:
    if kind != "reply":
        return Answer(kind, "", changes)
    text = payload.removesuffix(b"\0").decode("ascii")
    if "%" in text.replace("%%", ""):
        raise ProtocolViolation(f"a single % in {text!r}")
    lines = [line[:3] + " " + line[4:] for line in text.replace("%%", "%").split("\r\n")]
    return Answer("reject" if text.startswith("5") else "tempfail", "\n".join(lines), changes)


def deliver(letter: Letter, steps: int = 0) -> Script:
    """Send one mail as Postfix does, and stop where Postfix would; `steps` is what was agreed on."""
    outcome = Outcome()

    def ends(stage: bytes, answer: Answer | None) -> bool:
        if answer is None or answer.kind in ("continue", "skip"):
            return False
        outcome.stage, outcome.answer = stage, answer
        return True

    yield CONNECT, client_payload(letter.client_name, letter.client_ip)
    yield HELO, letter.helo.encode() + b"\0"
    if ends(MAIL, (yield MAIL, b"\0".join((letter.sender, *letter.arguments)) + b"\0")):
        return outcome
    taken = 0
    for recipient in letter.recipients:
        answer = yield RCPT, recipient + b"\0"
        if answer is not None and answer.kind in ("reject", "tempfail"):
            outcome.refused[recipient] = outcome.answer = answer
            outcome.stage = RCPT
        elif ends(RCPT, answer):
            return outcome
        else:
            taken += 1
    if not taken:
        yield ABORT, b""
        return outcome
    outcome.answer = Answer("continue")
    if ends(DATA, (yield DATA, b"")):
        return outcome
    for name, value in letter.headers:
        shown = value if steps & LEADING_SPACE else value.removeprefix(b" ")
        if ends(HEADER, (yield HEADER, name + b"\0" + shown + b"\0")):
            return outcome
    if ends(EOH, (yield EOH, b"")):
        return outcome
    for start in range(0, len(letter.body), CHUNK_BYTES):
        answer = yield BODY, letter.body[start : start + CHUNK_BYTES]
        if ends(BODY, answer):
            return outcome
        if answer is not None and answer.kind == "skip":
            break
    answer = yield EOM, b""
    assert answer is not None, "the end of the message always has an answer"
    outcome.stage, outcome.answer = EOM, answer
    yield ABORT, b""  # Postfix sends two
    yield ABORT, b""
    return outcome


class Mta:
    """A connection to a filter over a socket, `unix:/PATH` or `inet:HOST:PORT`; use it in a `with` block."""

    def __init__(self, address: str, offer: Offer | None = None, macros: Mapping[str, str] | None = None) -> None:
        self.talk = Talk(offer, macros)
        kind, _, place = address.partition(":")
        host, _, port = place.rpartition(":")
        self._socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(place if kind == "unix" else (host, int(port)))
        self._socket.sendall(self.talk.opening())
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, stage: bytes, payload: bytes = b"") -> Answer | None:
        """Send a command, and return its answer, None where none is owed: then it waits for the next that is."""
        if not self.talk.put(stage, payload):
            return None
        self._socket.sendall(self.talk.take())
        return self._read()

    def deliver(self, letter: Letter) -> Outcome:
        """Send one mail."""
        self.talk.macros["{auth_authen}"] = letter.login
        script = deliver(letter, self.talk.steps)
        answer: Answer | None = None
        while True:
            try:
                command = script.send(answer)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            answer = self.ask(*command)

    def hang_up(self) -> bytes:
        """Send what is pending and QUIT; return what the filter still says until it closes."""
        self.talk.put(QUIT)
        self._socket.sendall(self.talk.take())
        return self.rest()

    def rest(self) -> bytes:
        """Return what the filter says until it closes."""
        said = b""
        while octets := self._socket.recv(CHUNK_BYTES):
            said += octets
        return said

    def _read(self) -> Answer:
        while True:
            octets = self._socket.recv(CHUNK_BYTES)
            if not octets:
                raise ConnectionError("the filter closed the connection")
            if answer := self.talk.feed(octets):
                return answer


class MemoryTransport(asyncio.Transport):
    """A transport that keeps what is written; `changed` is set by every write and by the end."""

    def __init__(self, protocol: "MilterConnection") -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.closed = False
        self.changed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the end"
        self.written += data
        self.changed.set()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """What is fed is fed."""

    def resume_reading(self) -> None:
        """What is fed is fed."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.changed.set()
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def feed(self, octets: bytes, cut: int = 1 << 30) -> None:
        """Hand octets to the protocol, `cut` at a time; what comes after the end is lost."""
        start = 0
        while start < len(octets) and not self.closed:
            room = memoryview(self.protocol.get_buffer(-1))
            piece = octets[start : start + min(cut, len(room))]
            room[: len(piece)] = piece
            self.protocol.buffer_updated(len(piece))
            start += len(piece)


class MemoryMta:
    """A connection to an asyncio protocol without a socket; what it is sent comes `cut` octets at a time."""

    def __init__(
        self,
        protocol: "MilterConnection",
        cut: int = 1 << 30,
        offer: Offer | None = None,
        macros: Mapping[str, str] | None = None,
    ) -> None:
        self.talk = Talk(offer, macros)
        self.transport = MemoryTransport(protocol)
        self._cut = cut
        protocol.connection_made(self.transport)

    async def negotiate(self) -> None:
        """Offer and agree."""
        self.transport.feed(self.talk.opening(), self._cut)
        await self._read()

    async def ask(self, stage: bytes, payload: bytes = b"") -> Answer | None:
        """Send a command, and return its answer, None where none is owed."""
        if not self.talk.put(stage, payload):
            return None
        self.transport.feed(self.talk.take(), self._cut)
        return await self._read()

    async def deliver(self, letter: Letter) -> Outcome:
        """Send one mail."""
        self.talk.macros["{auth_authen}"] = letter.login
        script = deliver(letter, self.talk.steps)
        answer: Answer | None = None
        while True:
            try:
                command = script.send(answer)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            answer = await self.ask(*command)

    async def _read(self) -> Answer:
        transport = self.transport
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                written, transport.written = transport.written, b""
                if answer := self.talk.feed(written):
                    return answer
                if transport.closed:
                    raise ConnectionError("the filter closed the connection")
                transport.changed.clear()
                await transport.changed.wait()
