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
from functools import cached_property
from typing import Literal

from mailgate.identity.organization import Organization
from mailgate.identity.spelling import domain_of
from mailgate.model import AFTER_EXPANSION, Action, Evidence, Mail, Memory, Passage, was_judged
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.addresses import is_bounce_home, mailboxes_in, spoken_of
from mailgate.text.received import received_for

LONGEST_VALUE = 200  # of a header, in evidence: an address and little more
_MOST_SHOWN = 3  # official mailboxes that one piece of evidence names
_MOST_PIECES = 10  # of one header in a finding; how many more there are is said
_MOST_MAILBOXES = 50  # official ones that a finding names

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
            "=" not in mail.envelope.sender and not mail.exemptions and _PAIRS_SET.isdisjoint(mail.fields)
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
                action, missing = self._action(mail, seen, judged)
                pieces = (*judged.pieces, *missing)
                yield Hit(pieces, recipient, judged.direction, action, mailboxes=judged.mailboxes)

    def _action(self, mail: Mail, seen: "_Seen", judged: "_Judged") -> tuple[Action | None, tuple[Evidence, ...]]:
        """Return what follows where it is not the stanza's own action, and the proof that is wanting."""
        if judged.direction == IN and any(piece.hard for piece in judged.pieces) and seen.wants_proof:
            for name, action in _WITHOUT_PROOF.items():
                if name in mail.missing:
                    return action, (Evidence("missing", name, mail.missing[name], hard=False),)
        if mail.session.hook not in AFTER_EXPANSION:
            return None, ()
        if self.copy_action is Action.REJECT and seen.must_not_bounce:
            return Action.QUARANTINE, ()
        return self.copy_action, ()


# What kept a proof away, and what then becomes of mail that it would let through: DNS will answer, a mail whose
# signatures are too much to verify stays as it is.
_WITHOUT_PROOF = {"dns": Action.TEMPFAIL, "signatures": Action.QUARANTINE}


def _says_nothing(mail: Mail) -> bool:
    """Tell quickly that a mail holds no evidence at all, as nearly every one from outside does."""
    envelope, session = mail.envelope, mail.session
    if "=" in envelope.sender or not _EVIDENCE.isdisjoint(mail.fields):
        return False
    if envelope.login or session.hook in AFTER_EXPANSION:
        return False
    if mail.organization.is_internal(session.client_ip):
        return False
    received = mail.header_values(b"received")
    if received and b"(fetchmail-" in received[0]:
        return False
    return not any(_is_foreign_trace(mail.organization, value) for value in received)


@dataclass(slots=True)
class _Judged:
    """What one recipient's copy is, by what evidence, and the official mailboxes it speaks of."""

    kind: str
    direction: str = ""
    pieces: tuple[Evidence, ...] = ()
    mailboxes: tuple[str, ...] = ()


class _Found:
    """Evidence as it is found, and the official mailboxes that it names: of each header at most _MOST_PIECES pieces.

    marks: the names of the soft ones that only forwarding leaves. named: what its hard pieces show, in lower case.
    """

    def __init__(self) -> None:
        self.pieces: list[Evidence] = []
        self.mailboxes: dict[str, None] = {}
        self.marks: set[str] = set()
        self.is_hard = False
        self.named = ""
        self._counts: dict[tuple[str, bool], int] = {}

    def add(self, piece: Evidence, *mailboxes: str) -> None:
        """Take a piece, and the official mailboxes that a copy may come from by it."""
        if piece.hard:
            self.is_hard = True
            self.named += piece.value.lower() + "\n"
        elif piece.kind == "mark":
            self.marks.add(piece.name)
        count = self._counts[piece.name, piece.hard] = self._counts.get((piece.name, piece.hard), 0) + 1
        if count <= _MOST_PIECES:
            self.pieces.append(piece)
        for mailbox in mailboxes:
            if len(self.mailboxes) < _MOST_MAILBOXES:
                self.mailboxes[mailbox] = None

    @property
    def shown(self) -> list[Evidence]:
        """The pieces, and of each header that has more of them, how many."""
        over = [(*key, count - _MOST_PIECES) for key, count in self._counts.items() if count > _MOST_PIECES]
        return self.pieces + [Evidence("header", name, f"and {count} more", hard) for name, hard, count in over]


