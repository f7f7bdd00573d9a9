"""The addresses of clause 5: the forms of a local part, what it is for a name, and why an address fits or does not.

The clause is the rule for new mailboxes. Addresses outlive it, so nothing here refuses a mailbox. Where its examples
and its letter differ, every reading that they allow is accepted:

* 5.2b, "the first two letters of the unit's abbreviation": `.ld` leaves out "Sở", `.tl` is the district of a commune.
* 5.2c names parts that may be added, and no form: here, what begins with a digit, a dot, a hyphen or an underscore.

Since 1 July 2025 there are no districts (two-tier local government): forms that name one are addresses of before.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..identity.identity import Identity
from ..identity.spelling import domain_of, mailbox_of
from ..model import MailboxKind, Registration
from ..text import folding

LOCAL_LIMIT = 64  # octets: RFC 5321 section 4.5.3.1.1


@dataclass(frozen=True, slots=True)
class Form:
    """One form of clause 5: whose mailbox it is, its local part, and what that is made of.

    by_district: it names a district, of which there are none since 1 July 2025.
    """

    clause: str
    kind: MailboxKind
    pattern: re.Pattern[str]
    english: str
    vietnamese: str
    by_district: bool = False


_UNIT, _PERSON = MailboxKind.UNIT, MailboxKind.INDIVIDUAL

DEPARTMENT = Form("5.1a", _UNIT, re.compile("[a-z]{2,12}"), "department: its initials", "sở, ban, ngành")
DISTRICT_COMMITTEE = Form(
    "5.1b",
    _UNIT,
    re.compile("ubnd[a-z]{1,4}"),
    "district People's Committee: ubnd, the district's initials",
    "Ủy ban nhân dân cấp huyện",
    True,
)
COMMUNE_COMMITTEE = Form(
    "5.1c",
    _UNIT,
    re.compile(r"ubnd[a-z]{2,30}\.[a-z]{2,4}"),
    "commune People's Committee: ubnd, the commune's name, a dot, the district's initials",
    "Ủy ban nhân dân cấp xã",
    True,
)
SECTION_OF_DEPARTMENT = Form(
    "5.1d",
    _UNIT,
    re.compile(r"[a-z]{2,10}\.[a-z]{2,12}"),
    "section of a department: its initials, a dot, the department's",
    "phòng, ban, đơn vị thuộc sở, ban, ngành",
)
SECTION_OF_DISTRICT = Form(
    "5.1đ",
    _UNIT,
    re.compile(r"[a-z]{2,10}\.[a-z]{2,4}"),
    "section of a district People's Committee: its initials, a dot, the district's",
    "phòng, ban, đơn vị thuộc Ủy ban nhân dân cấp huyện",
    True,
)
PERSON = Form("5.2a", _PERSON, re.compile("[a-z]{4,64}"), "person: the full name", "cá nhân có tên duy nhất")
PERSON_ELSEWHERE = Form(
    "5.2b",
    _PERSON,
    re.compile(r"[a-z]{4,64}\.[a-z]{2}"),
    "person whose name another unit has too: the name, a dot, two letters of the unit's abbreviation",
    "trùng tên, không cùng cơ quan",
)
_ADDED = r"(?:[0-9]|[._-][a-z0-9])(?:[._-]?[a-z0-9])*"  # what 5.2c adds to a name
PERSON_SAME_UNIT = Form(
    "5.2c",
    _PERSON,
    # What 5.2b looks like is 5.2b: else each of its addresses would fit two forms.
    re.compile(rf"(?![a-z]+\.[a-z]{{2}}\Z)[a-z]{{4,64}}{_ADDED}"),
    "person whose name the same unit has too: the name, and a date or place",
    "trùng tên, cùng cơ quan",
)
FORMS = (
    DEPARTMENT,
    DISTRICT_COMMITTEE,
    COMMUNE_COMMITTEE,
    SECTION_OF_DEPARTMENT,
    SECTION_OF_DISTRICT,
    PERSON,
    PERSON_ELSEWHERE,
    PERSON_SAME_UNIT,
)


# -- names ---------------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """Return a name joined and without marks (viết liền, không dấu): its letters a to z.

    >>> fold("Đặng Đình Đức")
    'dangdinhduc'
    """
    return re.sub("[^a-z]+", "", folding.fold(text).ascii)


# An upper-case word that is no syllable is an abbreviation: TTTT, UBND; SỞ and TẾ are syllables.
_SYLLABLE = re.compile(
    "(?:b|ch?|d|gh?|gi|h|kh?|l|m|n|ngh?|nh|ph?|q|r|s|th?|tr|v|x)?[aeiouy]{1,3}(?:ch?|m|ng?|nh|p|t)?"
)


def initials(text: str) -> str:
    """Return a name's abbreviation: the first letter of each syllable, "và" (and) left out.

    A hyphen separates syllables; a word that is abbreviated already gives all its letters.

    >>> initials("Sở Thông tin và Truyền thông"), initials("Sở TTTT")
    ('stttt', 'stttt')
    """
    return _initials(_words(text))


def _initials(words: Sequence[str]) -> str:
    letters = []
    conjunction = "va" if _is_bare(words) else "và"
    for word in words:
        folded = fold(word)
        if word.casefold() == conjunction:
            continue
        letters.append(folded if word.isupper() and not _SYLLABLE.fullmatch(folded) else folded[:1])
    return "".join(letters)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", text))


def _is_bare(words: Iterable[str]) -> bool:
    """Tell whether a name was typed without marks."""
    return all(map(str.isascii, words))


_COMMITTEE = ("ubnd", "ủy ban nhân dân", "uỷ ban nhân dân")
_COMMUNE = ("xã", "phường", "thị trấn", "đặc khu")
_DISTRICT = ("huyện", "thị xã", "thành phố", "tx", "tp")
_BODY = (
    *("sở", "ban", "ngành", "phòng", "chi cục", "cục", "trung tâm", "văn phòng", "chi nhánh", "thanh tra"),
    *("trường", "bệnh viện", "công an", "hội", "ủy ban", "uỷ ban"),
)
# Where one unit's name ends and that of the unit above it begins.
_ABOVE = re.compile(
    r"[,;()]|\bthuộc\b|(?<!nhân dân)(?<!ubnd)\s(?=(?:huyện|thị xã|thành phố)\s)",
    re.IGNORECASE,
)


def _after(words: Sequence[str], types: Iterable[str]) -> list[str] | None:
    """Return what follows the type word that a name begins with, None where it begins with none of these."""
    is_bare = _is_bare(words)
    lower = [word.casefold() for word in words]
    for each in types:
        wanted = [fold(word) if is_bare else word for word in each.split()]
        if lower[: len(wanted)] == wanted:
            return list(words[len(wanted) :])
    return None


def _is_unit(words: Sequence[str]) -> bool:
    return _after(words, (*_COMMITTEE, *_COMMUNE, *_DISTRICT, *_BODY)) is not None


def _units(text: str) -> list[list[str]]:
    """Return the words of a name and of the units above it, the highest last.

    A comma within one unit's name is none that ends it: what follows begins with no type word.
    """
    units: list[list[str]] = []
    for part in _ABOVE.split(" ".join(unicodedata.normalize("NFKC", text).split())):
        words = _words(part)
        if units and words and not _is_unit(words):
            units[-1] += words
        elif words:
            units.append(words)
    return units


def _district(words: Sequence[str]) -> list[str]:
    """Return a district's own name, nothing for what is no district."""
    return _after(_after(words, _COMMITTEE) or words, _DISTRICT) or []


