"""Automatic forwarding between an official mailbox and one not issued by a state body (clause 4.5): the judgement.

Forbidden both ways: `out`, from an official mailbox to one that no state body issued, and `in`, the reverse. Judged
for each recipient. What programs leave on a mail that they send on is the table's to know (mailgate.forwarding); here
it is weighed:

- a sure sign that fits the direction, and speaks of this recipient, decides;
- likely signs decide where two mechanisms name one mailbox, or one domain that is neither the author's nor a list's;
- what is left is recorded: a sign alone, one of an earlier hop, a state body's that nothing proves;
- on an answer, a report or a list's mail a sign that names nobody says nothing.

What a mail's author cannot forge stands above what its header says (ledger.history): a queue id of ours in its
Received lines joins it with what it was when we took it in, and its Message-ID with the mailboxes that such a mail
was delivered to. A recipient to whom it was not addressed then gets a copy that something of ours made.

Not counted: a person's forward (a new message; `Fwd:` and an attached message say nothing) and redirect, with a login
or from a store of ours; what a list of ours sends to its members; everything between mailboxes of state bodies. A
mark can be forged, so none ever exempts, nor accuses another's mailbox: that a state body forwards must be proven by
its network, SPF, DKIM or ARC (mail.proofs), and whose mailbox it was by what was remembered.

The egress hop shows what no other sees (a copy made by aliases or .forward): there and on non-SMTP mail, a mail that
is neither from nor to one of our mailboxes is a relayed copy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from mailgate.forwarding.clients import RESENT, SAYS_SO
from mailgate.forwarding.deliveries import DELIVERY
from mailgate.forwarding.exchange import AUTO_FORWARDED, TRANSPORT_RULE
from mailgate.forwarding.google import ROUTING
from mailgate.forwarding.letter import Letter
from mailgate.forwarding.lists import is_of, list_addresses, list_of, sending_list
from mailgate.forwarding.loops import X_LOOP
from mailgate.forwarding.mechanism import Kind, Mechanism, Sign, Strength
from mailgate.forwarding.own import OWN_COPY
from mailgate.forwarding.retrievers import is_fetched
from mailgate.forwarding.srs import SRS
from mailgate.forwarding.table import may_speak, signs
from mailgate.identity.spelling import domain_of
from mailgate.model import AFTER_EXPANSION, Action, Evidence, Mail, Memory, Passage, was_judged
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.addresses import home_of, is_bounce_home
from mailgate.text.received import received_for

_MOST_SHOWN = 3  # official mailboxes that one piece of evidence names
_MOST_PIECES = 10  # of one header in a finding; how many more there are is said
_MOST_MAILBOXES = 50  # official ones that a finding names

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

_NO_CLAIM: frozenset[str] = frozenset()
_BY_ADDRESSEES = (DELIVERY, SRS, TRANSPORT_RULE)
"""Mechanisms whose signs name no target: who is not addressed is theirs."""
_OF_LISTS_TOO = (DELIVERY, SRS, X_LOOP, RESENT, ROUTING)
_OF_THE_HOP = frozenset({"network", "spf"})  # proofs of the host that hands a mail over (mail.proofs)


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.auto-forward].

    copy_action: what an enforced finding does at the hooks egress and non-smtp, where a refusal is a bounce: to the
    outside author, with the forward's target in it, or to a mailbox whose forward begins anew, for ever. `reject`
    there holds what must not be bounced: the null sender's mail and copies that are automatic themselves. srs:
    whether a sender that a domain rewrote decides, with a trace of a delivery there; a group's alias looks the same.
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
    srs: Literal["decides", "is-recorded"] = "decides"

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge each recipient by what was remembered, by envelope and headers."""
        return () if _says_nothing(mail) else self._look(mail)

    def claims(self, mail: Mail) -> frozenset[str]:
        """Return the domains of state bodies that claim to forward to us, and of exempt counterparts."""
        if mail.is_ours or not (mail.exemptions or may_speak(mail)) or _says_nothing(mail):
            return _NO_CLAIM
        return frozenset(_claims(mail))

    def classes(self, mail: Mail) -> Mapping[str, str]:
        """Return each recipient's class, one of CLASSES."""
        seen = _Seen(mail, self)
        return {recipient: _judge(mail, seen, recipient).kind for recipient in mail.envelope.recipients}

    def _look(self, mail: Mail) -> Iterator[Hit]:
        recipients, is_state = mail.envelope.recipients, mail.organization.is_state
        if (
            mail.session.hook == "egress"
            and not any(map(is_state, recipients))
            and was_judged(mail.passages, recipients)
        ):
            return  # as nearly all that leaves was
        seen = _Seen(mail, self)
        for recipient in mail.envelope.recipients:
            judged = _judge(mail, seen, recipient)
            if judged.pieces:
                action, missing = self._action(mail, seen, judged)
                yield Hit(
                    (*judged.pieces, *missing),
                    recipient,
                    judged.direction,
                    action,
                    mailboxes=judged.mailboxes,
                    owners=judged.owners,
                    mechanism=judged.mechanism,
                    forwarder=judged.forwarder,
                )

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
    if mail.is_own_notice:
        return True
    envelope, session = mail.envelope, mail.session
    if envelope.login or session.hook in AFTER_EXPANSION or may_speak(mail):
        return False
    if mail.organization.is_internal(session.client_ip):
        return False
    received = mail.header_values(b"received")
    if not received:
        return True
    if is_fetched(received[0]):
        return False
    if len(envelope.recipients) > 1:
        return True
    for value in received:  # as Letter.delivered_for has it
        mailbox = received_for(value)
        if mailbox:
            return mailbox in envelope.recipients or mail.organization.is_state(mailbox)
    return True


