"""Nobody sends as an official mailbox but its owner (clauses 3.2 and 4.6).

A login sends as itself: envelope sender, every mailbox of every From, and Sender are its own mailbox (also by
sub-address), an alias with it behind, or an address that `grants` names. The null sender is everybody's, for reports
and automatic replies. What is redirected (RFC 5322 section 3.6.6: Resent-From is the login's own) keeps an outside
author's From, which is recorded; that of another official it may not keep.

An outside client sends as one of our domains only where SPF or DKIM proves it. SPF speaks for the envelope's domain
alone: a From of ours under another's envelope needs a DKIM signature of ours. A state body's mail server needs the
proof like any other. Signatures that were too much to verify are neither good nor forged: such a mail is held.
Clients of our own networks (printers, applications, the mail store) send as they like, and mail at the hooks after
expansion was judged when it came in.

What an outside client may write and still deceive by is soft evidence, of four kinds: an address of ours in a display
name (header), a domain that looks like ours (look-alike), several authors without a Sender or several From fields
(RFC 5322 section 3.6.2, several), and the name of a registered mailbox as another address's display name (name). A
common name alone says nothing, for many people have it: it counts where one mailbox alone has it, or an office or
body stands beside it. Lists (List-Id) show their members' addresses, and several of them; a domain that looks like
ours and a registered name are noted of them too, since anybody can write a List-Id.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailgate.caches import remembered
from mailgate.identity.spelling import domain_of, mailbox_of
from mailgate.mime.fields import decode_words
from mailgate.model import AFTER_EXPANSION, Action, Evidence, Mail
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag
from mailgate.text.addresses import listed_in, mailboxes_in
from mailgate.text.claimed_names import Claim, claims_of, key_of
from mailgate.text.look_alikes import look_alike_of

_LONGEST_VALUE = 200  # of a header, in evidence
_PROVES = ("spf", "dkim")  # an ARC seal proves who handled a mail, a network of state bodies that it is theirs
_NO_CLAIM: frozenset[str] = frozenset()
_MOST_OF_A_KIND = 3  # of soft evidence
_LONGEST_FROM = 1_000  # octets of a From in which a name is looked for
_NO_NAME = re.compile(r"<[^<>]*>|[^\s<>\"(),;:]+@[^\s<>\"(),;:]+")


class Names(StrEnum):
    """Which registered names are looked for in outside display names."""

    ALL = "all"
    UNITS = "units"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.sender-identity].

    grants: login → further addresses that it may send as. list_action: what is done with a mailing list's mail, or a
    report, whose From alone claims to be ours. on_missing: what is done while DNS cannot be asked for the proof.
    names: which registered names are looked for. name_header: the field that a mail gets which bears such a name or
    comes from a look-alike domain, "" for none.
    """

    NAME = "sender-identity"
    CLAUSE = "QD27/2023 3.2, 4.6"
    REPLY = (
        "550 5.7.1 Sender address is not proven to be yours\n"
        "Dia chi nguoi gui khong phai cua nguoi gui (khoan 2 Dieu 3, khoan 6 Dieu 4 QD 27/2023)"
    )

    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    list_action: Action = Action.QUARANTINE
    names: Names = Names.ALL
    name_header: str = ""

    @property
    def reads_names(self) -> bool:
        """Tell whether any name is looked for."""
        return self.names is not Names.OFF

    def __post_init__(self) -> None:
        """Put the grants into the form that compares; raises ValueError for no address, or no field's name."""
        check_tag(self.name_header)
        grants = {_address(login): tuple(map(_address, granted)) for login, granted in self.grants.items()}
        object.__setattr__(self, "grants", grants)

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        """Refuse a login's envelope sender that is not its own."""
        sender = mail.envelope.sender
        if not sender or not mail.envelope.login or mail.session.hook in AFTER_EXPANSION or self._owns(mail, sender):
            return ()
        pieces = (Evidence("login", "auth_authen", mail.account), Evidence("envelope", "MAIL FROM", sender))
        return [Hit(pieces, mailboxes=(mail.account,))]

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge the header's authors: a login's, and those that an outside client claims to be."""
        if mail.envelope.login:
            return () if mail.session.hook in AFTER_EXPANSION else self._of_login(mail)
        if not _is_outside(mail):
            return ()
        names_ours = _names_ours(mail)
        hits = list(self._of_outside(mail)) if names_ours else []
        hits += self._deceptions(mail, names_ours)
        return hits or ()

    def claims(self, mail: Mail) -> frozenset[str]:
        """Return the domains of ours that an outside client's mail claims to come from."""
        if not _is_outside(mail) or not _names_ours(mail):
            return _NO_CLAIM
        claimed = [mail.envelope.sender, *(mailbox for _, mailbox in _authors(mail, b"from"))]
        domains = mail.organization.domains
        return frozenset(domain for domain in map(domain_of, claimed) if domain in domains)

    # -- a login --------------------------------------------------------------------------------

    def _owns(self, mail: Mail, address: str) -> bool:
        identity, account = mail.identity, mail.account
        if "@" not in address:  # Postfix completes it by its own domain
            return address == account.rpartition("@")[0]
        return identity.owns(account, address) or any(
            identity.is_same(address, granted)
            for login, all_granted in self.grants.items()
            if identity.is_same(account, login)
            for granted in all_granted
        )

    def _of_login(self, mail: Mail) -> Iterator[Hit]:
        foreign = [
            (name, value, mailbox)
            for name in (b"from", b"sender")
            for value, mailbox in _authors(mail, name)
            if not self._owns(mail, mailbox)
        ]
        login = Evidence("login", "auth_authen", mail.account, hard=False)
        is_official = mail.organization.is_official
        is_redirect = bool(foreign) and self._is_redirect(mail)
        pieces = [
            Evidence("header", name.decode().title(), value, hard=not is_redirect or is_official(mailbox))
            for name, value, mailbox in foreign
        ] or _display_names(mail)
        if pieces:
            yield Hit((login, *dict.fromkeys(pieces)), mailboxes=(mail.account,))

    def _is_redirect(self, mail: Mail) -> bool:
        resent = [mailbox for name in (b"resent-from", b"resent-sender") for _, mailbox in _authors(mail, name)]
        return bool(resent) and all(self._owns(mail, mailbox) for mailbox in resent)

    # -- an outside client -----------------------------------------------------------------------

    def _of_outside(self, mail: Mail) -> Iterator[Hit]:
        organization, sender = mail.organization, mail.envelope.sender

        def is_unproven(mailbox: str) -> bool:
            return organization.is_official(mailbox) and mail.proofs.get(domain_of(mailbox)) not in _PROVES

        authors = [(value, mailbox) for value, mailbox in _authors(mail, b"from") if is_unproven(mailbox)]
        named = [mailbox for _, mailbox in authors]
        pieces = [Evidence("header", "From", value) for value, _ in authors]
        if is_unproven(sender):
            pieces.insert(0, Evidence("envelope", "MAIL FROM", sender))
            named.append(sender)
        if not pieces:
            return
        action = None
        if "dns" in mail.missing:
            action = self.on_missing or Action.TEMPFAIL
            pieces.append(Evidence("missing", "dns", mail.missing["dns"]))
        elif "signatures" in mail.missing:  # they may be good: neither a forgery nor a proof
            action = Action.QUARANTINE
            pieces.append(Evidence("missing", "signatures", mail.missing["signatures"]))
        elif not is_unproven(sender) and (_is_list(mail) or _is_report(mail)):
            action = self.list_action
        mailboxes = tuple(dict.fromkeys(map(mail.identity.account, named)))
        yield Hit(tuple(dict.fromkeys(pieces)), action=action, mailboxes=mailboxes)

    def _deceptions(self, mail: Mail, names_ours: bool) -> Iterator[Hit]:
        """Yield what looks like ours, and is not; names_ours: whether an address of ours stands anywhere in it."""
        claims = [*_look_alikes(mail), *self._registered_names(mail)]
        others = [] if _is_list(mail) else _several_authors(mail)
        if names_ours and not _is_list(mail):
            others += _display_names(mail)[:_MOST_OF_A_KIND]
        if claims or others:
            yield Hit((*claims, *others))
        if claims and self.name_header:  # a finding of its own, for what is soft adds no field
            value = "; ".join(f"{piece.kind} {piece.name}" for piece in claims)
            marked = Evidence("tag", self.name_header, value)
            yield Hit((marked,), action=Action.ACCEPT, headers=tag(self.name_header, value))

    def _registered_names(self, mail: Mail) -> list[Evidence]:
        """Return soft evidence for each From whose display name is a registered mailbox's, and whose address is not.

        Another state body has units of the same names: its mailboxes may bear them.
        """
        if self.names is Names.OFF or not mail.names:
            return []
        is_state = mail.organization.is_state
        found = []
        for value in mail.header_values(b"from")[:_MOST_OF_A_KIND]:
            claims = _claims(value[:_LONGEST_FROM])
            if (
                claims
                and any(self._is_registered(mail, claim) for claim in claims)
                and not all(is_state(mailbox) for mailbox in listed_in(value))
            ):
                found.append(Evidence("name", "From", _shown(value), hard=False))
        return found

    def _is_registered(self, mail: Mail, claim: Claim) -> bool:
        count = mail.names.count
        if count(claim.key | 1):
            return True
        return self.names is Names.ALL and (bearers := count(claim.key)) > 0 and (bearers == 1 or claim.of_office)


