"""The libmilter door: the same transactions as the asyncio door, spoken by Sendmail's own library through pymilter.

It is the oracle that doors.milter is compared with. It needs the extra `libmilter` (pymilter is GPL), so nothing
imports this module unless it is used, and no other module imports pymilter. libmilter keeps its state in globals:
a process serves one socket, once.

Callbacks come from libmilter's threads, one a connection; every step of a mail runs on the gate's loop, which has
a thread of its own, so that nothing of the gate needs a lock.

Where libmilter differs from the asyncio door: it closes the connection at any frame over 65,535 octets, and gives
a reply of several lines an enhanced code where the reply has none.
"""

import asyncio
import inspect
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import Milter  # pymilter: its classes decode what a mail sends, so only the C module's own names are used
import structlog

from ..gate import OWN_ERROR_REPLY, Gate
from ..model import Action, Header, Session, Verdict
from ..probes.clamd import Address
from ..wire import milter as wire
from .milter import Hook, hook_of, resolution_of, wish
from .transaction import Transaction

log = structlog.get_logger()

_NAME = "mailgate"
_CONTINUE: int = Milter.CONTINUE
_NOREPLY: int = Milter.NOREPLY
_ENDINGS: dict[Action, int] = {
    Action.ACCEPT: Milter.ACCEPT,
    Action.QUARANTINE: Milter.ACCEPT,  # with smfi_quarantine before it
    Action.DISCARD: Milter.DISCARD,
    Action.TEMPFAIL: Milter.TEMPFAIL,
    Action.REJECT: Milter.REJECT,
}


class Door:
    """One socket served by libmilter. `gate` is asked at each mail; hooks: those of this socket, by {daemon_name}."""

    def __init__(self, address: Address, gate: Callable[[], Gate], hooks: tuple[Hook, ...] = ()) -> None:
        self.gate = gate
        self.hooks = hooks
        self.is_unix = bool(address.path)
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._threads = (
            threading.Thread(target=self._loop.run_forever, name="gate", daemon=True),
            threading.Thread(target=Milter.main, name="libmilter", daemon=True),
        )

    def start(self) -> None:
        """Listen, then serve in threads; raises Milter.error when the socket cannot be had."""
        Milter.set_connect_callback(_calling(_Session.connect))
        Milter.set_helo_callback(_calling(_Session.hello))
        Milter.set_envfrom_callback(_calling(_Session.mail))
        Milter.set_envrcpt_callback(_calling(_Session.recipient))
        Milter.set_header_callback(_calling(_Session.header))
        Milter.set_eoh_callback(_calling(_Session.end_of_headers))
        Milter.set_body_callback(_calling(_Session.body))
        Milter.set_eom_callback(_calling(_Session.end_of_message))
        Milter.set_abort_callback(_calling(_Session.abort))
        Milter.set_close_callback(_close)
        address = self._address
        family = "inet6" if ":" in address.host else "inet"
        Milter.setconn(f"unix:{address.path}" if self.is_unix else f"{family}:{address.port}@{address.host}")
        Milter.register(
            _NAME,
            data=_calling(_Session.data),
            unknown=_calling(_Session.unknown),
            negotiate=lambda ctx, options: _Session(self, ctx).negotiate(options),
        )
        Milter.opensocket(True)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop listening, then end the gate's loop; connections that are open are given up."""
        Milter.stop()
        loop, server = self._threads
        server.join()  # libmilter looks every 5 s whether it shall stop
        self._loop.call_soon_threadsafe(self._loop.stop)
        loop.join()
        self._loop.close()

    def run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Call one step of a mail on the gate's loop and wait for its result."""

        async def call() -> Any:
            result = step(*arguments)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


