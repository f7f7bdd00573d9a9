"""What is remembered of each mail that was taken in, so that a copy of it is known when it leaves (clause 4.5).

Two keys lead to one trace: the queue id that our MTA gave the mail (a copy carries it in its Received lines: it
cannot be forged), and the Message-ID (what is left where a mailbox store on another host made the copy). Both
are keyed hashes, as are the recipients: who holds the store learns from it neither a Message-ID nor to whom
a mail went, but for the official mailboxes, whose activity the store has anyway. A hash of the content goes with the
trace of what leaves: a mail that bears an earlier one's names is not that mail.

A trace is written as the activity events are: into the journal before the mail is answered, into the store with
the next group. Workers of one machine see each other's at once (ledger.fresh). Traces go after `keep_s`; where
that is 0, nothing is remembered.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from ..forwarding.lists import list_of
from ..model import Mail, Memory, Passage, Trace, Verdict, legal_text, was_judged
from ..text.addresses import home_of, listed_in, spoken_of
from ..text.received import passages_in
from .fresh import Fresh
from .store import StoreError

LATE_S = 0.4
"""How long a mail that passed one of our MTAs is given when its trace may be on its way: it is in the store within
commits.GROUP_S."""
_PENDING_S = 1.0
"""What was put into the shared page longer ago is in the store, where that is this machine's own."""
HISTORY_KEY_FILE = "history.key"  # beside the journals
MOST_NAMES = 50
"""Official mailboxes that one trace names; who else was addressed is known by hash, however many."""
_TOKENS_KEPT = 8_192  # of addresses, 3 MB at the most
_LONGEST_KEPT = 128  # letters of one; people have them of 40
_NOTHING = Memory()
_LONGEST_FROM = 2_048  # octets of From that tell who wrote a mail
_NOTICE = "mailgate-notice."  # how the Message-ID of a notice begins
_MOST_PASSAGES = 20  # Received lines of ours that are looked up: a mail that passed more of them loops


class TraceStore(Protocol):
    """The part of a store that the history needs; is_shared: other machines put traces there, too."""

    is_shared: bool

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values that are remembered under these keys."""

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> list[tuple[int, bytes]] | None:
        """Return the same where the store answers without waiting, else None."""

    async def secret(self) -> bytes:
        """Return the site's key of hashes, made once."""


class _Trace(NamedTuple):
    """What the value of a trace says. submitter, message: a token, "" for none. tokens: of all recipients.

    content: of what was in the mail, author: of who wrote it, "" where that is not known.
    """

    at: int
    hook: str
    login: str
    sender: str
    submitter: str
    message: str
    was_asked: bool
    names: tuple[str, ...]
    tokens: str
    content: str
    author: str