def _address(text: str) -> str:
    mailbox = mailbox_of(text.encode("utf-8", "surrogateescape"))
    if mailbox.count("@") != 1 or " " in mailbox:
        raise ValueError(f"grants: {text!r} is no address: write one such as ptp.bl@hanam.gov.vn")
    return mailbox


def _is_outside(mail: Mail) -> bool:
    """Tell whether a client of nobody's knowledge hands the mail over.

    At the hook submission Postfix has let in whom it knows, even where the door is told no login (SMTP).
    """
    return (
        mail.session.hook == "mx"
        and not mail.envelope.login
        and not mail.organization.is_internal(mail.session.client_ip)
    )


def _names_ours(mail: Mail) -> bool:
    """Tell whether envelope or From name a domain of ours at all, be it in a display name: mostly they do not."""
    domains = mail.organization.domains
    return domain_of(mail.envelope.sender) in domains or not mail.once(
        "domains of From", lambda: _domains(mail)
    ).isdisjoint(domains)


def _domains(mail: Mail) -> frozenset[str]:
    named = [*_authors(mail, b"from"), *_spoken_in_from(mail)]
    return frozenset([domain_of(mailbox) for _, mailbox in named])


def _authors(mail: Mail, name: bytes) -> list[tuple[str, str]]:
    """Return each mailbox in the fields of this name, with the field as it is shown in evidence."""
    return mail.once(
        (name, "authors"),
        lambda: [(_shown(value), mailbox) for value in mail.header_values(name) for mailbox in listed_in(value)],
    )


