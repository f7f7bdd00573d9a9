"""The milter door: one buffered protocol a connection, no task, no queue; a task only where something is waited for.

All connections of a worker share one receive buffer: a read is consumed before the next begins, and
what is left of a frame waits with its connection. Replies that no rule can use are negotiated away;
the reply to a body chunk is kept, since it is the only back-pressure there is.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from ..gate import OWN_ERROR_REPLY, Gate
from ..model import Action, Header, MailboxState, Session, Verdict
from ..policy import Policy
from ..wire import ProtocolError
from ..wire import milter as wire
from .transaction import Transaction

log = structlog.get_logger()

_ROOM_BYTES = 73_728  # read at once at the most, in one turn of the loop: a chunk of a body with its macros fits
_COPY_BELOW_BYTES = 32_768  # a smaller read is copied once, so that its slices are bytes

PROGRESS_S = 10.0
"""While a verdict takes longer, the MTA hears each so many seconds that it is worked on (SMFIR_PROGRESS): libmilter's
own default time-outs are shorter than what a scan of a large mail takes."""
_FIELDS_KEPT = 4_000  # until their end is there; real mail has under 200
_FIELD_OCTETS_KEPT = 1_048_576
_OFFERS_KEPT = 16  # an MTA always makes the same offer; only an attacker makes many
_MACROS = (
    (wire.MacroStage.CONNECT, "j {daemon_name}"),
    (wire.MacroStage.HELO, ""),
    (wire.MacroStage.MAIL, "{auth_authen} {auth_type} {mail_addr}"),
    (wire.MacroStage.RECIPIENT, "{rcpt_mailer} {rcpt_host} {rcpt_addr}"),
    (wire.MacroStage.DATA, "i"),
    (wire.MacroStage.END_OF_HEADERS, ""),
    (wire.MacroStage.END_OF_MESSAGE, "i"),
)


@dataclass(frozen=True, slots=True)
class Hook:
    """Which hook of Postfix a listener serves; daemon_name "" serves every {daemon_name}."""

    name: str
    daemon_name: str = ""


def hook_of(hooks: Iterable[Hook], daemon_name: str, login: str) -> str:
    """Return the hook of a mail: the listener's configured one, else submission for a login, else mx."""
    for hook in hooks:
        if hook.daemon_name in ("", daemon_name):
            return hook.name
    return "submission" if login else "mx"


def resolution_of(macros: Mapping[str, str]) -> tuple[str, str]:
    """Return what the MTA made of a recipient's address, "" where it did not say, and who delivers to it.

    Of one that it refuses itself, {rcpt_mailer} is `error`, and {rcpt_addr} the text of the refusal.
    """
    mailer = macros.get("rcpt_mailer", "")
    return ("", "") if mailer == "error" else (macros.get("rcpt_addr", ""), mailer)


