"""The registry as CSV, in and out, and what the systems that hold the logins are told."""

import base64
import io
import smtplib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.dovecot import Dovecot
from tests.lab.mails import OFFICER, OUTSIDER, letter

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.mailboxes import registry
from mailgate.mailboxes.logins import dovecot_deny, ldif, zmprov
from mailgate.mailboxes.registry import COLUMNS, FIELD_LIMIT, Problem, read_csv, write_csv
from mailgate.model import MailboxKind, MailboxState, MailboxStatus, Registration

OURS = Identity(Organization(frozenset({"hanam.gov.vn", "cũ.hanam.vn"})))
TODAY = date(2026, 11, 26)
HEAD = ",".join(COLUMNS)
HA = "nguyenthithanhha@hanam.gov.vn,individual,Nguyễn Thị Thanh Hà,Sở Nội vụ,2025-01-02,2025-02-03"
IN_USE = Registration(
    "nguyenthithanhha@hanam.gov.vn",
    MailboxKind.INDIVIDUAL,
    "Nguyễn Thị Thanh Hà",
    "Sở Nội vụ",
    "2025-01-02",
    "2025-02-03",
)


def read(text: str | bytes) -> tuple[list[Registration], list[Problem]]:
    return read_csv(text.encode() if isinstance(text, str) else text, OURS, TODAY)


def written(registrations: list[Registration]) -> bytes:
    out = io.StringIO(newline="")
    write_csv(registrations, out)
    return out.getvalue().encode()


# -- what spreadsheets write -----------------------------------------------------------------------

LINES = f"{HEAD}\n{HA}\n"
SEMICOLONS = LINES.replace(",", ";").replace("2025-01-02", "02/01/2025").replace("2025-02-03", "3/2/2025")


@pytest.mark.parametrize(
    "octets",
    [
        LINES.encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        LINES.removesuffix("\n").encode(),
        SEMICOLONS.replace("\n", "\r\n").encode("utf-8-sig"),
        ("sep=;\r\n" + SEMICOLONS).encode("utf-8-sig"),
        ("SEP=,\n" + LINES).encode(),
        LINES.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),  # Excel's "Unicode text"
        b"\xfe\xff" + LINES.replace(",", "\t").encode("utf-16-be"),
        ("\n\n" + LINES + "\n,,,,,\n").encode(),
        LINES.replace("\n", ",,\n").encode(),  # columns that a spreadsheet left empty
        LINES.replace(HEAD, HEAD.upper().replace(",", " , ")).encode(),
        LINES.replace("individual", "Cá nhân").encode(),
        LINES.replace("nguyenthi", "NguyenThi").encode(),
        LINES.replace("Sở Nội vụ", '"Sở Nội vụ"').encode(),
    ],
)
def test_what_spreadsheets_write_is_one_registry(octets: bytes) -> None:
    assert read(octets) == ([IN_USE], [])


def test_columns_come_in_any_order() -> None:
    order = (5, 3, 0, 4, 2, 1)
    lines = [",".join(line.split(",")[at] for at in order) for line in (HEAD, HA)]
    assert read("\n".join(lines)) == ([IN_USE], [])


@pytest.mark.parametrize(
    ("written_as", "kind"),
    [
        ("individual", MailboxKind.INDIVIDUAL),
        ("cá nhân", MailboxKind.INDIVIDUAL),
        ("CÁ NHÂN", MailboxKind.INDIVIDUAL),
        ("unit", MailboxKind.UNIT),
        ("đơn vị", MailboxKind.UNIT),
        ("Cơ quan", MailboxKind.UNIT),
    ],
)
def test_kinds(written_as: str, kind: MailboxKind) -> None:
    (found,), _ = read(f"{HEAD}\nstttt@hanam.gov.vn,{written_as},Sở TTTT,,24/11/2026,\n")
    assert (found.kind, found.created, found.password_changed) == (kind, "2026-11-24", "")


# -- what is wrong ---------------------------------------------------------------------------------

OTHER = "stttt@hanam.gov.vn,unit,Sở TTTT,,2025-01-02,"

