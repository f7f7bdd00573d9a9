"""Automatic forwarding between an official mailbox and one not issued by a state body (clause 4.5).

Forbidden both ways: `out`, from an official mailbox to one that no state body issued, and `in`, the
reverse. Judged for each recipient. Evidence is what the mechanisms of forwarding leave behind: hard
evidence names this recipient or the forwarding mailbox and fits the direction, and decides; soft
evidence alone is recorded. Two different soft marks that only forwarding leaves make each other hard.

What a mail's author cannot forge stands above what its headers say (ledger.history): a queue id of ours in its
Received lines joins it with what it was when we took it in, and its Message-ID with the mailboxes that such a
mail was delivered to. A recipient to whom it was not addressed then gets a copy that something of ours made.

Not counted: a person's forward (a new message; `Fwd:` and an attached message say nothing), mailing
lists unless the evidence names this very recipient, automatic replies and reports, Resent-* with a
Resent-Message-ID from an authenticated owner, an X-Forwarded-For that holds IP addresses, and
everything between mailboxes of state bodies. A mark can be forged, so none ever exempts: that a state body
forwards must be proven by its network, SPF, DKIM or ARC (mail.proofs).

The egress hop shows what no other sees (a copy made by aliases or .forward): there and on non-SMTP
mail, a mail that is neither from nor to one of our mailboxes is a relayed copy.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mailgate.model import (
    AFTER_EXPANSION,
    Action,
    Evidence,
    Mail,
    Memory,
    Organization,
    Passage,
    domain_of,
    mailbox_of,
    was_judged,
)
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.addresses import is_bounce_home, mailboxes_in, spoken_of
from mailgate.text.received import received_for

LONGEST_VALUE = 200  # of a header, in evidence: an address and little more
_MOST_SHOWN = 3  # official mailboxes that one piece of evidence names

# Headers that name the mailbox whose owner forwards, and are left by nothing else.
_NAMES_FORWARDER = (b"x-sieve-redirected-from", b"x-zimbra-forwarded")

# Headers that name who forwards, then to whom.
_PAIRS = (b"x-forwarded-for", b"x-yahoo-forwarded")
_PAIRS_SET = frozenset(_PAIRS)
_NO_CLAIM: frozenset[str] = frozenset()

# Marks that say "forwarded" without saying to whom or whence: Microsoft's may change and are never enough
# alone; Resent-From is also a person's redirect.
_MARKS = (
    b"x-ms-exchange-inbox-rules-loop",
    b"x-ms-exchange-forwardingloop",
    b"x-loop",
    b"x-forwarded-encrypted",
)
_PROVIDER_MARKS = {
    b"x-yandex-forward": (".yandex.net", ".yandex.ru", ".yandex.com"),
    b"x-mailru-forward": (".mail.ru", ".smailru.net"),
}
_LOOPS_OF_TRACE = (b"delivered-to", b"x-original-to", b"envelope-to")
_EVIDENCE = frozenset(
    (
        *_NAMES_FORWARDER,
        *_MARKS,
        *_PROVIDER_MARKS,
        *_LOOPS_OF_TRACE,
        *_PAIRS,
        b"x-forwarded-to",
        b"x-ms-exchange-generated-message-source",
        b"x-ms-exchange-organization-autoforwarded",
        b"auto-submitted",
        b"resent-from",
    )
)  # with the sender and the first Received line, all that an outside client's mail can show

# How mail programs begin the subject of what a person forwards.
_FORWARDED_BY_HAND = re.compile(r"\s*(?:\[fwd:|fwd?:|fw:|chuyển tiếp:|chuyen tiep:)", re.IGNORECASE)

OUT, IN, WITHIN_STATE, HUMAN, LIST, AUTO_REPLY, REPORT, NONE = CLASSES = (
    "out",
    "in",
    "within-state",
    "human",
    "list",
    "auto-reply",
    "report",
    "none",
)
"""What a recipient's copy of a mail is: an automatic forward out of or into the official mailboxes, one between state
bodies, what a person forwards or redirects, a mailing list's, an automatic reply, a report on delivery or reading."""


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.auto-forward].

    copy_action: what an enforced finding does at the hooks egress and non-smtp, where a refusal is a bounce: to the
    outside author, with the forward's target in it, or to a mailbox whose forward begins anew, for ever. `reject`
    there holds what must not be bounced: the null sender's mail and copies that are automatic themselves.
    """

    NAME = "auto-forward"
    CLAUSE = "QD27/2023 4.5"
    REPLY = (
        "550 5.7.1 Automatic forwarding between an official mailbox and a mailbox not issued by a state body "
        "is forbidden\nKhong duoc tu dong chuyen tiep giua hop thu cong vu va hop thu khong do co quan nha "
        "nuoc cap (khoan 5 Dieu 4 QD 27/2023)"
    )
    NEEDS = "history"

    copy_action: Literal[Action.QUARANTINE, Action.DISCARD, Action.REJECT] = Action.QUARANTINE

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge each recipient by what was remembered, by envelope and headers."""
        return () if _says_nothing(mail) else self._look(mail)

    def claims(self, mail: Mail) -> frozenset[str]:
        """Return the domains of state bodies that claim to forward to us, and of exempt counterparts."""
        if mail.is_ours or (
            "=" not in mail.envelope.sender and not mail.exemptions and _PAIRS_SET.isdisjoint(mail.names)
        ):
            return _NO_CLAIM
        return _NO_CLAIM if _says_nothing(mail) else frozenset(_claims(mail))

    def classes(self, mail: Mail) -> Mapping[str, str]:
        """Return each recipient's class, one of CLASSES."""
        seen = _Seen(mail)
        return {recipient: _judge(mail, seen, recipient).kind for recipient in mail.envelope.recipients}

    def _look(self, mail: Mail) -> Iterator[Hit]:
        seen = _Seen(mail)
        for recipient in mail.envelope.recipients:
            judged = _judge(mail, seen, recipient)
            if judged.pieces:
                action = self._action(mail, seen, judged)
                yield Hit(judged.pieces, recipient, judged.direction, action, mailboxes=judged.mailboxes)

    def _action(self, mail: Mail, seen: "_Seen", judged: "_Judged") -> Action | None:
        """Return what follows where it is not the stanza's own action."""
        if judged.direction == IN and seen.waits_for_proof(judged):
            return Action.TEMPFAIL
        if mail.session.hook not in AFTER_EXPANSION:
            return None
        if self.copy_action is Action.REJECT and seen.must_not_bounce:
            return Action.QUARANTINE
        return self.copy_action