def _commune(words: Sequence[str]) -> list[str]:
    return _after(_after(words, _COMMITTEE) or words, _COMMUNE) or []


def kind_of(name: str) -> MailboxKind:
    """Guess whose name it is: a unit's begins with what sort of unit it is (Sở, Phòng, xã, ...)."""
    units = _units(name)
    return _UNIT if units and _is_unit(units[0]) else _PERSON


# -- names to addresses --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A local part that a form makes of a name; how: which reading of the form, where it has several."""

    form: Form
    local: str
    how: str = ""


def local_parts(name: str, unit: str = "", kind: MailboxKind | None = None) -> list[Made]:
    """Return the local parts that clause 5 makes of a name in a unit, each form's first choice first.

    Empty where the clause has no form, as for a commune of no district. 5.2c is open and made by nobody but people.
    """
    units = _units(f"{name}, {unit}" if unit else name)
    if not units:
        return []
    if (kind or kind_of(name)) is _UNIT:
        made = _unit_local(units[0], units[1:])
        return [made] if made else []
    base = fold(_ABOVE.split(name)[0])
    above = _units(unit) or units[1:]
    return [
        Made(PERSON, base),
        *(Made(PERSON_ELSEWHERE, f"{base}.{two}", how) for two, how in unit_letters(above).items()),
    ]