def _claims(mail: Mail) -> Iterator[str]:
    """Return who claims to forward: the domains of state bodies that signs name, and those of exempt counterparts."""
    is_state = mail.organization.is_state
    for mechanism, sign in signs(Letter(mail)):
        end = sign.end
        if sign.kind is Kind.FORWARD and end and is_state(end) and mechanism is not DELIVERY:
            yield domain_of(end) or end
    for exemption in mail.exemptions:
        if exemption.rule == Stanza.NAME and exemption.counterpart:
            yield domain_of(exemption.counterpart) or exemption.counterpart


# -- evidence as it is found -----------------------------------------------------------------------


@dataclass(slots=True)
class _Judged:
    """What one recipient's copy is, by what evidence, and the official mailboxes it speaks of.

    owners: those of them that what was remembered proves, or the login. mechanism: the name of what decides, or
    would.
    """

    kind: str
    direction: str = ""
    pieces: tuple[Evidence, ...] = ()
    mailboxes: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    mechanism: str = ""
    forwarder: str = ""


class _Found:
    """Evidence as it is found, and the official mailboxes that it names: of each header at most _MOST_PIECES pieces.

    leading: the mechanism of the first hard piece, else of the first, and whose mailbox or domain forwards by it.
    is_unnamed: some hard piece names none.
    """

    def __init__(self) -> None:
        self.pieces: list[Evidence] = []
        self.mailboxes: dict[str, None] = {}
        self.is_hard = self.is_unnamed = False
        self.leading: tuple[str, str] | None = None
        self._counts: dict[tuple[str, bool], int] = {}

    def add(self, mechanism: Mechanism, sign: Sign, hard: bool, *mailboxes: str) -> None:
        """Take a sign, and the official mailboxes that a copy may come from by it."""
        for piece in sign.evidence:
            count = self._counts[piece.name, hard] = self._counts.get((piece.name, hard), 0) + 1
            if count <= _MOST_PIECES:
                known = piece if hard else replace(piece, hard=False)
                if known not in self.pieces:
                    self.pieces.append(known)
        if self.leading is None or (hard and not self.is_hard):
            self.leading = mechanism.name, sign.end
        self.is_hard = self.is_hard or hard
        self.is_unnamed = self.is_unnamed or (hard and not mailboxes)
        for mailbox in mailboxes:
            if len(self.mailboxes) < _MOST_MAILBOXES:
                self.mailboxes[mailbox] = None

    @property
    def shown(self) -> list[Evidence]:
        """The pieces, and of each header that has more of them, how many."""
        over = [(*key, count - _MOST_PIECES) for key, count in self._counts.items() if count > _MOST_PIECES]
        return self.pieces + [Evidence("header", name, f"and {count} more", hard) for name, hard, count in over]


