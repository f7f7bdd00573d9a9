"""The yearly report: its figures against those made by hand, its page as HTML, its CSV and JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from mailgate.ledger.store import DAYS_KEPT, Day, Idle, Observed
from mailgate.mailboxes.calendar import CIVIL_TIME
from mailgate.mailboxes.inactivity import Terms, find_due, holes
from mailgate.model import MailboxKind, MailboxState, MailboxStatus, Registration
from mailgate.reports.chart import bars
from mailgate.reports.figures import COLUMNS, OF_UNIT, Figures, Period, long_rows, year_of
from mailgate.reports.page import Head, page

A, B, OFFICE, STRAY = (f"{name}@hanam.gov.vn" for name in ("a", "b", "ptp.bl", "stray"))
JUSTICE, FINANCE = "Sở Tư pháp", "Sở Tài chính"
HOSTILE = "<script>alert('1')</script>\" onload=\"x&lt;"
MADE_AT = datetime(2026, 11, 5, 9, 0, tzinfo=CIVIL_TIME)
YEAR = year_of(2026, "11-01")
HEAD = Head(
    "UBND tỉnh Hà Nam", "Sở Thông tin và Truyền thông", "Theo quy chế", "Hà Nam", "Giám đốc", "Nguyễn Văn Giám"
)


def registered(address: str, unit: str, kind: MailboxKind = MailboxKind.INDIVIDUAL) -> Registration:
    return Registration(address, kind, "Nguyễn Văn A", unit, "2025-01-05", "2025-01-06")


def state(address: str, status: str, clause: str, at: str) -> MailboxState:
    return MailboxState(address, MailboxStatus(status), clause, at=f"{at}:00+07:00")


def day(text: str, sent: int, human: int, other: int) -> Day:
    return Day(date.fromisoformat(text), sent, human, other)


def finding(rule: str, clause: str, action: str = "reject", **others: str) -> dict[str, Any]:
    return {"rule": rule, "clause": clause, "mode": "enforce", "action": action, **others}


def record(at: str, action: str, *findings: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    kind = {"reject": "refusal", "accept": "finding"}.get(action, action)
    return {"time": f"{at}:00.000+07:00", "kind": kind, "action": action, "findings": list(findings)} | others


CHANGES = (
    state(A, "locked", "7.2a", "2025-10-31T23:59"),  # before the period
    state(A, "active", "7.3", "2025-11-01T00:00"),
    state(B, "locked", "7.2b", "2026-03-01T08:00"),
    state(STRAY, "revoked", "6.2c", "2026-10-31T23:59"),
    state(B, "active", "7.3", "2026-11-01T00:00"),  # after it
    state(B, "locked", "7.2d", "2026-11-02T00:00"),
)
DAYS = {
    A: [day("2025-10-31", 100, 100, 100), day("2025-11-01", 1, 2, 3), day("2025-11-30", 4, 5, 6)],
    OFFICE: [day("2026-10-31", 7, 8, 9), day("2026-11-01", 100, 100, 100)],
    "seen@hanam.gov.vn": [day("2026-01-15", 1_234, 0, 1)],
}
FORWARD, VIRUS = finding("auto-forward", "QD27/2023 4.5"), finding("virus", "QD27/2023 4.2")
RECORDS = (
    record("2026-01-01T00:00", "reject", FORWARD, rcpts=[A], mail_from="x@example.com"),
    record("2026-01-01T00:00", "reject", FORWARD, {**VIRUS, "action": "quarantine"}, rcpts=[A, OFFICE]),
    record("2026-01-02T00:00", "reject", VIRUS, login=OFFICE),
    record("2026-01-03T00:00", "quarantine", {**FORWARD, "action": "quarantine"}, mailboxes=[B]),
    record("2026-01-03T00:00", "accept", {**FORWARD, "mode": "monitor"}, rcpts=[B]),
    record("2026-01-03T00:00", "accept", {**FORWARD, "exemption": "5/CV"}, rcpts=[B]),
    record("2026-01-04T00:00", "accept", {**VIRUS, "action": "accept"}, rcpts=["x@example.com"]),
    record("2026-01-05T00:00", "accept", {**FORWARD, "recipient": B}, kind="recipient-refusal", rcpts=[A, B]),
    record("2026-01-06T00:00", "tempfail", kind="error", rcpts=[STRAY]),
    record("2026-01-06T00:00", "quarantine", kind="hold", rcpts=[A]),
    record("2025-10-31T23:59", "reject", FORWARD, rcpts=[A]),
    record("2026-11-01T00:00", "reject", FORWARD, rcpts=[A]),
    {"time": "2026-02-01T00:00:00+07:00", "kind": "release", "by": "admin", "rcpts": [A], "findings": []},
    {"time": "2025-10-31T17:00:00+00:00", "kind": "deletion", "rcpts": [A], "findings": []},  # the first minute here
)


def made(
    unit: str | None = None,
    registrations: Sequence[Registration] = (
        registered(A, JUSTICE),
        registered(B, JUSTICE),
        registered(OFFICE, FINANCE, MailboxKind.UNIT),
    ),
    period: Period = YEAR,
    made_at: datetime = MADE_AT,
    spans: Sequence[Observed] = (Observed("mx1", 0.0, MADE_AT.timestamp()),),
) -> Figures:
    """Make the figures as the command does."""
    states = {change.address: change for change in CHANGES}
    figures = Figures(period, made_at, registrations, states, unit)
    for address, days in DAYS.items():
        figures.add_days(address, days)
    for change in CHANGES:
        figures.add_change(change)
    found = holes(spans, made_at, timedelta(hours=1))
    long_ago = datetime(2026, 1, 15, tzinfo=CIVIL_TIME).timestamp()
    idle = [Idle(A, long_ago, None), Idle(OFFICE, long_ago + 120 * 86_400, None), Idle(STRAY, long_ago, None)]
    figures.add_inactive(find_due(idle, [], states, [], found, made_at, Terms()), found)
    for one in RECORDS:
        figures.add_incident(one)
    return figures


# -- the period ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "begins", "first", "last", "months"),
    [
        (2026, "11-01", "2025-11-01", "2026-10-31", 12),
        (2024, "03-01", "2023-03-01", "2024-02-29", 12),
        (2026, "01-01", "2026-01-01", "2026-12-31", 12),
        (2026, "01-02", "2025-01-02", "2026-01-01", 13),
        (2026, "11-15", "2025-11-15", "2026-11-14", 13),
        (2026, "12-31", "2025-12-31", "2026-12-30", 13),
    ],
)
def test_a_year(year: int, begins: str, first: str, last: str, months: int) -> None:
    period = year_of(year, begins)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)
    assert len(period.months()) == months
    assert period.end - period.begin == timedelta(days=366 if last == "2024-02-29" else 365)


def test_months_are_in_order() -> None:
    months = YEAR.months()
    assert (months[0], months[1], months[2], months[-1]) == ("2025-11", "2025-12", "2026-01", "2026-10")


# -- figures ---------------------------------------------------------------------------------------


def test_figures_equal_those_made_by_hand() -> None:
    shown = made().as_json()
    assert {name: shown[name] for name in ("year", "unit", "first", "last", "made_at")} == {
        "year": 2026,
        "unit": None,
        "first": "2025-11-01",
        "last": "2026-10-31",
        "made_at": "2026-11-05T09:00:00+07:00",
    }
    assert shown["mailboxes"] == [
        {"kind": "individual", "active": 1, "locked": 1, "revoked": 0},
        {"kind": "unit", "active": 1, "locked": 0, "revoked": 0},
        {"kind": "unregistered", "active": 1, "locked": 0, "revoked": 1},
    ]
    traffic = {row.pop("month"): row for row in shown["traffic"]}
    assert list(traffic) == YEAR.months()
    assert {month: row for month, row in traffic.items() if any(row.values())} == {
        "2025-11": {"sent": 5, "received_human": 7, "received_other": 9},
        "2026-01": {"sent": 1_234, "received_human": 0, "received_other": 1},
        "2026-10": {"sent": 7, "received_human": 8, "received_other": 9},
    }
    assert shown["refused"] == [
        {"rule": "auto-forward", "clause": "QD27/2023 4.5", "action": "quarantine", "mails": 1},
        {"rule": "auto-forward", "clause": "QD27/2023 4.5", "action": "reject", "mails": 3},
        {"rule": "virus", "clause": "QD27/2023 4.2", "action": "reject", "mails": 1},
    ]
    assert shown["changes"] == [
        {"change": "lock", "clause": "7.2b", "acts": 1},
        {"change": "restore", "clause": "7.3", "acts": 1},
        {"change": "revoke", "clause": "6.2c", "acts": 1},
    ]
    assert shown["incidents"] == [
        {"rule": "auto-forward", "records": 6},
        {"rule": "deletion", "records": 1},
        {"rule": "error", "records": 1},
        {"rule": "release", "records": 1},
        {"rule": "virus", "records": 3},
    ]
    assert shown["inactive"] == [
        {"action": "lock", "clause": "7.2a", "mailboxes": 1},
        {"action": "revoke", "clause": "6.2c", "mailboxes": 1},
    ]
    assert (shown["withheld"], shown["unknown"]) == (0, [])


def test_figures_of_each_unit() -> None:
    units = {row["unit"]: row for row in made().as_json()["units"]}
    assert list(units) == [FINANCE, JUSTICE, None]
    assert all(set(row) == {"unit", *OF_UNIT} for row in units.values())
    assert {name: value for name, value in units[JUSTICE].items() if value} == {
        "unit": JUSTICE,
        "individual_mailboxes": 2,
        "active": 1,
        "locked": 1,
        "sent": 5,
        "received_human": 7,
        "received_other": 9,
        "incidents": 8,
        "due_revoke": 1,
    }
    assert {name: value for name, value in units[FINANCE].items() if value} == {
        "unit": FINANCE,
        "unit_mailboxes": 1,
        "active": 1,
        "sent": 7,
        "received_human": 8,
        "received_other": 9,
        "incidents": 2,
        "due_lock": 1,
    }
    assert {name: value for name, value in units[None].items() if value} == {
        "unregistered_mailboxes": 2,
        "active": 1,
        "revoked": 1,
        "sent": 1_234,
        "received_other": 1,
        "incidents": 1,
    }


def test_figures_of_one_unit_have_nothing_of_others() -> None:
    shown = made(FINANCE).as_json()
    assert shown["unit"] == FINANCE
    assert [row["unit"] for row in shown["units"]] == [FINANCE]
    assert [sum(row[status] for status in ("active", "locked", "revoked")) for row in shown["mailboxes"]] == [0, 1, 0]
    assert sum(row["sent"] for row in shown["traffic"]) == 7
    assert shown["changes"] == []
    assert shown["incidents"] == [{"rule": "auto-forward", "records": 1}, {"rule": "virus", "records": 2}]
    assert shown["refused"] == [
        {"rule": "auto-forward", "clause": "QD27/2023 4.5", "action": "reject", "mails": 1},
        {"rule": "virus", "clause": "QD27/2023 4.2", "action": "reject", "mails": 1},
    ]
    assert shown["inactive"] == [{"action": "lock", "clause": "7.2a", "mailboxes": 1}]


# -- what is not known -----------------------------------------------------------------------------


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}T00:00").replace(tzinfo=CIVIL_TIME).timestamp()


def missing(begin: str, end: str, reason: str, figures: str = "traffic", node: str | None = None) -> dict[str, Any]:
    times = {"from": f"{begin}T00:00:00+07:00", "to": f"{end}T00:00:00+07:00"}
    return {"figures": figures, "reason": reason, **times, "node": node}


@pytest.mark.parametrize(
    ("spans", "unknown"),
    [
        ((), [missing("2025-11-01", "2026-11-01", "not-observed")]),
        ((("mx1", "2025-11-01", "2026-11-05"),), []),
        (
            (("mx1", "2026-02-01", "2026-03-01"), ("mx1", "2026-03-05", "2026-11-05")),
            [
                missing("2025-11-01", "2026-02-01", "not-observed"),
                missing("2026-03-01", "2026-03-05", "not-observed", node="mx1"),
            ],
        ),
        ((("mx1", "2025-01-01", "2025-06-01"), ("mx1", "2025-07-01", "2026-11-05")), []),
        (
            (("mx1", "2025-01-01", "2026-10-30"), ("mx2", "2025-01-01", "2026-11-05")),
            [missing("2026-10-30", "2026-11-01", "not-observed", node="mx1")],
        ),
    ],
)
def test_what_was_not_observed_is_told(
    spans: tuple[tuple[str, str, str], ...], unknown: list[dict[str, Any]]
) -> None:
    observed = [
        Observed(node, at(begin), MADE_AT.timestamp() if end == "2026-11-05" else at(end))
        for node, begin, end in spans
    ]
    assert made(spans=observed).as_json()["unknown"] == unknown


def test_who_is_withheld_is_counted() -> None:
    shown = made(spans=()).as_json()
    assert (shown["inactive"], shown["withheld"]) == ([], 2)
    assert made(FINANCE, spans=()).as_json()["withheld"] == 1


def test_a_year_that_is_not_over_says_so() -> None:
    unknown = made(made_at=datetime(2026, 6, 1, tzinfo=CIVIL_TIME)).as_json()["unknown"]
    assert missing("2026-06-01", "2026-11-01", "period-not-over", "all") in unknown


def test_days_that_are_kept_no_more_are_told() -> None:
    first = date(2026, 11, 5) - timedelta(days=DAYS_KEPT)
    assert (
        missing("2024-11-01", first.isoformat(), "no-longer-kept")
        in (made(period=year_of(2025, "11-01")).as_json()["unknown"])
    )
    assert (
        missing("2023-11-01", "2024-11-01", "no-longer-kept")
        in (made(period=year_of(2024, "11-01")).as_json()["unknown"])
    )


def test_a_missing_incident_log_is_told() -> None:
    figures = made()
    figures.miss_incidents()
    assert figures.as_json()["unknown"] == [missing("2025-11-01", "2026-11-01", "no-incident-log", "incidents")]


# -- CSV and JSON ----------------------------------------------------------------------------------


def test_json_is_plain() -> None:
    shown = made().as_json()
    assert json.loads(json.dumps(shown)) == shown


def test_long_rows() -> None:
    rows = list(long_rows(made().as_json()))
    assert all(tuple(row) == COLUMNS for row in rows)
    keys = [(row["section"], row["label"], row["key"]) for row in rows]
    assert len(set(keys)) == len(keys)
    by_key = {key: row["value"] for key, row in zip(keys, rows, strict=True)}
    for key, value in {
        ("report", "", "year"): 2026,
        ("mailboxes", "individual", "locked"): 1,
        ("traffic", "2025-11", "received_human"): 7,
        ("refused", "auto-forward QD27/2023 4.5", "reject"): 3,
        ("changes", "lock", "7.2b"): 1,
        ("incidents", "virus", "records"): 3,
        ("inactive", "revoke", "6.2c"): 1,
        ("inactive", "withheld", ""): 0,
        ("units", JUSTICE, "incidents"): 8,
        ("units", "", "sent"): 1_234,
    }.items():
        assert by_key[key] == value, key


def test_long_rows_tell_what_is_not_known() -> None:
    rows = [row for row in long_rows(made(spans=()).as_json()) if row["section"] == "unknown"]
    assert [tuple(row.values()) for row in rows] == [
        ("unknown", "traffic", "not-observed", "2025-11-01T00:00:00+07:00/2026-11-01T00:00:00+07:00")
    ]


# -- the page --------------------------------------------------------------------------------------

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Reader(HTMLParser):
    """Reads a page: every tag with its attributes, the text, and the cells of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_one_whole_document_in_the_form_of_administrative_documents() -> None:
    reader = Reader(page(made().as_json(), HEAD))
    assert reader.all("html") == [{"lang": "vi"}]
    text = " ".join(reader.text.split())
    for part in (
        "UBND tỉnh Hà Nam Sở Thông tin và Truyền thông",
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM Độc lập - Tự do - Hạnh phúc",
        "Hà Nam, ngày 05 tháng 11 năm 2026",
        "BÁO CÁO tình hình sử dụng hộp thư điện tử công vụ năm 2026",
        "Theo quy chế, Sở Thông tin và Truyền thông báo cáo như sau:",
        "từ ngày 01/11/2025 đến ngày 31/10/2026",
        "Giám đốc",
        "Nguyễn Văn Giám",
    ):
        assert part in text, part
    assert "size: A4" in reader.text