class History:
    """What one process knows and asks of the past; `known` once the site's key is there."""

    def __init__(
        self, store: TraceStore, fresh: Fresh, keep_s: float, key_file: Path | None = None, late_s: float = LATE_S
    ) -> None:
        self._late_s = late_s
        self._store = store
        self._fresh = fresh
        self._keep_s = keep_s
        self._key_file = key_file
        self._key = b""
        self._hasher = hashlib.blake2b(digest_size=16)
        self._tokens: dict[str, str] = {}
        self._last_message = (b"", 0, "")  # one mail's Message-ID is wanted four times in a row

    @property
    def known(self) -> bool:
        """Tell whether the site's key is known: nothing can be remembered without it."""
        return bool(self._key)

    async def load(self) -> None:
        """Have the site's key: of the store, or, while that is away, as it was kept beside the journals."""
        if self._key:
            return
        try:
            key = await self._store.secret()
        except StoreError:
            if self._key_file is None or not self._key_file.exists():
                raise
            key = self._key_file.read_bytes()
        else:
            if self._key_file is not None:
                _keep(self._key_file, key)
        self._hasher = hashlib.blake2b(key=key, digest_size=16)
        self._last_message = b"", 0, ""
        self._key = key

    # -- what is remembered -------------------------------------------------------------------

    def traces(self, mail: Mail, verdict: Verdict, now: float) -> list[Trace]:
        """Return what is to be remembered of a mail that goes on; other workers of this machine know it at once.

        Nothing at egress, where mail leaves: but for it, a copy would prove itself.
        """
        envelope, session = mail.envelope, mail.session
        if session.hook == "egress" or not self._key or not self._keep_s:
            return []
        organization, identity = mail.organization, mail.identity
        refused = verdict.recipient_replies
        names: list[str] = []
        tokens = home = ""
        for recipient in envelope.recipients:
            if recipient not in refused:
                tokens += self._token(recipient)
                if "=" in recipient and (home := home_of(recipient)):
                    # Nobody's mailbox: a bounce or an answer goes on to its author, and nothing else has business
                    # there.
                    if not envelope.sender or mail.first_header(b"auto-submitted").lower() not in (b"", b"no"):
                        tokens += self._token(home)
                elif organization.is_official(recipient) and len(names) < MOST_NAMES:
                    named = recipient if identity.is_list(recipient) else identity.account(recipient)
                    names.append(legal_text(named))
        submitter = submitter_of(mail)
        if not names and not submitter and not home:
            return []
        message_key, message_token = self._message(mail.first_header(b"message-id"))
        value = orjson.dumps(
            (
                int(now),
                session.hook,
                legal_text(envelope.login),
                legal_text(envelope.sender) if submitter else "",
                self._token(submitter) if submitter else "",
                message_token,
                mail.memory is not None,
                names,
                tokens,
                self._content(mail),
                self._author(mail),
            )
        )
        if message_key:
            self._fresh.put(message_key, value)
        if not mail.queue_id:
            return [Trace(0, message_key, value, now)] if message_key else []
        found = []
        for host in _hosts(mail):
            queue_key = self._queue_key(host, mail.queue_id)
            self._fresh.put(queue_key, value)
            found.append(Trace(queue_key, message_key, value, now))
            message_key = 0  # once is enough
        return found

    # -- what is asked ------------------------------------------------------------------------

    def settles(self, mail: Mail) -> bool:
        """Tell whether nothing need be asked for of this mail's past; passages that are known at once are filled in.

        So it is with mail that does not leave, and at egress with what an ingress of ours has judged a moment ago
        for the very same recipients.
        """
        leaving = mail.leaving() if self._keep_s else ()
        if not leaving:
            return True
        if mail.session.hook != "egress" or not self._key:
            return False
        recent: list[Passage] = []
        for host, queue_id in self._passages(mail):
            trace = self._recent(self._queue_key(host, queue_id))
            if trace is None:
                return False
            recent.append(self._passage(mail, queue_id, trace))
        mail.passages = recent
        return was_judged(recent, leaving)

    def ask_at_once(self, mail: Mail, now: float) -> bool:
        """Do what `ask` does, and tell so, where nothing must be waited for; else fill in nothing."""
        if not self._key:
            return False
        passages = self._passages(mail)
        queue_keys = [self._queue_key(host, queue_id) for host, queue_id in passages]
        message_key, _ = self._message(mail.first_header(b"message-id"))
        stored = self._store.recall_at_once(queue_keys, message_key)
        if stored is None:
            return False
        known = self._with_fresh([*queue_keys, message_key] if message_key else queue_keys, stored, now)
        if self._may_be_late(queue_keys, known):
            return False
        self._fill_in(mail, passages, known)
        return True

    async def ask(self, mail: Mail, now: float) -> None:
        """Fill in a mail's passages and memory; raises StoreError, and then has filled in nothing.

        While the store is away, what this machine remembers of the last moments may settle it.
        """
        if not self._key:
            await self.load()
        mail.passages, mail.memory = (), None
        passages = self._passages(mail)
        queue_keys = [self._queue_key(host, queue_id) for host, queue_id in passages]
        message_key, _ = self._message(mail.first_header(b"message-id"))
        keys = [*queue_keys, message_key] if message_key else queue_keys
        try:
            known = await self._recall(keys, now)
            if self._may_be_late(queue_keys, known):
                await asyncio.sleep(self._late_s)
                known = await self._recall(keys, now)
        except StoreError:
            if not self.settles(mail):
                mail.passages = ()
                raise
        else:
            self._fill_in(mail, passages, known)

    async def _recall(self, keys: Sequence[int], now: float) -> dict[int, list[_Trace]]:
        return self._with_fresh(keys, await self._store.recall(keys), now) if keys else {}

    def _with_fresh(
        self, keys: Sequence[int], stored: Sequence[tuple[int, bytes]], now: float
    ) -> dict[int, list[_Trace]]:
        """Return by key what the store has, and what this machine has not yet brought there; oldest first."""
        found = [(key, _read(value)) for key, value in stored]
        found += [(key, self._recent(key)) for key in keys]
        known: dict[int, list[_Trace]] = {}
        for key, trace in found:
            if trace is not None and trace.at >= now - self._keep_s:
                traces = known.setdefault(key, [])
                if trace not in traces:
                    traces.append(trace)
        for traces in known.values():
            traces.sort(key=_time_of)
        return known

    def _recent(self, key: int) -> _Trace | None:
        value = self._fresh.get(key)
        return None if value is None else _read(value)

    def _may_be_late(self, queue_keys: Sequence[int], known: dict[int, list[_Trace]]) -> bool:
        """Tell whether a mail passed an MTA of ours and what is to be known of that may be in the store in a moment.

        So it may where another node took the mail in, or a worker of this one and the shared page has no room for it.
        Else it was never remembered: each mail that a content filter is given bears such a line of its own.
        """
        if not queue_keys or self._late_s <= 0 or any(key in known for key in queue_keys):
            return False
        return self._store.is_shared or any(self._fresh.may_lack(key, _PENDING_S) for key in queue_keys)

    def _fill_in(self, mail: Mail, passages: Sequence[tuple[str, str]], known: dict[int, list[_Trace]]) -> None:
        found = []
        for host, queue_id in passages:
            for trace in known.get(self._queue_key(host, queue_id), ())[-1:]:  # an id used again: the newest
                found.append(self._passage(mail, queue_id, trace))
        mail.passages = found
        mail.memory = self._memory(mail, known) if known else _NOTHING
        mail.is_own_notice = self._is_own_notice(mail)

    def _passages(self, mail: Mail) -> list[tuple[str, str]]:
        hosts = mail.organization.hostnames
        if mail.session.mta:
            hosts |= {mail.session.mta.lower()}
        found = mail.once("passages", lambda: passages_in(mail.header_values(b"received"), hosts))
        return found[:_MOST_PASSAGES]

    def _passage(self, mail: Mail, queue_id: str, trace: _Trace) -> Passage:
        _, token = self._message(mail.first_header(b"message-id"))
        return Passage(
            queue_id,
            trace.hook,
            trace.login,
            trace.sender,
            trace.names,
            self._addressed(mail, trace.tokens),
            trace.message in (token, ""),
            trace.was_asked,
            bool(trace.content) and trace.content == self._content(mail),
        )

    def _memory(self, mail: Mail, known: dict[int, list[_Trace]]) -> Memory:
        message_key, _ = self._message(mail.first_header(b"message-id"))
        mailboxes: list[str] = []
        addressed: frozenset[str] = frozenset()
        was_submitted = is_submitter = False
        own = self._token(submitter_of(mail))
        author = self._author(mail)
        own_names = {legal_text(mail.identity.account(one)) for one in _authors(mail)}
        for trace in known.get(message_key, ()):
            if author and trace.author not in ("", author) and own_names.isdisjoint(trace.names):
                continue  # another's mail under the same Message-ID: a copy keeps From, or has its owner's
            mailboxes += trace.names
            if trace.submitter:
                addressed |= self._addressed(mail, trace.tokens)
                was_submitted = True
                is_submitter = is_submitter or trace.submitter == own
        return Memory(tuple(dict.fromkeys(mailboxes)), was_submitted, is_submitter, addressed)

    def _addressed(self, mail: Mail, tokens: str) -> frozenset[str]:
        return frozenset(recipient for recipient in mail.envelope.recipients if self._token(recipient) in tokens)

    # -- notices of our own -------------------------------------------------------------------

    def notice_id(self, content: bytes, domain: str) -> str:
        """Return a Message-ID that proves a notice to be ours; "" while the site's key is not known.

        content: its hash (content_hash): whoever copies the Message-ID has no more than the notice itself to send.
        """
        return f"<{_NOTICE}{self._proof(content)}@{domain}>" if self._key else ""

    def _is_own_notice(self, mail: Mail) -> bool:
        message_id = mail.first_header(b"message-id")
        if not mail.digest or not message_id.startswith(f"<{_NOTICE}".encode()):
            return False
        return hmac.compare_digest(
            message_id[len(_NOTICE) + 1 :].partition(b"@")[0], self._proof(mail.digest).encode()
        )

    def _proof(self, content: bytes) -> str:
        return self._digest(b"n" + content).hex()

    # -- hashes -------------------------------------------------------------------------------

    def _queue_key(self, host: str, queue_id: str) -> int:
        return _number(self._digest(f"q{host}\0{queue_id}".encode("utf-8", "surrogateescape")))

    def _message(self, message_id: bytes) -> tuple[int, str]:
        """Return the key of a Message-ID and its token, 0 and "" for none."""
        if not message_id:
            return 0, ""
        known, key, token = self._last_message
        if known != message_id:
            digest = self._digest(b"m" + message_id)
            key, token = _number(digest), digest[8:14].hex() + ","
            self._last_message = message_id, key, token
        return key, token

    def _author(self, mail: Mail) -> str:
        """Return a token for who wrote a mail, "" where From is a list's bounce address and says nothing of that."""
        authors = _authors(mail)
        return "" if any(map(list_of, authors)) else self._token(",".join(authors))

    def _content(self, mail: Mail) -> str:
        """Return 16 digits for what is in a mail, "" where that is not known."""
        return self._digest(b"c" + mail.digest)[:8].hex() if mail.digest else ""

    def _token(self, text: str) -> str:
        """Return 12 digits for an address, a comma behind them, so that one is found among many."""
        token = self._tokens.get(text)
        if token is None:
            token = self._digest(b"t" + text.encode("utf-8", "surrogateescape"))[:6].hex() + ","
            if len(text) <= _LONGEST_KEPT:
                if len(self._tokens) >= _TOKENS_KEPT:
                    self._tokens.clear()
                self._tokens[text] = token
        return token

    def _digest(self, octets: bytes) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(octets)
        return hasher.digest()