def _spoken_in_from(mail: Mail) -> list[tuple[str, str]]:
    """Return each mailbox that stands anywhere in From, with the field as it is shown in evidence."""
    return mail.once(
        "spoken in From",
        lambda: [(_shown(value), mailbox) for value in mail.header_values(b"from") for mailbox in _spoken(value)],
    )


def _display_names(mail: Mail) -> list[Evidence]:
    """Return soft evidence for each From that shows an address of ours where programs show a name."""
    is_official = mail.organization.is_official
    authors = set(_authors(mail, b"from"))
    return [
        Evidence("header", "From", shown, hard=False)
        for shown, mailbox in _spoken_in_from(mail)
        if is_official(mailbox) and (shown, mailbox) not in authors
    ]


@remembered("sender_identity._spoken")
def _spoken(value: bytes) -> tuple[str, ...]:
    text = decode_words(value).encode("utf-8", "replace") if b"=?" in value else value
    return tuple(mailboxes_in(text)) if text.count(b"@") > 1 else ()


def _look_alikes(mail: Mail) -> list[Evidence]:
    """Return soft evidence for each author whose domain looks like one of ours, and is no state body's."""
    organization = mail.organization
    found = {}
    for _, mailbox in _authors(mail, b"from"):
        if (ours := look_alike_of(domain_of(mailbox), organization.domains)) and not organization.is_state(mailbox):
            found[mailbox] = Evidence("look-alike", ours, mailbox[:_LONGEST_VALUE], hard=False)
    return list(found.values())[:_MOST_OF_A_KIND]


