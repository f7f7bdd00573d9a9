"""Advertising (thư điện tử quảng cáo; decree 91/2020): what it must bear, and how much of it one advertiser may send.

First whether a mail is an advertisement at all (article 3.1): marks of several kinds are added up, what speaks
against is taken away, and no kind alone reaches the threshold. A notice of a state body, a reply, a receipt, or a
circular on the law of sales promotions (khuyến mại) stay below. Then each article by itself: the label (18), the
advertiser (19), the opt-out (20), the fourth within 24 hours (13.5), and what comes after a refusal (13.4).

A wrong block must lose nothing (10.3): what comes in is tagged, unless the site wants more. What one of ours sends
without a label is refused, so that this system is no source of spam (10.4): he reads why, and mends it. Mail at the
hooks after expansion was judged when it came in. No evidence quotes a body.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mailgate.identity.spelling import domain_of
from mailgate.mime.fields import decode_words
from mailgate.model import (
    AFTER_EXPANSION,
    STRENGTH,
    Action,
    Evidence,
    Inspection,
    ListEntry,
    Lists,
    Mail,
    SpamReport,
    Text,
    TextKind,
    was_judged,
)
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag
from mailgate.text.addresses import mailboxes_in
from mailgate.text.advertisement import Fault, faults_in, offers, prices_in, speaks_to_customers
from mailgate.text.labels import Label, Standing, label_of
from mailgate.text.organisational import organisational
from mailgate.text.origin import advertiser_of, author_of, signers_of

_WORDS, _AGAINST, _SERVICES = "advertising/words", "advertising/not", "advertising/services"
_REFUSALS, _CONSENTS = "advertising/refusals", "advertising/consents"
_MAYBE_LABEL = re.compile(r"q\W{0,3}c\b|\ba\W{0,3}d|quảng cáo|quang cao")
_URL_HOST = re.compile(rb"https?://([A-Za-z0-9.-]{1,253})")
_PICTURES = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp"})

# Points of each kind of mark. None reaches the threshold of 5 alone; two strong ones do.
_MOST_OF_WORDS = 4
_MOST_AGAINST = 4
_SCANT_TEXT = 200  # letters: a mail with less says what it says in pictures
_MANY_PRICES = 3  # different ones: a price list
_MOST_TEXTS = 5  # a body has two, one of them HTML


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What makes a mail an advertisement: points by what they are for; its label, and who advertises, "" unknown."""

    points: Mapping[str, int]
    label: Label
    advertiser: str

    @property
    def score(self) -> int:
        """The sum of the points."""
        return sum(self.points.values())


