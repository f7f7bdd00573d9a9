"""Official mailboxes that were given to social networks, shops and forums (clauses 4.4 and 12.5).

What such a service sends shows it: a welcome, a code, a question whether the address is right (registration); or its
newsletter alone, which anybody may have ordered. A service is known by its domain in From or DKIM's d=; those that
serve the work are in the list of exempt ones. That one came unasked proves nothing: so the rule watches by default,
and counts for each mailbox. Sign-ups on the web itself no mail shows, nor is what leaves looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.identity.spelling import domain_of
from mailgate.model import AFTER_EXPANSION, Action, Evidence, ListEntry, Mail, Mode, TextKind
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.origin import author_of, signers_of

_DOMAINS, _SUBJECTS, _EXEMPT = "registration/domains", "registration/subjects", "registration/exempt"


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.online-registration]: those that every rule has; it watches, or holds where it is enforced."""

    NAME = "online-registration"
    CLAUSE = "QD27/2023 4.4, 12.5"
    REPLY = (
        "550 5.7.1 This official mailbox must not be used to register with online services\n"
        "Hop thu cong vu khong duoc dung de dang ky dich vu truc tuyen (khoan 4 Dieu 4 QD 27/2023)"
    )
    NEEDS = "inspection"

    mode: Mode = Mode.MONITOR
    action: Action = Action.QUARANTINE
    on_missing: Action | None = Action.ACCEPT

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report what a service that is no part of the work sends to an official mailbox, for each of them."""
        if mail.envelope.login or mail.session.hook in AFTER_EXPANSION:
            return ()
        phrase = next((one for one in mail.spotted if one.list == _SUBJECTS and one.kind is TextKind.SUBJECT), None)
        author = author_of(mail)
        domains = [domain for domain in (domain_of(author), *signers_of(mail)) if domain]
        services = [entry for domain in domains if (entry := mail.lists.find_domain(_DOMAINS, domain))]
        if (not services and phrase is None) or _is_exempt(mail, author, domains):
            return ()
        evidence = _evidence(mail, services, phrase.entry.text if phrase else "", domain_of(author))
        organization = mail.organization
        return [
            Hit(evidence, recipient, "in", mailboxes=mail.identity.mailboxes(recipient))
            for recipient in mail.envelope.recipients
            if organization.is_official(recipient)
        ]


def _is_exempt(mail: Mail, author: str, domains: list[str]) -> bool:
    lists = mail.lists
    return (
        mail.organization.is_state(author)
        or lists.find(_EXEMPT, author) is not None
        or any(lists.find_domain(_EXEMPT, domain) for domain in domains)
    )


def _evidence(mail: Mail, services: list[ListEntry], phrase: str, domain: str) -> tuple[Evidence, ...]:
    """Name the kind of the mail and the service; a phrase alone, and a newsletter, are soft."""
    if not services:
        return (Evidence("phrase", phrase, domain, hard=False),)
    is_newsletter = b"list-unsubscribe" in mail.fields
    kind = "registration" if phrase else "newsletter" if is_newsletter else "notice"
    service = services[0]
    pieces = [Evidence(kind, service.attributes.get("service", service.text), service.text, kind != "newsletter")]
    if phrase:
        pieces.append(Evidence("phrase", phrase, domain, hard=False))
    return tuple(pieces)


def _mail(author: str, subject: str, *fields: str) -> bytes:
    lines = (f"From: {author}", f"Subject: {subject}", *fields, "Content-Type: text/plain; charset=utf-8")
    return "\r\n".join((*lines, "", "Xin chào.\r\n")).encode()


_FACEBOOK = "Facebook <registration@facebookmail.com>"
_ENFORCED = (("mode", "enforce"),)
_DKIM = "DKIM-Signature: v=1; a=rsa-sha256; d=shopee.vn; s=x; h=from; bh=x; b=x"
_UNSUBSCRIBE = "List-Unsubscribe: <https://facebook.com/o>"

EXAMPLES = (
    Example("a code", Action.QUARANTINE, _mail(_FACEBOOK, "12345 là mã xác nhận Facebook của bạn"), keys=_ENFORCED),
    Example("a code, watched", Action.ACCEPT, _mail(_FACEBOOK, "12345 là mã xác nhận Facebook"), finds=True),
    Example("a welcome in English", Action.QUARANTINE, _mail(_FACEBOOK, "Welcome to Facebook"), keys=_ENFORCED),
    Example("without marks", Action.QUARANTINE, _mail(_FACEBOOK, "Ma xac nhan cua ban"), keys=_ENFORCED),
    Example("known by who signed", Action.QUARANTINE, _mail("a@b.example", "Đơn hàng", _DKIM), keys=_ENFORCED),
    Example("a notice", Action.QUARANTINE, _mail(_FACEBOOK, "Bạn có 3 thông báo"), keys=_ENFORCED),
    Example("a newsletter", Action.ACCEPT, _mail(_FACEBOOK, "Tin mới", _UNSUBSCRIBE), keys=_ENFORCED, finds=True),
    Example("a phrase alone", Action.ACCEPT, _mail("a@b.example", "Xác minh email"), keys=_ENFORCED, finds=True),
    Example("a state body's code", Action.ACCEPT, _mail("a@dichvucong.gov.vn", "Mã xác thực OTP"), keys=_ENFORCED),
    Example("ordinary mail", Action.ACCEPT, _mail("a@b.example", "Báo cáo"), keys=_ENFORCED),
    Example("a look-alike", Action.ACCEPT, _mail("a@xfacebookmail.com", "Thông báo"), keys=_ENFORCED),
    Example(
        "to somebody else",
        Action.ACCEPT,
        _mail(_FACEBOOK, "Mã xác nhận"),
        recipients=("lan@example.com",),
        keys=_ENFORCED,
    ),
)
