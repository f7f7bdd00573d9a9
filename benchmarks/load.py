"""Milter load as Postfix 3.7 sends it, from one process over many concurrent connections.

    python -m benchmarks.load unix:/run/m.sock --size "4 KB" --seconds 2

What is sent was taken from a capture of Postfix 3.7.11, frame by frame:

- version 6, actions 0x1ff, steps 0x1fffff; the filter's answer says where a reply is owed and, with
  SETSYMLIST, which macros it wants;
- a macro frame before every command, every header and every body chunk;
- frames wait in Postfix' buffer until a reply is owed, or until smtpd hands the connection to cleanup
  after DATA: these are the cuts between writes, and a mail whose replies are negotiated away costs three;
- body chunks of 65,535 octets, each waiting for its reply;
- one ABORT between two mails of a connection, two and a QUIT at its end; no TCP_NODELAY.

So that the generator does not become the limit, all octets of a mail are made ready beforehand, in
pieces that are joined by the mail's own queue id. With --outgoing the mail is one that a person of ours
hands over with a login, for a mailbox outside; Message-ID and queue id are each mail's own too. The
result is one JSON object on standard output; a mail that is not accepted, or a connection that breaks,
is an error, and the exit code is then 1.
"""

import argparse
import dataclasses
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.mails import (
    DAILY,
    HEADERS,
    OUTGOING_HEADERS,
    OUTSIDER,
    QUEUE_ID,
    RECIPIENT,
    SENDER,
    SIZES,
    SampleMail,
    mail_of,
)

CONNECTIONS = 20
CHUNK_BYTES = 65_535  # MILTER_CHUNK_SIZE
STALL_S = 20  # nothing at all from the filter for so long ends the run: ten of the slowest peer's 5 MB mails

ACTIONS = 0x1FF
STEPS = 0x1FFFFF
HEADER_LEADING_SPACE = 0x100000  # SMFIP_HDR_LEADSPC

CONNECT, HELO, MAIL, RCPT, DATA = b"C", b"H", b"M", b"R", b"T"  # SMFIC_CONNECT and so on
HEADER, END_OF_HEADER, BODY, END_OF_MESSAGE = b"L", b"N", b"B", b"E"

# Stage: the bit by which a filter does not want it (SMFIP_NO*), and the one by which it owes no reply
# (SMFIP_NR_*).
STAGE_BITS = {
    CONNECT: (0x01, 0x1000),
    HELO: (0x02, 0x2000),
    MAIL: (0x04, 0x4000),
    RCPT: (0x08, 0x8000),
    DATA: (0x200, 0x10000),
    HEADER: (0x20, 0x80),
    END_OF_HEADER: (0x40, 0x40000),
    BODY: (0x10, 0x80000),
    END_OF_MESSAGE: (0, 0),
}

# Postfix' defaults (milter_*_macros), less those that have no value here.
MACRO_NAMES = {
    CONNECT: b"j {daemon_name} {daemon_addr} v _",
    HELO: b"",
    MAIL: b"{auth_type} {auth_authen} {mail_addr} {mail_host} {mail_mailer}",
    RCPT: b"{rcpt_addr} {rcpt_host} {rcpt_mailer}",
    DATA: b"i",
    END_OF_MESSAGE: b"i",
    END_OF_HEADER: b"i",
}
MACRO_PLACES = (CONNECT, HELO, MAIL, RCPT, DATA, END_OF_MESSAGE, END_OF_HEADER)  # SMFIM_*, by number
MACROS_OF = {HEADER: END_OF_HEADER, BODY: END_OF_MESSAGE}  # stages without macros of their own


@dataclass(frozen=True, slots=True)
class Route:
    """From whom to whom the mails of a load are, and by which client they come."""

    sender: bytes
    recipient: bytes
    recipient_mailer: bytes
    client: tuple[bytes, bytes]  # name and address
    login: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def macro_values(self) -> dict[bytes, bytes]:
        """Return what Postfix says of a mail; a macro without a value is not sent."""
        name, address = self.client
        values = {
            b"j": b"mx.hanam.gov.vn",
            b"v": b"Postfix 3.7.11",
            b"_": b"%b [%b]" % (name, address),
            b"i": QUEUE_ID,
            b"{daemon_name}": b"mx.hanam.gov.vn",
            b"{daemon_addr}": b"127.0.0.1",
            b"{client_addr}": address,
            b"{client_name}": name,
            b"{client_port}": b"50000",
            b"{client_ptr}": name,
            b"{mail_addr}": self.sender,
            b"{mail_host}": self.sender.partition(b"@")[2],
            b"{mail_mailer}": b"smtp",
            b"{rcpt_addr}": self.recipient,
            b"{rcpt_host}": self.recipient.partition(b"@")[2],
            b"{rcpt_mailer}": self.recipient_mailer,
        }
        if self.login:
            values |= {b"{auth_type}": b"PLAIN", b"{auth_authen}": self.login}
        return values