def _says_nothing(mail: Mail) -> bool:
    """Tell quickly that a mail holds no evidence at all, as nearly every one from outside does."""
    envelope, session = mail.envelope, mail.session
    if "=" in envelope.sender or not _EVIDENCE.isdisjoint(mail.names):
        return False
    if envelope.login or session.hook in AFTER_EXPANSION:
        return False
    if mail.organization.is_internal(session.client_ip):
        return False
    received = mail.header_values(b"received")
    if received and b"(fetchmail-" in received[0]:
        return False
    return not any(b"for " in value and _is_foreign_trace(mail.organization, value) for value in received)


@dataclass(slots=True)
class _Judged:
    """What one recipient's copy is, by what evidence, and the official mailboxes it speaks of."""

    kind: str
    direction: str = ""
    pieces: tuple[Evidence, ...] = ()
    mailboxes: tuple[str, ...] = ()


class _Seen:
    """What holds for all recipients of one mail: its headers by name, and what kind of mail it is."""

    def __init__(self, mail: Mail, believes: bool = False) -> None:
        self.mail = mail
        self.believes = believes  # what state bodies are said to have forwarded, without proof
        self.headers: dict[bytes, list[bytes]] = {}
        for name, (_, value) in zip(mail.names, mail.headers, strict=True):
            self.headers.setdefault(name, []).append(value)
        envelope = mail.envelope
        self.is_ours = mail.is_ours
        self.is_list = b"list-id" in self.headers or b"list-post" in self.headers
        submitted = self.first(b"auto-submitted").lower()
        kind = self.first(b"content-type").lower()
        self.says_forwarded = submitted.startswith(b"auto-forwarded")
        is_report = kind.startswith((b"multipart/report", b"message/delivery-status"))
        self.is_report = is_report and (not envelope.sender or bool(envelope.login))
        self.is_reply = submitted.startswith((b"auto-replied", b"auto-notified"))
        login = _login_mailbox(mail)
        # A person's redirect: RFC 5322 section 3.6.6 gives it an identity of its own, and names who did it.
        self.is_persons_resend = (
            bool(login)
            and b"resent-message-id" in self.headers
            and login in map(mail.organization.account, mailboxes_in(self.first(b"resent-from")))
        )

    def first(self, name: bytes) -> bytes:
        """Return the first field of this name, stripped, b"" when there is none."""
        values = self.headers.get(name)
        return values[0].strip() if values else b""

    def is_reply_of(self, account: str) -> bool:
        """Tell whether this is a filter's reply or notice: from the account itself, in reply to something.

        A redirect keeps the author's From.
        """
        authors = mailboxes_in(self.first(b"from"))
        return b"in-reply-to" in self.headers and account in authors

    @property
    def must_not_bounce(self) -> bool:
        """Tell whether a bounce would go to nobody, or to a mailbox of ours whose forward makes the next copy."""
        mail = self.mail
        sender = _plain_sender(mail.envelope.sender)
        if (
            not sender
            or mail.organization.is_official(sender)
            or self.first(b"auto-submitted").lower() not in (b"", b"no")
        ):
            return True
        own = mail.organization.is_official
        return any(own(box) for value in self.headers.get(b"delivered-to", ()) for box in mailboxes_in(value))

    def is_proven(self, mailbox: str) -> bool:
        """Tell whether a mailbox is a state body's, and this mail came from there."""
        if not self.mail.organization.is_state(mailbox):
            return False
        return self.believes or self.is_ours or bool(self.mail.proofs.get(domain_of(mailbox)))

    def waits_for_proof(self, judged: _Judged) -> bool:
        """Tell whether nothing but a proof that DNS trouble kept away would let this mail through."""
        mail = self.mail
        if "dns" not in mail.missing or not any(piece.hard for piece in judged.pieces):
            return False
        believing = _Seen(mail, believes=True)
        return all(_judge(mail, believing, recipient).kind != IN for recipient in mail.envelope.recipients)