def _several_authors(mail: Mail) -> list[Evidence]:
    """Return soft evidence for authors of whom no Sender says who sends, and for a second From."""
    values = mail.header_values(b"from")
    authors = _authors(mail, b"from")
    if len(authors) < 2:
        return []
    if len(values) == 1 and (b"sender" in mail.fields or len({mailbox for _, mailbox in authors}) < 2):
        return []
    shown = dict.fromkeys([shown for shown, _ in authors])
    return [Evidence("several", "From", value, hard=False) for value in shown][:_MOST_OF_A_KIND]


@remembered("sender_identity._claims")
def _claims(value: bytes) -> tuple[Claim, ...]:
    """Return the names that a From's display name may be."""
    return claims_of(_NO_NAME.sub(" , ", decode_words(value)))


def _is_list(mail: Mail) -> bool:
    return b"list-id" in mail.fields


def _is_report(mail: Mail) -> bool:
    return mail.first_header(b"content-type").lower().startswith(b"multipart/report")


def _shown(value: bytes) -> str:
    return b" ".join(value[:1_000].split()).decode("utf-8", "replace")[:_LONGEST_VALUE]


_ME, _BOSS = "ptp.bl@hanam.gov.vn", "chutich@hanam.gov.vn"
_US = "hanam.gov.vn"


def _example(title: str, wants: Action, fields: str = "", proofs: str | None = None, **others: object) -> Example:
    """Return an example whose header has these fields; proofs: what proves our domain."""
    message = f"{fields}\nSubject: Bao cao\n\nKinh gui.\n".lstrip("\n").replace("\n", "\r\n").encode()
    facts: tuple[tuple[str, object], ...] = ()
    if proofs is not None:
        is_missing = proofs in ("dns", "signatures")
        facts = (("missing", {proofs: "x"}),) if is_missing else (("proofs", {_US: proofs}),)
    return Example(title, wants, message, facts=facts, **others)  # type: ignore[arg-type]


def _login(title: str, wants: Action, fields: str = f"From: {_ME}", sender: str = _ME, **others: object) -> Example:
    defaults: dict[str, object] = {"login": _ME, "recipients": ("lan@example.com",), **others}
    return _example(title, wants, fields, None, sender=sender, **defaults)


_GRANTS = (("grants", {"PTP.BL@hanam.gov.vn": ["stttt@hanam.gov.vn"]}),)
_TAG = (("name_header", "X-Mailgate-Impersonation"),)
_NAMES = (
    *map(key_of, ("Nguyễn Văn An", "Nguyễn Văn Ân", "Trần Thị Bưởi")),
    key_of("Sở Thông tin và Truyền thông", is_unit=True),
)


def _named(title: str, author: str, **others: object) -> Example:
    """Return an example with this author where the registry has _NAMES."""
    message = f"From: {author}\r\nSubject: Bao cao\r\n\r\nKinh gui.\r\n".encode()
    return Example(title, Action.ACCEPT, message, facts=(("names", _NAMES),), **others)  # type: ignore[arg-type]


_REDIRECT = f"Resent-From: {_ME}\n"
_LIST = "List-Id: <ai-do.lists.example>\n"

