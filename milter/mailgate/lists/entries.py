"""The text of a list to its entries, each bad line named: which lists there are, and what stands in each.

A text list has a line for each entry: ENTRY | key=value | key=value   # comment. A comment begins with # at the start
of a line or after white space. A record list is CSV with a header line. An unknown key is an error, as in the
configuration: a misspelt date must not be no date.
"""

import csv
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from ..identity.spelling import canonical_domain, mailbox_of
from ..model import ListEntry
from ..text.folding import fold
from ..text.organisational import organisational

Reader = Callable[[str], str]
"""Returns a value as it compares; raises ValueError with what is to be written instead."""

PHRASE_LETTERS = 200
"""Letters of a phrase: a sentence. Nobody looks for more, and a whole file in one line is a mistake."""

_MOST_PROBLEMS = 20  # of one list: who took the wrong file need not read 100,000 of them
_DOMAIN = re.compile(r"(?=.{4,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})+")
_MAILBOX = re.compile(r"[^\s@]+@[^\s@]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")


def _phrase(text: str) -> str:
    phrase = " ".join(text.split())
    if len(phrase) > PHRASE_LETTERS:
        raise ValueError(f"write a phrase of {PHRASE_LETTERS} letters at the most")
    if not any(letter.isalnum() for letter in fold(phrase).canon):
        raise ValueError("write a word or a phrase")
    return phrase


def _domain(text: str) -> str:
    domain = canonical_domain(text)
    if not _DOMAIN.fullmatch(domain):
        raise ValueError("write a domain, such as example.com")
    return domain


def _mailbox(text: str) -> str:
    mailbox = mailbox_of(text.encode("utf-8", "surrogateescape"))
    if not _MAILBOX.fullmatch(mailbox) or not _DOMAIN.fullmatch(mailbox.rpartition("@")[2]):
        raise ValueError("write an address, such as lan@example.com")
    return mailbox


def _domain_or_mailbox(text: str) -> str:
    return _mailbox(text) if "@" in text else _domain(text)


def _party(text: str) -> str:
    """Read an IP address, a network, a domain or an address."""
    if "@" in text:
        return _mailbox(text)
    if "/" in text or ":" in text or re.fullmatch(r"[\d.]+", text):
        try:
            return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
        except ValueError as error:
            raise ValueError("write an IP address, or a network as 203.0.113.0/24 or 2001:db8::/32") from error
    return _domain(text)


def _advertiser(text: str) -> str:
    """Read an organisational domain, an address of a mail provider's customer, or * for all."""
    if text == "*":
        return text
    if "@" in text:
        return _mailbox(text)
    domain = _domain(text)
    if organisational(domain) != domain:
        raise ValueError(f"write the organisational domain, {organisational(domain)}")
    return domain


def _date(text: str) -> str:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueError("write a date as 2027-01-31")


def _weight(text: str) -> str:
    if not re.fullmatch(r"[1-9]|10", text):
        raise ValueError("write a whole number from 1 to 10")
    return text


def _text(text: str) -> str:
    if not text:
        raise ValueError("write something, or take the key out")
    return text


@dataclass(frozen=True, slots=True)
class Kind:
    """What stands in a list: how an entry is read, and the keys that a line may have.

    columns: those of a record list; the first two, with a blank between, are what is looked up.
    """

    entry: Reader
    keys: Mapping[str, Reader] = field(default_factory=dict)
    columns: Mapping[str, Reader] = field(default_factory=dict)

    @property
    def has_phrases(self) -> bool:
        """Tell whether the entries are looked for in texts."""
        return self.entry is _phrase