def _judge(mail: Mail, seen: _Seen, recipient: str) -> _Judged:
    organization = mail.organization
    if organization.is_official(recipient):
        if not mail.envelope.login and not seen.is_reply and not seen.is_report:
            return _weighed(mail, seen, recipient, IN, _find_in(mail, seen, recipient), ())
    elif not organization.is_state(recipient) and seen.is_ours:
        pieces, mailboxes = _find_out(mail, seen, recipient)
        return _weighed(mail, seen, recipient, OUT, pieces, mailboxes)
    return _Judged(_plain_class(mail, seen, recipient))


def _weighed(
    mail: Mail, seen: _Seen, recipient: str, direction: str, pieces: list[Evidence], mailboxes: Iterable[str]
) -> _Judged:
    """Let two soft marks make each other hard, and a mailing list's own marks count for nothing."""
    marks = {piece.name for piece in pieces if not piece.hard and piece.kind == "mark"}
    if len(marks) > 1:
        pieces = [replace(piece, hard=True) if piece.kind == "mark" else piece for piece in pieces]
    remembered = any(piece.kind in ("passage", "memory") for piece in pieces)
    if seen.is_list and not remembered and not any(p.hard and recipient in p.value.lower() for p in pieces):
        pieces = []
    shown = tuple(_named_kind(piece) if piece.kind == "mark" else piece for piece in pieces)
    kind = direction if any(piece.hard for piece in shown) else _plain_class(mail, seen, recipient)
    named = mailboxes if direction == OUT else (mail.organization.account(recipient),)
    return _Judged(kind, direction if shown else "", shown, tuple(dict.fromkeys(named)) if shown else ())


def _plain_class(mail: Mail, seen: _Seen, recipient: str) -> str:
    """Say what a copy is that is no forbidden forward."""
    if seen.is_report:
        return REPORT
    if seen.is_reply:
        return AUTO_REPLY
    if seen.is_list or spoken_of(mail.envelope.sender).scheme == "verp":
        return LIST
    if seen.is_persons_resend or _FORWARDED_BY_HAND.match(seen.first(b"subject")[:40].decode("utf-8", "replace")):
        return HUMAN
    is_state = mail.organization.is_state
    if is_state(recipient):
        named = [
            box for name in _NAMES_FORWARDER for value in seen.headers.get(name, ()) for box in mailboxes_in(value)
        ]
        spoken = spoken_of(mail.envelope.sender)
        if any(map(is_state, named)) or (spoken.scheme in ("srs", "caf") and is_state(f"x@{spoken.by}")):
            return WITHIN_STATE
        if mail.passages and recipient not in mail.passages[0].addressed:
            return WITHIN_STATE
    return NONE


def _is_foreign_trace(organization: Organization, value: bytes) -> bool:
    """Tell whether a Received line may speak of a delivery to a mailbox that no state body issued."""
    start = value.find(b"for <")
    if start >= 0 and value.count(b"for ") == 1:  # as nearly always: no need to look where it stands
        mailbox = mailbox_of(value[start + 5 : value.find(b">", start)])
    else:
        mailbox = received_for(value)
    return bool(mailbox) and not organization.is_state(mailbox)


def _named_kind(piece: Evidence) -> Evidence:
    return replace(piece, kind="envelope" if piece.name == "MAIL FROM" else "header")