class _Weighing:
    """The signs of one direction as they are weighed: sorted by whom they speak of, likely ones by what they name."""

    def __init__(self, letter: Letter, list_domain: str, names_owners: bool) -> None:
        # It holds nothing that holds it: what a mail was read into would wait for the collector of garbage.
        self._letter = letter
        self._list_domain = list_domain
        self._names_owners = names_owners
        self._likely: list[tuple[Mechanism, Sign]] = []
        self._by_name: dict[str, set[str]] = {}
        self.of_all = _Found()
        self.of_one: dict[str, _Found] = {}

    def take(self, mechanism: Mechanism, sign: Sign, strength: Strength) -> None:
        """Take a sign, as sure as it is here."""
        if strength is not Strength.LIKELY:
            self._put(mechanism, sign, strength is Strength.SURE)
            return
        self._likely.append((mechanism, sign))
        for name in self._names(sign):
            self._by_name.setdefault(name, set()).add(mechanism.name)

    def end(self) -> "_Weighing":
        """Let likely signs of different mechanisms make each other hard where they name the same."""
        for mechanism, sign in self._likely:
            hard = any(len(self._by_name[name]) > 1 for name in self._names(sign))
            self._put(mechanism, sign, hard)
        return self

    def _names(self, sign: Sign) -> list[str]:
        """Return what a likely sign names: a mailbox, and a domain that is neither the author's nor a list's."""
        letter = self._letter
        names = [letter.identity.account(sign.forwarder)] if sign.forwarder else []
        domain = domain_of(sign.forwarder) or sign.domain
        if domain and domain not in letter.author_domains and domain != self._list_domain:
            names.append(domain)
        return names

    def _put(self, mechanism: Mechanism, sign: Sign, hard: bool) -> None:
        """Put a sign to the recipients that it speaks of: all, where it names none, or an official one who is none.

        Then an alias came between. A target who is neither is an earlier hop's.
        """
        mail, letter = self._letter.mail, self._letter
        is_own = self._names_owners and _is_mailbox_of_ours(mail, sign.forwarder)
        mailboxes = (mail.identity.account(sign.forwarder),) if is_own else ()
        if not sign.targets:
            self.of_all.add(mechanism, sign, hard, *mailboxes)
            return
        if any(mail.organization.is_official(target) and not letter.is_recipient(target) for target in sign.targets):
            self.of_all.add(mechanism, sign, hard, *mailboxes)
            return
        for target in dict.fromkeys(map(mail.identity.account, sign.targets)):
            if letter.is_recipient(target):
                self.of_one.setdefault(target, _Found()).add(mechanism, sign, hard, *mailboxes)


# -- one mail ----------------------------------------------------------------------------------------