class _Seen:
    """What holds for all recipients of one mail, read once: its headers, and what kind of mail it is."""

    def __init__(self, mail: Mail, believes: bool = False) -> None:
        self.mail = mail
        self.believes = believes  # what state bodies are said to have forwarded, without proof
        self.headers = mail.fields
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
            and login in map(mail.identity.account, mailboxes_in(self.first(b"resent-from")))
        )

    @cached_property
    def names_state_forwarder(self) -> bool:
        """Tell whether a header names a state body's mailbox whose owner forwards."""
        is_state = self.mail.organization.is_state
        return any(is_state(box) for _, _, boxes in self.named_in(*_NAMES_FORWARDER) for box in boxes)

    def first(self, name: bytes) -> bytes:
        """Return the first field of this name, stripped, b"" when there is none."""
        return self.mail.first_header(name)

    def named_in(self, *names: bytes) -> Iterator[tuple[bytes, bytes, list[str]]]:
        """Yield each field of these names, and the mailboxes that stand in it."""
        for name in names:
            for value in self.mail.header_values(name):
                yield name, value, mailboxes_in(value)

    @cached_property
    def _replying(self) -> frozenset[str]:
        """The authors of a reply."""
        return frozenset(mailboxes_in(self.first(b"from"))) if b"in-reply-to" in self.headers else frozenset()

    def is_reply_of(self, account: str) -> bool:
        """Tell whether this is a filter's reply or notice: from the account itself, in reply to something.

        A redirect keeps the author's From.
        """
        return account in self._replying or any(self.mail.identity.is_same(account, one) for one in self._replying)

    def is_recipient(self, mailbox: str) -> bool:
        """Tell whether this is a recipient's mailbox, however it was addressed."""
        return self.mail.identity.account(mailbox) in self._recipients

    @cached_property
    def _recipients(self) -> frozenset[str]:
        return frozenset(map(self.mail.identity.account, self.mail.envelope.recipients))

    @cached_property
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
        return any(own(box) for _, _, boxes in self.named_in(b"delivered-to") for box in boxes)

    def is_proven(self, mailbox: str) -> bool:
        """Tell whether a mailbox is a state body's, and this mail came from there."""
        if not self.mail.organization.is_state(mailbox):
            return False
        return self.believes or self.is_ours or bool(self.mail.proofs.get(domain_of(mailbox)))

    @cached_property
    def wants_proof(self) -> bool:
        """Tell whether nothing but a proof that could not be had would let this mail through."""
        mail = self.mail
        if _WITHOUT_PROOF.keys().isdisjoint(mail.missing):
            return False
        if any(exemption.rule == Stanza.NAME and exemption.counterpart for exemption in mail.exemptions):
            return True  # whom it speaks of cannot be told without
        believing = _Seen(mail, believes=True)
        return all(_judge(mail, believing, recipient).kind != IN for recipient in mail.envelope.recipients)

    def _pairs(self, forwarder_is: Callable[[str], bool]) -> Iterator[tuple[Evidence, list[str], str]]:
        """Read Gmail's `X-Forwarded-For: <mailbox> <target>...` and `X-Forwarded-To: <target>`, and Yahoo's.

        Yield each with its targets and the mailbox that it names first. The proxies' X-Forwarded-For of HTTP holds IP
        addresses, no mailboxes.
        """
        forwarders = []
        for name, value, boxes in self.named_in(*_PAIRS):
            if boxes:
                forwarders.append(boxes[0])
                if forwarder_is(boxes[0]):
                    yield _header(name, value), boxes[1:], boxes[0]
        # Who forwards stands in the other header; where that names only state bodies that this came from, it is
        # theirs.
        if not forwarders or any(forwarder_is(box) or not self.is_proven(box) for box in forwarders):
            for name, value, boxes in self.named_in(b"x-forwarded-to"):
                if boxes:
                    yield _header(name, value), boxes, boxes[0]

    def _sort_pairs(self, of_all: _Found, forwarder_is: Callable[[str], bool]) -> dict[str, _Found]:
        """Return what names a target, by the target's account; what speaks of every recipient goes to `of_all`.

        So does what names an official mailbox that is no recipient itself: then an alias came between.
        """
        organization = self.mail.organization
        is_official, account = organization.is_official, self.mail.identity.account
        found: dict[str, _Found] = {}
        for piece, targets, first in self._pairs(forwarder_is):
            named = (account(first),) if is_official(first) else ()
            if any(is_official(target) and not self.is_recipient(target) for target in targets):
                of_all.add(piece, *named)
                continue
            for target in dict.fromkeys(map(account, targets)):
                found.setdefault(target, _Found()).add(piece, *named)
        return found

    # -- what each direction finds in the headers, whoever the recipient is ----------------------------

    @cached_property
    def coming_in(self) -> tuple[_Found, dict[str, _Found]]:
        """What says of every official recipient's copy that it was forwarded, and what of one's, by account."""
        organization = self.mail.organization
        found = _Found()
        for name, value, boxes in self.named_in(*_NAMES_FORWARDER):
            if any(not organization.is_state(box) and not self.is_reply_of(box) for box in boxes):
                found.add(_header(name, value))
        for piece in _marks(self.mail, self):
            found.add(piece)
        for name, value, boxes in self.named_in(*_LOOPS_OF_TRACE):
            if any(not organization.is_state(box) for box in boxes):
                found.add(_header(name, value, hard=False))
        for value in self.mail.header_values(b"received"):
            mailbox = received_for(value)
            if mailbox and not organization.is_state(mailbox):
                found.add(Evidence("header", "Received", f"for <{mailbox}>", hard=False))
        return found, self._sort_pairs(found, lambda mailbox: not organization.is_state(mailbox))

    @cached_property
    def going_out(self) -> tuple[_Found, dict[str, _Found]]:
        """What says of every copy that leaves that an official mailbox forwarded it, and what of one recipient's."""
        mail, organization = self.mail, self.mail.organization
        envelope = mail.envelope
        found = _Found()

        def add(piece: Evidence, named: Iterable[str]) -> None:
            found.add(piece, *[mail.identity.account(box) for box in named if organization.is_official(box)])

        for name, value, boxes in self.named_in(*_NAMES_FORWARDER):
            if own := [box for box in boxes if organization.is_official(box) and not self.is_reply_of(box)]:
                add(_header(name, value), own)
        for piece in _marks(mail, self):
            add(piece, (envelope.login,))
        spoken = spoken_of(envelope.sender)
        if spoken.scheme in ("srs", "caf") and organization.is_official_domain(spoken.by):
            add(Evidence("envelope", "MAIL FROM", envelope.sender), ())
        if not self.is_persons_resend:
            self._add_trace_of_ours(add)
        return found, self._sort_pairs(found, organization.is_official)

    def _add_trace_of_ours(self, add: Callable[[Evidence, Iterable[str]], None]) -> None:
        """Find traces that this mail was delivered to an official mailbox before it left for outside."""
        organization, identity = self.mail.organization, self.mail.identity

        def is_ours(mailbox: str) -> bool:
            return organization.is_official(mailbox) and not identity.is_list(mailbox)

        for name, value, boxes in self.named_in(*_LOOPS_OF_TRACE):
            if own := [box for box in boxes if is_ours(box)]:
                add(_header(name, value, hard=not self.mail.envelope.login), own)
        for value in self.mail.header_values(b"received"):
            mailbox = received_for(value, organization.hostnames)
            if mailbox and is_ours(mailbox):
                add(Evidence("header", "Received", f"for <{mailbox}>", hard=True), (mailbox,))


