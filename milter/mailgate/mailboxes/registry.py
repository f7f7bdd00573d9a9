"""The registry as CSV: who holds which mailbox, as an administrator keeps it in a spreadsheet.

Read are UTF-8 with or without a BOM, comma, semicolon (Excel where the comma is the decimal mark) or tab, and Excel's
"Unicode text" (UTF-16, tab). Written is one form, which reads back as the same registry. A field that begins with =,
+, - or @ is written as it is: it is our own registry's, and altering it would alter the registry.

A row that cannot be right is a problem; an address that clause 5 would not make is a warning, since addresses outlive
the rule, and so is a name that several people have after folding.
"""

import codecs
import csv
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple, TextIO

from ..identity.identity import Identity
from ..identity.spelling import domain_of, mailbox_of
from ..model import MailboxKind, Registration
from .addresses import collisions, fold, forms_of

FILE_LIMIT_BYTES = 256 << 20
"""A million mailboxes with long Vietnamese names are some 150 MB; what is larger is another file."""

FIELD_LIMIT = 1_000
"""Characters of a field. The longest official unit with all above it has some 250: more is a quote never closed."""

COLUMNS = ("address", "kind", "name", "unit", "created", "password_changed")
_SEPARATORS = (";", "\t", ",")
_KINDS = {
    "individual": MailboxKind.INDIVIDUAL,
    "canhan": MailboxKind.INDIVIDUAL,
    "unit": MailboxKind.UNIT,
    "donvi": MailboxKind.UNIT,
    "coquan": MailboxKind.UNIT,
}
_MOST_LINES_NAMED = 5  # of one name's holders in a warning


class Problem(NamedTuple):
    """What is wrong with a line of the file (1 is the first, 0 the file as a whole), or only odd."""

    line: int
    reason: str
    is_warning: bool = False


def read_csv(octets: bytes, identity: Identity, today: date) -> tuple[list[Registration], list[Problem]]:
    """Read a registry: the mailboxes of all good rows, and the problems by line; dates are not after `today`."""
    if len(octets) > FILE_LIMIT_BYTES:
        return [], [Problem(0, f"is larger than {FILE_LIMIT_BYTES >> 20} MB: split it")]
    text, encoding = _text(octets)
    if text is None:
        return [], [Problem(1, encoding)]
    skipped, first = next(((n, line) for n, line in enumerate(text) if line.strip()), (0, ""))
    separator = max(_SEPARATORS, key=first.count)
    if first.lower().startswith("sep="):  # Excel's own mark, which no other program knows
        separator = first[4:].rstrip("\r\n") or ";"
        if separator not in _SEPARATORS:
            return [], [Problem(skipped + 1, f"{first.strip()}: the separator is one of ; , and tab")]
        first = text.readline()
        skipped += 1
    rows = _rows(itertools.chain([first] if first else [], text), separator, skipped)
    line, header = next(rows, (0, "is empty: its first line names the columns " + ",".join(COLUMNS)))
    if isinstance(header, str):
        return [], [Problem(line, header)]
    order, problem = _order(header, separator)
    if problem:
        return [], [Problem(line, problem)]
    return _read(rows, order, identity, today, encoding)


def _text(octets: bytes) -> tuple[io.TextIOWrapper | None, str]:
    """Return the decoded text and its encoding, or None and why there is none; what is no UTF-8 is escaped."""
    encoding = "utf-8-sig"
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in octets[:64]:
        return None, 'has NUL octets: save it as "CSV UTF-8", or as "Unicode text", which begins with a mark (BOM)'
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    return io.TextIOWrapper(io.BytesIO(octets), encoding, errors, newline=""), encoding