# -- in: from a mailbox that no state body issued -------------------------------------------------


def _claims(mail: Mail) -> Iterator[str]:
    """Return who claims to forward: the domain that rewrote the sender, and the forwarder of a pair of headers."""
    organization = mail.organization
    spoken = spoken_of(mail.envelope.sender)
    if spoken.scheme in ("caf", "srs") and organization.is_state(f"x@{spoken.by}"):
        yield spoken.by
    for name in _PAIRS:
        for value in mail.header_values(name):
            for forwarder in mailboxes_in(value)[:1]:
                if organization.is_state(forwarder):
                    yield domain_of(forwarder)
    for exemption in mail.exemptions:
        if exemption.rule == Stanza.NAME and exemption.counterpart:
            yield domain_of(exemption.counterpart) or exemption.counterpart


def _envelope_in(mail: Mail, seen: _Seen, recipient: str) -> Iterator[Evidence]:
    """Read a sender that was rewritten on the way: Gmail's target, SRS' author."""
    organization, envelope = mail.organization, mail.envelope
    spoken = spoken_of(envelope.sender)
    if seen.is_proven(f"x@{spoken.by}"):
        return
    path = envelope.sender
    if spoken.scheme == "caf":
        yield Evidence("envelope", "MAIL FROM", path, hard=_is_target(mail, spoken.named, recipient))
    elif spoken.scheme == "srs" and not organization.is_state(f"x@{spoken.by}"):
        # Our own author's mail comes back from a forwarder outside: that names an official mailbox.
        hard = bool(spoken.named) and organization.is_official(spoken.named)
        yield Evidence("envelope" if hard else "mark", "MAIL FROM", path, hard=hard)


def _find_in(mail: Mail, seen: _Seen, recipient: str) -> list[Evidence]:
    organization = mail.organization
    is_foreign = _is_foreign(organization)
    pieces = list(_envelope_in(mail, seen, recipient))
    pieces += _forwarded_pair(mail, seen, recipient, is_foreign)
    for name in _NAMES_FORWARDER:
        for value in seen.headers.get(name, ()):
            for account in mailboxes_in(value):
                if is_foreign(account) and not seen.is_reply_of(account):
                    pieces.append(_header(name, value))
    pieces += _marks(mail, seen)
    for name in _LOOPS_OF_TRACE:
        for value in seen.headers.get(name, ()):
            if any(is_foreign(mailbox) for mailbox in mailboxes_in(value)):
                pieces.append(_header(name, value, hard=False))
    for value in seen.headers.get(b"received", ()):
        mailbox = received_for(value)
        if mailbox and not organization.is_state(mailbox):
            pieces.append(Evidence("header", "Received", f"for <{mailbox}>", hard=False))
    return pieces


def _is_foreign(organization: Organization) -> Callable[[str], bool]:
    return lambda mailbox: not organization.is_state(mailbox)


def _is_target(mail: Mail, named: str, recipient: str) -> bool:
    """Tell whether evidence that names this mailbox speaks of this recipient.

    So it does when it names him, under a sub-address too, or an official mailbox that is no recipient itself:
    then an alias came between.
    """
    organization = mail.organization
    account = organization.account
    if account(named) == account(recipient):
        return True
    return organization.is_official(named) and named not in mail.envelope.recipients


def _forwarded_pair(
    mail: Mail, seen: _Seen, recipient: str, forwarder_is: Callable[[str], bool]
) -> Iterator[Evidence]:
    """Read Gmail's `X-Forwarded-For: <mailbox> <target>...` and `X-Forwarded-To: <target>`, and Yahoo's.

    The proxies' X-Forwarded-For of HTTP holds IP addresses, no mailboxes.
    """
    named_forwarders = []
    for name in _PAIRS:
        for value in seen.headers.get(name, ()):
            forwarder, *targets = mailboxes_in(value) or [""]
            if forwarder:
                named_forwarders.append(forwarder)
            if (
                forwarder
                and forwarder_is(forwarder)
                and any(_is_target(mail, target, recipient) for target in targets)
            ):
                yield _header(name, value)
    # Who forwards stands in the other header; where that names only state bodies that this came from, it is theirs.
    others = [forwarder for forwarder in named_forwarders if forwarder_is(forwarder) or not seen.is_proven(forwarder)]
    fits = not named_forwarders or bool(others)
    for value in seen.headers.get(b"x-forwarded-to", ()):
        if fits and any(_is_target(mail, target, recipient) for target in mailboxes_in(value)):
            yield _header(b"x-forwarded-to", value)


# -- out: from an official mailbox -----------------------------------------------------------------


