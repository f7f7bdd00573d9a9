"""The SMTP door: a content filter that hands on to a next hop, and answers only what the next hop answered.

MAIL and RCPT are judged, then said to the next hop, and its reply, code and text, is the client's. DATA is ours to
answer: the message is read into the transaction's spool and judged at its end. Only then is it sent to the next hop,
every octet as it came, below the header fields that the verdict adds; the next hop's final reply is the client's. A
refusal or a deferral is said without the next hop being sent DATA. What is held goes to `[smtp] hold_next_hop`, which
holds all that it takes; without one it is deferred, since a hold that is not done would be an accept.

Where some recipients are refused at the end, or the next hop has hung up meanwhile, its transaction is begun anew
with the recipients that are left; should it then refuse one that it took before, the whole mail is deferred.

EHLO offers what this door passes on and the next hop offers too: 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES, by
what the next hop said when a connection to it was last opened (it is opened at EHLO where that is not known). SIZE is
our own limit or the next hop's, PIPELINING our own doing, XFORWARD is for configured clients. A parameter that was
not offered is 555; one that was, and that the next hop has meanwhile ceased to offer, is deferred. No STARTTLS and no
AUTH: clients are Postfix on loopback or in a network of ours.

A reply of the next hop that is 421 becomes 451, since it ends the next hop's connection and not the client's. A next
hop that is away, drops or falls silent is 451 4.4.x; one that does so after the end of the message may have taken it,
so that a client who sends it again risks a second copy: a duplicate is possible, a loss is not. A mail is counted and
remembered once the next hop has taken it.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog
from aiosmtpd.smtp import SMTP

from ..config import SmtpSection, parse_endpoint
from ..gate import OWN_ERROR_REPLY, Gate
from ..model import Action, Session, Verdict
from ..next_hop import NextHop, NextHopError, Patience
from ..wire.smtp import (
    XFORWARD_NAMES,
    CommandError,
    Flaw,
    MessageDecoder,
    Reply,
    header_lines,
    length_of_mbox_line,
    parameter_name,
    parse_path,
    parse_xforward,
    reply_of,
    split_command,
    split_header,
    xforward_commands,
)
from .milter import Hook, hook_of
from .transaction import Transaction

log = structlog.get_logger()

_READ_BYTES = 65_536
_PASSED_ON = ("8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
# Which extension a parameter needs; SIZE is taken always, and handed on where the next hop takes it.
_MAIL_PARAMETERS = {b"SIZE": "", b"BODY": "8BITMIME", b"SMTPUTF8": "SMTPUTF8", b"RET": "DSN", b"ENVID": "DSN"}
_RCPT_PARAMETERS = {b"NOTIFY": "DSN", b"ORCPT": "DSN"}
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 section 3
_QUEUED = re.compile(r"queued as (\w+)")  # as Postfix says it
_SMUGGLING = "Only CRLF ends a line, and CRLF.CRLF a message"
_LINE_ENDINGS = {False: Reply(500, f"5.5.2 {_SMUGGLING}"), True: Reply(554, f"5.6.0 {_SMUGGLING}")}
_OWN_ERROR = reply_of(OWN_ERROR_REPLY)


class SmtpListener:
    """What all connections of one listening socket share.

    offers: the extensions of the next hop when a connection to it was last opened, None before the first.
    """

    def __init__(self, name: str, hooks: tuple[Hook, ...], gate: Callable[[], Gate]) -> None:
        self.name = name
        self.gate = gate
        self.connections: set[SmtpConnection] = set()
        self.offers: Mapping[str, str] | None = None
        self.hooks = hooks

    def hook(self) -> str:
        """Return the hook that this listener serves; no {daemon_name} and no login is told here."""
        return hook_of(self.hooks, "", "")


class SmtpConnection(SMTP):
    """One client's connection; aiosmtpd keeps the streams and the clock, the conversation is our own.

    aiosmtpd's own takes a lone LF for a line's end, and keeps a message whole in memory.
    """

    line_length_limit = _READ_BYTES  # aiosmtpd's name for what its stream reads ahead, half of the most

    def __init__(self, listener: SmtpListener) -> None:
        self._listener = listener
        self._section: SmtpSection = listener.gate().settings.smtp
        self._input = bytearray()
        self._closing = False
        self._is_busy = False
        self._errors = 0
        self._helo = ""
        self._advertised: frozenset[str] = frozenset()
        self._xforward: dict[str, str] = {}
        self._transaction: Transaction | None = None
        self._mail_command: tuple[bytes, list[bytes]] = (b"<>", [])  # its path and its parameters
        self._accepted: dict[str, list[bytes]] = {}  # mailbox: its RCPT commands, which the next hop has taken
        self._is_mail_refused = False
        self._lost: Reply | None = None  # what is said to the rest of a mail whose next hop went away
        self._hop: NextHop | None = None
        self._last_read = time.monotonic()
        super().__init__(
            None,
            data_size_limit=None,
            enable_SMTPUTF8=True,
            hostname=listener.gate().settings.smtp_hostname(),
            ident="ESMTP Mailgate",
            timeout=self._section.idle_s,
            loop=asyncio.get_running_loop(),
        )

    # -- asyncio and aiosmtpd -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._count("smtp_connections")
        self._count("open_smtp_connections")
        self._has_room = len(self._listener.connections) < self._section.connections
        self._listener.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.connections.discard(self)
        self._count("open_smtp_connections", -1)
        super().connection_lost(error)

    def _timeout_cb(self) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            transport.abort()  # it reads no reply: this one neither
        else:
            self._say_and_close(Reply(421, "4.4.2 Nothing came for too long"))

    async def _handle_client(self) -> None:
        try:
            if not self._has_room:
                await self._say(Reply(421, "4.3.2 Too many connections, try again later"))
                return
            await self._say(Reply(220, f"{self.hostname} {self.__ident__}"))
            while not self._closing:
                line = await self._read_line()
                self._is_busy = True
                reply = await self._answer(line)
                self._is_busy = False
                await self._say(reply)
        except ConnectionError:
            pass  # the client hung up
        except Exception as error:
            log.error("own error", listener=self._listener.name, error=str(error), exc_info=error)
        finally:
            self._forget()
            if self._hop is not None:
                self._hop.quit()
            self._writer.close()

    # -- octets in and out --------------------------------------------------------------------

    async def _fill(self, until: float | None = None) -> None:
        """Wait for octets of the client, as long as it may be silent; until: when what has begun is to be whole."""
        patience_s = self._section.idle_s
        if until is not None:
            patience_s = max(0.001, min(patience_s, until - time.monotonic()))
        self._reset_timeout(patience_s)
        data = await self._reader.read(_READ_BYTES)
        self._stop_timeout()
        if not data:
            raise ConnectionResetError
        self._last_read = time.monotonic()
        self._input += data

    async def _read_line(self) -> bytes | Reply:
        """Return the next command without its CRLF, or the reply to what is none."""
        limit = self._section.command_bytes
        is_long = False
        until: float | None = None
        while (end := self._input.find(b"\r\n")) < 0:
            if b"\n" in self._input or b"\r" in self._input[:-1]:
                return self._smuggled(at_message=False)
            if len(self._input) > limit:
                is_long = True
                del self._input[:-1]  # a CR that its LF may follow
            if until is None and self._input:
                until = time.monotonic() + self._section.command_s
            await self._fill(until)
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        if b"\r" in line or b"\n" in line:
            return self._smuggled(at_message=False)
        if is_long or len(line) > limit:
            return self._error(Reply(500, "5.5.2 Line too long"))
        if _CONTROL.search(line):
            return self._error(Reply(500, "5.5.2 Control character in a command"))
        return line

    async def _say(self, reply: Reply) -> None:
        if self._closing and self._writer.is_closing():
            return
        self._reset_timeout(self._section.idle_s)
        self._writer.write(reply.octets())
        await self._writer.drain()
        self._stop_timeout()

    def _stop_timeout(self) -> None:
        """Let time pass that is ours, and not the client's."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    def _smuggled(self, at_message: bool) -> Reply:
        """Refuse an attempt to hide a command in a line; what else this client has sent is not looked at."""
        self._closing = True
        self._count("smuggling_attempts")
        client = self._client_ip()
        log.warning("line endings that smuggle: closing", listener=self._listener.name, client=client)
        return _LINE_ENDINGS[at_message]

    def _error(self, reply: Reply) -> Reply:
        """Count an error of the client, who has so many, and return what it is told."""
        self._errors += 1
        if self._errors >= self._section.errors:
            self._closing = True
            return Reply(421, "4.7.0 Too many errors")
        return reply

    def _count(self, name: str, amount: float = 1) -> None:
        self._listener.gate().services.metrics.add(name, amount)

    # -- commands -----------------------------------------------------------------------------

    async def _answer(self, line: bytes | Reply) -> Reply:
        """Do one command and return its reply; never raises but when the connection ends."""
        if isinstance(line, Reply):
            return line
        verb, argument = split_command(line)
        method = _COMMANDS.get(verb)
        if method is None:
            self._closing = self._closing or verb in _FORBIDDEN
            return self._error(Reply(502 if verb in _NOT_DONE else 500, "5.5.2 Command not known"))
        try:
            return await method(self, argument)
        except CommandError as error:
            return self._error(error.reply)
        except NextHopError as error:
            self._next_hop_failed(error)
            return error.reply
        except ConnectionError:
            raise
        except Exception as error:
            reply = await self._own_error(error)
            if verb == b"MAIL":
                self._forget()
            return reply

    async def _hello(self, argument: bytes) -> Reply:
        self._greeted(argument)
        self._advertised = frozenset()
        return Reply(250, self.hostname)

    async def _extended_hello(self, argument: bytes) -> Reply:
        self._greeted(argument)
        offers = self._listener.offers
        size = self._section.message_bytes
        if offers is None:
            try:
                offers = (await self._open_hop()).extensions
            except NextHopError as error:
                # Nothing is lost by offering all: MAIL is deferred until the next hop is there.
                self._next_hop_failed(error)
                offers = dict.fromkeys(map(str.lower, _PASSED_ON), "")
        passed_on = [name for name in _PASSED_ON if name.lower() in offers]
        self._advertised = frozenset(passed_on)
        if (its_size := _SIZE.fullmatch(offers.get("size", ""))) and int(its_size[0]) > 0:
            size = min(size, int(its_size[0]))
        lines = [self.hostname, "PIPELINING", f"SIZE {size}", *passed_on]
        if self._may_xforward():
            lines.append(" ".join(("XFORWARD", *XFORWARD_NAMES)))
        return Reply(250, "\n".join(lines))

    def _greeted(self, argument: bytes) -> None:
        if not argument:
            raise CommandError(501, "5.5.4 Syntax: EHLO hostname")
        self._forget()  # a greeting in the middle of a mail ends it (RFC 5321 section 4.1.4)
        self._helo = argument.decode("utf-8", "surrogateescape")

    async def _xforward_command(self, argument: bytes) -> Reply:
        if not self._may_xforward():
            return self._error(Reply(550, "5.7.1 Not for you"))
        if self._transaction is not None:
            raise CommandError(503, "5.5.1 Not in the middle of a mail")
        self._xforward |= parse_xforward(argument)
        return Reply(250, "2.0.0 Ok")

    async def _mail(self, argument: bytes) -> Reply:
        if not self._helo:
            raise CommandError(503, "5.5.1 Send HELO or EHLO first")
        if self._transaction is not None:
            raise CommandError(503, "5.5.1 A mail is begun already")
        self._is_mail_refused = True  # until it is taken
        path, parameters = parse_path(argument, b"FROM")
        self._check_parameters(parameters, _MAIL_PARAMETERS)
        gate = self._listener.gate()
        self._section = gate.settings.smtp  # that of the newest configuration, from here to the mail's end
        known = self._xforward
        session = Session(
            self._listener.hook(),
            self._client_ip(),
            known.get("NAME", ""),
            known.get("HELO", self._helo),
            "",
            gate.services.node,
        )
        transaction = Transaction(gate, session, keep=True)
        transaction.mail_data.queue_id = known.get("IDENT") or uuid.uuid4().hex[:12].upper()
        self._transaction = transaction
        verdict = transaction.mail(path, parameters, "", time.time())
        if verdict is not None:
            verdict = await transaction.record(verdict)
            self._forget()
            return reply_of(verdict.reply)
        declared = transaction.mail_data.envelope.declared_bytes()
        if declared is not None and declared > self._section.message_bytes:
            self._forget()
            return Reply(552, "5.3.4 Message is larger than is taken here")
        self._mail_command = (path, parameters)
        try:
            reply = await self._begin()
        except NextHopError as error:
            self._next_hop_failed(error)
            reply = error.reply
        self._is_mail_refused = not reply.is_positive
        if self._is_mail_refused:
            self._forget()
        return reply

    async def _rcpt(self, argument: bytes) -> Reply:
        transaction = self._transaction
        if transaction is None:
            return self._no_mail()
        path, parameters = parse_path(argument, b"TO")
        if path == b"<>":
            raise CommandError(501, "5.1.3 A recipient is needed")
        self._check_parameters(parameters, _RCPT_PARAMETERS)
        if self._lost is not None:
            return self._lost
        if sum(map(len, self._accepted.values())) >= self._section.recipients:
            return Reply(452, "4.5.3 Too many recipients")
        mailbox = transaction.mailbox_of(path)
        is_repeated = path in transaction.mail_data.envelope.recipients.get(mailbox, ())
        verdict = transaction.recipient(path, time.time(), parameters, mailbox)
        if verdict is not None:
            return reply_of((await transaction.record(verdict)).reply)
        line = b" ".join((b"RCPT TO:" + path, *parameters))
        assert self._hop is not None, "a mail that is begun has a next hop"
        try:
            reply = await self._hop.command(line)
        except NextHopError as error:
            self._next_hop_failed(error)
            reply = error.reply
        if reply.is_positive:
            self._accepted.setdefault(mailbox, []).append(line)
        elif not is_repeated:
            transaction.withdraw(path)
        if not self._hop.is_open:
            self._lost = reply  # those that it took before are asked for anew, once the message is here
        return reply

    async def _data(self, argument: bytes) -> Reply:
        if self._input:
            # DATA ends a group of commands (RFC 2920): what came with it would be a message where DATA is taken, and
            # commands where it is not.
            self._closing = True
            return Reply(503, "5.5.0 Improper use of pipelining")
        if argument:
            raise CommandError(501, "5.5.4 Syntax: DATA")
        transaction = self._transaction
        if transaction is None:
            return self._no_mail()
        if self._lost is not None and not self._accepted:
            return self._lost
        if not self._accepted:
            return Reply(554, "5.5.1 No valid recipients")
        await self._say(Reply(354, "End data with <CR><LF>.<CR><LF>"))
        try:
            return await self._take_message(transaction)
        except NextHopError as error:
            self._next_hop_failed(error)
            return error.reply
        except ConnectionError:
            raise
        except Exception as error:
            return await self._own_error(error)
        finally:
            self._forget()
            self._xforward = {}  # each mail has its own, as Postfix sends it

    async def _reset(self, argument: bytes) -> Reply:
        self._forget()
        self._is_mail_refused = False
        self._xforward = {}
        return Reply(250, "2.0.0 Ok")

    async def _nothing(self, argument: bytes) -> Reply:
        return Reply(250, "2.0.0 Ok")

    async def _verify(self, argument: bytes) -> Reply:
        return Reply(252, "2.0.0 Send some mail, I will try my best")

    async def _help(self, argument: bytes) -> Reply:
        return Reply(214, "2.0.0 See RFC 5321")

    async def _quit(self, argument: bytes) -> Reply:
        self._closing = True
        return Reply(221, "2.0.0 Bye")

    def _no_mail(self) -> Reply:
        """Answer RCPT or DATA without MAIL; a client that sent them with a MAIL that was refused has not erred."""
        reply = Reply(503, "5.5.1 Send MAIL first")
        return reply if self._is_mail_refused else self._error(reply)

    def _check_parameters(self, parameters: list[bytes], known: Mapping[bytes, str]) -> None:
        for parameter in parameters:
            needed = known.get(parameter_name(parameter))
            if needed is None or (needed and needed not in self._advertised):
                raise CommandError(555, "5.5.4 Parameter not offered")

    # -- the message --------------------------------------------------------------------------

    async def _take_message(self, transaction: Transaction) -> Reply:
        """Read a message to its end, judge it, and do what the verdict says; return the final reply."""
        section = self._section
        decoder = MessageDecoder(section.line_bytes, section.message_bytes)
        content = _Content(transaction, section.header_bytes, transaction.gate.header_limits.fields)
        failure: Exception | None = None
        started = time.monotonic()
        while not decoder.ended:
            if not self._input:
                await self._fill(started + section.idle_s + decoder.octets / section.data_rate)
            piece = decoder.feed(bytes(self._input))
            self._input = bytearray(decoder.rest)
            if decoder.octets > 2 * section.message_bytes:
                break  # a client that heeds no limit is not read to its end
            if decoder.flaws or failure or content.early:
                transaction.close()  # it has its answer, which is said at the end
                continue
            try:
                content.feed(piece)
                if content.early is not None:
                    content.early = await transaction.record(content.early)
            except Exception as error:
                failure = error
        if Flaw.LINE_ENDINGS in decoder.flaws:
            return self._smuggled(at_message=True)
        if Flaw.TOO_LARGE in decoder.flaws or content.is_header_too_large:
            self._closing = self._closing or not decoder.ended
            return Reply(552, "5.3.4 Message or its header is larger than is taken here")
        if Flaw.LONG_LINE in decoder.flaws:
            return Reply(554, "5.6.0 Line too long")
        if failure is not None:
            return await self._own_error(failure)
        if content.early is None:
            content.finish()  # of a message without an end of its header, all comes only here
            if content.early is not None:
                content.early = await transaction.record(content.early)
        if content.early is not None:
            return reply_of(content.early.reply)
        verdict = transaction.end_at_once()
        if verdict is None:
            verdict = await transaction.end()
        return await self._carry_out(transaction, verdict)

    async def _carry_out(self, transaction: Transaction, verdict: Verdict) -> Reply:
        if verdict.action in (Action.REJECT, Action.TEMPFAIL):
            return reply_of(verdict.reply)
        if verdict.action is Action.DISCARD:
            return Reply(250, "2.0.0 Ok")
        left = [
            line
            for mailbox, lines in self._accepted.items()
            if mailbox not in verdict.recipient_replies
            for line in lines
        ]
        assert left, "a verdict that refuses every recipient is a refusal"
        raw = transaction.raw
        assert raw is not None, "the transaction was told to keep the message"
        is_held = verdict.action is Action.QUARANTINE
        if is_held:
            if not self._section.hold_next_hop:
                log.error(
                    "nothing can be held: [smtp] hold_next_hop is empty", queue_id=transaction.mail_data.queue_id
                )
                return Reply(451, "4.7.1 Cannot be held at the moment, try again later")
            hop = self._new_hop(self._section.hold_next_hop)
            await hop.open()
        elif self._hop is not None and self._hop.is_open:
            hop = self._hop
        else:
            hop = await self._open_hop()
        try:
            if verdict.recipient_replies or not hop.begun:
                refused = await self._begin_anew(hop, left)
                if refused is not None:
                    return refused
            reply = await hop.hand_on(_outgoing(raw.chunks, header_lines(verdict.headers)))
            if reply.is_positive:
                if is_held and (queued := _QUEUED.search(reply.text)):
                    await transaction.held_as(verdict, queued[1])
                await transaction.handed_on(verdict)
            else:  # the log's line on this mail says what we made of it
                said = f"{reply.code} {reply.text}"
                log.info("next hop takes it not", queue_id=transaction.mail_data.queue_id, reply=said)
            return reply
        finally:
            if is_held:
                hop.quit()

    # -- the next hop -------------------------------------------------------------------------

    def _new_hop(self, endpoint: str) -> NextHop:
        section = self._section
        patience = Patience(section.next_hop_connect_s, section.next_hop_reply_s, section.next_hop_final_s)
        return NextHop(parse_endpoint(endpoint), self.hostname, patience)

    async def _open_hop(self) -> NextHop:
        """Open a connection to the next hop, and learn what it offers."""
        if self._hop is not None:
            self._hop.quit()
        self._hop = hop = self._new_hop(self._section.next_hop)
        await hop.open()
        self._listener.offers = hop.extensions
        return hop

    async def _begin(self) -> Reply:
        """Say MAIL to the next hop, over the connection that is there where it still stands."""
        hop = self._hop
        if hop is not None and hop.is_open and parse_endpoint(self._section.next_hop) == hop.address:
            try:
                return await self._say_mail(hop)
            except NextHopError as error:
                if error.is_silent:
                    raise
                # It waited, and was closed meanwhile: that says nothing of this mail.
        return await self._say_mail(await self._open_hop())

    async def _say_mail(self, hop: NextHop) -> Reply:
        """Begin the mail at a next hop, after RSET where another was begun there and did not end."""
        path, parameters = self._mail_command
        for parameter in parameters:
            needed = _MAIL_PARAMETERS[parameter_name(parameter)].lower()
            if needed and needed not in hop.extensions:
                raise NextHopError(f"{hop.address}: offers {needed} no more", "4.3.2")
        if "size" not in hop.extensions:
            parameters = [parameter for parameter in parameters if parameter_name(parameter) != b"SIZE"]
        if hop.begun:
            await hop.command(b"RSET")
            hop.begun = False
        if self._xforward and "xforward" in hop.extensions:
            for command in xforward_commands(self._xforward, hop.extensions["xforward"].upper().split()):
                await hop.command(command)
        reply = await hop.command(b" ".join((b"MAIL FROM:" + path, *parameters)))
        hop.begun = hop.is_open
        return reply

    async def _begin_anew(self, hop: NextHop, recipients: list[bytes]) -> Reply | None:
        """Begin the mail once more with these recipients; return what is said where that does not succeed."""
        reply = await self._say_mail(hop)
        for command in recipients:
            if reply.is_positive:
                reply = await hop.command(command)
        if reply.is_positive:
            return None
        log.warning(
            "next hop refuses what it took before", address=str(hop.address), reply=f"{reply.code} {reply.text}"
        )
        return Reply(451, "4.4.0 The next mail server has changed its mind, try again later")

    def _next_hop_failed(self, error: NextHopError) -> None:
        self._count("next_hop_errors")
        queue_id = self._transaction.mail_data.queue_id if self._transaction is not None else ""
        log.warning("next hop failed", listener=self._listener.name, queue_id=queue_id, reason=str(error))

    # -- who the client is --------------------------------------------------------------------

    def _peer_ip(self) -> str:
        """Return the address of who has connected, "" for a Unix socket."""
        peer = self.session.peer if self.session is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def _client_ip(self) -> str:
        return self._xforward.get("ADDR", self._peer_ip())

    def _may_xforward(self) -> bool:
        return self._section.is_trusted(self._peer_ip())

    # -- endings ------------------------------------------------------------------------------

    async def _own_error(self, error: Exception) -> Reply:
        """Answer an error of our own: 451, a traceback and an incident; this mail goes no further."""
        transaction = self._transaction
        if transaction is None:
            log.error("own error", listener=self._listener.name, error=str(error), exc_info=error)
            return _OWN_ERROR
        verdict = await transaction.gate.own_error(transaction.mail_data, error)
        self._lost = reply_of(verdict.reply)
        self._accepted = {}
        return self._lost

    def _forget(self) -> None:
        """End the current mail and give its space back; the next hop hears RSET or QUIT before anything else."""
        if self._transaction is not None:
            self._transaction.close()
            self._transaction = None
        self._accepted = {}
        self._lost = None

    def _say_and_close(self, reply: Reply) -> None:
        self._closing = True
        self._writer.write(reply.octets())
        self._writer.close()

    @property
    def is_idle(self) -> bool:
        """Tell whether no mail is begun and no command is being done."""
        return self._transaction is None and not self._is_busy

    def quiet_s(self) -> float:
        """Return for how long this client has sent nothing."""
        return time.monotonic() - self._last_read

    def close(self) -> None:
        """Close the connection; what is begun on it is given up, and the client sends it again."""
        if not self._closing:
            self._say_and_close(Reply(421, "4.3.2 Stopping, try again later"))