INBOUND = Route(SENDER, RECIPIENT, b"local", (b"mail.example.com", b"203.0.113.7"), b"", HEADERS)
OUTGOING = Route(RECIPIENT, OUTSIDER, b"smtp", (b"pc.hanam.gov.vn", b"198.51.100.20"), RECIPIENT, OUTGOING_HEADERS)

STAGES_THAT_CONTINUE = frozenset(STAGE_BITS) - {END_OF_MESSAGE}

CONTINUE, SKIP, PROGRESS = b"c", b"s", b"p"  # SMFIR_*
FINAL = frozenset((CONTINUE, b"a"))  # SMFIR_CONTINUE, SMFIR_ACCEPT
MODIFICATIONS = frozenset((b"h", b"i", b"m", b"+", b"2", b"-", b"b", b"e"))  # SMFIR_ADDHEADER and so on
CONTINUE_REPLY = b"\0\0\0\1c"


class LoadError(Exception):
    """The filter answered what a filter that accepts all mail does not, or nothing."""


def _frame(command: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 1 + len(payload)) + command + payload


OPTNEG = b"O"  # SMFIC_OPTNEG, and the filter's answer to it
OFFER = _frame(OPTNEG, struct.pack(">III", 6, ACTIONS, STEPS))
ABORT = _frame(b"A", b"")  # SMFIC_ABORT
GOODBYE = ABORT + ABORT + _frame(b"Q", b"")  # SMFIC_QUIT


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a filter answered to OPTNEG."""

    steps: int
    macro_names: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Write:
    """What goes out in one write, cut wherever the queue id belongs, and the stage that then owes a reply."""

    pieces: tuple[bytes, ...]
    owed: bytes | None


Script = tuple[Write, ...]
OFFERING: Script = (Write((OFFER,), OPTNEG),)


@dataclass(slots=True)
class Connection:
    link: socket.socket
    script: Script
    queue_id: bytes
    started: float
    position: int = 0
    unread: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """One run. The latencies are of whole mails, with the set-up of the connection where each has its own."""

    mails: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    generator_busy: float  # the generator's own CPU time by the clock; near 1, it was the limit
    steps: str  # the bits that the filter asked for, hexadecimal
    errors: int
    first_error: str


def connect(address: str) -> socket.socket:
    """Open unix:/PATH or inet:HOST:PORT; whatever then blocks for STALL_S raises BlockingIOError."""
    kind, _, place = address.partition(":")
    host, _, port = place.rpartition(":")
    link = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_STREAM)
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        link.setsockopt(socket.SOL_SOCKET, option, struct.pack("@qq", STALL_S, 0))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * CHUNK_BYTES)  # a write never waits for its reader
    link.connect(place if kind == "unix" else (host, int(port)))
    return link


def negotiate(link: socket.socket) -> Negotiated:
    """Offer what Postfix offers and wait for the answer."""
    link.sendall(OFFER)
    length = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "big")
    answer = link.recv(length, socket.MSG_WAITALL)
    if not answer.startswith(OPTNEG):
        raise LoadError(f"the filter answered {answer[:80]!r} to OPTNEG")
    return parse_negotiation(answer[1:])


def hold_idle(address: str, count: int) -> list[socket.socket]:
    """Open connections that have negotiated and say no more; they last until the caller closes them."""
    links = []
    for _ in range(count):
        link = connect(address)
        negotiate(link)
        links.append(link)
    return links


def parse_negotiation(payload: bytes) -> Negotiated:
    """Decode version, actions and steps, then lists of macros: b"\\0\\0\\0\\2{auth_authen} i\\0"."""
    _version, _actions, steps = struct.unpack_from(">III", payload)
    names = dict(MACRO_NAMES)
    lists = payload[12:]
    while lists:
        asked, _, rest = lists[4:].partition(b"\0")
        names[MACRO_PLACES[int.from_bytes(lists[:4], "big")]] = asked
        lists = rest
    return Negotiated(steps, names)


def scripts(route: Route, mail: SampleMail, negotiated: Negotiated) -> tuple[Script, Script]:
    """Make the writes of a connection's first mail, and those of each further one."""
    session = tuple(_with_macros(_session(route), route, negotiated))
    message = tuple(_with_macros(_message(route, mail, negotiated), route, negotiated))
    return (
        tuple(_writes((*session, *message), negotiated.steps)),
        tuple(_writes(message, negotiated.steps, ABORT)),
    )