def _judge(mail: Mail, seen: _Seen, recipient: str) -> _Judged:
    organization = mail.organization
    if organization.is_official(recipient):
        if not mail.envelope.login and not seen.is_reply and not seen.is_report:
            of_all, of_one = seen.coming_in
            own = _envelope_in(mail, seen, recipient)
            return _weighed(mail, seen, recipient, IN, _of(mail, recipient, of_one, [own, of_all]))
    elif not organization.is_state(recipient) and seen.is_ours:
        if mail.session.hook == "egress" and was_judged(mail.passages, [recipient]):
            return _weighed(mail, seen, recipient, OUT, [])
        found = [_find_out(mail, seen, recipient)]
        if not seen.is_reply and not seen.is_report:
            of_all, of_one = seen.going_out
            found = _of(mail, recipient, of_one, [*found, of_all])
        return _weighed(mail, seen, recipient, OUT, found)
    return _Judged(_plain_class(mail, seen, recipient))


def _of(mail: Mail, recipient: str, of_one: Mapping[str, _Found], found: list[_Found]) -> list[_Found]:
    own = of_one.get(mail.identity.account(recipient)) if of_one else None
    return found if own is None else [own, *found]


def _weighed(mail: Mail, seen: _Seen, recipient: str, direction: str, found: list[_Found]) -> _Judged:
    """Let two soft marks make each other hard, and a mailing list's own marks count for nothing."""
    pieces = [piece for one in found for piece in one.shown]
    are_marks_hard = len({mark for one in found for mark in one.marks}) > 1
    is_hard = are_marks_hard or any(one.is_hard for one in found)
    if are_marks_hard:
        pieces = [replace(piece, hard=True) if piece.kind == "mark" else piece for piece in pieces]
    if pieces and seen.is_list and not any(piece.kind in ("passage", "memory") for piece in pieces):
        marks = [piece.value.lower() for piece in pieces if piece.hard and piece.kind == "mark"]
        if not any(recipient in text for text in (*marks, *(one.named for one in found))):
            pieces, is_hard = [], False
    if not pieces:
        return _Judged(_plain_class(mail, seen, recipient))
    kind = direction if is_hard else _plain_class(mail, seen, recipient)
    if direction == IN:
        mailboxes: Iterable[str] = (mail.identity.account(recipient),)
    else:
        mailboxes = [mailbox for one in found for mailbox in one.mailboxes]
        if login := _login_mailbox(mail):
            mailboxes = [login, *mailboxes]
            pieces.append(Evidence("login", "auth_authen", login, hard=False))
    shown = tuple([_named_kind(piece) if piece.kind == "mark" else piece for piece in pieces])
    return _Judged(kind, direction, shown, tuple(dict.fromkeys(mailboxes)))


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
        spoken = spoken_of(mail.envelope.sender)
        if seen.names_state_forwarder or (spoken.scheme in ("srs", "caf") and is_state(f"x@{spoken.by}")):
            return WITHIN_STATE
        if mail.passages and recipient not in mail.passages[0].addressed:
            return WITHIN_STATE
    return NONE