def _read(value: bytes) -> _Trace | None:
    """Return what a value says; one of another form than `traces` writes is None, as if it were not there.

    A value of before contents, or authors, were known has none.
    """
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    match fields:
        case [
            int() as at,
            str() as hook,
            str() as login,
            str() as sender,
            str() as submitter,
            str() as message,
            bool() as was_asked,
            list() as names,
            str() as tokens,
            *more,
        ] if len(more) <= 2 and all(isinstance(text, str) for text in (*names, *more)):
            content, author = [*more, "", ""][:2]
            return _Trace(
                at, hook, login, sender, submitter, message, was_asked, tuple(names), tokens, content, author
            )
    return None


def _authors(mail: Mail) -> tuple[str, ...]:
    return listed_in(mail.first_header(b"from")[:_LONGEST_FROM])


def _time_of(trace: _Trace) -> int:
    return trace.at


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big", signed=True)


def submitter_of(mail: Mail) -> str:
    """Return who of ours hands this mail over: the login, or, of a client without one, client and sender; else ""."""
    if mail.envelope.login:
        return mail.account
    if not mail.is_ours:
        return ""
    sender = mail.envelope.sender
    if "=" in sender:  # one mailing, whose bounces are told apart by the member
        spoken = spoken_of(sender)
        sender = spoken.forwarder if spoken.scheme == "verp" else sender
    return f"{mail.session.client_ip or 'local'} {sender}"


def _keep(file: Path, key: bytes) -> None:
    """Write the site's key for a start without the store, where it is not written yet."""
    with contextlib.suppress(OSError):  # the next start asks the store
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(descriptor, key)
        os.close(descriptor)


def _hosts(mail: Mail) -> Iterable[str]:
    """Return the names under which the MTA may write this mail's Received line."""
    return [mail.session.mta.lower()] if mail.session.mta else sorted(mail.organization.hostnames)