class _Content:
    """Hands a message, as it is read, to its transaction: the header once it is whole, then the body.

    early: a verdict that came before the end.
    """

    def __init__(self, transaction: Transaction, header_bytes: int, most_fields: int) -> None:
        self.early: Verdict | None = None
        self.is_header_too_large = False
        self._transaction = transaction
        self._header_bytes = header_bytes
        self._most_fields = most_fields
        self._header: bytearray | None = bytearray()  # None once it was handed over

    def feed(self, piece: bytes) -> None:
        """Take the next octets."""
        header = self._header
        if header is None:
            self._body(piece)
            return
        seen = max(0, len(header) - 3)
        header += piece
        if header.find(b"\r\n\r\n", seen) >= 0 or header.startswith(b"\r\n") or len(header) > self._header_bytes:
            self._hand_over()

    def finish(self) -> None:
        """Take note of the end."""
        if self._header is not None:
            self._hand_over()

    def _hand_over(self) -> None:
        octets = bytes(self._header or b"")
        self._header = None
        fields, end = split_header(octets, self._most_fields)
        if end > self._header_bytes:
            self.is_header_too_large = True
            return
        self._transaction.headers(fields, time.time(), octets[:end])
        self._body(octets[end:])

    def _body(self, octets: bytes) -> None:
        if octets and not self.is_header_too_large and self.early is None:
            self.early = self._transaction.body(octets, 0, len(octets), time.time())