def _is_foreign_trace(organization: Organization, value: bytes) -> bool:
    """Tell whether a Received line may speak of a delivery to a mailbox that no state body issued."""
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


def _envelope_in(mail: Mail, seen: _Seen, recipient: str) -> _Found:
    """Read a sender that was rewritten on the way: Gmail's target, SRS' author."""
    organization, path = mail.organization, mail.envelope.sender
    spoken = spoken_of(path)
    found = _Found()
    if not spoken.scheme or seen.is_proven(f"x@{spoken.by}"):
        return found
    if spoken.scheme == "caf":
        found.add(Evidence("envelope", "MAIL FROM", path, hard=_is_target(mail, seen, spoken.named, recipient)))
    elif spoken.scheme == "srs" and not organization.is_state(f"x@{spoken.by}"):
        # Our own author's mail comes back from a forwarder outside: that names an official mailbox.
        hard = bool(spoken.named) and organization.is_official(spoken.named)
        found.add(Evidence("envelope" if hard else "mark", "MAIL FROM", path, hard=hard))
    return found


def _is_target(mail: Mail, seen: _Seen, named: str, recipient: str) -> bool:
    """Tell whether evidence that names this mailbox speaks of this recipient.

    So it does when it names him, under a sub-address too, or an official mailbox that is no recipient itself:
    then an alias came between.
    """
    if mail.identity.is_same(named, recipient):
        return True
    return mail.organization.is_official(named) and not seen.is_recipient(named)


# -- out: from an official mailbox -----------------------------------------------------------------


def _find_out(mail: Mail, seen: _Seen, recipient: str) -> _Found:
    """Return the evidence that this recipient's copy leaves by itself, beside what speaks of all copies."""
    organization, envelope = mail.organization, mail.envelope
    is_official = organization.is_official
    found = _Found()

    def add(piece: Evidence, *named: str) -> None:
        found.add(piece, *[mail.identity.account(box) for box in named if is_official(box)])

    if not seen.is_persons_resend:
        _remembered(mail, seen, recipient, add)
    if not seen.is_reply and not seen.is_report:
        original = envelope.originals.get(recipient, "")
        if mail.session.hook in AFTER_EXPANSION and is_official(original) and not mail.identity.is_list(original):
            add(Evidence("envelope", "ORCPT", original), original)
        _relayed(mail, recipient, add)
    return found


def _remembered(mail: Mail, seen: _Seen, recipient: str, add: Callable[..., None]) -> None:
    """Look at what was remembered of this mail: no header of it can change that.

    A passage of a mailing list of ours says nothing of its members. The newest passage that did not address this
    recipient shows the mailboxes that the copy comes from.
    """
    is_list = mail.identity.is_list
    for passage in mail.passages:
        if recipient in passage.addressed:
            continue
        if passage.mailboxes and all(map(is_list, passage.mailboxes)):
            return
        sources = [box for box in passage.mailboxes if not is_list(box)] or [passage.login or passage.sender]
        add(Evidence("passage", "Received", f"id {passage.queue_id}, for {_shown(sources)}"), *sources)
        break
    memory = mail.memory
    if memory is None or memory.is_submitter or recipient in memory.addressed:
        return
    if seen.is_list and any(map(is_list, memory.mailboxes)):
        return
    sources = [box for box in memory.mailboxes if not is_list(box)]
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
    return mail.account if login and mail.organization.is_official(login) else ""


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
_PASSAGE = Passage("4Cw3Jx2yZz", "mx", "", "", ("ptp.bl@hanam.gov.vn",), frozenset(), True, True, is_unchanged=True)
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
        "a state body's forward, whose signatures are too much to verify, is held",
        Action.QUARANTINE,
        _STATE_PAIR,
        facts=(("missing", {"signatures": "not verified"}),),
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