_SPAM = frozenset({"add header", "rewrite subject", "quarantine", "reject", "discard"})  # what an engine calls spam
_INCOMING_REPLY = (
    "550 5.7.1 Advertising that breaks decree 91/2020 articles 18 to 20\n"
    "Thu quang cao khong dung quy dinh (Dieu 18 den 20 ND 91/2020)"
)


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.advertising].

    action: of advertising without a label that one of ours sends. incoming_action: of advertising from outside that
    breaks articles 18 to 20; agreed_action: of the same, where the spam engine finds it spam too. repeated_action: of
    what comes too often, or after a refusal (13.4, 13.5), for the recipient. threshold: points that make an
    advertisement. day_limit: advertisements of one advertiser to one address within 24 hours that pass. header: the
    name of the header that tags incoming advertising with a finding; "" adds none.
    """

    NAME = "advertising"
    CLAUSE = "ND91/2020 3, 10, 13, 17-20"
    REPLY = (
        "550 5.7.1 Advertising without its label: put [QC] or [AD] first in the subject\n"
        "Thu quang cao khong gan nhan: dat [QC] hoac [AD] o dau chu de (Dieu 18 ND 91/2020)"
    )
    NEEDS = "inspection"

    on_missing: Action | None = Action.ACCEPT
    incoming_action: Action = Action.ACCEPT
    agreed_action: Action = Action.REJECT
    repeated_action: Action = Action.ACCEPT
    threshold: int = 5
    day_limit: int = 3
    header: str = "X-Mailgate-Advertising"

    def __post_init__(self) -> None:
        """Raise ValueError for a threshold that ordinary mail has, and for what is no header's name."""
        if self.threshold < _MOST_OF_WORDS + 1:
            raise ValueError(f"threshold: write {_MOST_OF_WORDS + 1} or more: words alone make no advertisement")
        if self.day_limit < 0:
            raise ValueError("day_limit: write 0 or more")
        check_tag(self.header)

    def advertiser(self, mail: Mail) -> str:
        """Return whose advertisement comes in, so that it is counted (13.5)."""
        found = self._advertisement(mail)
        return found.advertiser if found is not None and not _is_from_us(mail) else ""

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report what an advertisement lacks, and to whom it should not have come."""
        found = self._advertisement(mail)
        if found is None or mail.inspection is None:
            return ()
        faults = _faults(found.label, mail.inspection)
        is_ours = _is_from_us(mail)
        hits = self._outgoing(mail, found, faults) if is_ours else self._incoming(mail, found, faults)
        if not hits and found.label.fault:  # full-width letters: they read the same
            note = Evidence("article", "18", f"label accepted: {found.label.fault.value}", hard=False)
            return [Hit((note,), direction="out" if is_ours else "in")]
        return hits

    def _advertisement(self, mail: Mail) -> Advertisement | None:
        if mail.inspection is None or not _may_be(mail, mail.inspection):
            return None
        if mail.session.hook in AFTER_EXPANSION and not _is_from_us(mail):
            return None
        if was_judged(mail.passages, mail.envelope.recipients):
            return None
        label = label_of(decode_words(mail.first_header(b"subject")))
        points = {name: value for name, value in _points(mail, mail.inspection, label) if value}
        found = Advertisement(points, label, advertiser_of(author_of(mail)))
        return found if found.score >= self.threshold else None

    def _outgoing(self, mail: Mail, found: Advertisement, faults: list[Fault]) -> list[Hit]:
        if not faults:
            return []
        action = self.action if any(fault.article == "18" for fault in faults) else Action.ACCEPT
        mailboxes = tuple(filter(mail.organization.is_official, (mail.account, mail.envelope.sender)))[:1]
        return [Hit(_evidence(found, faults), direction="out", action=action, mailboxes=mailboxes)]

    def _incoming(self, mail: Mail, found: Advertisement, faults: list[Fault]) -> list[Hit]:
        hits = [self._fault_hit(mail.spam, found, faults)] if faults else []
        articles = [fault.article for fault in faults]
        for recipient in mail.envelope.recipients:
            repeated = list(self._repeated(mail, found.advertiser, recipient))
            if repeated:
                articles += [fault.article for fault in repeated]
                mailboxes = mail.identity.mailboxes(recipient)
                evidence = _evidence(found, repeated)
                hits.append(Hit(evidence, recipient, "in", self.repeated_action, mailboxes=mailboxes))
        if hits:
            shown = f"{' '.join(dict.fromkeys(articles))}; score={found.score}; advertiser={found.advertiser or '-'}"
            hits[0] = replace(hits[0], headers=tag(self.header, shown))
        return hits

    def _fault_hit(self, report: SpamReport | None, found: Advertisement, faults: list[Fault]) -> Hit:
        evidence, action = _evidence(found, faults), self.incoming_action
        if report is not None and report.action in _SPAM:
            evidence += (Evidence("engine", "verdict", f"{report.action}, {report.score:.2f}", hard=False),)
            action = max(action, self.agreed_action, key=STRENGTH.__getitem__)
        return Hit(evidence, direction="in", action=action, reply=self.reply or _INCOMING_REPLY)

    def _repeated(self, mail: Mail, advertiser: str, recipient: str) -> Iterator[Fault]:
        """Yield what an advertiser may not send to this recipient: too much, or anything."""
        if not advertiser or not mail.organization.is_official(recipient):
            return
        addresses = (recipient, *mail.identity.mailboxes(recipient))
        refused = _last(mail.lists, _REFUSALS, addresses, advertiser)
        agreed = _last(mail.lists, _CONSENTS, addresses, advertiser)
        count = max((mail.advertised or {}).get(address, 0) for address in addresses)
        if refused and refused >= agreed:
            yield Fault("13.4", f"refused by the recipient on {refused}")
        elif count > self.day_limit and not agreed:
            yield Fault("13.5", f"{count} within 24 hours, more than {self.day_limit}")


# -- whether it is one -----------------------------------------------------------------------------------


def _is_from_us(mail: Mail) -> bool:
    """Tell whether one of ours advertises: a login, or our own system in the name of an official mailbox."""
    if mail.envelope.login:
        return True
    return mail.is_ours and (
        mail.organization.is_official(mail.envelope.sender) or mail.organization.is_official(author_of(mail))
    )


def _may_be(mail: Mail, inspection: Inspection) -> bool:
    """Tell at a glance whether a mail may be an advertisement; nearly none may."""
    if b"list-unsubscribe" in mail.fields or any(one.list == _WORDS for one in mail.spotted):
        return True
    return any(text.kind is TextKind.SUBJECT and _MAYBE_LABEL.search(text.canon) for text in inspection.texts)


def _points(mail: Mail, inspection: Inspection, label: Label) -> Iterator[tuple[str, int]]:
    """Yield what speaks for an advertisement, and against."""
    names = mail.fields
    yield "label", 3 if label.standing is Standing.OK else 2 if label.standing is not Standing.NONE else 0
    yield "bulk", _bulk_points(mail)
    yield "subject", 2 if _offers_in_subject(mail, inspection) else 0
    yield "words", min(_weight(_WORDS, mail, 1), _MOST_OF_WORDS)
    bodies = [text for text in inspection.texts if text.kind is TextKind.BODY][:_MOST_TEXTS]
    yield "prices", max((_price_points(text.canon) for text in bodies), default=0)
    yield "pictures", _picture_points(inspection, bodies)
    yield "words-against", -min(_weight(_AGAINST, mail, 2), _MOST_AGAINST)
    author = author_of(mail)
    if _is_from_us(mail):
        yield "official-author", -2
    elif author and mail.organization.is_state(author):
        yield "state-body", -4  # anybody can write its name: whoever sells hard is not believed
    if b"in-reply-to" in names or b"references" in names:
        yield "reply", -3
    if b"list-post" in names:  # RFC 2369: a list that one writes to
        yield "discussion-list", -4
    if mail.first_header(b"auto-submitted").lower().startswith(b"auto-replied") or (
        not mail.envelope.sender and mail.first_header(b"content-type").lower().startswith(b"multipart/report")
    ):
        yield "automatic-reply", -4


def _bulk_points(mail: Mail) -> int:
    """Judge whether a mail was sent as one of very many: a newspaper's is, too."""
    if b"list-unsubscribe" in mail.fields or _is_from_service(mail):
        return 2
    return 1 if mail.first_header(b"precedence").lower() in (b"bulk", b"junk") else 0