def _session(route: Route) -> Iterator[tuple[bytes, bytes]]:
    name, address = route.client
    yield CONNECT, name + b"\0" + b"4" + struct.pack(">H", 50000) + address + b"\0"
    yield HELO, name + b"\0"


def _message(route: Route, mail: SampleMail, negotiated: Negotiated) -> Iterator[tuple[bytes, bytes]]:
    yield MAIL, b"<%b>\0SIZE=%d\0" % (route.sender, mail.wire_bytes)
    yield RCPT, b"<%b>\0" % route.recipient
    yield DATA, b""
    for name, value in mail.headers:
        shown = value if negotiated.steps & HEADER_LEADING_SPACE else value.removeprefix(b" ")
        yield HEADER, name + b"\0" + shown + b"\0"
    yield END_OF_HEADER, b""
    for start in range(0, len(mail.body), CHUNK_BYTES):
        yield BODY, mail.body[start : start + CHUNK_BYTES]
    yield END_OF_MESSAGE, b""


def _with_macros(
    events: Iterable[tuple[bytes, bytes]], route: Route, negotiated: Negotiated
) -> Iterator[tuple[bytes, bytes]]:
    """Put the frame of a stage's macros before its own (SMFIC_MACRO)."""
    known = route.macro_values()
    for stage, payload in events:
        names = negotiated.macro_names[MACROS_OF.get(stage, stage)].split()
        values = b"".join(b"%b\0%b\0" % (name, known[name]) for name in names if name in known)
        yield stage, _frame(b"D", stage + values) + _frame(stage, payload)


def _writes(events: Iterable[tuple[bytes, bytes]], steps: int, before: bytes = b"") -> Iterator[Write]:
    """Gather the frames of the stages that the filter wants up to each point where Postfix flushes."""
    gathered = [before]
    for stage, frames in events:
        unwanted, no_reply = STAGE_BITS[stage]
        if steps & unwanted:
            continue
        gathered.append(frames)
        owed = not steps & no_reply
        if owed or stage == DATA:
            yield Write(tuple(b"".join(gathered).split(QUEUE_ID)), stage if owed else None)
            gathered = []


