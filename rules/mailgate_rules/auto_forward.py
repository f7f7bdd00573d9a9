"""Automatic forwarding between an official mailbox and one not issued by a state body (clause 4.5).

Forbidden both ways: `out`, from an official mailbox to one that no state body issued, and `in`, the
reverse. Judged for each recipient. Evidence is what the mechanisms of forwarding leave behind: hard
evidence names this recipient or the forwarding mailbox and fits the direction, and decides; soft
evidence alone is recorded. Two different soft marks that only forwarding leaves make each other hard.

Not counted: a person's forward (a new message; `Fwd:` and an attached message say nothing), mailing
lists unless the evidence names this very recipient, automatic replies and reports, Resent-* with a
Resent-Message-ID from an authenticated owner, an X-Forwarded-For that holds IP addresses, and
everything between mailboxes of state bodies. A mark can be forged, so none ever exempts.

The egress hop shows what no other sees (a copy made by aliases or .forward): there and on non-SMTP
mail, a mail that is neither from nor to one of our mailboxes is a relayed copy.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mailgate.model import Action, Evidence, Mail, Organization, mailbox_of
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.addresses import is_bounce_home, mailboxes_in, spoken_of

_AFTER_EXPANSION = ("egress", "non-smtp")  # hooks that see copies made by aliases, .forward and pipes

_LONGEST_TRACE = 4_096  # octets of a Received line that are read
_BY = re.compile(rb"(?:^|\s)by\s+([^\s;]+)", re.IGNORECASE)
_FOR = re.compile(rb"\sfor\s+<?([^\s<>;@]+@[^\s<>;]+)", re.IGNORECASE)

LONGEST_VALUE = 200  # of a header, in evidence: an address and little more

# Headers that name the mailbox whose owner forwards, and are left by nothing else.
_NAMES_FORWARDER = (b"x-sieve-redirected-from", b"x-zimbra-forwarded")

# Headers that name who forwards, then to whom.
_PAIRS = (b"x-forwarded-for", b"x-yahoo-forwarded")

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


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.auto-forward]; it has none beside the common ones."""

    NAME = "auto-forward"
    CLAUSE = "QD27/2023 4.5"
    REPLY = (
        "550 5.7.1 Automatic forwarding between an official mailbox and a mailbox not issued by a state body "
        "is forbidden\nKhong duoc tu dong chuyen tiep giua hop thu cong vu va hop thu khong do co quan nha "
        "nuoc cap (khoan 5 Dieu 4 QD 27/2023)"
    )

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge each recipient by envelope and headers."""
        return () if _says_nothing(mail) else self._look(mail)

    def _look(self, mail: Mail) -> Iterator[Hit]:
        seen = _Seen(mail)
        if seen.is_answer:
            return
        organization = mail.organization
        for recipient in mail.envelope.recipients:
            if is_bounce_home(recipient) and not mail.envelope.sender:
                continue
            if organization.is_official(recipient):
                if not mail.envelope.login:
                    yield from _hit(seen, recipient, "in", _find_in(mail, seen, recipient))
            elif not organization.is_state(recipient) and seen.is_ours:
                yield from _hit(seen, recipient, "out", _find_out(mail, seen, recipient))


def _says_nothing(mail: Mail) -> bool:
    """Tell quickly that a mail holds no evidence at all, as nearly every one from outside does."""
    envelope, session = mail.envelope, mail.session
    if "=" in envelope.sender or not _EVIDENCE.isdisjoint(mail.names):
        return False
    if envelope.login or session.hook in _AFTER_EXPANSION:
        return False
    if mail.organization.is_internal(session.client_ip):
        return False
    received = mail.header_values(b"received")
    if received and b"(fetchmail-" in received[0]:
        return False
    return not any(b"for " in value and _is_foreign_trace(mail.organization, value) for value in received)


class _Seen:
    """What holds for all recipients of one mail: its headers by name, and what kind of mail it is."""

    def __init__(self, mail: Mail) -> None:
        self.headers: dict[bytes, list[bytes]] = {}
        for name, (_, value) in zip(mail.names, mail.headers, strict=True):
            self.headers.setdefault(name, []).append(value)
        envelope = mail.envelope
        self.is_ours = (
            bool(envelope.login)
            or mail.session.hook in _AFTER_EXPANSION
            or mail.organization.is_internal(mail.session.client_ip)
        )
        self.is_list = b"list-id" in self.headers or b"list-post" in self.headers
        submitted = self.first(b"auto-submitted").lower()
        kind = self.first(b"content-type").lower()
        self.says_forwarded = submitted.startswith(b"auto-forwarded")
        is_report = kind.startswith((b"multipart/report", b"message/delivery-status"))
        self.is_answer = submitted.startswith((b"auto-replied", b"auto-notified")) or (
            is_report and not envelope.sender
        )
        # A person's redirect: RFC 5322 section 3.6.6 gives it an identity of its own.
        self.is_persons_resend = bool(envelope.login) and b"resent-message-id" in self.headers

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


def _hit(seen: _Seen, recipient: str, direction: str, pieces: list[Evidence]) -> Iterator[Hit]:
    if not pieces:
        return
    marks = {piece.name for piece in pieces if not piece.hard and piece.kind == "mark"}
    if len(marks) > 1:
        pieces = [replace(piece, hard=True) if piece.kind == "mark" else piece for piece in pieces]
    if seen.is_list and not any(piece.hard and recipient in piece.value.lower() for piece in pieces):
        return
    shown = tuple(_named_kind(piece) if piece.kind == "mark" else piece for piece in pieces)
    yield Hit(shown, recipient, direction)


def _is_foreign_trace(organization: Organization, value: bytes) -> bool:
    """Tell whether a Received line may speak of a delivery to a mailbox that no state body issued."""
    start = value.find(b"for <")
    if start >= 0 and value.count(b"for ") == 1:  # as nearly always: no need to look where it stands
        mailbox = mailbox_of(value[start + 5 : value.find(b">", start)])
    else:
        mailbox = _received_for(value)
    return bool(mailbox) and not organization.is_state(mailbox)


def _named_kind(piece: Evidence) -> Evidence:
    return replace(piece, kind="envelope" if piece.name == "MAIL FROM" else "header")


# -- in: from a mailbox that no state body issued -------------------------------------------------


def _envelope_in(mail: Mail, recipient: str) -> Iterator[Evidence]:
    """Read a sender that was rewritten on the way: Gmail's target, SRS' author."""
    organization, envelope = mail.organization, mail.envelope
    if envelope.login or not organization.is_official(recipient):
        return
    spoken = spoken_of(envelope.sender)
    if organization.is_state(f"x@{spoken.by}"):
        return
    path = envelope.sender
    if spoken.scheme == "caf":
        yield Evidence("envelope", "MAIL FROM", path, hard=_is_target(mail, spoken.named, recipient))
    elif spoken.scheme == "srs":
        # Our own author's mail comes back from a forwarder outside: that names an official mailbox.
        hard = bool(spoken.named) and organization.is_official(spoken.named)
        yield Evidence("envelope" if hard else "mark", "MAIL FROM", path, hard=hard)


def _find_in(mail: Mail, seen: _Seen, recipient: str) -> list[Evidence]:
    organization = mail.organization
    pieces = list(_envelope_in(mail, recipient))
    pieces += _forwarded_pair(mail, seen, recipient, _is_foreign(organization))
    for name in _NAMES_FORWARDER:
        for value in seen.headers.get(name, ()):
            for account in mailboxes_in(value):
                if _is_foreign(organization)(account) and not seen.is_reply_of(account):
                    pieces.append(_header(name, value))
    pieces += _marks(mail, seen)
    for name in _LOOPS_OF_TRACE:
        for value in seen.headers.get(name, ()):
            if any(_is_foreign(organization)(mailbox) for mailbox in mailboxes_in(value)):
                pieces.append(_header(name, value, hard=False))
    for value in seen.headers.get(b"received", ()):
        mailbox = _received_for(value)
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
            named_forwarders.append(forwarder)
            if (
                forwarder
                and forwarder_is(forwarder)
                and any(_is_target(mail, target, recipient) for target in targets)
            ):
                yield _header(name, value)
    # Who forwards stands in the other header; where that names only state bodies, this is theirs.
    fits = not named_forwarders or any(map(forwarder_is, named_forwarders))
    for value in seen.headers.get(b"x-forwarded-to", ()):
        if fits and any(_is_target(mail, target, recipient) for target in mailboxes_in(value)):
            yield _header(b"x-forwarded-to", value)


# -- out: from an official mailbox -----------------------------------------------------------------


def _find_out(mail: Mail, seen: _Seen, recipient: str) -> list[Evidence]:
    organization, envelope = mail.organization, mail.envelope
    is_official = organization.is_official
    login = _login_mailbox(mail)
    pieces: list[Evidence] = []
    for name in _NAMES_FORWARDER:
        for value in seen.headers.get(name, ()):
            for account in mailboxes_in(value):
                if is_official(account) and not seen.is_reply_of(account):
                    pieces.append(_header(name, value))
    pieces += _forwarded_pair(mail, seen, recipient, is_official)
    pieces += _marks(mail, seen)
    spoken = spoken_of(envelope.sender)
    if spoken.scheme in ("srs", "caf") and organization.is_official_domain(spoken.by):
        pieces.append(Evidence("envelope", "MAIL FROM", envelope.sender))
    if not seen.is_persons_resend:
        pieces += _trace_of_ours(mail, seen, recipient)
    is_after_expansion = mail.session.hook in _AFTER_EXPANSION and not envelope.login
    if is_after_expansion and envelope.sender and not organization.is_state(_plain_sender(envelope.sender)):
        pieces.append(Evidence("envelope", "MAIL FROM", envelope.sender))
    if pieces and login and not any(piece.kind == "login" for piece in pieces):
        pieces.append(Evidence("login", "auth_authen", login, hard=False))
    return pieces if any(piece.kind != "login" for piece in pieces) else []


def _plain_sender(sender: str) -> str:
    spoken = spoken_of(sender)
    return spoken.named if spoken.scheme == "batv" else sender


def _login_mailbox(mail: Mail) -> str:
    """Return the official mailbox of the login, "" when it has none."""
    login = mail.envelope.login
    return login if mail.organization.is_official(login) else ""


def _trace_of_ours(mail: Mail, seen: _Seen, recipient: str) -> Iterator[Evidence]:
    """Find traces that this mail was delivered to an official mailbox before it left for outside."""
    organization = mail.organization
    for name in _LOOPS_OF_TRACE:
        for value in seen.headers.get(name, ()):
            for mailbox in mailboxes_in(value):
                if organization.is_official(mailbox) and mailbox != recipient:
                    yield _header(name, value, hard=not mail.envelope.login)
    for value in seen.headers.get(b"received", ()):
        mailbox = _received_for(value, organization.hostnames)
        if mailbox and organization.is_official(mailbox) and mailbox != recipient:
            yield Evidence("header", "Received", f"for <{mailbox}>", hard=True)


def _received_for(value: bytes, hostnames: frozenset[str] | None = None) -> str:
    """Return the mailbox after `for` in a Received line, "" when it names none.

    hostnames: only what these hosts wrote (`by`) is believed; None believes all.
    """
    text = value[:_LONGEST_TRACE]
    by = _BY.search(text)
    if by is None:
        return ""
    if hostnames is not None and by[1].decode("latin-1").lower().rstrip(".") not in hostnames:
        return ""
    named = _FOR.search(text, by.end())
    return mailbox_of(named[1]) if named else ""


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
)