def _unit_local(words: Sequence[str], above: Sequence[Sequence[str]]) -> Made | None:
    district = next(filter(None, map(_district, above)), [])
    if commune := _commune(words):
        local = f"ubnd{fold(' '.join(commune))}.{_initials(district)}"
        return Made(COMMUNE_COMMITTEE, local) if district else None
    if own := _district(words):
        return Made(DISTRICT_COMMITTEE, f"ubnd{_initials(own)}")
    if any(map(_commune, above)):
        return None
    if district:
        return Made(SECTION_OF_DISTRICT, f"{_initials(words)}.{_initials(district)}")
    if above:
        return Made(SECTION_OF_DEPARTMENT, f"{_initials(words)}.{_initials(above[-1])}")
    return Made(DEPARTMENT, _initials(words))


def unit_letters(units: Sequence[Sequence[str]]) -> Mapping[str, str]:
    """Return the two letters that 5.2b may mean for somebody in these units, the likeliest first, with the reading.

    The regulation's own two examples take the highest unit named, without its type word.
    """
    found: dict[str, str] = {}
    for words in reversed(units):
        own = _commune(words) or _district(words) or _after(words, (*_COMMITTEE, *_BODY)) or []
        found.setdefault(_initials(own)[:2], f"of {' '.join(own)}")
    for words in reversed(units):
        for full in (words, _after(words, _COMMITTEE) or []):
            found.setdefault(_initials(full)[:2], f"of {' '.join(full)}, type word included")
    return {two: how for two, how in found.items() if len(two) == 2}


# -- addresses -----------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def forms_of(local: str) -> tuple[Form, ...]:
    """Return every form that a local part fits; of the kinds, only the registry knows which it is."""
    return tuple(form for form in FORMS if form.pattern.fullmatch(local)) if len(local) <= LOCAL_LIMIT else ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What clause 5 says of an address.

    forms: those that it fits, of the asked kind where one was; where a name was given, those by which it is that
    name's. wanted: what the clause makes of the name. reasons: why it does not fit. notes: what else is to be known.
    """

    address: str
    forms: tuple[Form, ...]
    wanted: tuple[Made, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_ambiguous(self) -> bool:
        """Tell whether it fits more than one form."""
        return len(self.forms) > 1


def explain(
    address: str, identity: Identity, kind: MailboxKind | None = None, name: str = "", unit: str = ""
) -> Explanation:
    """Say which forms of clause 5 an address fits, whether it is this name's, or why not."""
    mailbox = mailbox_of(address.encode("utf-8", "surrogateescape"))
    if not identity.organization.is_official(mailbox):
        ours = ", ".join(sorted(identity.organization.domains))
        reason = f"{domain_of(mailbox) or address!r} is no domain of this system, which has {ours}"
        return Explanation(mailbox, (), reasons=(reason,))
    account = identity.account(mailbox)
    local = account.rpartition("@")[0]
    notes = []
    if account != mailbox:
        notes.append(f"{mailbox} is an address of {account}")
    if address.rpartition("@")[0].lower() != address.rpartition("@")[0]:
        notes.append("capitals are the same mailbox; write small letters")
    fitting = forms_of(local)
    forms = tuple(form for form in fitting if kind in (None, form.kind))
    if name:
        wanted = tuple(local_parts(name, unit, kind))
        named = _named(local, wanted)
        if not named:
            reasons = [] if forms else _why_not(local, fitting, kind)
            reasons.append(_why_not_the_name(wanted, name, account))
            return Explanation(account, (), wanted, tuple(reasons), tuple(notes))
        notes += [f"two letters {made.how}" for made in named if made.how]
        forms = tuple(made.form for made in named)
    else:
        wanted = ()
    if len(forms) > 1:
        notes.append(_who_decides(forms))
    if any(form.by_district for form in forms):
        notes.append("a form with a district (huyện) is of before 1 July 2025: no new mailbox gets one")
    reasons = [] if forms else _why_not(local, fitting, kind)
    return Explanation(account, forms, wanted, tuple(reasons), tuple(notes))