class _Seen:
    """What holds for all recipients of one mail, read once: its signs, and what kind of mail it is."""

    def __init__(self, mail: Mail, stanza: Stanza, believes: bool = False) -> None:
        self.mail = mail
        self.stanza = stanza
        self.believes = believes  # what state bodies are said to have forwarded, without proof
        self.letter = letter = Letter(mail)
        self.signs = list(signs(letter))
        self.is_ours = mail.is_ours
        kinds = {sign.kind for _, sign in self.signs}
        self.is_list = Kind.LIST in kinds
        self.sending_list = sending_list(letter)
        self.is_report = letter.is_report
        self.is_reply = letter.is_answer or (Kind.REPLY in kinds and Kind.FORWARD not in kinds)
        self.redirected_by = _redirected_by(mail, letter)

    @cached_property
    def is_own_answer(self) -> bool:
        """Tell whether an answer or a report begins here: from a mailbox of ours, or addressed to who gets it.

        What says so by its header alone may be another's, which a mailbox of ours sends on.
        """
        if not self.is_reply and not self.is_report:
            return False
        letter, organization = self.letter, self.mail.organization
        own = any(organization.is_official(one) or domain_of(one) in organization.hostnames for one in letter.authors)
        return own or letter.is_addressed or not letter.addressed

    @cached_property
    def by_hand(self) -> frozenset[str]:
        """Who has redirected this mail to its recipients by hand, and hands it over."""
        letter = self.letter
        if not letter.is_resent_to_them:
            return frozenset()
        handers = [one for one in (letter.hander, letter.sender, letter.spoken.named) if one]
        found = [one for one in letter.resenders if any(_is_hander(letter, one, hander) for hander in handers)]
        return frozenset(map(letter.identity.account, found))

    @cached_property
    def state_hop(self) -> bool:
        """Tell whether a state body's own host hands over what a mailbox there forwards: what other marks say is
        older.

        Proven by its network or SPF; a signature may be of a hop before.
        """
        for mechanism, sign in self.signs:
            if sign.kind is Kind.FORWARD and mechanism is not DELIVERY and sign.strength is Strength.SURE:
                domain = domain_of(sign.end) or sign.end
                if not domain or not self.mail.organization.is_state(domain):
                    continue
                if self.is_ours or self.mail.proofs.get(domain) in _OF_THE_HOP:
                    return True
        return False

    @cached_property
    def names_state_forwarder(self) -> bool:
        """Tell whether a sign says of the mail as a whole that a state body's mailbox forwarded it."""
        for _, sign in self.signs:
            is_whole = (sign.strength is Strength.SURE and not sign.targets) or sign.evidence[0].kind == "envelope"
            if sign.kind is Kind.FORWARD and is_whole and sign.end and self.mail.organization.is_state(sign.end):
                return True
        return False

    @cached_property
    def shows_mailbox(self) -> bool:
        """Tell whether a sign shows an official mailbox that is no list's."""
        return any(sign.kind is Kind.FORWARD and self.is_mailbox_shown(sign.forwarder) for _, sign in self.signs)

    @cached_property
    def shows_list(self) -> bool:
        """Tell whether a sign shows a list of ours, but the Received line that all its copies have."""
        return any(
            bool(sign.forwarder)
            and not (mechanism is DELIVERY and sign.evidence[0].name == "Received")
            and self.mail.identity.is_list(sign.forwarder)
            for mechanism, sign in self.signs
        )

    @cached_property
    def _redirector(self) -> str:
        """Who redirected the mail by hand when it was taken in last, which was judged then; "" for nobody."""
        newest = self.mail.passages[0] if self.mail.passages else None
        hander = (newest.login or newest.sender) if newest is not None else ""
        is_same = self.mail.identity.is_same
        return hander if any(is_same(hander, one) for one in self.letter.resenders) else ""

    def is_mailbox_shown(self, mailbox: str) -> bool:
        """Tell whether this is an official mailbox that sends a copy on: no list's, and no redirector's."""
        identity = self.mail.identity
        if (
            not _is_mailbox_of_ours(self.mail, mailbox)
            or identity.is_list(mailbox)
            or identity.is_list(list_of(mailbox))
        ):
            return False
        return not self._redirector or not identity.is_same(mailbox, self._redirector)

    @cached_property
    def list_addresses(self) -> frozenset[str]:
        """The addresses of the lists that the mail passed."""
        return list_addresses(self.letter) if self.is_list or self.sending_list else frozenset()

    def is_proven(self, end: str) -> bool:
        """Tell whether a mailbox or domain is a state body's, and this mail came from there."""
        if not self.mail.organization.is_state(end):
            return False
        return self.believes or self.is_ours or bool(self.mail.proofs.get(domain_of(end) or end))

    @cached_property
    def wants_proof(self) -> bool:
        """Tell whether nothing but a proof that could not be had would let this mail through."""
        mail = self.mail
        if _WITHOUT_PROOF.keys().isdisjoint(mail.missing):
            return False
        if any(exemption.rule == Stanza.NAME and exemption.counterpart for exemption in mail.exemptions):
            return True  # whom it speaks of cannot be told without
        believing = _Seen(mail, self.stanza, believes=True)
        return all(_judge(mail, believing, recipient).kind != IN for recipient in mail.envelope.recipients)

    @cached_property
    def must_not_bounce(self) -> bool:
        """Tell whether a bounce would go to nobody, or to a mailbox of ours whose forward makes the next copy."""
        letter, own = self.letter, self.mail.organization.is_official
        if not letter.sender or own(letter.sender) or letter.first(b"auto-submitted").lower() not in (b"", b"no"):
            return True
        return any(own(box) for _, boxes in letter.named_in(b"delivered-to") for box in boxes)

    def is_stale(self, mechanism: Mechanism, sign: Sign) -> bool:
        """Tell whether a sign is of an earlier hop: a person, or a list, has sent the mail on since.

        What names this mail's recipient is of the last; so is what comes from a host of whom it names.
        """
        letter, forwarder = self.letter, sign.forwarder
        if mechanism not in _BY_ADDRESSEES and any(map(letter.is_recipient, sign.targets)):
            return False
        if self.by_hand and letter.identity.account(forwarder) not in self.by_hand:
            return True
        if self.state_hop and not self.mail.organization.is_state(sign.end):
            return True
        domain = domain_of(forwarder)
        if not self.sending_list or domain == domain_of(self.sending_list):
            return False
        return not letter.is_from_host_of(*mechanism.hosts, *([domain] if domain else []))

    def _here(self, mechanism: Mechanism, sign: Sign) -> Strength | None:
        """Return how sure a sign is on this kind of mail, None where it says nothing there."""
        strength = sign.strength
        is_recorded = mechanism in (SRS, TRANSPORT_RULE) and self.stanza.srs == "is-recorded"
        if is_recorded or self.is_stale(mechanism, sign):
            strength = Strength.HINT
        is_nothing = strength is Strength.HINT or (strength is Strength.LIKELY and not sign.end)
        return None if is_nothing and (self.is_list or self.is_reply or self.is_report) else strength

    # -- what each direction finds in the header, whoever the recipient is ----------------------------

    @cached_property
    def coming_in(self) -> _Weighing:
        """What says of official recipients' copies that a mailbox forwarded them that no state body issued."""
        is_state = self.mail.organization.is_state
        weighing = _Weighing(self.letter, domain_of(self.sending_list), names_owners=False)
        for mechanism, sign in self.signs:
            if sign.kind is not Kind.FORWARD:
                continue
            strength = self._here(mechanism, sign)
            if strength is None or (mechanism is DELIVERY and strength is Strength.HINT):
                continue
            if mechanism in _OF_LISTS_TOO and is_of(self.list_addresses, sign.forwarder):
                continue
            if mechanism is DELIVERY and (self.sending_list or self.letter.is_recipient(home_of(sign.forwarder))):
                continue  # of the list's mailbox, or of a bounce's that goes home
            if mechanism is TRANSPORT_RULE and self.is_list:
                continue
            if sign.end and is_state(sign.end):
                if self.is_proven(sign.end) or strength is not Strength.SURE or mechanism is DELIVERY:
                    continue
                if not mechanism.is_hosted:
                    strength = Strength.HINT
            weighing.take(mechanism, sign, strength)
        return weighing.end()

    @cached_property
    def going_out(self) -> _Weighing:
        """What says of copies that leave that an official mailbox forwarded them."""
        mail, letter, identity = self.mail, self.letter, self.mail.identity
        login = _login_mailbox(mail)
        weighing = _Weighing(letter, domain_of(self.sending_list), names_owners=True)
        is_by_login = bool(login) and letter.is_by(login)
        for mechanism, sign in self.signs:
            if sign.kind is not Kind.FORWARD or mechanism is SRS:
                continue
            if login and not self.redirected_by and mechanism in (SAYS_SO, AUTO_FORWARDED):
                weighing.take(mechanism, replace(sign, forwarder=login), Strength.SURE)  # its own word
                continue
            strength = self._here(mechanism, sign)
            if strength is None:
                continue
            if _is_mailbox_of_ours(mail, sign.forwarder):
                if identity.is_list(sign.forwarder):
                    continue
                if mechanism is DELIVERY:
                    if self.redirected_by or self.is_own_answer or sign.evidence[0].name == "Received":
                        continue
                    strength = Strength.HINT if login else Strength.SURE
                    sign = replace(sign, targets=())
                weighing.take(mechanism, sign, strength)
            elif is_by_login and mechanism is not DELIVERY:  # nobody else's hop can have left it
                strength = Strength.HINT if strength is Strength.HINT else Strength.LIKELY
                weighing.take(mechanism, replace(sign, forwarder=login, targets=()), strength)
        if not self.redirected_by and not self.is_own_answer:
            for value in mail.header_values(b"received"):
                mailbox = received_for(value, mail.organization.hostnames)
                if _is_mailbox_of_ours(mail, mailbox) and not identity.is_list(mailbox):
                    evidence = Evidence("header", "Received", f"for <{mailbox}>")
                    weighing.take(OWN_COPY, Sign(Kind.FORWARD, Strength.SURE, (evidence,), mailbox), Strength.SURE)
        return weighing.end()