class Load:
    """One run over an epoll set. Its sockets block, but are read only when they are readable."""

    def __init__(
        self, address: str, route: Route, mail: SampleMail, *, connections: int, seconds: float, reuse: bool
    ) -> None:
        self.address = address
        self.route = route
        self.mail = mail
        self.connections = connections
        self.seconds = seconds
        self.reuse = reuse
        self.epoll = select.epoll()
        self.open: dict[int, Connection] = {}
        self.latencies: list[float] = []
        self.errors: list[str] = []
        self.number = time.time_ns() // 1000  # mails come slower than one a microsecond: no two runs share one
        self.answer = b""
        self.steps = 0
        self.first: Script = ()
        self.further: Script = ()
        self.until = 0.0

    def run(self) -> Result:
        """Begin mails for the given time, see to its end all that was begun, and count."""
        begun = time.perf_counter()
        begun_cpu = time.process_time()
        self.until = begun + self.seconds
        for _ in range(self.connections):
            self._open()
        while self.open:
            ready = self.epoll.poll(STALL_S)
            if not ready or time.perf_counter() > self.until + STALL_S:
                self.errors.append(f"{len(self.open)} mails without an answer")
                break
            for descriptor, _ in ready:
                connection = self.open[descriptor]
                try:
                    self._receive(connection)
                except (LoadError, OSError) as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    self._close(connection)
        seconds = time.perf_counter() - begun
        ordered = sorted(self.latencies) or [0.0]
        return Result(
            mails=len(self.latencies),
            seconds=round(seconds, 4),
            rate=round(len(self.latencies) / seconds, 1),
            p50_ms=round(1e3 * ordered[len(ordered) // 2], 3),
            p99_ms=round(1e3 * ordered[len(ordered) * 99 // 100], 3),
            generator_busy=round((time.process_time() - begun_cpu) / seconds, 3),
            steps=f"{self.steps:#x}",
            errors=len(self.errors),
            first_error=next(iter(self.errors), ""),
        )

    def _open(self) -> None:
        started = time.perf_counter()
        link = connect(self.address)
        connection = Connection(link, OFFERING, self._queue_id(), started)
        self.open[link.fileno()] = connection
        self.epoll.register(link.fileno(), select.EPOLLIN)
        self._send(connection)

    def _close(self, connection: Connection) -> None:
        self.open.pop(connection.link.fileno(), None)
        connection.link.close()  # which leaves the epoll set too

    def _queue_id(self) -> bytes:
        self.number += 1
        return b"%011X" % (self.number & 0xFFF_FFFF_FFFF)

    def _send(self, connection: Connection) -> None:
        """Write up to the next point where a reply is owed."""
        while True:
            write = connection.script[connection.position]
            connection.link.sendall(connection.queue_id.join(write.pieces))
            if write.owed is not None:
                return
            connection.position += 1

    def _receive(self, connection: Connection) -> None:
        data = connection.link.recv(CHUNK_BYTES)
        if data == CONTINUE_REPLY and not connection.unread:  # nearly always
            self._take_reply(connection, CONTINUE, b"")
            return
        if not data:
            raise LoadError("the filter closed the connection")
        unread = connection.unread + data
        while len(unread) >= 5 and len(unread) >= (end := 4 + int.from_bytes(unread[:4], "big")):
            frame, unread = unread[4:end], unread[end:]
            self._take_reply(connection, frame[:1], frame[1:])
        connection.unread = unread

    def _take_reply(self, connection: Connection, reply: bytes, payload: bytes) -> None:
        owed = connection.script[connection.position].owed
        if owed == END_OF_MESSAGE and reply in FINAL:
            self._finish(connection)
        elif owed == OPTNEG and reply == OPTNEG:
            connection.script, connection.position = self._first_script(payload), 0
            self._send(connection)
        elif owed in STAGES_THAT_CONTINUE and reply == CONTINUE:
            connection.position += 1
            self._send(connection)
        elif owed == BODY and reply == SKIP:
            connection.position = len(connection.script) - 1
            self._send(connection)
        elif reply != PROGRESS and not (owed == END_OF_MESSAGE and reply in MODIFICATIONS):
            raise LoadError(f"reply {(reply + payload)[:200]!r} at stage {owed!r}")

    def _first_script(self, answer: bytes) -> Script:
        if answer != self.answer:
            negotiated = parse_negotiation(answer)
            self.answer, self.steps = answer, negotiated.steps
            self.first, self.further = scripts(self.route, self.mail, negotiated)
        return self.first

    def _finish(self, connection: Connection) -> None:
        now = time.perf_counter()
        self.latencies.append(now - connection.started)
        more = now < self.until
        if more and self.reuse:
            connection.script, connection.position = self.further, 0
            connection.queue_id, connection.started = self._queue_id(), now
            self._send(connection)
            return
        connection.link.sendall(GOODBYE)
        self._close(connection)
        if more:
            self._open()


def main() -> None:
    """Run one load and print its result."""
    parser = argparse.ArgumentParser(description="milter load as Postfix 3.7 sends it")
    parser.add_argument("address", help="unix:/PATH or inet:HOST:PORT")
    parser.add_argument("--size", choices=[*SIZES, *DAILY], default="4 KB")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--one-a-mail", action="store_true", help="a connection for each mail")
    parser.add_argument("--outgoing", action="store_true", help="mail of a login to a mailbox outside")
    options = parser.parse_args()
    route = OUTGOING if options.outgoing else INBOUND
    result = Load(
        options.address,
        route,
        mail_of(options.size, route.headers),
        connections=options.connections,
        seconds=options.seconds,
        reuse=not options.one_a_mail,
    ).run()
    print(json.dumps(dataclasses.asdict(result)))
    sys.exit(1 if result.errors else 0)


if __name__ == "__main__":
    main()