# (lines after the header, line number, what is said)
WRONG_LINES: tuple[tuple[str, int, str], ...] = (
    (OTHER.replace("unit", "phòng"), 2, "kind 'phòng' is unknown: write individual (cá nhân) or unit"),
    (OTHER.replace("unit", ""), 2, "kind (empty) is unknown"),
    (OTHER.replace("stttt@hanam.gov.vn", ""), 2, "address is missing"),
    (OTHER.replace("@hanam.gov.vn", ""), 2, "address 'stttt' is none: write LOCAL@DOMAIN"),
    (OTHER.replace("stttt", "s t"), 2, "is none: write LOCAL@DOMAIN"),
    (OTHER.replace("stttt", "st\u200btt"), 2, "is none: write LOCAL@DOMAIN"),
    (OTHER.replace("hanam.gov.vn", "example.com"), 2, "stttt@example.com is not of this system"),
    (OTHER.replace("Sở TTTT", " "), 2, "name is missing"),
    (OTHER.replace("2025-01-02", "2025-13-02"), 2, "created '2025-13-02' is no date"),
    (OTHER.replace("2025-01-02", "11/24/2025"), 2, "created '11/24/2025' is no date"),
    (OTHER.replace("2025-01-02", "45000"), 2, "created '45000' is no date"),
    (OTHER.replace("2025-01-02", ""), 2, "created (empty) is no date"),
    (OTHER.replace("2025-01-02", "2026-11-27"), 2, "created 2026-11-27 is in the future"),
    (OTHER + "27/11/2026", 2, "password_changed 2026-11-27 is in the future"),
    (OTHER + "2025-01-01", 2, "password_changed 2025-01-01 is before created 2025-01-02"),
    (OTHER + ",x", 2, "has 7 fields, where the first line names 6"),
    (OTHER.removesuffix(","), 2, "has 5 fields"),
    (OTHER.replace("Sở", "S\0"), 2, "name has a NUL octet"),
    (OTHER.replace("Sở", "S\x1b"), 2, "name has the control character U+001B"),
    (OTHER.replace("Sở TTTT", "x" * (FIELD_LIMIT + 1)), 2, f"name has {FIELD_LIMIT + 1} characters"),
    (OTHER.replace("Sở TTTT", '"Sở "TTTT"'), 2, "its quotes do not fit"),
    (OTHER.replace("Sở TTTT", '"Sở TTTT'), 2, "its quotes do not fit"),
    (f"{HA}\n{OTHER}\n{HA}", 4, "nguyenthithanhha@hanam.gov.vn stands in line 2 too"),
    (f"{HA}\n{HA.upper().replace('INDIVIDUAL', 'unit')}", 3, "stands in line 2 too"),
    (f"{HA}\n\n\nx", 5, "has 1 fields"),
)


@pytest.mark.parametrize(("lines", "number", "says"), WRONG_LINES)
def test_a_wrong_line_is_named(lines: str, number: int, says: str) -> None:
    registrations, (problem,) = read(f"{HEAD}\n{lines}\n")
    assert (problem.line, problem.is_warning) == (number, False)
    assert says in problem.reason
    assert len(registrations) == (1 if lines.startswith(HA) else 0) + lines.count(f"\n{OTHER}")


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    over_lines = HA.replace("Sở Nội vụ", '"Sở\r\nNội\nvụ"')
    registrations, (problem,) = read(f"sep=,\n{HEAD}\n{over_lines}\nx\n")
    assert [each.unit for each in registrations] == ["Sở\r\nNội\nvụ"]
    assert problem.line == 6


def test_octets_that_are_no_utf_8_are_named() -> None:
    lines = LINES.encode() + OTHER.encode().replace("ở".encode(), b"\xd4")
    assert read(lines) == (
        [IN_USE],
        [Problem(3, 'name is not UTF-8: it has the octet D4; save the file as "CSV UTF-8"')],
    )


def test_a_cut_utf_16_is_named() -> None:
    octets = LINES.replace(",", "\t").removesuffix("-02-03\n").encode("utf-16")
    assert read(octets[:-1]) == ([], [Problem(2, "password_changed is not UTF-16")])


@pytest.mark.parametrize(
    ("octets", "line", "says"),
    [
        (b"", 0, "is empty"),
        (b"\xef\xbb\xbf", 0, "is empty"),
        (b" \r\n\n", 0, "is empty"),
        (b"sep=;\r\n", 0, "is empty"),
        (HA.encode(), 1, "unknown column 'nguyenthithanhha@hanam.gov.vn'"),
        (HEAD.replace("unit", "units").encode(), 1, "unknown column 'units'; missing column 'unit': the first line"),
        (HEAD.replace(",unit", "").encode(), 1, "missing column 'unit'"),
        (f"{HEAD},unit".encode(), 1, "named twice 'unit'"),
        (f"\nsep=,\n{HEAD},x".encode(), 3, "unknown column 'x'"),
        (f"sep=|\n{HEAD}".encode(), 1, "sep=|: the separator is one of"),
        (f'"{HEAD}'.encode(), 1, "its quotes do not fit"),
        (LINES.encode("utf-16-le"), 1, "has NUL octets"),
        (b"PK\x03\x04\0\0", 1, "has NUL octets"),
    ],
)
def test_a_file_that_is_no_registry_is_named(octets: bytes, line: int, says: str) -> None:
    registrations, (problem,) = read(octets)
    assert (registrations, problem.line, problem.is_warning) == ([], line, False)
    assert says in problem.reason


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FILE_LIMIT_BYTES", len(LINES.encode()) - 1)
    registrations, (problem,) = read(LINES)
    assert (registrations, problem.line) == ([], 0)
    assert "larger than" in problem.reason