def test_the_page_needs_no_other_file_and_no_script() -> None:
    reader = Reader(page(made().as_json(), HEAD))
    names = {tag for tag, _ in reader.tags}
    assert names & {"script", "link", "img", "iframe", "object", "embed", "use", "image", "a"} == set()
    attributes = {name for _, found in reader.tags for name in found}
    assert {name for name in attributes if name.startswith("on")} | attributes & {"src", "href", "style"} == set()
    assert "url(" not in reader.text
    assert "@import" not in reader.text


def test_the_page_has_the_figures() -> None:
    reader = Reader(page(made().as_json(), HEAD))
    rows = [row for table in reader.tables for row in table]
    for row in (
        ["Cá nhân", "1", "1", "0", "2"],
        ["Tổng số", "3", "1", "1", "5"],
        ["01/2026", "1.234", "0", "1"],
        ["Tổng số", "1.246", "15", "19"],
        ["Chuyển thư tự động", "QD27/2023 4.5", "Từ chối", "3"],
        ["Tạm khóa", "7.2b", "Bị virus chiếm dụng, bị người khác chiếm dụng, lộ mật khẩu", "1"],
        ["Virus, mã độc", "3"],
        [JUSTICE, "2", "0", "1", "1", "0", "5", "7", "9", "8", "0", "1"],
        ["Chưa có trong danh bạ", "0", "0", "1", "0", "1", "1.234", "0", "1", "1", "0", "0"],
    ):
        assert row in rows, row