_RECORDS = Kind(_text, columns={"address": _mailbox, "advertiser": _advertiser, "date": _date, "source": _text})
_PARTIES = Kind(_party, {"until": _date, "source": _text, "request": _text})
_PROHIBITED = Kind(_phrase)
PROHIBITED = "prohibited/"
KINDS: Mapping[str, Kind] = {
    "advertising/words": Kind(_phrase, {"weight": _weight}),
    "advertising/not": Kind(_phrase, {"weight": _weight}),
    "advertising/services": Kind(_domain, {"name": _text}),
    "advertising/refusals": _RECORDS,
    "advertising/consents": _RECORDS,
    "registration/domains": Kind(_domain, {"service": _text}),
    "registration/subjects": Kind(_phrase),
    "registration/exempt": Kind(_domain_or_mailbox, {"reason": _text}),
    "blocklist": _PARTIES,
    "allowlist": _PARTIES,
}
"""Beside them are those named prohibited/CATEGORY, as many as the site likes."""

_CATEGORY = re.compile(r"prohibited/[a-z0-9][a-z0-9-]*")


def kind_of(name: str) -> Kind | None:
    """Return what stands in the list of this name, None where there is no such list."""
    return _PROHIBITED if _CATEGORY.fullmatch(name) else KINDS.get(name)


@dataclass(slots=True)
class Reading:
    """What was read of a list: its entries by what is looked up, and a text for each bad line."""

    entries: dict[str, ListEntry] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add_problem(self, place: str, line: int, problem: object) -> None:
        """Note a bad line; of very many, no more than that there are."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{place}:{line}: {problem}")
        elif len(self.problems) == _MOST_PROBLEMS:
            self.problems.append(f"{place}:{line}: more lines are wrong from here on: is it the right file?")


def read_list(kind: Kind, text: str, place: str) -> Reading:
    """Read a list's text; `place` names its file in the problems. A line that stands there twice holds as last."""
    return _read_records(kind, text, place) if kind.columns else _read_lines(kind, text, place)


def _read_lines(kind: Kind, text: str, place: str) -> Reading:
    reading = Reading()
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        content = _COMMENT.sub("", line, count=1).strip()
        if not content:
            continue
        try:
            entry, *attributes = (part.strip() for part in content.split("|"))
            key = _read(entry, kind.entry, entry)
            reading.entries[key] = ListEntry(key, dict(_attributes(kind, attributes)))
        except ValueError as error:
            reading.add_problem(place, number, error)
    return reading


def _attributes(kind: Kind, texts: list[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    known = ", ".join(kind.keys)
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ValueError(f"{_shown(text)}: write key=value")
        if key not in kind.keys:
            raise ValueError(
                f"{_shown(key)}: unknown key: " + (f"write {known}" if known else "no key may stand here")
            )
        if key in seen:
            raise ValueError(f"{key}: a second time: take one out")
        seen.add(key)
        yield key, _read(f"{key}={value}", kind.keys[key], value)


def _read_records(kind: Kind, text: str, place: str) -> Reading:
    reading = Reading()
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    rows = csv.reader(text.splitlines(), delimiter=";" if ";" in head else ",")  # ; as some spreadsheets write it
    names = [name.strip().lower() for name in next(rows, [])]
    if sorted(names) != sorted(kind.columns):
        columns = ",".join(kind.columns)
        reading.add_problem(place, 1, f"the columns are not named: write {columns} in the first line")
        return reading
    order = [names.index(name) for name in kind.columns]
    shared: dict[tuple[str, str], Mapping[str, str]] = {}  # of many records one date and source
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            try:
                if len(row) != len(names):
                    raise ValueError(f"{len(row)} columns: write {','.join(names)}")
                cells = [row[place_of].strip() for place_of in order]
                address, advertiser, day, source = (
                    _read(f"{name}={cell}", read, cell)
                    for cell, (name, read) in zip(cells, kind.columns.items(), strict=True)
                )
                key = f"{address} {advertiser}"
                attributes = shared.setdefault((day, source), {"date": day, "source": source})
                reading.entries[key] = ListEntry(key, attributes)
            except ValueError as error:
                reading.add_problem(place, rows.line_num, error)
    except csv.Error as error:
        reading.add_problem(place, rows.line_num, f"{error}: write CSV")
    return reading


def _read(shown: str, read: Reader, text: str) -> str:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{_shown(shown)}: {error}") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