def _outgoing(chunks: Callable[..., Iterator[bytes]], added: bytes) -> Iterator[bytes]:
    """Yield a message with header fields added at its top, below a mailbox file's `From ` line."""
    if not added:
        yield from chunks()
        return
    beginning = next(chunks(), b"")
    start = length_of_mbox_line(beginning)
    yield beginning[:start] + added
    if beginning[start : start + 1] in (b" ", b"\t"):
        yield b"\r\n"  # a first line that is no field would be taken for a fold of ours
    yield from chunks(start)


_Method = Callable[[SmtpConnection, bytes], Awaitable[Reply]]
_COMMANDS: Mapping[bytes, _Method] = {
    b"HELO": SmtpConnection._hello,
    b"EHLO": SmtpConnection._extended_hello,
    b"XFORWARD": SmtpConnection._xforward_command,
    b"MAIL": SmtpConnection._mail,
    b"RCPT": SmtpConnection._rcpt,
    b"DATA": SmtpConnection._data,
    b"RSET": SmtpConnection._reset,
    b"NOOP": SmtpConnection._nothing,
    b"VRFY": SmtpConnection._verify,
    b"HELP": SmtpConnection._help,
    b"QUIT": SmtpConnection._quit,
}
_NOT_DONE = frozenset({b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML", b"STARTTLS", b"AUTH", b"BDAT"})
# What follows these is no command: a message that was not asked for, or a web browser's words.
_FORBIDDEN = frozenset({b"BDAT", b"CONNECT", b"GET", b"POST", b"PUT"})