def wish(policy: Policy, mailboxes: Mapping[str, MailboxState], is_unix: bool) -> wire.Wish:
    """Return what to ask of the MTA for this policy, while these mailboxes are not active.

    On TCP the reply to DATA is kept: Postfix sets no TCP_NODELAY, and without the reply the DATA frame waits
    40 ms for a delayed acknowledgement when smtpd hands over to cleanup.
    """
    steps = (
        wire.Steps.NO_REPLY_CONNECT
        | wire.Steps.NO_REPLY_HELO
        | wire.Steps.NO_REPLY_HEADER
        | wire.Steps.NO_REPLY_UNKNOWN
        | wire.Steps.NO_REPLY_END_OF_HEADERS
        | wire.Steps.LEADING_SPACE
        | wire.Steps.SKIP
        | wire.Steps.NO_UNKNOWN
    )
    if is_unix:
        steps |= wire.Steps.NO_REPLY_DATA
    if not policy.speaks_at("at_mail"):
        steps |= wire.Steps.NO_REPLY_MAIL
    if not policy.speaks_at_rcpt(mailboxes):
        steps |= wire.Steps.NO_REPLY_RECIPIENT
    actions = (
        wire.Actions.ADD_HEADERS
        | wire.Actions.DELETE_RECIPIENT
        | wire.Actions.QUARANTINE
        | wire.Actions.SET_MACRO_LIST
    )
    return wire.Wish(actions, steps, _MACROS)


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed on with an MTA, and how to say it."""

    agreement: wire.Agreement
    reply: bytes
    no_reply: frozenset[int]
    leading_space: bool


class Listener:
    """What all connections of one listening socket share."""

    def __init__(self, name: str, hooks: tuple[Hook, ...], gate: Callable[[], Gate], is_unix: bool) -> None:
        self.name = name
        self.is_unix = is_unix
        self.gate = gate
        self.limits = wire.Limits(header_bytes=gate().settings.limits.header_bytes)
        self.connections: set[MilterConnection] = set()
        self.unfinished: dict[MilterConnection, float] = {}  # since when the peer owes the rest of a frame
        self.buffer = bytearray(self.limits.largest() + _ROOM_BYTES)
        self.view = memoryview(self.buffer)
        self._outbox: list[tuple[Any, bytes]] = []
        self._hooks = hooks
        self._terms: dict[bytes, Terms] = {}
        self._terms_of: tuple[Gate | None, Mapping[str, MailboxState] | None] = (None, None)

    def negotiate(self, payload: bytes) -> "Terms":
        """Return the terms for an MTA's offer: the same ones until a reload, or a mailbox changes its state."""
        gate = self.gate()
        mailboxes: Mapping[str, MailboxState] | None = gate.states()
        if gate is not self._terms_of[0] or mailboxes is not self._terms_of[1]:
            self._terms, self._terms_of = {}, (gate, mailboxes)
        terms = self._terms.get(payload)
        if terms is None:
            agreement, reply = wire.negotiate(payload, wish(gate.policy, mailboxes or {}, self.is_unix))
            no_reply = frozenset(command for command in wire.NAMES if not agreement.owes_reply(command))
            terms = Terms(agreement, reply, no_reply, bool(agreement.steps & wire.Steps.LEADING_SPACE))
            if len(self._terms) < _OFFERS_KEPT:
                self._terms[payload] = terms
        return terms

    def post(self, transport: Any, octets: bytes) -> None:
        """Write this soon, together with the replies of the other connections that were read in this turn.

        A write costs most when it wakes a peer that sleeps; in a row, most find their peer awake.
        """
        self._outbox.append((transport, octets))
        if len(self._outbox) == 1:
            asyncio.get_running_loop().call_soon(self.deliver)

    def deliver(self) -> None:
        """Write what was posted, but to peers that hung up since: uvloop would raise, and the others lose theirs."""
        outbox, self._outbox = self._outbox, []
        for transport, octets in outbox:
            if not transport.is_closing():
                transport.write(octets)

    def close_stalled(self, now: float, frame_s: float) -> None:
        """Close the connections whose peer has sent a part of a frame, and not the rest, for so long.

        One that is between two frames may stay idle as long as Postfix keeps it.
        """
        for connection, since in list(self.unfinished.items()):
            if now - since > frame_s:
                connection.stalled(frame_s)

    def hook(self, daemon_name: str, login: str) -> str:
        """Return the hook of a mail that comes by this listener."""
        return hook_of(self._hooks, daemon_name, login)