def test_charts_are_told_to_who_cannot_see_them_and_stand_beside_a_table() -> None:
    reader = Reader(page(made().as_json(), HEAD))
    charts = reader.all("svg")
    assert len(charts) == 3
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for chart in charts:
        assert chart["role"] == "img"
        assert set(str(chart["aria-labelledby"]).split()) <= set(ids)
    order = [tag for tag, _ in reader.tags if tag in ("svg", "table")]
    assert all(order[place + 1] == "table" for place, tag in enumerate(order) if tag == "svg")


@pytest.mark.parametrize("hostile", [HOSTILE, "</table></title></style></svg>", "a & b <b>", "&lt;script&gt;", "]]>"])
def test_hostile_names_are_text(hostile: str) -> None:
    head = Head(*6 * [hostile])
    figures = made(registrations=[registered(A, hostile)], spans=[Observed(hostile, 0.0, at("2026-10-01"))])
    figures.add_incident(record("2026-01-01T00:00", "reject", finding(hostile, hostile), rcpts=[A]))
    figures.add_change(state(A, "locked", hostile, "2026-01-01T00:00"))
    reader = Reader(page(figures.as_json(), head))
    plain = Reader(page(made(registrations=[registered(A, "x")]).as_json(), HEAD))
    assert {tag for tag, _ in reader.tags} == {tag for tag, _ in plain.tags}
    assert {name for _, found in reader.tags for name in found} == {name for _, found in plain.tags for name in found}
    cells = [cell for table in reader.tables for row in table for cell in row]
    assert cells.count(hostile) == 5  # the unit; the rule twice, its clause; the clause of the change
    assert any(f"(máy chủ {hostile})" in cell for cell in cells)