def _find_out(mail: Mail, seen: _Seen, recipient: str) -> tuple[list[Evidence], list[str]]:
    """Return the evidence that a copy leaves by itself, and the official mailboxes that it may come from."""
    organization, envelope = mail.organization, mail.envelope
    is_official = organization.is_official
    passages = mail.passages
    if mail.session.hook == "egress" and was_judged(passages, [recipient]):
        return [], []
    pieces: list[Evidence] = []
    mailboxes: list[str] = []

    def add(piece: Evidence, *named: str) -> None:
        pieces.append(piece)
        mailboxes.extend(organization.account(box) for box in named if is_official(box))

    if not seen.is_persons_resend:
        _remembered(mail, seen, recipient, add)
    if not seen.is_reply and not seen.is_report:
        for name in _NAMES_FORWARDER:
            for value in seen.headers.get(name, ()):
                for account in mailboxes_in(value):
                    if is_official(account) and not seen.is_reply_of(account):
                        add(_header(name, value), account)
        for piece in _forwarded_pair(mail, seen, recipient, is_official):
            add(piece, *mailboxes_in(piece.value.encode())[:1])
        for piece in _marks(mail, seen):
            add(piece, envelope.login)
        spoken = spoken_of(envelope.sender)
        if spoken.scheme in ("srs", "caf") and organization.is_official_domain(spoken.by):
            add(Evidence("envelope", "MAIL FROM", envelope.sender))
        if not seen.is_persons_resend:
            _trace_of_ours(mail, seen, recipient, add)
        original = envelope.originals.get(recipient, "")
        if seen.mail.session.hook in AFTER_EXPANSION and is_official(original) and original not in organization.lists:
            add(Evidence("envelope", "ORCPT", original), original)
        _relayed(mail, recipient, add)
    login = _login_mailbox(mail)
    if pieces and login:
        if not any(piece.kind == "login" for piece in pieces):
            add(Evidence("login", "auth_authen", login, hard=False))
        mailboxes.insert(0, login)
    return pieces, mailboxes


def _remembered(mail: Mail, seen: _Seen, recipient: str, add: Callable[..., None]) -> None:
    """Look at what was remembered of this mail: no header of it can change that.

    A passage of a mailing list of ours says nothing of its members. The newest passage that did not address this
    recipient shows the mailboxes that the copy comes from.
    """
    lists = mail.organization.lists
    for passage in mail.passages:
        if recipient in passage.addressed:
            continue
        if passage.mailboxes and lists.issuperset(passage.mailboxes):
            return
        sources = [box for box in passage.mailboxes if box not in lists] or [passage.login or passage.sender]
        add(Evidence("passage", "Received", f"id {passage.queue_id}, for {_shown(sources)}"), *sources)
        break
    memory = mail.memory
    if memory is None or memory.is_submitter or recipient in memory.addressed:
        return
    if seen.is_list and not lists.isdisjoint(memory.mailboxes):
        return
    sources = [box for box in memory.mailboxes if box not in lists]
    if login := _login_mailbox(mail):
        sources = [box for box in sources if box == login]
    if sources:
        add(Evidence("memory", "Message-ID", f"was delivered to {_shown(sources)}"), *sources)
    elif memory.was_submitted and not memory.mailboxes and not mail.passages and mail.session.hook == "egress":
        # All that leaves was taken in for somebody: a blind copy was not, and has no Received line of ours to say so.
        sender = _plain_sender(mail.envelope.sender)
        add(Evidence("memory", "Message-ID", "was submitted for others"), sender)


def _shown(mailboxes: list[str]) -> str:
    more = f" and {len(mailboxes) - _MOST_SHOWN} more" if len(mailboxes) > _MOST_SHOWN else ""
    return ", ".join(mailboxes[:_MOST_SHOWN]) + more


def _relayed(mail: Mail, recipient: str, add: Callable[..., None]) -> None:
    """Find a mail that is neither from nor to one of our mailboxes, and that no ingress of ours took in for him."""
    sender = mail.envelope.sender
    if mail.session.hook != "egress" or not sender or mail.organization.is_official(_plain_sender(sender)):
        return
    known = [passage.addressed for passage in mail.passages] + ([mail.memory.addressed] if mail.memory else [])
    if not is_bounce_home(recipient) and not any(recipient in addressed for addressed in known):
        add(Evidence("envelope", "MAIL FROM", sender))


def _plain_sender(sender: str) -> str:
    spoken = spoken_of(sender)
    return spoken.named if spoken.scheme == "batv" else sender