EXAMPLES = (
    _login("a login as itself", Action.ACCEPT),
    _login("its envelope sender is another's", Action.REJECT, sender=_BOSS),
    _login("its envelope sender is an outsider's", Action.REJECT, sender="lan@example.com"),
    _login("its From is another's", Action.REJECT, f"From: Chu tich <{_BOSS}>"),
    _login("in another case", Action.ACCEPT, "From: PTP.BL@HaNam.gov.vn", sender="Ptp.Bl@hanam.gov.vn"),
    _login("under a sub-address", Action.ACCEPT, "From: ptp.bl+hop@hanam.gov.vn", sender="ptp.bl+a@hanam.gov.vn"),
    _login("a quoted local part", Action.ACCEPT, 'From: "ptp.bl"@hanam.gov.vn'),
    _login("a quoted local part of somebody else", Action.REJECT, 'From: "chutich"@hanam.gov.vn'),
    _login("a login without a domain is of the first of ours", Action.ACCEPT, login="ptp.bl"),
    _login("one From of two is another's", Action.REJECT, f"From: {_ME}\nFrom: {_BOSS}"),
    _login("one mailbox of two is another's", Action.REJECT, f"From: {_ME}, Chu tich <{_BOSS}>"),
    _login("another's in a group", Action.REJECT, f"From: Lanh dao: {_BOSS};"),
    _login("another's in a comment", Action.ACCEPT, f"From: {_ME} (thay cho {_BOSS})", finds=True),
    _login("another's before nested comments", Action.REJECT, f"From: {_BOSS} (a (b) c)"),
    _login("its Sender is another's", Action.REJECT, f"From: {_ME}\nSender: {_BOSS}"),
    _login("a name alone, which Postfix completes", Action.REJECT, "From: chutich"),
    _login("a reading report", Action.ACCEPT, sender=""),
    _login("a report as somebody else", Action.REJECT, f"From: {_BOSS}", sender=""),
    _login("a look-alike of its own address", Action.REJECT, "From: ptp.bl@hanam-gov.vn"),
    _login(
        "what is granted",
        Action.ACCEPT,
        "From: So TTTT <stttt@hanam.gov.vn>",
        sender="stttt@hanam.gov.vn",
        keys=_GRANTS,
    ),
    _login("another's beside what is granted", Action.REJECT, f"From: {_BOSS}", keys=_GRANTS),
    _login("granted to another login", Action.REJECT, sender="stttt@hanam.gov.vn", login=_BOSS, keys=_GRANTS),
    _login("a redirect of an outside author's mail", Action.ACCEPT, f"{_REDIRECT}From: lan@example.com", finds=True),
    _login("a redirect that shows another official", Action.REJECT, f"{_REDIRECT}From: {_BOSS}"),
    _login("another's redirect", Action.REJECT, f"{_REDIRECT}From: lan@example.com", sender=_BOSS, login=_BOSS),
    _login("another's address as its name", Action.ACCEPT, f'From: "{_BOSS}" <{_ME}>', finds=True),
    _login(
        "the same without quotes, which some programs show as the author", Action.REJECT, f"From: {_BOSS} <{_ME}>"
    ),
    _login("a comma in a name without quotes", Action.ACCEPT, f"From: Nguyen, Van A <{_ME}>"),
    _login("quotes around its address", Action.ACCEPT, f"From: <'{_ME}'>"),
    _login("its address as a link", Action.ACCEPT, f"From: Nguyen Van A <mailto:{_ME}>"),
    _example("an outsider as himself", Action.ACCEPT, "From: Lan <a@example.com>"),
    _example("an outsider with our envelope sender", Action.REJECT, "From: a@example.com", sender=_ME),
    _example("an outsider with our From", Action.REJECT, f"From: {_ME}"),
    _example("SPF proves it", Action.ACCEPT, f"From: {_ME}", "spf", sender=_ME),
    _example("DKIM proves the From", Action.ACCEPT, f"From: {_ME}", "dkim"),
    _example("an ARC seal does not", Action.REJECT, f"From: {_ME}", "arc"),
    _example("nor a state body's network", Action.REJECT, f"From: {_ME}", "network"),
    _example("DNS cannot be asked", Action.TEMPFAIL, f"From: {_ME}", "dns"),
    _example("signatures too large to verify are held", Action.QUARANTINE, f"From: {_ME}", "signatures"),
    _example(
        "also of a list", Action.QUARANTINE, f"{_LIST}From: {_ME}", "signatures", keys=(("list_action", "accept"),)
    ),
    _example(
        "accepted then, where configured",
        Action.ACCEPT,
        f"From: {_ME}",
        "dns",
        keys=(("on_missing", "accept"),),
        finds=True,
    ),
    _example("the null sender, with our From", Action.REJECT, f"From: {_ME}", sender=""),
    _example("the null sender, with theirs", Action.ACCEPT, "From: MAILER-DAEMON@example.com", sender=""),
    _example(
        "a report with our From is held",
        Action.QUARANTINE,
        f"From: {_ME}\nContent-Type: multipart/report; boundary=x",
        sender="",
    ),
    _example("a mailing list's mail by one of ours is held", Action.QUARANTINE, f"{_LIST}From: {_ME}"),
    _example(
        "let through where configured",
        Action.ACCEPT,
        f"{_LIST}From: {_ME}",
        keys=(("list_action", "accept"),),
        finds=True,
    ),
    _example("a list with our envelope sender", Action.REJECT, f"{_LIST}From: {_ME}", sender=_ME),
    _example("our address as an outsider's name", Action.ACCEPT, f'From: "{_ME}" <x@gmail.com>', finds=True),
    _example(
        "the same in an encoded word",
        Action.ACCEPT,
        "From: =?UTF-8?B?cHRwLmJsQGhhbmFtLmdvdi52bg==?= <x@gmail.com>",
        finds=True,
    ),
    _example("an encoded word that hides all of it", Action.REJECT, "From: =?UTF-8?Q?ptp=2Ebl=40hanam=2Egov=2Evn?="),
    _example("the second From is ours", Action.REJECT, f"From: a@example.com\nFrom: {_ME}"),
    _example("one of two mailboxes is ours", Action.REJECT, f"From: a@example.com, {_ME}"),
    _example("ours in a group", Action.REJECT, f"From: Nhom: {_ME};"),
    _example("ours as a name without quotes", Action.REJECT, f"From: {_ME} <x@gmail.com>"),
    _example("ours between single quotes", Action.REJECT, f"From: '{_ME}'"),
    _example("ours after an open quote", Action.REJECT, f'From: "Lan <{_ME}>'),
    _example(
        "a domain that begins as ours",
        Action.ACCEPT,
        "From: ptp.bl@hanam.gov.vn.example",
        sender="ptp.bl@hanam-gov.vn",
        finds=True,
    ),
    _example("digits for letters", Action.ACCEPT, "From: ptp.bl@h4nam-g0v.vn", finds=True),
    _example("a look-alike domain of a list", Action.ACCEPT, f"{_LIST}From: ptp.bl@hanan-gov.vn", finds=True),
    _example("our name with another ending is anybody's", Action.ACCEPT, "From: tho@hanam.vn"),
    _example("another province", Action.ACCEPT, "From: stttt@hanamm.gov.vn"),
    _example("a look-alike with a field", Action.ACCEPT, "From: a@hanamgov.vn", keys=_TAG, finds=True),
    _example("two authors without a Sender", Action.ACCEPT, "From: a@example.com, b@example.com", finds=True),
    _example("two authors with one", Action.ACCEPT, "From: a@example.com, b@example.com\nSender: a@example.com"),
    _example("two From fields", Action.ACCEPT, "From: a@example.com\nFrom: b@example.com", finds=True),
    _named("an official's name", "Trần Thị Bưởi <x@gmail.com>", finds=True),
    _named("in an encoded word", "=?utf-8?q?TRAN_THI_BUOI?= <x@gmail.com>", finds=True),
    _named("with a field", "Tran Thi Buoi <x@gmail.com>", keys=_TAG, finds=True),
    _named("of two officials it is a common one", "Nguyễn Văn An <x@gmail.com>"),
    _named("but not with an office", "Nguyễn Văn An - Chủ tịch UBND tỉnh <x@gmail.com>", finds=True),
    _named("a unit's name", "So Thong tin va Truyen thong <x@gmail.com>", finds=True),
    _named("of another province's unit", "So Thong tin va Truyen thong <stttt@namdinh.gov.vn>"),
    _named("units alone", "Tran Thi Buoi <x@gmail.com>", keys=(("names", "units"),)),
    _named("not looked for", "So Thong tin va Truyen thong <x@gmail.com>", keys=(("names", "off"),)),
    _named("nobody's name", "Lê Văn Tám <x@gmail.com>"),
    _example("a domain below ours", Action.ACCEPT, "From: a@mail.hanam.gov.vn"),
    _example("a client of ours without a login", Action.ACCEPT, f"From: {_ME}", sender=_ME, client_ip="10.1.1.5"),
    _example("submission, where no login is told", Action.ACCEPT, f"From: {_ME}", sender=_ME, hook="submission"),
    _example("not judged again at egress", Action.ACCEPT, f"From: {_BOSS}", sender=_ME, hook="egress"),
    _example("a local program", Action.ACCEPT, f"From: {_BOSS}", sender=_ME, hook="non-smtp"),
)
