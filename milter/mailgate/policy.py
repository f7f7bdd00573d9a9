"""Rules to findings, findings to a verdict: pure and synchronous.

The order of the rules is the order of their findings; among equally strong findings the first one's
reply is given.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from .identity.spelling import domain_of
from .model import (
    STRENGTH,
    Action,
    Evidence,
    Exemption,
    Finding,
    Header,
    Mail,
    MailboxState,
    Mode,
    Verdict,
    was_judged,
)
from .rule import STAGES, Hit, RuleStanza, defines
from .text.addresses import mailboxes_in, spoken_of

_DEFAULT_REPLY = {
    Action.REJECT: "550 5.7.1 Refused by mail policy / Bi tu choi theo quy che thu dien tu cong vu",
    Action.TEMPFAIL: "451 4.7.1 Try again later / Vui long gui lai sau",
}


def covers(
    exemption: Exemption, finding: Finding, mail: Mail, now: float, ends: frozenset[str] | None = None
) -> bool:
    """Tell whether an exemption speaks of this finding at this time; ends: what ends_of returns, where it is known.

    A counterpart that mail comes from must be proven: anybody can write his name (4.5; mail.proofs).
    """
    if finding.rule != exemption.rule or now >= exemption.until:
        return False
    if finding.direction == "out":
        recipients = [finding.recipient] if finding.recipient else mail.envelope.recipients
        return _is_its(exemption.mailbox, finding, mail) and _names(exemption.counterpart, recipients, mail)
    counterpart = exemption.counterpart
    if finding.direction == "in" and counterpart and not mail.proofs.get(domain_of(counterpart) or counterpart):
        return False
    if ends is None:
        ends = ends_of(finding, mail)
    mailbox = exemption.mailbox
    # Whose mail it is that comes in is told by its recipient, and not by what anybody writes into a header.
    is_its = _names(mailbox, finding.mailboxes, mail) or (finding.direction != "in" and _names(mailbox, ends, mail))
    return is_its and _names(counterpart, ends, mail)


def ends_of(finding: Finding, mail: Mail) -> frozenset[str]:
    """Return the mailboxes that a finding of a mail may speak of, whoever the exemption names."""
    envelope = mail.envelope
    recipients = [finding.recipient] if finding.recipient else envelope.recipients
    ends = [envelope.sender, envelope.login, *recipients, *(piece.value for piece in finding.evidence)]
    if finding.direction == "in":
        ends.append(spoken_of(envelope.sender).forwarder)
        for piece in finding.evidence:
            ends += _boxes(mail, piece.value)
    return frozenset(ends)


def _is_its(wanted: str, finding: Finding, mail: Mail) -> bool:
    """Tell whether what leaves is of a mailbox that an exemption names.

    Of those that what was remembered proves one is enough; where marks alone name mailboxes, anybody may have written
    one, and all must be.
    """
    if not wanted or finding.owners:
        return _names(wanted, finding.owners, mail)
    return bool(finding.mailboxes) and all(_names(wanted, (one,), mail) for one in finding.mailboxes)


def _boxes(mail: Mail, value: str) -> list[str]:
    """Return the mailboxes in a piece of evidence, which many recipients' findings have in common."""
    return mail.once(("boxes", value), lambda: mailboxes_in(value.encode("utf-8", "replace")))


def _names(wanted: str, mailboxes: Collection[str], mail: Mail) -> bool:
    """Tell whether a mailbox, or one of a domain, is among these, under whatever of its addresses; "" is any."""
    if not wanted or wanted in mailboxes:
        return True
    account = mail.identity.account
    if "@" not in wanted:
        return any(wanted in (domain_of(mailbox), domain_of(account(mailbox))) for mailbox in mailboxes)
    sought = account(wanted)
    return any(account(mailbox) == sought for mailbox in mailboxes)


