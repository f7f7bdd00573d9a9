"""Spam (clause 4.3): what the spam engine and the blacklists say of the mail, mapped to what is done.

A wrong block must lose nothing (decree 91/2020 article 10.3): a refusal tells the sender, a tag is a header, and
only what the site configures is held. Blacklists are the site's own (lists blocklist and allowlist) and those of DNS
(decree 91 articles 3.6 and 8.2); they judge mail from outside alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mailgate.identity.spelling import canonical_domain, domain_of
from mailgate.model import Action, Evidence, ListEntry, Listing, Lists, Mail, SpamReport
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag

_ACTIONS: Mapping[str, Action] = {
    "reject": Action.REJECT,
    "soft reject": Action.TEMPFAIL,
    "quarantine": Action.QUARANTINE,
    "discard": Action.QUARANTINE,
    "rewrite subject": Action.ACCEPT,
    "add header": Action.ACCEPT,
    "greylist": Action.ACCEPT,
}


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.spam].

    actions: the engine's action → ours; one that is not named here is no finding ("no action"). blocklist: for who is
    on the site's own list. dnsbl: for who is on one of DNS alone; agreed: where the engine finds something too.
    header: the name of the header that is added to a mail with a finding; "" adds none.
    """

    NAME = "spam"
    CLAUSE = "QD27/2023 4.3"
    REPLY = "550 5.7.1 Refused as spam\nThu bi xac dinh la thu rac (khoan 3 Dieu 4 QD 27/2023)"
    NEEDS = "spam"

    actions: Mapping[str, Action] = field(default_factory=lambda: dict(_ACTIONS))
    blocklist: Action = Action.REJECT
    dnsbl: Action = Action.ACCEPT
    agreed: Action = Action.REJECT
    header: str = "X-Mailgate-Spam"

    def __post_init__(self) -> None:
        """Raise ValueError for what is no header's name."""
        check_tag(self.header)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report the engine's answer when it asks for anything, and who is listed."""
        report = mail.spam
        if report is not None and report.action in self.actions:
            yield self._engine_hit(report)
        if mail.is_ours or not (mail.listings or mail.lists.entries):
            return
        if _entry(mail, "allowlist") is not None:
            return
        entry = _entry(mail, "blocklist")
        if entry is not None:
            source = "; ".join(f"{key}={value}" for key, value in entry.attributes.items())
            yield self._hit((Evidence("blocklist", entry.text, source),), self.blocklist, f"blocklist={entry.text}")
        if mail.listings:
            agrees = report is not None and report.action in self.actions
            pieces = tuple(
                Evidence("dnsbl", listing.zone, f"{listing.name} {listing.answer}") for listing in mail.listings
            )
            zones = ",".join(listing.zone for listing in mail.listings)
            yield self._hit(pieces, self.agreed if agrees else self.dnsbl, f"dnsbl={zones}")

    def _hit(self, pieces: tuple[Evidence, ...], action: Action, value: str) -> Hit:
        return Hit(pieces, action=action, headers=tag(self.header, value))

    def _engine_hit(self, report: SpamReport) -> Hit:
        symbols = " ".join(report.symbols)
        value = f"action={report.action.replace(' ', '-')}; score={report.score:.2f}; required={report.required:.2f}"
        pieces = (Evidence("engine", "verdict", value), Evidence("engine", "symbols", symbols))
        return self._hit(pieces, self.actions[report.action], f"{value}; symbols={symbols}")


def _entry(mail: Mail, name: str) -> ListEntry | None:
    """Return the entry of a list that speaks of who sends the mail."""
    lists, session, sender = mail.lists, mail.session, mail.envelope.sender
    if not lists.entries.get(name):
        return None
    return (
        lists.find_address(name, session.client_ip)
        or lists.find_domain(name, canonical_domain(session.client_name))
        or lists.find(name, sender)
        or lists.find_domain(name, domain_of(sender))
    )


def _report(action: str, score: float) -> tuple[tuple[str, object], ...]:
    return (("spam", SpamReport(action, score, 15.0, ("GTUBE(0.00)",))),)


def _blocked(party: str, allowed: str = "") -> tuple[tuple[str, object], ...]:
    entries = {"blocklist": {party: ListEntry(party, {"source": "A05"})}}
    if allowed:
        entries["allowlist"] = {allowed: ListEntry(allowed)}
    return (("lists", Lists(entries)),)


_LISTED: tuple[tuple[str, object], ...] = (("listings", (Listing("dnsbl.example.net", "203.0.113.7", "127.0.0.2"),)),)

EXAMPLES = (
    Example("the engine refuses", Action.REJECT, facts=_report("reject", 15.0)),
    Example("no action", Action.ACCEPT, facts=_report("no action", 1.0)),
    Example("a network on the site's list", Action.REJECT, facts=_blocked("203.0.113.0/24")),
    Example("the next network", Action.ACCEPT, facts=_blocked("203.0.114.0/24")),
    Example("a domain on the site's list", Action.REJECT, facts=_blocked("example.com"), sender="a@mail.example.com"),
    Example("an address on the site's list", Action.REJECT, facts=_blocked("a@example.com")),
    Example("another address there", Action.ACCEPT, facts=_blocked("b@example.com")),
    Example("listed, and allowed", Action.ACCEPT, facts=_blocked("203.0.113.0/24", allowed="a@example.com")),
    Example("our own mail is on no list", Action.ACCEPT, facts=_blocked("example.com"), client_ip="127.0.0.1"),
    Example("on a list of DNS", Action.ACCEPT, facts=_LISTED, finds=True),
    Example("on a list of DNS, and the engine agrees", Action.REJECT, facts=(*_LISTED, *_report("add header", 6.0))),
    Example(
        "on a list of DNS, held where configured", Action.QUARANTINE, facts=_LISTED, keys=(("dnsbl", "quarantine"),)
    ),
    Example("tagged", Action.ACCEPT, facts=_report("add header", 6.0), finds=True),
    Example("soft reject", Action.TEMPFAIL, facts=_report("soft reject", 3.0)),
    Example("engine away, mail passes by default", Action.ACCEPT, facts=(("missing", {"spam": "x"}),), finds=True),
    Example(
        "held where configured",
        Action.QUARANTINE,
        facts=_report("add header", 6.0),
        keys=(("actions", {"add header": "quarantine"}),),
    ),
)