def _is_mailbox_of_ours(mail: Mail, mailbox: str) -> bool:
    """Tell whether a mailbox is official, and no address that a bounce goes home by."""
    return bool(mailbox) and mail.organization.is_official(mailbox) and not is_bounce_home(mailbox)


def _is_hander(letter: Letter, resender: str, hander: str) -> bool:
    """Tell whether who redirects hands the mail over: as himself, or under another address of his domain."""
    if letter.identity.is_same(resender, hander):
        return True
    return domain_of(resender) == domain_of(hander) and not letter.is_by(resender)


def _redirected_by(mail: Mail, letter: Letter) -> str:
    """Return the official mailbox whose owner redirects this mail by hand, "" for none.

    With his login, or from a store of ours, which hands over without one (Zimbra's web client). A local program may
    write the same: at the hooks after expansion it proves nothing.
    """
    hander = letter.hander
    if mail.session.hook in AFTER_EXPANSION or not mail.is_ours or not mail.organization.is_official(hander):
        return ""
    is_same = mail.identity.is_same
    return hander if any(is_same(hander, one) for one in letter.resenders) else ""


def _judge(mail: Mail, seen: _Seen, recipient: str) -> _Judged:
    organization = mail.organization
    if organization.is_official(recipient):
        if not mail.envelope.login and not is_bounce_home(recipient):
            return _weighed(mail, seen, recipient, IN, _of(mail, recipient, seen.coming_in))
    elif not organization.is_state(recipient) and seen.is_ours:
        if mail.session.hook == "egress" and was_judged(mail.passages, [recipient]):
            return _Judged(_plain_class(mail, seen, recipient))
        if _is_lists_copy(mail, seen, recipient):
            return _Judged(LIST)
        found = [_find_out(mail, seen, recipient), *_of(mail, recipient, seen.going_out)]
        return _weighed(mail, seen, recipient, OUT, found)
    return _Judged(_plain_class(mail, seen, recipient))