def _offers_in_subject(mail: Mail, inspection: Inspection) -> bool:
    if any(one.list == _WORDS and one.kind is TextKind.SUBJECT for one in mail.spotted):
        return True
    return any(text.kind is TextKind.SUBJECT and offers(text.canon) for text in inspection.texts)


def _price_points(canon: str) -> int:
    """Judge the prices of a body: a list of them is a mark, and one where customers are spoken to is half of one."""
    if prices_in(canon) >= _MANY_PRICES:
        return 2
    return 1 if offers(canon) and speaks_to_customers(canon) else 0


def _weight(name: str, mail: Mail, usual: int) -> int:
    """Add up the weights of the different phrases of a list that were spotted in subject and bodies."""
    found = {
        one.entry.text: int(one.entry.attributes.get("weight", usual))
        for one in mail.spotted
        if one.list == name and one.kind in (TextKind.SUBJECT, TextKind.BODY)
    }
    return sum(found.values())


def _is_from_service(mail: Mail) -> bool:
    """Tell whether a service of mass mailings sent it, by DKIM's d=, the envelope sender or List-Unsubscribe."""
    value = mail.first_header(b"list-unsubscribe")[:2_000]
    hosts = [host.decode("ascii").lower() for host in _URL_HOST.findall(value)]
    hosts += [domain_of(mailbox) for mailbox in mailboxes_in(value.replace(b"mailto:", b" ").replace(b"?", b" "))]
    domains = (*signers_of(mail), domain_of(mail.envelope.sender), *hosts[:10])
    return any(mail.lists.find_domain(_SERVICES, domain) for domain in domains if domain)