def test_what_online_services_send_is_counted_for_each_mailbox() -> None:
    figures = Figures(YEAR, MADE_AT, [registered(A, "x"), registered(B, "x")], {}, None)
    signed_up, other = finding("online-registration", "QD27/2023 4.4, 12.5"), finding("virus", "QD27/2023 4.2")
    for at, found, mailboxes in (
        ("2026-01-01T00:00", signed_up, [A, B]),
        ("2026-01-02T00:00", signed_up, [A, "nobody@hanam.gov.vn"]),
        ("2026-01-03T00:00", other, [A]),
        ("2027-01-01T00:00", signed_up, [A]),  # after the period
    ):
        figures.add_incident(record(at, "accept", found, mailboxes=mailboxes))
    shown = figures.as_json()
    assert shown["registered"] == [
        {"mailbox": mailbox, "mails": mails} for mailbox, mails in sorted({A: 2, B: 1}.items())
    ]
    assert [A, "2"] in [row for table in Reader(page(shown, HEAD)).tables for row in table]


REPEATS = {"kind": "repeats", "of_case": "20260101-7KQ2M9XD", "count": 500}


@pytest.mark.parametrize(
    ("unit", "mails", "units"),
    [(None, 501, {JUSTICE: 401, FINANCE: 100}), (JUSTICE, 401, {JUSTICE: 401}), (FINANCE, 100, {FINANCE: 100})],
)
def test_a_record_of_repeats_counts_as_its_mails(unit: str | None, mails: int, units: Mapping[str, int]) -> None:
    registrations = [registered(A, JUSTICE), registered(B, JUSTICE), registered(OFFICE, FINANCE)]
    figures = Figures(YEAR, MADE_AT, [one for one in registrations if unit in (None, one.unit)], {}, unit)
    figures.add_incident(record("2026-01-01T00:00", "reject", {**FORWARD, "recipient": A}, mailboxes=[A]))
    spoken = {A: 250, B: 150, OFFICE: 100}
    counted = record("2026-01-01T00:01", "reject", {**FORWARD, "recipient": ""}, mailboxes=spoken) | REPEATS
    figures.add_incident(counted)
    shown = figures.as_json()
    assert shown["incidents"] == [{"rule": "auto-forward", "records": mails}]
    assert [one["mails"] for one in shown["refused"]] == [mails]
    assert {one["unit"]: one["incidents"] for one in shown["units"]} == units


