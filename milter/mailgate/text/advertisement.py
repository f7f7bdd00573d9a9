"""What an advertisement must say of its advertiser and of how it is refused: decree 91/2020 articles 19 and 20.

Presence alone is looked for, by wording: what is there may still be false. Vietnamese mails are written with marks
and without, so everything is compared without. A contact of the refusal part (phần cho phép từ chối) is none of the
advertiser's, and the other way round: where each part begins decides.
"""

import re
from dataclasses import dataclass

from .folding import bare_of

_LOOKED_AT = 20_000
"""Letters at the end of a text: both parts stand there by law, and no footer is longer."""
_ADVERTISER_PART = 800  # letters right before the refusal part: a name, an address and three contacts, twice over
_REFUSAL_PART = 1_500  # letters, in two languages
_LAST_PART = 0.3  # of a text: what stands in it is at its end
_FOOTER = 800  # letters that are the end of even the shortest text
_CLUSTER = 400  # letters between two wordings of one refusal part

_REFUSAL = re.compile(
    r"\b(?:tu choi (?:nhan|quang cao|tat ca|toan bo|moi|email|thu)|quyen tu choi|huy dang ky|huy nhan|huy theo doi"
    r"|huy ban tin|ngung nhan|ngung dang ky|dung nhan|bo dang ky"
    r"|khong (?:con )?(?:mong )?(?:muon |co nhu cau )(?:tiep tuc )?nhan|unsubscribe|opt[- ]?out|stop receiving)\b"
)
_ALL = re.compile(
    r"\b(?:tat ca|toan bo|moi (?:quang cao|san pham|dich vu|thu|email|e-mail|noi dung|thong tin|hinh thuc)|all|any)\b"
)
_NAME = (
    r"(?:cong ty|cty|tap doan|doanh nghiep|ho kinh doanh|hop tac xa|htx|ngan hang|cua hang|sieu thi|trung tam"
    r"|nha sach|khach san|nha hang|phong kham|hoc vien|showroom|company|co\., ?ltd|jsc|tnhh)\b"
)
_NAMED = re.compile(rf"\b{_NAME}")
_NAME_BEGINS_A_LINE = re.compile(rf"\n[ \t]*{_NAME}")
_PHONE = re.compile(  # (024) 3851 2345, 0912 345 678, 1900 1234
    r"(?<![\d.,+])(?:\+84|\(?0\d{1,3}\)?|1[89]00)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,3}(?!\d)"
)
_EMAIL = re.compile(r"(?<![a-z0-9._%+-])[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}")
_WEB = re.compile(
    r"https?://|\bwww\.|\bfanpage\b|(?<![@\w.-])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,3}\.(?:com|vn|net|org|info|shop|store|asia"
    r"|example)\b"
)
_ADDRESS = re.compile(r"\b(?:dia chi(?! (?:e-?mail|ip|web))|d/c|tru so|address)\b *:? *\w")
_HOUSE = re.compile(
    r"\b(?:so (?:nha )?\d|tang \d|lo [a-z]{0,2}\d|ngo \d|to \d|km ?\d|thon \w|toa nha|kcn|khu cong nghiep|no\. ?\d"
    r"|\d{1,4}[a-z]? (?:duong|pho|tran|nguyen|le|ly|hai ba|phan|dinh|ton|truong|vo|hoang|pham|bui|cach mang))\b"
)
_PLACE = re.compile(
    r"\b(?:duong|pho|phuong|quan|huyen|thanh pho|tp|tinh|thi tran|thi xa|xa|ha noi|da nang|ho chi minh|hcm|ha nam"
    r"|phu ly|ninh binh|nam dinh|street|district|city)\b"
)
_LINK_WORDS = re.compile(
    r"\b(?:tai day|vao day|o day|click|bam|nhan vao|nhan nut|lien ket|link|unsubscribe|huy dang ky)\b"
)
_REPLY_WORDS = re.compile(r"\b(?:tra loi|phan hoi) (?:lai )?(?:thu|email|e-mail|mail) nay\b|\breply to this\b")
_PRICE = re.compile(r"(?<![\d.,])\d{1,3}(?:[.,]\d{3}){1,3} ?(?:d|vnd|dong|\u20ab)(?!\w)|\b\d{2,4}k\b")
_PERCENT_OFF = re.compile(
    r"\b(?:giam|uu dai|chiet khau|sale|off|discount)(?: (?:gia|ngay|den|toi|tu|len|lon|soc|up|to)){0,3} ?\d{1,2} ?%"
    r"|\b\d{1,2} ?% (?:off|discount)\b"
)
_TO_CUSTOMERS = re.compile(
    r"\b(?:quy (?:khach|co quan|don vi|doanh nghiep|cong ty|vi)|hotline|tu van mien phi|dat hang|dang ky|lien he ngay"
    r"|order now)\b"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What an advertisement lacks: the article, and in words what is missing or out of place."""

    article: str
    missing: str


def faults_in(canon: str, is_html: bool) -> tuple[Fault, ...]:
    """Return what a text, folded, lacks by articles 19 and 20; is_html: of a link its words alone show."""
    text = bare(canon[-_LOOKED_AT:])
    begin = _refusal_begins(text)
    if begin is None:
        missing = [name for name, has in _ADVERTISER.items() if not has(text)]
        return (*_named("19.1", "advertiser's {} missing", missing), Fault("20.1", "opt-out missing"))
    end = _refusal_ends(text, begin)
    part = text[_sentence_begins(text, begin) : end]
    before = text[max(0, begin - _ADVERTISER_PART) : begin]
    elsewhere = f"{text[: max(0, begin - _ADVERTISER_PART)]}\n{text[end:]}"
    lacking = [name for name, has in _ADVERTISER.items() if not has(before)]
    misplaced = [name for name in lacking if _ADVERTISER[name](elsewhere)]
    faults = [
        *_named("19.1", "advertiser's {} missing", [name for name in lacking if name not in misplaced]),
        *_named("19.2", "advertiser's {} not right before the opt-out", misplaced),
    ]
    if len(text) - begin > max(len(canon) * _LAST_PART, _FOOTER):
        faults.append(Fault("20.1", "opt-out not at the end"))
    if not _ALL.search(part):
        faults.append(Fault("20.1", "right to refuse everything not stated"))
    ways = _ways(part, is_html)
    if not ways:  # "gọi … hoặc gửi thư tới … ⏎ để từ chối": the contacts stand on the line before
        ways = _ways(text[max(0, begin - _CLUSTER // 2) : end], is_html)
    faults += _named("20.2", "no opt-out by {}", [way for way in ("web", "e-mail", "phone") if way not in ways])
    return tuple(faults)


def prices_in(canon: str) -> int:
    """Return how many different prices a text, folded, has in its first part."""
    return len(set(_PRICE.findall(bare(canon[:_LOOKED_AT]))))


def offers(canon: str) -> bool:
    """Tell whether the first part of a text, folded, has a price, or something off one."""
    text = bare(canon[:_LOOKED_AT])
    return bool(_PRICE.search(text) or _PERCENT_OFF.search(text))


def speaks_to_customers(canon: str) -> bool:
    """Tell whether a text, folded, speaks to whom it may concern: to customers, not to somebody that one knows."""
    return bool(_TO_CUSTOMERS.search(bare(canon[:_LOOKED_AT])))


def bare(canon: str) -> str:
    """Return a folded text without its marks, letter by letter.

    >>> bare("từ chối")
    'tu choi'
    """
    return canon.translate({ord(letter): bare_of(letter) for letter in set(canon) if letter > "\x7f"})


def _has_phone(text: str) -> bool:
    for match in _PHONE.finditer(text):
        digits = sum(map(str.isdigit, match[0]))
        if digits >= 9 or (match[0].startswith(("18", "19")) and digits >= 8):  # 01-12-2026 is a date
            return True
    return False


def _has_address(text: str) -> bool:
    return bool(_ADDRESS.search(text)) or (bool(_HOUSE.search(text)) and bool(_PLACE.search(text)))


_ADVERTISER = {
    "name": lambda text: bool(_NAMED.search(text)),
    "phone": _has_phone,
    "e-mail": lambda text: bool(_EMAIL.search(text)),
    "postal address": _has_address,
}
"""What 19.1 asks for; a page on the web or a social network only of who has one."""


def _ways(part: str, is_html: bool) -> set[str]:
    ways = set()
    if _WEB.search(part) or (is_html and _LINK_WORDS.search(part)):
        ways.add("web")
    if _EMAIL.search(part) or _REPLY_WORDS.search(part):
        ways.add("e-mail")
    if _has_phone(part):
        ways.add("phone")
    return ways


def _refusal_begins(text: str) -> int | None:
    """Return where the last refusal part's first wording stands, None without one."""
    begin: int | None = None
    last = 0
    for match in _REFUSAL.finditer(text):
        if begin is None or match.start() - last > _CLUSTER:
            begin = match.start()
        last = match.end()
    return begin


def _refusal_ends(text: str, begin: int) -> int:
    """Return where the refusal part ends: before a line that begins with a company, or after so many letters."""
    company = _NAME_BEGINS_A_LINE.search(text, begin)
    return min(len(text), begin + _REFUSAL_PART, company.start() if company else len(text))


def _sentence_begins(text: str, at: int) -> int:
    return max(text.rfind(stop, 0, at) for stop in ("\n", ". ", "! ")) + 1


def _named(article: str, words: str, names: list[str]) -> tuple[Fault, ...]:
    return (Fault(article, words.format(", ".join(names))),) if names else ()