def _of(mail: Mail, recipient: str, weighing: _Weighing) -> list[_Found]:
    own = weighing.of_one.get(mail.identity.account(recipient)) if weighing.of_one else None
    return [weighing.of_all] if own is None else [own, weighing.of_all]


def _weighed(mail: Mail, seen: _Seen, recipient: str, direction: str, found: list[_Found]) -> _Judged:
    """Put together what speaks of one recipient's copy."""
    pieces = [piece for one in found for piece in one.shown]
    if not pieces:
        return _Judged(_plain_class(mail, seen, recipient))
    is_hard = any(one.is_hard for one in found)
    kind = direction if is_hard else _plain_class(mail, seen, recipient)
    telling = sorted([one for one in found if one.leading], key=lambda one: not one.is_hard)
    mechanism, forwarder = telling[0].leading or ("", "")
    owners: tuple[str, ...] = ()
    if direction == IN:
        mailboxes: Iterable[str] = (mail.identity.account(recipient),)
    elif login := _login_mailbox(mail):
        # Whatever marks name, it is who logged in that sends: nobody else's exemption lets it through.
        mailboxes = owners = (login,)
        forwarder = login
        pieces.append(Evidence("login", "auth_authen", login, hard=False))
    else:
        named = tuple(dict.fromkeys([mailbox for one in found for mailbox in one.mailboxes]))
        remembered = _remembered_mailboxes(mail)
        owners = tuple([mailbox for mailbox in named if mailbox in remembered])
        is_unnamed = any(one.is_hard and one.is_unnamed for one in found)
        mailboxes = owners or (() if is_unnamed else named)
        if owners and forwarder not in owners:
            forwarder = owners[0]
    return _Judged(kind, direction, tuple(pieces), tuple(dict.fromkeys(mailboxes)), owners, mechanism, forwarder)


def _remembered_mailboxes(mail: Mail) -> frozenset[str]:
    """Return the official mailboxes that this mail was addressed to before, as it was remembered."""
    known = [box for passage in mail.passages for box in (*passage.mailboxes, passage.login, passage.sender)]
    return frozenset(map(mail.identity.account, [*known, *(mail.memory.mailboxes if mail.memory else ())]))