class MilterConnection:
    """One connection of the MTA, an asyncio.BufferedProtocol; many mails come over it, one after the other."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._conversation = wire.Conversation(listener.limits)
        self._agreement: wire.Agreement | None = None
        self._no_reply: frozenset[int] = frozenset()
        self._leading_space = False
        self._transport: Any = None
        self._held = b""
        self._client = wire.Client("", b"U", 0, "")
        self._helo = ""
        self._daemon_name = ""
        self._mta = ""
        self._transaction: Transaction | None = None
        self._fields: list[Header] = []
        self._field_octets = 0  # at least what they have
        self._in_content = False
        self._answered = False  # this message has its answer; what still comes of it is passed over
        self._task: asyncio.Task[None] | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._closing = False
        self._last_read = time.monotonic()
        # Known from here on, not from connection_made: what was accepted just before a stop is waited for too.
        listener.connections.add(self)

    # -- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        metrics = self.listener.gate().services.metrics
        metrics.add("connections")
        metrics.add("open_connections")
        if self._closing:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.listener.connections.discard(self)
        self.listener.unfinished.pop(self, None)
        self.listener.gate().services.metrics.add("open_connections", -1)
        self._forget()

    def get_buffer(self, sizehint: int) -> memoryview:
        held = self._held
        if held:
            self.listener.buffer[: len(held)] = held
        return self.listener.view[len(held) : len(held) + _ROOM_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        self._last_read = time.monotonic()
        if nbytes == _ROOM_BYTES:
            # There is more, which libuv would read at once, up to 32 times: the other connections have their turn.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)
        end = nbytes + len(self._held)
        data: bytes | bytearray = self.listener.buffer
        if end < _COPY_BELOW_BYTES:
            data = bytes(self.listener.view[:end])
        try:
            frames = self._conversation.receive(data, end)
            consumed = self._conversation.consumed
            if consumed < end:
                self._held = bytes(data[consumed:end])
                if consumed or self not in self.listener.unfinished:
                    self.listener.unfinished[self] = self._last_read
            elif self._held:
                self._held = b""
                del self.listener.unfinished[self]
            if self._task is not None:
                self._interrupt(frames)
                return
            self._take(frames, data)
        except ProtocolError as error:
            self._break(str(error))
        except Exception as error:
            self._fail(error)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # -- commands -----------------------------------------------------------------------------

    def _take(self, frames: list[wire.Frame], data: bytes | bytearray) -> None:
        for number, (command, start, stop) in enumerate(frames, 1):
            if command == wire.HEADER:
                self._fields += self._conversation.headers[start]
                if len(self._fields) > _FIELDS_KEPT or self._field_octets > _FIELD_OCTETS_KEPT:
                    self._hand_over_fields()
                self._field_octets += len(data)
                self._continue(wire.HEADER)  # where it is owed, a run is one header
            elif command == wire.BODY:
                self._body(data, start, stop)
            elif command == wire.END_OF_HEADERS:
                self._end_of_headers()
            elif command == wire.END_OF_MESSAGE:
                self._end_of_message(data, start, stop)
            else:
                self._command(command, bytes(data[start:stop]))
            if self._task is not None:
                self._interrupt(frames[number:])
                return

    def _command(self, command: int, payload: bytes) -> None:
        if command == wire.MAIL:
            self._mail(payload)
        elif command == wire.RECIPIENT:
            self._recipient(payload)
        elif command in (wire.DATA, wire.UNKNOWN):
            self._continue(command)
        elif command == wire.ABORT:
            self._forget()
        elif command == wire.CONNECT:
            self._connect(payload)
        elif command == wire.HELO:
            self._hello(payload)
        elif command == wire.NEGOTIATE:
            self._negotiate(payload)
        elif command == wire.QUIT_NEW_CONNECTION:
            self._new_connection()
        else:
            self._close()  # QUIT: the codec lets no other through

    def _negotiate(self, payload: bytes) -> None:
        terms = self.listener.negotiate(payload)
        self._agreement = terms.agreement
        self._no_reply = terms.no_reply
        self._leading_space = terms.leading_space
        self._write(terms.reply)

    def _connect(self, payload: bytes) -> None:
        self._client = wire.parse_connect(payload)
        macros = wire.parse_macros(self._conversation.macros.get(wire.CONNECT, b""))
        # Taken here: at end of message Postfix' cleanup fills in another {daemon_name}.
        self._daemon_name = macros.get("daemon_name", "")
        self._mta = macros.get("j", "")
        self._continue(wire.CONNECT)

    def _hello(self, payload: bytes) -> None:
        self._forget()  # a greeting in the middle of a mail ends it (RFC 5321 section 4.1.4)
        self._helo = payload.rstrip(b"\0").decode("utf-8", "surrogateescape")
        self._continue(wire.HELO)

    def _mail(self, payload: bytes) -> None:
        self._forget()
        path, *arguments = wire.parse_arguments(payload)
        macros = wire.parse_macros(self._conversation.macros.get(wire.MAIL, b""))
        login = macros.get("auth_authen", "")
        gate = self.listener.gate()
        client = self._client
        session = Session(
            self.listener.hook(self._daemon_name, login),
            client.address if client.family in (b"4", b"6") else "",
            client.name,
            self._helo,
            self._daemon_name,
            gate.services.node or self._mta,
            self._mta,
        )
        self._transaction = Transaction(gate, session)
        verdict = self._transaction.mail(path, arguments, login, time.time(), macros.get("mail_addr", ""))
        if verdict is None:
            self._continue(wire.MAIL)
        else:
            self._say_early(self._transaction, verdict, ends_mail=True)

    def _recipient(self, payload: bytes) -> None:
        path, *arguments = wire.parse_arguments(payload)
        said = self._conversation.recipient_macros.popleft()
        transaction = self._transaction
        if transaction is None or self._answered:
            self._continue(wire.RECIPIENT)
            return
        mailbox = transaction.mailbox_of(path, *resolution_of(wire.parse_macros(said)))
        if wire.RECIPIENT in self._no_reply:
            transaction.add_recipient(path, arguments, mailbox)
            return
        verdict = transaction.recipient(path, time.time(), arguments, mailbox)
        if verdict is None:
            self._write(wire.CONTINUE)
        else:
            self._say_early(transaction, verdict, ends_mail=False)

    def _end_of_headers(self) -> None:
        self._begin_content()
        self._continue(wire.END_OF_HEADERS)

    def _begin_content(self) -> None:
        """Hand the header fields over; a message without any has none."""
        transaction = self._transaction
        fields = self._taken_fields()
        if transaction is None or self._answered or self._in_content:
            return
        if not transaction.mail_data.queue_id:
            transaction.mail_data.queue_id = self._queue_id(wire.DATA)
        transaction.headers(fields, time.time())
        self._in_content = True

    def _taken_fields(self) -> list[Header]:
        fields, self._fields = self._fields, []
        self._field_octets = 0
        return fields if self._leading_space else [(name, b" " + value) for name, value in fields]

    def _hand_over_fields(self) -> None:
        """Hand over the header fields so far: nobody reads so many, and the spool keeps them out of memory."""
        transaction = self._transaction
        fields = self._taken_fields()
        if transaction is not None and not self._answered:
            transaction.more_fields(fields)

    def _queue_id(self, command: int) -> str:
        """Return Postfix's {i} of a stage; it has none before DATA."""
        macros = self._conversation.macros.get(command)
        if not macros:
            return ""
        if macros.startswith(b"i\0") and macros.count(b"\0") == 2:  # all that we ask for
            return macros[2:-1].decode("utf-8", "surrogateescape")
        return wire.parse_macros(macros).get("i", "")

    def _body(self, data: bytes | bytearray, start: int, stop: int) -> None:
        transaction = self._transaction
        if transaction is None or self._answered:
            self._write(wire.CONTINUE)
            return
        if not self._in_content:
            self._begin_content()
        verdict = transaction.body(data, start, stop, time.time())
        if verdict is None:
            self._continue(wire.BODY)
        else:
            self._say_early(transaction, verdict, ends_mail=True)

    def _end_of_message(self, data: bytes | bytearray, start: int, stop: int) -> None:
        transaction = self._transaction
        if transaction is None or self._answered:
            self._write(wire.ACCEPT if transaction is None else wire.reply_code(OWN_ERROR_REPLY))
            return
        if not self._in_content:
            self._begin_content()
        if not transaction.mail_data.queue_id:
            transaction.mail_data.queue_id = self._queue_id(wire.END_OF_MESSAGE)
        if stop > start:  # version 2 and Sendmail may send the last octets here
            verdict = transaction.body(data, start, stop, time.time())
            if verdict is not None:
                self._say_early(transaction, verdict, ends_mail=True)
                return
        at_once = transaction.end_at_once()
        if at_once is None:
            self._start(self._judge(transaction))
        else:
            self._write(_answer(at_once, transaction, self._actions()))
            self._forget()

    def _new_connection(self) -> None:
        self._forget()
        self._client = wire.Client("", b"U", 0, "")
        self._helo = ""

    # -- answers ------------------------------------------------------------------------------

    def _continue(self, command: int) -> None:
        if command not in self._no_reply:
            self._write(wire.CONTINUE)

    def _write(self, octets: bytes) -> None:
        if not self._closing:
            self.listener.post(self._transport, octets)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def _say_early(self, transaction: Transaction, verdict: Verdict, ends_mail: bool) -> None:
        self._start(self._record_and_say(transaction, verdict, ends_mail))

    async def _record_and_say(self, transaction: Transaction, verdict: Verdict, ends_mail: bool) -> None:
        try:
            verdict = await transaction.record(verdict)
            octets = _answer(verdict, transaction, self._actions())
        except Exception as error:
            log.error("own error", error=str(error), exc_info=error)
            octets = wire.reply_code(OWN_ERROR_REPLY)
        self._task = None
        self._answered = self._answered or ends_mail
        self._write(octets)

    async def _judge(self, transaction: Transaction) -> None:
        self._say_progress_later()
        try:
            verdict = await transaction.end()
            octets = _answer(verdict, transaction, self._actions())
        except Exception as error:
            log.error("own error", error=str(error), exc_info=error)
            octets = wire.reply_code(OWN_ERROR_REPLY)
        self._task = None
        self._write(octets)
        self._forget()

    def _say_progress_later(self) -> None:
        self._progress = asyncio.get_running_loop().call_later(PROGRESS_S, self._say_progress)

    def _say_progress(self) -> None:
        self._write(wire.PROGRESS)
        self._say_progress_later()

    def _actions(self) -> wire.Actions:
        return self._agreement.actions if self._agreement else wire.Actions(0)

    # -- endings ------------------------------------------------------------------------------

    def _interrupt(self, frames: list[wire.Frame]) -> None:
        """While an answer is owed the MTA may only give up: abort, quit, or begin anew after that."""
        for command, _, _ in frames:
            if command == wire.ABORT:
                self._forget()
            elif command == wire.QUIT:
                self._close()
            else:
                raise ProtocolError(f"command {wire.NAMES[command]} while an answer is owed")

    def _forget(self) -> None:
        """End the current message: cancel what is under way for it, give its space back."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._progress is not None:
            self._progress.cancel()
            self._progress = None
        if self._transaction is not None:
            self._transaction.close()
            self._transaction = None
        self._fields = []
        self._field_octets = 0
        self._answered = False
        self._in_content = False

    def stalled(self, frame_s: float) -> None:
        """Close a connection whose peer does not send the rest of a frame."""
        self._break(f"the rest of a frame did not come within {frame_s:g} s")

    def _break(self, reason: str) -> None:
        """Close a connection whose peer broke the protocol, with one line in the log."""
        self.listener.gate().services.metrics.add("protocol_errors")
        log.warning("protocol error", listener=self.listener.name, client=self._client.address, reason=reason)
        self._close()

    def _fail(self, error: Exception) -> None:
        """Answer an error of our own in the middle of a message: 451, a traceback, and no more of this mail."""
        transaction = self._transaction
        if transaction is None or self._agreement is None:
            log.error("own error", listener=self.listener.name, error=str(error), exc_info=error)
            self._close()
            return

        async def say() -> None:
            verdict = await transaction.gate.own_error(transaction.mail_data, error)
            self._task = None
            self._write(wire.reply_code(verdict.reply))
            # What followed in the same read was not looked at: the MTA must begin anew.
            self._close()

        self._start(say())

    def _close(self) -> None:
        self._closing = True
        self._forget()
        if self._transport is not None:
            self.listener.deliver()  # what was answered before is still said
            self._transport.close()

    @property
    def is_idle(self) -> bool:
        """Tell whether no message is begun."""
        return self._transaction is None and self._task is None

    def quiet_s(self) -> float:
        """Return for how long this connection has sent nothing."""
        return time.monotonic() - self._last_read

    def close(self) -> None:
        """Close the connection; what is begun on it is given up, and the MTA defers it."""
        self._close()


class BufferedConnection(asyncio.BufferedProtocol):
    """A connection as asyncio's own loop wants it, by its base class; uvloop looks for the methods alone."""

    def __init__(self, connection: MilterConnection) -> None:
        for name in ("connection_made", "connection_lost", "get_buffer", "buffer_updated"):
            setattr(self, name, getattr(connection, name))