class Policy:
    """The enabled rules of one configuration; immutable, shared by all mails that it judges.

    on_error maps the name of a fact (as in Mail.missing) to the action of the service that gives it.
    """

    def __init__(
        self,
        rules: Sequence[RuleStanza],
        exemptions: Sequence[Exemption] = (),
        on_error: dict[str, Action] | None = None,
    ) -> None:
        self.rules = tuple(rule for rule in rules if rule.mode is not Mode.OFF)
        self.exemptions = tuple(exemptions)
        self._on_error = on_error or {}
        self._stages: dict[str, tuple[tuple[RuleStanza, Callable[..., Iterable[Hit]]], ...]] = {
            stage: tuple((rule, getattr(rule, stage)) for rule in self.rules if defines(rule, stage))
            for stage in STAGES
        }
        self.reads_names = any(rule.reads_names for rule in self.rules)
        self._claims = tuple(rule.claims for rule in self.rules if defines(rule, "claims"))

    def speaks_at(self, stage: str) -> bool:
        """Tell whether any rule can answer at a stage; the milter door negotiates the others away."""
        return bool(self._stages[stage])

    def speaks_at_rcpt(self, mailboxes: Mapping[str, MailboxState]) -> bool:
        """Tell whether any rule can answer at RCPT while these mailboxes are not active."""
        return any(rule.speaks_at_rcpt(mailboxes) for rule, _ in self._stages["at_rcpt"])

    def claims(self, mail: Mail) -> frozenset[str]:
        """Return the domains whose claim to have sent this mail would, proven, change its verdict."""
        return mail.once("claims", lambda: self._claims_of(mail))

    def _claims_of(self, mail: Mail) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for look in self._claims:
            found |= look(mail)
        return found

    def at_mail(self, mail: Mail, now: float) -> Verdict | None:
        """Judge the sender; None when nothing was found."""
        findings = self._find(mail, "at_mail")
        return self._verdict(mail, now, "mail", findings) if findings else None

    def at_rcpt(self, mail: Mail, recipient: str, now: float) -> Verdict | None:
        """Judge one recipient; None when nothing was found."""
        findings = [
            self._finding(rule, hit if hit.recipient else replace(hit, recipient=recipient))
            for rule, look in self._stages["at_rcpt"]
            for hit in look(mail, recipient)
        ]
        return self._verdict(mail, now, "rcpt", findings)

    def at_body(self, mail: Mail, now: float) -> Verdict | None:
        """Judge the content so far; None when nothing was found."""
        for rule, look in self._stages["at_body"]:
            for hit in look(mail):
                return self._verdict(mail, now, "body", [self._finding(rule, hit)])
        return None

    def decide(self, mail: Mail, now: float, earlier: Sequence[Finding] = ()) -> Verdict:
        """Judge the whole mail; `earlier` are the findings of its earlier stages that did not end it."""
        findings = self._find(mail, "at_end")
        if findings and mail.session.hook == "egress" and was_judged(mail.passages, mail.envelope.recipients):
            # It goes on to those whom it was addressed to when it was judged: what was held then was released since.
            findings = [finding for finding in findings if finding.action is not Action.QUARANTINE]
        if earlier:  # what is found again at the end is known better there
            again = {(finding.rule, finding.recipient) for finding in findings}
            findings[:0] = [finding for finding in earlier if (finding.rule, finding.recipient) not in again]
        if mail.missing:
            findings.extend(self._missing(mail))
        if not findings:
            return _ACCEPT
        return self._verdict(mail, now, "eom", findings) or _ACCEPT

    def _find(self, mail: Mail, stage: str) -> list[Finding]:
        findings: list[Finding] = []
        for rule, look in self._stages[stage]:
            hits = look(mail)
            if hits != ():  # nearly always it is
                findings.extend(self._finding(rule, hit) for hit in hits)
        return findings

    def _finding(self, rule: RuleStanza, hit: Hit) -> Finding:
        action = hit.action or rule.action
        mode = Mode.MONITOR if hit.is_soft else rule.mode
        return Finding(
            rule=rule.NAME,
            clause=rule.CLAUSE,
            mode=mode,
            action=action,
            reply=_fitting(action, hit.reply or rule.reply or rule.REPLY),
            recipient=hit.recipient,
            direction=hit.direction,
            evidence=hit.evidence,
            headers=hit.headers,
            mailboxes=hit.mailboxes,
            owners=hit.owners,
            mechanism=hit.mechanism,
            forwarder=hit.forwarder,
        )

    def _missing(self, mail: Mail) -> Iterable[Finding]:
        for rule in self.rules:
            if rule.NEEDS in mail.missing:
                action = rule.on_missing or self._on_error.get(rule.NEEDS, Action.TEMPFAIL)
                yield missing_finding(rule, action, mail.missing[rule.NEEDS])

    def _verdict(self, mail: Mail, now: float, stage: str, findings: Sequence[Finding]) -> Verdict | None:
        if not findings:
            return None
        if self.exemptions or mail.exemptions:
            findings = [self._exempt(finding, mail, now) for finding in findings]
        headers: tuple[Header, ...] = tuple(h for f in findings if f.mode is Mode.ENFORCE for h in f.headers)
        whole = _strongest([f for f in findings if f.decides and not f.recipient])
        by_recipient = self._by_recipient(mail, stage, findings, headers)
        if whole is None or (whole.action, by_recipient.action) == (Action.QUARANTINE, Action.REJECT):
            return by_recipient
        reply = whole.reply if whole.action in _DEFAULT_REPLY else ""
        refused = by_recipient.recipient_replies if whole.action is Action.QUARANTINE else {}
        return Verdict(whole.action, reply, stage, tuple(findings), refused, headers)

    def _by_recipient(
        self, mail: Mail, stage: str, findings: Sequence[Finding], headers: tuple[Header, ...]
    ) -> Verdict:
        """Refuse the recipients at fault; all of them at fault is the mail at fault."""
        worst: dict[str, Finding] = {}
        for finding in findings:
            if finding.decides and finding.recipient:
                other = worst.get(finding.recipient)
                if other is None or STRENGTH[finding.action] > STRENGTH[other.action]:
                    worst[finding.recipient] = finding
        if not worst:
            return Verdict(Action.ACCEPT, "", stage, tuple(findings), {}, headers)
        refused = {
            recipient: finding.reply
            for recipient, finding in worst.items()
            if finding.action in (Action.REJECT, Action.TEMPFAIL)
        }
        known = mail.envelope.recipients
        everyone = stage == "rcpt" or (bool(known) and all(recipient in worst for recipient in known))
        if everyone:
            # The weakest decides: what one recipient may have later, must not be refused for good to all.
            chosen = min(worst.values(), key=lambda finding: STRENGTH[finding.action])
            reply = chosen.reply if chosen.action in _DEFAULT_REPLY else ""
            return Verdict(chosen.action, reply, stage, tuple(findings), refused, headers)
        held = _strongest([f for f in worst.values() if f.recipient not in refused])
        return Verdict(held.action if held else Action.ACCEPT, "", stage, tuple(findings), refused, headers)

    def _exempt(self, finding: Finding, mail: Mail, now: float) -> Finding:
        ends: frozenset[str] | None = None
        for exemption in mail.exemptions or self.exemptions:  # the gate gives a mail the configuration's too
            if exemption.rule != finding.rule:
                continue
            if ends is None:
                ends = ends_of(finding, mail)
            if covers(exemption, finding, mail, now, ends):
                return replace(finding, exemption=exemption.document)
        return finding


_ACCEPT = Verdict()


def missing_finding(rule: RuleStanza, action: Action, reason: str) -> Finding:
    """Return the finding that a rule's fact could not be had; in monitor mode it decides nothing."""
    return Finding(
        rule=rule.NAME,
        clause=rule.CLAUSE,
        mode=rule.mode,
        action=action,
        reply=_fitting(action, ""),
        evidence=(Evidence("missing", rule.NEEDS, reason),),
    )


def _strongest(findings: Sequence[Finding]) -> Finding | None:
    return max(findings, key=lambda finding: STRENGTH[finding.action], default=None)


_CODE = re.compile(r"[45]\d\d ")


def _fitting(action: Action, reply: str) -> str:
    """Return a reply whose code fits the action: a rule's 5xx text is not given with a deferral."""
    wanted = {Action.REJECT: "5", Action.TEMPFAIL: "4"}.get(action)
    if wanted is None:
        return ""
    if _CODE.match(reply) and reply[0] == wanted:
        return reply
    return _DEFAULT_REPLY[action]