def _plain_class(mail: Mail, seen: _Seen, recipient: str) -> str:
    """Say what a copy is that is no forbidden forward."""
    letter = seen.letter
    if seen.is_report:
        return REPORT
    if letter.is_answer or (seen.is_reply and letter.has(b"auto-submitted")):
        return AUTO_REPLY
    if seen.is_list or letter.spoken.scheme == "verp":
        return LIST
    if seen.redirected_by or letter.is_forward_by_subject:
        return HUMAN
    if mail.organization.is_state(recipient):
        if seen.names_state_forwarder:
            return WITHIN_STATE
        if mail.passages and recipient not in mail.passages[0].addressed:
            return WITHIN_STATE
    return NONE


# -- out: from an official mailbox -----------------------------------------------------------------


def _find_out(mail: Mail, seen: _Seen, recipient: str) -> _Found:
    """Return the evidence that this recipient's copy leaves by itself, beside what speaks of all copies."""
    organization, envelope, letter = mail.organization, mail.envelope, seen.letter
    is_official = organization.is_official
    found = _Found()

    def add(piece: Evidence, *named: str, mechanism: Mechanism = OWN_COPY) -> None:
        own = [
            mail.identity.account(box)
            for box in named
            if _is_mailbox_of_ours(mail, box) and not mail.identity.is_list(box)
        ]
        sign = Sign(Kind.FORWARD, Strength.SURE, (piece,), own[0] if own else "")
        found.add(mechanism, sign, True, *own)

    if not seen.redirected_by:
        _remembered(mail, seen, recipient, add)
    if not seen.is_own_answer:
        original = envelope.originals.get(recipient, "")
        is_mailbox = _is_mailbox_of_ours(mail, original) and not mail.identity.is_list(original)
        if mail.session.hook in AFTER_EXPANSION and is_mailbox:
            add(Evidence("envelope", "ORCPT", original), original)
        known = [passage.addressed for passage in mail.passages] + ([mail.memory.addressed] if mail.memory else [])
        if not any(recipient in addressed for addressed in known):
            sender, spoken = envelope.sender, letter.spoken
            if spoken.scheme in ("srs", "caf") and organization.is_official_domain(spoken.by):
                add(Evidence("envelope", "MAIL FROM", sender), mechanism=SRS)
            elif (
                mail.session.hook == "egress"
                and sender
                and not is_official(letter.sender)
                and not is_bounce_home(recipient)
            ):
                # Neither from nor to one of our mailboxes, and no ingress of ours took it in for him.
                add(Evidence("envelope", "MAIL FROM", sender))
    return found


def _remembered(mail: Mail, seen: _Seen, recipient: str, add: Callable[..., None]) -> None:
    """Look at what was remembered of this mail: no header of it can change that.

    The newest passage that did not address this recipient shows the mailboxes that the copy comes from.
    """
    is_list, letter = mail.identity.is_list, seen.letter
    for passage in mail.passages:
        if recipient in passage.addressed:
            continue
        sources = [box for box in passage.mailboxes if not is_list(box)] or [passage.login or passage.sender]
        add(Evidence("passage", "Received", f"id {passage.queue_id}, for {_shown(sources)}"), *sources)
        break
    memory = mail.memory
    if memory is None or memory.is_submitter or recipient in memory.addressed:
        return
    sources = [box for box in memory.mailboxes if not is_list(box)]
    if login := _login_mailbox(mail):
        sources = [box for box in sources if box == login]
    if not sources and any(map(is_list, memory.mailboxes)) and not letter.is_by(letter.hander):
        sources = [letter.hander]  # a member of the list sends on what another wrote
    if sources:
        add(Evidence("memory", "Message-ID", f"was delivered to {_shown(sources)}"), *sources)
    elif memory.was_submitted and not memory.mailboxes and not mail.passages and mail.session.hook == "egress":
        # All that leaves was taken in for somebody: a blind copy was not, and has no Received line of ours to say so.
        add(Evidence("memory", "Message-ID", "was submitted for others"), letter.sender)


def _shown(mailboxes: list[str]) -> str:
    more = f" and {len(mailboxes) - _MOST_SHOWN} more" if len(mailboxes) > _MOST_SHOWN else ""
    return ", ".join(mailboxes[:_MOST_SHOWN]) + more