def _named(local: str, wanted: Sequence[Made]) -> list[Made]:
    """Return the ways by which a local part is the name's: one that is made of it, or its open 5.2c."""
    named = [made for made in wanted if made.local == local]
    if named or not wanted or wanted[0].form is not PERSON:
        return named
    base = wanted[0].local
    if local.startswith(base) and re.fullmatch(_ADDED, local[len(base) :]):
        return [Made(PERSON_SAME_UNIT, local)]
    return []


def _who_decides(forms: Sequence[Form]) -> str:
    ways = []
    for kind in MailboxKind:
        clauses = [form.clause for form in forms if form.kind is kind]
        if clauses:
            ways.append(f"{' or '.join(clauses)} where that is {kind}")
    text = f"ambiguous: the kind in the registry decides: {', '.join(ways)}"
    return f"{text}; between forms of one kind, the name does" if len(ways) < len(forms) else text


def _why_not_the_name(wanted: Sequence[Made], name: str, account: str) -> str:
    domain = domain_of(account)
    if not wanted:
        return f"clause 5 has no form for {name}: a commune's address names its district too"
    shown = ", ".join(f"{made.local}@{domain} ({made.form.clause})" for made in wanted)
    more = f", or {wanted[0].local} with a date or place (5.2c)" if wanted[0].form is PERSON else ""
    return f"it is not the address of {name}: that is {shown}{more}"


def _why_not(local: str, fitting: Sequence[Form], kind: MailboxKind | None) -> list[str]:
    """Say why a local part fits no form."""
    if fitting:
        others = ", ".join(f"{form.clause} ({form.english})" for form in fitting)
        return [f"it fits {others} alone, and no form of kind {kind}"]
    text = unicodedata.normalize("NFC", local)
    wrong = [letter for letter in dict.fromkeys(text) if not re.fullmatch(r"[a-z0-9._-]", letter)]
    marked = [letter for letter in wrong if fold(letter)]
    odd = [f"{letter!r} (character {text.index(letter) + 1})" for letter in wrong if not fold(letter)]
    reasons = []
    if marked:
        plain = "".join(fold(letter) if letter in marked else letter for letter in text)
        reasons.append(f"{', '.join(marked)}: an address has no marks (không dấu): {plain}")
    if odd:
        reasons.append(f"{', '.join(odd)}: an address has letters a to z, and a dot before what it belongs to")
    if len(local.encode("utf-8", "surrogateescape")) > LOCAL_LIMIT:
        reasons.append(f"it is longer than {LOCAL_LIMIT} octets before the @ (RFC 5321)")
    if not reasons:
        reasons.append(_why_not_shaped(local))
    return reasons


def _why_not_shaped(local: str) -> str:
    if not local[0].isalpha():
        return f"it begins with {local[0]!r}: every form begins with a letter"
    if not local[-1].isalnum():
        return f"it ends with {local[-1]!r}: every form ends with a letter or digit"
    if re.search("[._-]{2}", local):
        return "it has two marks in a row"
    head = re.split("[0-9._-]", local)[0]
    if head != local:
        return f"{head!r} is too short: before the first digit or mark, a unit has 2 letters and a person 4"
    return "it is too short: 2 letters of a unit, 4 of a person's name are the least"


# -- one name, several people --------------------------------------------------------------------


def collisions(registrations: Iterable[Registration]) -> dict[str, list[Registration]]:
    """Return the people whose names are one after folding, by that name: Hùng and Hưng, Hoà and Hòa (5.2b, 5.2c)."""
    people: dict[str, list[Registration]] = {}
    for registration in registrations:
        if registration.kind is _PERSON:
            people.setdefault(fold(registration.name), []).append(registration)
    return {name: found for name, found in people.items() if len(found) > 1}