def _rows(text: Iterable[str], separator: str, skipped: int) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each row with the line that it begins in, or what is wrong with its quotes; blank rows are left out."""
    reader = csv.reader(text, delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num + skipped
            where = f", up to line {end}" if end > line else ""
            yield line, f"its quotes do not fit{where} ({error}): a quote within a quoted field is written twice"
            continue
        if any(row):
            yield line, row


def _order(header: Sequence[str], separator: str) -> tuple[list[int], str]:
    """Return where each of COLUMNS stands, or what is wrong with the line that names them."""
    names = [name.strip().lower() for name in header]
    while names and not names[-1]:
        names.pop()  # a spreadsheet's empty columns
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not unknown and not missing and not twice:
        return [names.index(name) for name in COLUMNS], ""
    parts = [
        f"{what} {', '.join(map(_shown, found))}"
        for what, found in (("unknown column", unknown), ("missing column", missing), ("named twice", twice))
        if found
    ]
    mark = {"\t": "tab"}.get(separator, separator)
    return [], f"{'; '.join(parts)}: the first line names the columns {','.join(COLUMNS)} (separator here: {mark})"


def _read(
    rows: Iterator[tuple[int, list[str] | str]],
    order: Sequence[int],
    identity: Identity,
    today: date,
    encoding: str,
) -> tuple[list[Registration], list[Problem]]:
    registrations: list[Registration] = []
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    width = len(order)
    last_day = today.isoformat()
    for line, row in rows:
        if isinstance(row, str):
            problems.append(Problem(line, row))
            continue
        while len(row) > width and not row[-1]:
            row.pop()
        if len(row) != width:
            problems.append(Problem(line, f"has {len(row)} fields, where the first line names {width}"))
            continue
        read = _registration([row[at].strip() for at in order], identity, last_day, encoding)
        if isinstance(read, str):
            problems.append(Problem(line, read))
            continue
        known = lines.setdefault(read.address, line)
        if known != line:
            problems.append(Problem(line, f"{read.address} stands in line {known} too: one mailbox, one line"))
            continue
        if not forms_of(read.address.rpartition("@")[0]):
            problems.append(Problem(line, _NO_FORM, is_warning=True))
        if (account := identity.account(read.address)) != read.address:
            problems.append(
                Problem(line, f"{read.address} is no sub-address of {account} from now on", is_warning=True)
            )
        registrations.append(read)
    problems += _same_names(registrations, lines)
    problems.sort(key=lambda problem: problem.line)
    return registrations, problems


_NO_FORM = "its address fits no form of clause 5: mailgate mailboxes check-address says why"
_ADDRESS = re.compile(r"[^\s\"(),:;<>@\[\]\\]+@[^\s@]+")
_ESCAPED = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _registration(fields: Sequence[str], identity: Identity, last_day: str, encoding: str) -> Registration | str:
    """Return the mailbox of a row's fields, or what is wrong with them."""
    for column, text in zip(COLUMNS, fields, strict=True):
        if wrong := _wrong_text(text, encoding):
            return f"{column} {wrong}"
    address, kind, name, unit, created, changed = fields
    if not address:
        return "address is missing"
    mailbox = mailbox_of(address.encode())
    if not _ADDRESS.fullmatch(mailbox) or not mailbox.isprintable():
        return f"address {_shown(address)} is none: write LOCAL@DOMAIN"
    if not identity.organization.is_official(mailbox):
        ours = ", ".join(sorted(identity.organization.domains))
        return f"address {mailbox} is not of this system, which has {ours}"
    account = identity.account(mailbox)
    if domain_of(account) != domain_of(mailbox):
        return f"address {mailbox} is {account}: its domain was merged into that one; write {account}"
    known_kind = _KINDS.get(fold(kind))
    if known_kind is None:
        return f"kind {_shown(kind)} is unknown: write individual (cá nhân) or unit (đơn vị, cơ quan)"
    if not name:
        return "name is missing"
    dates = {}
    for column, text in (("created", created), ("password_changed", changed)):
        day = _day(text)
        if day is None or (not day and column == "created"):
            return f"{column} {_shown(text)} is no date: write 2026-11-24 or 24/11/2026"
        if day > last_day:
            return f"{column} {day} is in the future"
        dates[column] = day
    if dates["password_changed"] and dates["password_changed"] < dates["created"]:
        return f"password_changed {dates['password_changed']} is before created {dates['created']}"
    # Units and names come again and again: one object for each.
    return Registration(mailbox, known_kind, sys.intern(name), sys.intern(unit), **dates)


def _wrong_text(text: str, encoding: str) -> str:
    """Return what no field may have, "" where it has none of it."""
    if len(text) > FIELD_LIMIT:
        return f"has {len(text)} characters, more than {FIELD_LIMIT}: is a quote not closed?"
    if control := _CONTROL.search(text):
        return "has a NUL octet" if control[0] == "\0" else f"has the control character U+{ord(control[0]):04X}"
    if text.isascii():
        return ""
    if escaped := _ESCAPED.search(text):
        octet = ord(escaped[0]) - 0xDC00
        return f'is not UTF-8: it has the octet {octet:02X}; save the file as "CSV UTF-8"'
    return "is not UTF-16" if encoding == "utf-16" and "\ufffd" in text else ""


@lru_cache(maxsize=65_536)
def _day(text: str) -> str | None:
    """Return a date as ISO 8601, the day first where it has slashes, as in Vietnam; "" for none, None for no date."""
    if not text:
        return ""
    if match := re.fullmatch(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})", text):
        text = f"{match[3]}-{match[2]:0>2}-{match[1]:0>2}"
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _same_names(registrations: Sequence[Registration], lines: dict[str, int]) -> Iterator[Problem]:
    """Yield one warning for each name that several people have."""
    for name, people in collisions(registrations).items():
        first, *others = people[: _MOST_LINES_NAMED + 1]
        more = len(people) - 1 - len(others)
        named = ", ".join(f"{lines[each.address]} ({each.name})" for each in others)
        named += f" and {more} more" if more else ""
        reason = f"{first.name}: one name, {name}, with line {named}: 5.2b or 5.2c tells them apart"
        yield Problem(lines[first.address], reason, is_warning=True)


def _shown(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return repr(shown) if shown else "(empty)"


def write_csv(registrations: Iterable[Registration], out: TextIO) -> None:
    """Write a registry as `read_csv` reads it, back to the same mailboxes."""
    writer = csv.writer(out)  # lines in CRLF, so that a lone CR or LF within a field is quoted
    writer.writerow(COLUMNS)
    for each in registrations:
        writer.writerow((each.address, each.kind.value, each.name, each.unit, each.created, each.password_changed))