def test_one_wrong_line_spoils_no_other() -> None:
    lines = [HEAD, HA, OTHER.replace("Sở TTTT", '"Sở "TTTT"'), OTHER]
    registrations, (problem,) = read("\n".join(lines))
    assert [each.address for each in registrations] == ["nguyenthithanhha@hanam.gov.vn", "stttt@hanam.gov.vn"]
    assert problem.line == 3


def test_what_is_only_odd_is_a_warning() -> None:
    people = ["Nguyễn Văn Hùng", "Nguyễn Văn Hưng", *["NGUYỄN VĂN HÙNG"] * 7]
    lines = [f"nguyenvanhung.{n}@hanam.gov.vn,individual,{name},,2025-01-02," for n, name in enumerate(people)]
    registrations, problems = read("\n".join([HEAD, "2kb@hanam.gov.vn,unit,Đội 2,,2025-01-02,", *lines]))
    assert len(registrations) == 10
    assert problems == [
        Problem(2, "its address fits no form of clause 5: mailgate mailboxes check-address says why", True),
        Problem(
            3,
            "Nguyễn Văn Hùng: one name, nguyenvanhung, with line 4 (Nguyễn Văn Hưng), 5 (NGUYỄN VĂN HÙNG), "
            "6 (NGUYỄN VĂN HÙNG), 7 (NGUYỄN VĂN HÙNG), 8 (NGUYỄN VĂN HÙNG) and 3 more: 5.2b or 5.2c tells them apart",
            True,
        ),
    ]


# -- out and in again ------------------------------------------------------------------------------

_text = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from('\n\r\t",;=+-@'), max_size=20).map(
    str.strip
)
_days = st.dates(date(1995, 1, 1), TODAY)
_registrations = st.builds(
    lambda local, kind, name, unit, days: Registration(
        f"{local}@hanam.gov.vn", kind, name, unit, min(days).isoformat(), max(days).isoformat()
    ),
    st.from_regex(r"[a-z]{2,12}(\.[a-z]{2,6})?", fullmatch=True),
    st.sampled_from(MailboxKind),
    _text.filter(bool),
    _text,
    st.tuples(_days, _days),
)


@given(st.lists(_registrations, unique_by=lambda each: each.address))
def test_what_is_written_reads_back(registrations: list[Registration]) -> None:
    found, problems = read(written(registrations))
    assert found == registrations
    assert all(problem.is_warning for problem in problems)


def test_a_default_password_is_an_empty_field() -> None:
    new = Registration("a@hanam.gov.vn", MailboxKind.UNIT, "=1+1", "@x", "2025-01-02")
    assert written([new]).decode().splitlines() == [HEAD, "a@hanam.gov.vn,unit,=1+1,@x,2025-01-02,"]


# -- logins ----------------------------------------------------------------------------------------

STATES = [
    MailboxState("ca.tl@hanam.gov.vn", MailboxStatus.ACTIVE),
    MailboxState(OFFICER, MailboxStatus.LOCKED, "7.2a"),
    MailboxState("snv@hanam.gov.vn", MailboxStatus.REVOKED, "6.2c"),
    MailboxState("stttt@hanam.gov.vn", MailboxStatus.ACTIVE, "7.3", must_change_password=True),
]