def _login_mailbox(mail: Mail) -> str:
    """Return the official mailbox of the login, "" when it has none."""
    login = mail.envelope.login
    return mail.organization.account(login) if login and mail.organization.is_official(login) else ""


def _trace_of_ours(mail: Mail, seen: _Seen, recipient: str, add: Callable[..., None]) -> None:
    """Find traces that this mail was delivered to an official mailbox before it left for outside."""
    organization = mail.organization
    for name in _LOOPS_OF_TRACE:
        for value in seen.headers.get(name, ()):
            for mailbox in mailboxes_in(value):
                if organization.is_official(mailbox) and mailbox not in organization.lists:
                    add(_header(name, value, hard=not mail.envelope.login), mailbox)
    for value in seen.headers.get(b"received", ()):
        mailbox = received_for(value, organization.hostnames)
        if mailbox and organization.is_official(mailbox) and mailbox not in organization.lists:
            add(Evidence("header", "Received", f"for <{mailbox}>", hard=True), mailbox)


# -- marks -----------------------------------------------------------------------------------------


def _marks(mail: Mail, seen: _Seen) -> Iterator[Evidence]:
    """Find what says "forwarded" and names nobody; our own authenticated user's own word is hard."""
    own_word = bool(_login_mailbox(mail)) and not seen.is_persons_resend
    if seen.says_forwarded:
        yield Evidence("mark", "Auto-Submitted", "auto-forwarded", hard=own_word)
    if seen.first(b"x-ms-exchange-organization-autoforwarded").lower() == b"true":
        yield Evidence("mark", "X-MS-Exchange-Organization-AutoForwarded", "true", hard=own_word)
    for name in _MARKS:
        if value := seen.first(name):
            yield replace(_header(name, value, hard=False), kind="mark")
    source = seen.first(b"x-ms-exchange-generated-message-source")
    if b"rules" in source.lower():  # Mailbox Rules Agent; other agents write it on replies and reports
        yield replace(_header(b"x-ms-exchange-generated-message-source", source, hard=False), kind="mark")
    for name, hosts in _PROVIDER_MARKS.items():
        if value := seen.first(name):
            from_provider = mail.session.client_name.lower().endswith(hosts)
            yield replace(_header(name, value, hard=from_provider), kind="mark")
    if b"(fetchmail-" in seen.first(b"received"):
        yield Evidence("mark", "Received", "fetchmail", hard=False)
    if not seen.is_persons_resend and (value := seen.first(b"resent-from")):
        # With an identity of its own it is a person's act as likely as not, and counts for nothing else.
        piece = _header(b"resent-from", value, hard=False)
        yield piece if b"resent-message-id" in seen.headers else replace(piece, kind="mark")


def _header(name: bytes, value: bytes, hard: bool = True) -> Evidence:
    text = b" ".join(value[:1_000].split()).decode("utf-8", "replace")[:LONGEST_VALUE]
    return Evidence("header", name.decode("ascii").title().replace("X-Ms-", "X-MS-"), text, hard)


_GMAIL = b"X-Forwarded-To: ptp.bl@hanam.gov.vn\r\nX-Forwarded-For: a@gmail.com ptp.bl@hanam.gov.vn\r\n"
_CAF_SENDER = "a+caf_=ptp.bl=hanam.gov.vn@gmail.com"
_LETTER = b"From: Lan <lan@example.com>\r\nSubject: Bao cao\r\nMessage-ID: <1@example.com>\r\n"
_INSIDE = "10.1.1.5"
_SIEVE = b"X-Sieve-Redirected-From: ptp.bl@hanam.gov.vn\r\n"
_ZIMBRA = b"X-Zimbra-Forwarded: ptp.bl@hanam.gov.vn\r\n"


def _example(title: str, wants: Action, headers: bytes = b"", **others: object) -> Example:
    return Example(title, wants, headers + _LETTER + b"\r\nKinh gui.\r\n", **others)  # type: ignore[arg-type]


_OUT = ("lan@gmail.com",)
_PASSAGE = Passage("4Cw3Jx2yZz", "mx", "", "", ("ptp.bl@hanam.gov.vn",), frozenset(), is_same=True, was_asked=True)
_DELIVERED = Memory(("ptp.bl@hanam.gov.vn",))
_STATE_PAIR = b"X-Forwarded-To: ptp.bl@hanam.gov.vn\r\nX-Forwarded-For: vp@ninhbinh.gov.vn ptp.bl@hanam.gov.vn\r\n"
_PROVEN = {"ninhbinh.gov.vn": "spf"}