def _picture_points(inspection: Inspection, bodies: list[Text]) -> int:
    """Judge a mail that says next to nothing in words: 2 where it has pictures, 1 where HTML may fetch them."""
    if sum(len(text.canon) for text in bodies) >= _SCANT_TEXT:
        return 0
    if any(file.type in _PICTURES or file.declared.startswith("image/") for file in inspection.files):
        return 2
    return 1 if any(text.is_html for text in bodies) else 0


# -- what it lacks ---------------------------------------------------------------------------------------


def _faults(label: Label, inspection: Inspection) -> list[Fault]:
    """Return what an advertisement lacks; of several bodies, such as plain text and HTML, the best one counts."""
    faults = []
    if label.standing is Standing.NONE:
        faults.append(Fault("18", "label missing: [QC] or [AD] must stand first in the subject"))
    elif label.standing is not Standing.OK:
        faults.append(Fault("18", f"label wrong: {label.fault.value}"))
    bodies = [text for text in inspection.texts if text.kind is TextKind.BODY][:_MOST_TEXTS]
    read = [faults_in(text.canon, text.is_html) for text in bodies] or [faults_in("", False)]
    return [*faults, *min(read, key=len)]


def _evidence(found: Advertisement, faults: Iterable[Fault]) -> tuple[Evidence, ...]:
    marks = ", ".join(f"{name} {value:+d}" for name, value in found.points.items())
    return (
        *(Evidence("article", fault.article, fault.missing) for fault in faults),
        Evidence("advertisement", found.advertiser, f"{found.score}: {marks}", hard=False),
    )


def _last(lists: Lists, name: str, addresses: Iterable[str], advertiser: str) -> str:
    """Return the last day on which one of these addresses said something of an advertiser, "" for never."""
    whole = organisational(domain_of(advertiser)) if "@" in advertiser else advertiser
    entries = (
        lists.find(name, f"{address} {who}")
        for address in addresses
        for who in dict.fromkeys((advertiser, whole, "*"))
    )
    return max((entry.attributes["date"] for entry in entries if entry is not None), default="")


_OFFER = "Ưu đãi đặc biệt, giảm giá tới 50%: đặt hàng ngay hôm nay, số lượng có hạn.\r\n\r\n"
_FOOT = (
    "Công ty TNHH Sao Mai Ví Dụ, số 12 Trần Phú, Phủ Lý, Hà Nam. ĐT: 0226 385 0001, thư: lienhe@saomai.example\r\n"
    "Quý khách có quyền từ chối nhận tất cả quảng cáo: bấm https://saomai.example/huy, gửi thư tới huy@saomai.example"
    " hoặc gọi 0226 385 0002.\r\n"
)
_PRICES = "Áo 199.000đ, quần 299.000đ, giày 499.000đ.\r\n"
_OFFICE = "ptp.bl@hanam.gov.vn"


def _mail(subject: str, body: str, *fields: str, author: str = "Sao Mai <tin@saomai.example>") -> bytes:
    lines = (f"From: {author}", f"Subject: {subject}", "Message-ID: <1@saomai.example>", *fields)
    return "\r\n".join((*lines, "Content-Type: text/plain; charset=utf-8", "", body)).encode()