def _answer(verdict: Verdict, transaction: Transaction, agreed: wire.Actions) -> bytes:
    """Return the frames that say a verdict.

    What was not agreed on and matters makes it a deferral: a hold that is not done would be an accept.
    """
    if verdict.action in (Action.REJECT, Action.TEMPFAIL):
        return wire.reply_code(verdict.reply)
    if verdict.action is Action.DISCARD:
        return wire.DISCARD
    if verdict.action is Action.ACCEPT and not verdict.headers and not verdict.recipient_replies:
        return wire.ACCEPT
    frames = [wire.add_header(name, b" " + value) for name, value in verdict.headers]
    needed = wire.Actions(0)
    recipients = transaction.mail_data.envelope.recipients
    for recipient in verdict.recipient_replies:
        needed |= wire.Actions.DELETE_RECIPIENT
        frames += [wire.delete_recipient(path) for path in recipients[recipient]]
    if verdict.action is Action.QUARANTINE:
        needed |= wire.Actions.QUARANTINE
        frames.append(wire.quarantine(", ".join(sorted({f.rule for f in verdict.findings if f.decides}))))
    if needed & ~agreed:
        log.error("MTA does not allow what the verdict needs", needed=str(needed), agreed=str(agreed))
        return wire.reply_code(OWN_ERROR_REPLY)
    return b"".join(wire.modifications_allowed(frames, agreed)) + wire.ACCEPT