EXAMPLES = (
    _example("Gmail forwards to us, headers", Action.REJECT, _GMAIL, direction="in"),
    _example("Gmail forwards to us, envelope", Action.REJECT, sender=_CAF_SENDER, direction="in"),
    _example(
        "one of two official recipients is named",
        Action.ACCEPT,
        _GMAIL,
        recipients=("ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn"),
        finds=True,
        direction="in",
    ),
    _example(
        "an alias came between",
        Action.REJECT,
        _GMAIL,
        recipients=("stttt@hanam.gov.vn",),
        direction="in",
    ),
    _example(
        "one of two recipients is official, and named",
        Action.ACCEPT,
        _GMAIL,
        recipients=("ptp.bl@hanam.gov.vn", "c@partner.example"),
        finds=True,
        direction="in",
    ),
    _example(
        "a state body's mailbox redirects to us",
        Action.ACCEPT,
        b"X-Sieve-Redirected-From: vp@ninhbinh.gov.vn\r\n",
        client_ip="198.51.100.9",
    ),
    _example("an outside account redirects to us", Action.REJECT, b"X-Zimbra-Forwarded: a@company.vn\r\n"),
    _example(
        "Yahoo forwards to us", Action.REJECT, b"X-Yahoo-Forwarded: from a@yahoo.com to ptp.bl@hanam.gov.vn\r\n"
    ),
    _example(
        "a trace of a delivery elsewhere is soft",
        Action.ACCEPT,
        b"Received: from a by mx.elsewhere.example with ESMTP for <a@elsewhere.example>; Tue, 24 Nov 2026\r\n",
        finds=True,
        direction="in",
    ),
    _example(
        "a trace whose host calls itself `for <ours>`",
        Action.ACCEPT,
        b"Received: from x (for <ptp.bl@hanam.gov.vn>) by mx.elsewhere.example with ESMTP for <a@elsewhere.example>;"
        b" Tue, 24 Nov 2026\r\n",
        finds=True,
        direction="in",
    ),
    _example("HTTP's X-Forwarded-For", Action.ACCEPT, b"X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n"),
    _example("a mailing list", Action.ACCEPT, b"List-Id: <l.example.com>\r\nX-Loop: l@example.com\r\n"),
    _example(
        "a list that hard evidence reaches through",
        Action.REJECT,
        b"List-Id: <l.example.com>\r\n" + _GMAIL,
        direction="in",
    ),
    _example(
        "SRS from a forwarder that names nobody of ours",
        Action.ACCEPT,
        sender="srs0=ab12=xy=example.com=lan@forwarder.example",
        finds=True,
        direction="in",
    ),
    _example(
        "two soft marks make each other hard",
        Action.REJECT,
        b"X-MS-Exchange-Organization-AutoForwarded: true\r\nX-MS-Exchange-Inbox-Rules-Loop: a@company.vn\r\n",
        direction="in",
    ),
    _example(
        "an automatic reply that carries a rule's mark",
        Action.ACCEPT,
        b"Auto-Submitted: auto-replied\r\nX-MS-Exchange-Inbox-Rules-Loop: a@company.vn\r\n",
    ),
    _example(
        "Sieve redirects an official mailbox outside",
        Action.REJECT,
        _SIEVE,
        client_ip=_INSIDE,
        recipients=_OUT,
        direction="out",
    ),
    _example(
        "the same to a state body",
        Action.ACCEPT,
        _SIEVE,
        client_ip=_INSIDE,
        recipients=("vp@ninhbinh.gov.vn",),
    ),
    _example(
        "Zimbra redirects outside",
        Action.REJECT,
        _ZIMBRA,
        client_ip=_INSIDE,
        recipients=_OUT,
        direction="out",
    ),
    Example(
        "Zimbra's filter reply",
        Action.ACCEPT,
        _ZIMBRA + b"From: ptp.bl@hanam.gov.vn\r\nIn-Reply-To: <1@example.com>\r\n\r\nVang mat.\r\n",
        client_ip=_INSIDE,
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
    ),
    _example(
        "a client's rule says so itself",
        Action.REJECT,
        b"Auto-Submitted: auto-forwarded\r\n",
        login="ptp.bl@hanam.gov.vn",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
        direction="out",
    ),
    _example(
        "a person redirects by hand",
        Action.ACCEPT,
        b"Resent-From: ptp.bl@hanam.gov.vn\r\nResent-To: lan@gmail.com\r\nResent-Message-ID: <2@hanam.gov.vn>\r\n",
        login="ptp.bl@hanam.gov.vn",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
    ),
    _example(
        "a copy by .forward: our own Received names the mailbox",
        Action.REJECT,
        b"Received: from mail.example.com by mx.hanam.gov.vn (Postfix) with ESMTP id 4C for "
        b"<ptp.bl@hanam.gov.vn>; Tue, 24 Nov 2026 08:00:00 +0700 (+07)\r\n",
        client_ip=_INSIDE,
        recipients=_OUT,
        direction="out",
    ),
    _example(
        "somebody else's Received names our mailbox",
        Action.ACCEPT,
        b"Received: from a by mx.elsewhere.example with ESMTP for <ptp.bl@hanam.gov.vn>; Tue, 24 Nov 2026\r\n",
        client_ip=_INSIDE,
        recipients=_OUT,
    ),
    Example(
        "a person's forward",
        Action.ACCEPT,
        b"From: ptp.bl@hanam.gov.vn\r\nSubject: Fwd: Bao cao\r\n\r\nChuyen tiep.\r\n",
        login="ptp.bl@hanam.gov.vn",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
    ),
    _example(
        "egress: a copy for somebody whom the mail was not addressed to",
        Action.QUARANTINE,
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        direction="out",
    ),
    _example(
        "egress: an owner alias, whose sender is ours",
        Action.QUARANTINE,
        hook="egress",
        sender="owner-nhom@hanam.gov.vn",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        direction="out",
    ),
    _example(
        "egress: whom the mail was addressed to",
        Action.ACCEPT,
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (replace(_PASSAGE, addressed=frozenset(_OUT)),)), ("memory", _DELIVERED)),
    ),
    _example(
        "egress: the Message-ID alone is remembered",
        Action.QUARANTINE,
        hook="egress",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
        facts=(("memory", _DELIVERED),),
        direction="out",
    ),
    _example(
        "egress: a list's copy, with its List-Id, joined",
        Action.QUARANTINE,
        b"List-Id: <l.example.com>\r\n",
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        direction="out",
    ),
    _example(
        "egress: the store cannot be asked",
        Action.TEMPFAIL,
        hook="egress",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
        facts=(("missing", {"history": "the store is away"}),),
        finds=True,
    ),
    _example(
        "egress, to a state body: nothing is asked",
        Action.ACCEPT,
        hook="egress",
        recipients=("vp@ninhbinh.gov.vn",),
        facts=(("missing", {"history": "the store is away"}),),
    ),
    _example(
        "egress, set to reject",
        Action.REJECT,
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        keys=(("copy_action", "reject"),),
        direction="out",
    ),
    _example(
        "egress, set to reject: the null sender is never bounced",
        Action.QUARANTINE,
        hook="egress",
        sender="",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        keys=(("copy_action", "reject"),),
        direction="out",
    ),
    _example(
        "egress, set to reject: a copy that local(8) made is never bounced",
        Action.QUARANTINE,
        b"Delivered-To: ptp.bl@hanam.gov.vn\r\n",
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        keys=(("copy_action", "reject"),),
        direction="out",
    ),
    _example(
        "egress, set to discard",
        Action.DISCARD,
        hook="egress",
        recipients=_OUT,
        facts=(("passages", (_PASSAGE,)),),
        keys=(("copy_action", "discard"),),
        direction="out",
    ),
    _example(
        "non-SMTP mail: a pipe sends a mail on",
        Action.QUARANTINE,
        hook="non-smtp",
        sender="ptp.bl@hanam.gov.vn",
        client_ip="127.0.0.1",
        recipients=_OUT,
        facts=(("memory", _DELIVERED),),
        direction="out",
    ),
    _example(
        "submission: a client's rule without a mark, remembered",
        Action.REJECT,
        login="ptp.bl@hanam.gov.vn",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
        facts=(("memory", _DELIVERED),),
        direction="out",
    ),
    _example(
        "submission: who submitted it first sends it again",
        Action.ACCEPT,
        login="ptp.bl@hanam.gov.vn",
        sender="ptp.bl@hanam.gov.vn",
        recipients=_OUT,
        facts=(("memory", replace(_DELIVERED, was_submitted=True, is_submitter=True)),),
    ),
    _example("a state body's forward, proven", Action.ACCEPT, _STATE_PAIR, facts=(("proofs", _PROVEN),)),
    _example("a state body's forward, not proven", Action.REJECT, _STATE_PAIR, direction="in"),
    _example(
        "a state body's forward, while DNS is away",
        Action.TEMPFAIL,
        _STATE_PAIR,
        facts=(("missing", {"dns": "no answer"}),),
        direction="in",
    ),
    _example(
        "a stranger's forward, while DNS is away",
        Action.REJECT,
        _STATE_PAIR + _GMAIL,
        facts=(("missing", {"dns": "no answer"}),),
        direction="in",
    ),
)