class _Session:
    """One connection of the MTA, in its libmilter thread; each method is a callback and returns what is answered."""

    def __init__(self, door: Door, ctx: Any) -> None:
        self._door = door
        self._ctx = ctx
        self._agreement = wire.Agreement(wire.NEWEST_VERSION, wire.Actions(0), wire.Steps(0))
        self._session = Session()
        self._transaction: Transaction | None = None
        self._fields: list[Header] = []
        self._in_content = False
        ctx.setpriv(self)

    def negotiate(self, options: list[int]) -> int:
        gate = self._door.gate()
        wanted = wish(gate.policy, gate.states() or {}, self._door.is_unix)
        actions = wire.Actions(options[0] & wanted.actions)
        steps = wire.Steps(options[1] & wanted.steps)
        self._agreement = wire.Agreement(wire.NEWEST_VERSION, actions, steps)
        if actions & wire.Actions.SET_MACRO_LIST:
            for stage, names in wanted.macros:
                if names:
                    self._ctx.setsymlist(int(stage), names)
        options[:] = [int(actions), int(steps), 0, 0]
        return _CONTINUE

    def connect(self, name: str, family: int, address: Any) -> int:
        is_ip = family in (socket.AF_INET, socket.AF_INET6)
        daemon_name = self._macro("{daemon_name}")
        self._session = Session("", address[0] if is_ip else "", name, "", daemon_name, mta=self._macro("j"))
        return self._continue(wire.CONNECT)

    def hello(self, name: str) -> int:
        self._session.helo = name
        return self._continue(wire.HELO)

    def mail(self, path: bytes, *arguments: bytes) -> int:
        self.forget()
        login = self._macro("{auth_authen}")
        gate = self._door.gate()
        known = self._session
        session = Session(
            hook_of(self._door.hooks, known.daemon_name, login),
            known.client_ip,
            known.client_name,
            known.helo,
            known.daemon_name,
            gate.services.node or known.mta,
            known.mta,
        )
        self._transaction = transaction = Transaction(gate, session)
        said = self._macro("{mail_addr}")
        return self._early(wire.MAIL, self._door.run(transaction.mail, path, arguments, login, time.time(), said))

    def recipient(self, path: bytes, *arguments: bytes) -> int:
        transaction = self._transaction
        if transaction is None:
            return self._continue(wire.RECIPIENT)
        said = {name: self._macro(f"{{{name}}}") for name in ("rcpt_addr", "rcpt_mailer")}
        mailbox = transaction.mailbox_of(path, *resolution_of(said))
        if not self._agreement.owes_reply(wire.RECIPIENT):
            self._door.run(transaction.add_recipient, path, arguments, mailbox)
            return self._continue(wire.RECIPIENT)
        return self._early(
            wire.RECIPIENT, self._door.run(transaction.recipient, path, time.time(), arguments, mailbox)
        )

    def data(self) -> int:
        return self._continue(wire.DATA)

    def unknown(self, command: str) -> int:
        return self._continue(wire.UNKNOWN)

    def header(self, name: str, value: bytes) -> int:
        if not self._agreement.steps & wire.Steps.LEADING_SPACE:
            value = b" " + value
        self._fields.append((name.encode("utf-8", "surrogateescape"), value))
        return self._continue(wire.HEADER)

    def end_of_headers(self) -> int:
        self._begin_content()
        return self._continue(wire.END_OF_HEADERS)

    def body(self, chunk: bytes) -> int:
        transaction = self._begin_content()
        verdict = self._door.run(transaction.body, chunk, 0, len(chunk), time.time()) if transaction else None
        return self._early(wire.BODY, verdict)

    def end_of_message(self) -> int:
        transaction = self._begin_content()
        if transaction is None:
            return int(Milter.ACCEPT)
        transaction.mail_data.queue_id = self._macro("i") or transaction.mail_data.queue_id
        verdict: Verdict = self._door.run(transaction.end)
        answer = self._say(verdict)
        self.forget()
        return answer

    def abort(self) -> int:
        self.forget()
        return _CONTINUE

    def forget(self) -> None:
        """End the current message and give its space back."""
        if self._transaction is not None:
            self._door.run(self._transaction.close)
        self._transaction = None
        self._fields = []
        self._in_content = False

    def fail(self, error: Exception) -> int:
        """Answer an error of our own: 451, a traceback and an incident, never an accept."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            log.error("own error", error=str(error), exc_info=error)
            return int(Milter.TEMPFAIL)
        verdict: Verdict = self._door.run(transaction.gate.own_error, transaction.mail_data, error)
        self._door.run(transaction.close)
        return self._say(verdict)

    # -- inside -------------------------------------------------------------------------------

    def _begin_content(self) -> Transaction | None:
        transaction = self._transaction
        if transaction is not None and not self._in_content:
            transaction.mail_data.queue_id = self._macro("i")
            self._door.run(transaction.headers, self._fields, time.time())
            self._in_content = True
        return transaction

    def _macro(self, name: str) -> str:
        return self._ctx.getsymval(name) or ""

    def _continue(self, command: int) -> int:
        return _CONTINUE if self._agreement.owes_reply(command) else _NOREPLY

    def _early(self, command: int, verdict: Verdict | None) -> int:
        """Say a verdict that came before the end; none is to go on."""
        if verdict is None or self._transaction is None:
            return self._continue(command)
        return self._say(self._door.run(self._transaction.record, verdict))

    def _say(self, verdict: Verdict) -> int:
        """Tell libmilter of a verdict and return its code; what was not agreed on and matters makes it a deferral."""
        if verdict.action in (Action.REJECT, Action.TEMPFAIL):
            self._set_reply(verdict.reply)
            return _ENDINGS[verdict.action]
        if verdict.action is Action.DISCARD:
            return _ENDINGS[verdict.action]
        assert self._transaction is not None, "only a refusal is said when there is no mail"
        agreed = self._agreement.actions
        needed = wire.Actions.DELETE_RECIPIENT if verdict.recipient_replies else wire.Actions(0)
        if verdict.action is Action.QUARANTINE:
            needed |= wire.Actions.QUARANTINE
        if needed & ~agreed:
            log.error("MTA does not allow what the verdict needs", needed=str(needed), agreed=str(agreed))
            self._set_reply(OWN_ERROR_REPLY)
            return int(Milter.TEMPFAIL)
        if agreed & wire.Actions.ADD_HEADERS:
            for name, value in verdict.headers:
                self._ctx.addheader(name.decode("ascii"), " " + value.decode("ascii"))
        recipients = self._transaction.mail_data.envelope.recipients
        for recipient in verdict.recipient_replies:
            for path in recipients[recipient]:
                self._ctx.delrcpt(path.decode("utf-8", "surrogateescape"))
        if verdict.action is Action.QUARANTINE:
            self._ctx.quarantine(", ".join(sorted({f.rule for f in verdict.findings if f.decides})))
        return _ENDINGS[verdict.action]

    def _set_reply(self, reply: str) -> None:
        # b"\0\0\0\x1ay550-5.7.1 a\r\n550 5.7.1 b\0": checked, and `%` doubled, as the asyncio door does it.
        lines = wire.reply_code(reply)[5:-1].decode("ascii").split("\r\n")
        enhanced = re.match(r"\d\.\d{1,3}\.\d{1,3} ", lines[0][4:])
        skipped = 4 + (enhanced.end() if enhanced else 0)
        code = enhanced[0].rstrip() if enhanced else None
        self._ctx.setreply(lines[0][:3], code, *(line[skipped:] for line in lines))


def _calling(method: Callable[..., int]) -> Callable[..., int]:
    """Return the C callback of a session's method."""

    def call(ctx: Any, *arguments: Any) -> int:
        session: _Session = ctx.getpriv()
        try:
            return method(session, *arguments)
        except Exception as error:
            return session.fail(error)

    return call


def _close(ctx: Any) -> int:
    session: _Session | None = ctx.getpriv()
    if session is not None:
        session.forget()
        ctx.setpriv(None)
    return _CONTINUE