def _lists(**said: str) -> tuple[tuple[str, object], ...]:
    """Return lists with words of advertising, where _OFFICE said something of one advertiser on a day."""
    words = {word: ListEntry(word, {"weight": "3"}) for word in ("đặt hàng ngay", "giảm giá")}
    records = {
        f"advertising/{name}": {f"{_OFFICE} saomai.example": ListEntry("", {"date": day, "source": "x"})}
        for name, day in said.items()
    }
    return (("lists", Lists({_WORDS: words, **records})),)


_LABELLED = _mail("[QC] Giảm giá 50%", _OFFER + _FOOT)
_UNLABELLED = _mail("Giảm giá 50%", _OFFER + _FOOT)
_OURS = _mail("Giảm giá 50%", _OFFER + _PRICES + _FOOT, author=f"<{_OFFICE}>")


def _engine(action: str) -> tuple[tuple[str, object], ...]:
    return (("spam", SpamReport(action, 7.0, 15.0)),)


EXAMPLES = (
    Example("all that the decree asks for", Action.ACCEPT, _LABELLED),
    Example("no label", Action.ACCEPT, _UNLABELLED, finds=True),
    Example(
        "no label, held where configured", Action.QUARANTINE, _UNLABELLED, keys=(("incoming_action", "quarantine"),)
    ),
    Example("no label, and the spam engine agrees", Action.REJECT, _UNLABELLED, facts=_engine("add header")),
    Example("no label, and the engine does not", Action.ACCEPT, _UNLABELLED, facts=_engine("greylist"), finds=True),
    Example(
        "as the decree wants it, whatever the engine says", Action.ACCEPT, _LABELLED, facts=_engine("add header")
    ),
    Example("no label, from one of ours", Action.REJECT, _OURS, sender=_OFFICE, login=_OFFICE, direction="out"),
    Example(
        "a label, from one of ours",
        Action.ACCEPT,
        _OURS.replace(b"Subject: ", b"Subject: [QC] "),
        sender=_OFFICE,
        login=_OFFICE,
    ),
    Example("no opt-out", Action.ACCEPT, _mail("[QC] Giảm giá 50%", _OFFER), finds=True),
    Example("the third in 24 hours", Action.ACCEPT, _LABELLED, facts=(("advertised", {_OFFICE: 3}),)),
    Example("the fourth in 24 hours", Action.ACCEPT, _LABELLED, facts=(("advertised", {_OFFICE: 4}),), finds=True),
    Example(
        "the fourth, agreed to",
        Action.ACCEPT,
        _LABELLED,
        facts=(("advertised", {_OFFICE: 4}), *_lists(consents="2026-11-01")),
    ),
    Example(
        "refused before",
        Action.REJECT,
        _LABELLED,
        facts=_lists(refusals="2026-11-01"),
        keys=(("repeated_action", "reject"),),
    ),
    Example(
        "refused, and agreed to later",
        Action.ACCEPT,
        _LABELLED,
        facts=_lists(refusals="2026-11-01", consents="2026-11-02"),
    ),
    Example("a word alone", Action.ACCEPT, _mail("Báo cáo tuần", "Giá vật tư có khuyến mãi.\r\n")),
    Example("the label alone", Action.ACCEPT, _mail("[QC] Biên bản kiểm tra chất lượng", "Kính gửi phòng.\r\n")),
    Example(
        "a newsletter", Action.ACCEPT, _mail("Bản tin", "Tin tuần qua.\r\n", "List-Unsubscribe: <mailto:a@b.vn>")
    ),
    Example(
        "a circular on sales promotions",
        Action.ACCEPT,
        _mail(
            "V/v quản lý hoạt động khuyến mại",
            "Kính gửi các Sở: căn cứ Nghị định số 81/2018/NĐ-CP quy định về khuyến mại, giảm giá, voucher.\r\n",
            author="sct@ninhbinh.gov.vn",
        ),
    ),
    Example(
        "a reply",
        Action.ACCEPT,
        _mail("Re: Giảm giá 50%", _OFFER, "In-Reply-To: <2@hanam.gov.vn>"),
    ),
)