def _is_lists_copy(mail: Mail, seen: _Seen, recipient: str) -> bool:
    """Tell whether a copy is what a list of ours sends to its members, whoever else the mail was addressed to.

    The list is among those addressed, and the copy shows it. Before it leaves: by the list's bounce address alone,
    for a member who sends it on has the rest as well. Where it leaves: by ORCPT, List-Id, or a trace of the list.
    What shows another official mailbox is that one's; what shows neither, as a bcc map's copy, is no list's.
    """
    identity, letter = mail.identity, seen.letter
    if not mail.organization.lists:
        return False
    addressed: tuple[str, ...] = mail.memory.mailboxes if mail.memory is not None else ()
    newest: Passage | None = None
    for passage in mail.passages:
        if recipient not in passage.addressed:
            addressed, newest = passage.mailboxes, passage
            break
    lists = [box for box in addressed if identity.is_list(box)]
    original = mail.envelope.originals.get(recipient, "")
    if not lists or seen.shows_mailbox or seen.is_mailbox_shown(original):
        return False
    if identity.is_list(list_of(letter.sender)) or identity.is_list(letter.sender):
        return not mail.envelope.login or identity.is_list(mail.account)
    if mail.session.hook != "egress":
        return False
    if identity.is_list(original):
        return True
    names = [box.replace("@", ".").encode("utf-8", "replace") for box in lists]
    if any(name in value.lower() for value in mail.header_values(b"list-id") for name in names):
        return True
    if seen.shows_list:
        return True
    if newest is not None and len(lists) == len(addressed):
        # Its every copy bears what the mail has: only a bcc map asks for no report on its own (RFC 3461,
        # NOTIFY=NEVER).
        return recipient not in mail.envelope.unreported
    hostnames = mail.organization.hostnames
    return any(identity.is_list(received_for(value, hostnames)) for value in mail.header_values(b"received"))


def _login_mailbox(mail: Mail) -> str:
    """Return the official mailbox of the login, "" when it has none."""
    login = mail.envelope.login
    return mail.account if login and mail.organization.is_official(login) else ""


_GMAIL = b"X-Forwarded-To: ptp.bl@hanam.gov.vn\r\nX-Forwarded-For: a@gmail.com ptp.bl@hanam.gov.vn\r\n"
_CAF_SENDER = "a+caf_=ptp.bl=hanam.gov.vn@gmail.com"
_LETTER = b"From: Lan <lan@example.com>\r\nSubject: Bao cao\r\nMessage-ID: <1@example.com>\r\n"
_INSIDE = "10.1.1.5"
_RULE = b"X-MS-Exchange-Inbox-Rules-Loop: a@company.vn\r\n"
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
        facts=(("proofs", _PROVEN),),
    ),
    _example(
        "a state body's mailbox redirects to us, which nothing proves",
        Action.ACCEPT,
        b"X-Sieve-Redirected-From: vp@ninhbinh.gov.vn\r\n",
        finds=True,
        direction="in",
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
        "two likely signs that name one mailbox",
        Action.REJECT,
        b"X-Loop: a@company.vn\r\nResent-From: a@company.vn\r\n",
        direction="in",
    ),
    _example(
        "two likely signs that name two mailboxes",
        Action.ACCEPT,
        b"X-Loop: a@company.vn\r\nResent-From: b@other.vn\r\n",
        finds=True,
        direction="in",
    ),
    Example(
        "an automatic reply that carries a rule's mark",
        Action.ACCEPT,
        _RULE + b"From: a@company.vn\r\nAuto-Submitted: auto-generated\r\n\r\nVang mat.\r\n",
        sender="",
    ),
    _example(
        "an automatic reply that a rule redirects",
        Action.REJECT,
        b"Auto-Submitted: auto-replied\r\n" + _RULE,
        direction="in",
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
    _example(
        "a company's forward of what a state body signed",
        Action.REJECT,
        b"X-Sieve-Redirected-From: vp@ninhbinh.gov.vn\r\nX-Zimbra-Forwarded: a@company.vn\r\n",
        facts=(("proofs", {"ninhbinh.gov.vn": "dkim"}),),
        direction="in",
    ),
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