def test_a_page_without_any_figure() -> None:
    figures = Figures(YEAR, MADE_AT, [], {}, None)
    reader = Reader(page(figures.as_json(), HEAD))
    assert reader.text.count("Không có.") == 7
    assert ["Tổng số", "0", "0", "0"] in reader.tables[1]


# -- bars ------------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_numbers() -> None:
    reader = Reader(bars("n", "t", "d", ("một", "hai"), [("x", (50, 100)), ("y", (0, 25))]))
    widths = [float(str(rect["width"])) for rect in reader.all("rect")]
    legend, drawn = widths[:2], widths[2:]
    assert len(legend) == 2
    assert drawn == [200.0, 400.0, 0.0, 100.0]
    height = float(str(reader.all("svg")[0]["viewbox"]).split()[3])
    assert all(float(str(rect["y"])) + float(str(rect["height"])) <= height for rect in reader.all("rect"))


def test_bars_of_nothing() -> None:
    reader = Reader(bars("n", "t", "d", ("một",), [("x", (0,))]))
    assert [rect["width"] for rect in reader.all("rect")] == ["0.0"]
    assert Reader(bars("n", "t", "d", ("một",), [])).all("rect") == []


def test_a_long_label_is_cut_and_whole_in_its_tooltip() -> None:
    label = "Ủy ban nhân dân xã Tiên Sơn, thị xã Duy Tiên, tỉnh Hà Nam"
    text = bars("n", "t", "d", ("một",), [(label, (1,))])
    assert f"<title>{label}</title>" in text
    assert text.count(label) == 1
    assert "…" in text