def test_zmprov() -> None:
    assert list(zmprov(STATES)) == [
        "ma ca.tl@hanam.gov.vn zimbraAccountStatus active",
        "ma ptp.bl@hanam.gov.vn zimbraAccountStatus locked",
        "ma snv@hanam.gov.vn zimbraAccountStatus closed",
        "ma stttt@hanam.gov.vn zimbraAccountStatus active zimbraPasswordMustChange TRUE",
    ]


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("a'b@hanam.gov.vn", '''"a'b@hanam.gov.vn"'''),
        ('a"b\\@hanam.gov.vn', r'"a\"b\\@hanam.gov.vn"'),
        ("#a@hanam.gov.vn", '"#a@hanam.gov.vn"'),
        ("đ@hanam.gov.vn", '"đ@hanam.gov.vn"'),
    ],
)
def test_zmprov_quotes(address: str, word: str) -> None:
    assert list(zmprov([MailboxState(address, MailboxStatus.LOCKED)])) == [f"ma {word} zimbraAccountStatus locked"]


def test_dovecot_is_told_whom_to_deny() -> None:
    lines = [line for line in dovecot_deny(STATES) if not line.startswith("#")]
    assert lines == ["ptp.bl@hanam.gov.vn", "snv@hanam.gov.vn"]
    (comment,) = [line for line in dovecot_deny([MailboxState("a:b@h", MailboxStatus.LOCKED)]) if "left out" in line]
    assert comment == "# left out, since a passwd-file cannot name it: 'a:b@h'"


def test_whom_dovecot_denies_cannot_log_in_and_still_receives() -> None:
    with Dovecot({}, sendmail=Path("/bin/false"), denied="\n".join(dovecot_deny(STATES)) + "\n") as dovecot:
        active, locked, *_ = STATES
        assert [dovecot.may_log_in(state.address) for state in (active, locked)] == [True, False]
        with smtplib.LMTP(dovecot.lmtp.removeprefix("lmtp:unix:")) as client:
            client.sendmail(OUTSIDER, OFFICER, letter())
        assert len(dovecot.delivered(OFFICER.partition("@")[0])) == 1


def test_ldif() -> None:
    lines = "\n".join(ldif(STATES[1:], "ou=people,dc=hanam,dc=gov,dc=vn"))
    assert (
        lines
        == """\
version: 1

dn: mail=ptp.bl@hanam.gov.vn,ou=people,dc=hanam,dc=gov,dc=vn
changetype: modify
replace: pwdAccountLockedTime
pwdAccountLockedTime: 000001010000Z
-

dn: mail=snv@hanam.gov.vn,ou=people,dc=hanam,dc=gov,dc=vn
changetype: modify
replace: pwdAccountLockedTime
pwdAccountLockedTime: 000001010000Z
-

dn: mail=stttt@hanam.gov.vn,ou=people,dc=hanam,dc=gov,dc=vn
changetype: modify
replace: pwdAccountLockedTime
-
replace: pwdReset
pwdReset: TRUE
-"""
    )


@pytest.mark.parametrize(
    ("address", "base", "rdn", "dn"),
    [
        ("a,b@hanam.gov.vn", "dc=vn", "mail", "dn: mail=a\\,b@hanam.gov.vn,dc=vn"),
        ("#a+b@hanam.gov.vn", "dc=vn", "mail", "dn: mail=\\#a\\+b@hanam.gov.vn,dc=vn"),
        ("stttt@hanam.gov.vn", "dc=vn", "uid", "dn: uid=stttt,dc=vn"),
        (
            "stttt@hanam.gov.vn",
            "ou=cán bộ",
            "uid",
            "dn:: " + base64.b64encode("uid=stttt,ou=cán bộ".encode()).decode(),
        ),
    ],
)
def test_ldif_names_entries(address: str, base: str, rdn: str, dn: str) -> None:
    assert list(ldif([MailboxState(address, MailboxStatus.LOCKED)], base, rdn))[2] == dn


@pytest.mark.parametrize(
    ("locked", "line"),
    [
        ("nsAccountLock: true", "nsAccountLock: true"),
        ("description: khóa", "description:: " + base64.b64encode("khóa".encode()).decode()),
        ("description: <x", "description:: " + base64.b64encode(b"<x").decode()),
        ("description: :x", "description:: " + base64.b64encode(b":x").decode()),
        ("description: x ", "description:: " + base64.b64encode(b"x ").decode()),
    ],
)
def test_ldif_says_locked_by_any_attribute(locked: str, line: str) -> None:
    assert line in list(ldif(STATES, "dc=vn", locked=locked, must_change=""))
    assert "pwdReset" not in "".join(ldif(STATES, "dc=vn", locked=locked, must_change=""))


@pytest.mark.parametrize("locked", ["", "x", "a b: c", ": c", "a:"])
def test_ldif_takes_no_attribute_without_a_value(locked: str) -> None:
    with pytest.raises(ValueError, match="write NAME: VALUE"):
        list(ldif(STATES, "dc=vn", locked=locked))
