"""The yearly report (11.8) as one page to be printed on A4, in Vietnamese, in the form of administrative documents.

One file that needs no other: no script, no external resource. Whatever comes from outside is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from typing import Any

from .chart import bars

_KINDS = {"individual": "Cá nhân", "unit": "Cơ quan, đơn vị", "unregistered": "Chưa có trong danh bạ"}
_STATUSES = {"active": "Đang hoạt động", "locked": "Tạm khóa", "revoked": "Đã thu hồi"}
_TRAFFIC = {
    "sent": "Gửi đi (người gửi)",
    "received_human": "Nhận (người gửi)",
    "received_other": "Nhận (tự động, hàng loạt)",
}
_RULES = {
    "auto-forward": "Chuyển thư tự động",
    "attachment-size": "Tệp gửi kèm quá dung lượng",
    "virus": "Virus, mã độc",
    "spam": "Thư rác",
    "advertising": "Thư quảng cáo",
    "mailbox-state": "Hộp thư tạm khóa, thu hồi",
    "state-secret": "Dấu hiệu bí mật nhà nước",
    "charset": "Bộ mã chữ Việt",
    "online-registration": "Đăng ký dịch vụ trực tuyến",
    "sender-identity": "Giả mạo người gửi",
    "sending-rate": "Gửi thư hàng loạt",
    "dangerous-attachment": "Tệp gửi kèm nguy hiểm",
    "prohibited-content": "Nội dung bị cấm",
    "uninspectable": "Không kiểm tra được",
    # kinds of records that no rule made
    "error": "Lỗi hệ thống",
    "release": "Trả thư bị giữ",
    "deletion": "Xóa thư bị giữ",
}
_ACTIONS = {
    "reject": "Từ chối",
    "tempfail": "Tạm hoãn",
    "quarantine": "Giữ lại",
    "discard": "Hủy",
    "lock": "Tạm khóa",
    "revoke": "Thu hồi",
    "restore": "Khôi phục",
    "exempt": "Được miễn",
}
_CLAUSES = {
    "6.2": "Thu hồi",
    "6.2a": "Theo văn bản đề nghị của cơ quan, đơn vị",
    "6.2b": "Xử lý văn bản đề nghị của cơ quan, đơn vị",
    "6.2c": "Không phát sinh hoạt động gửi, nhận tài liệu mà không thông báo lý do",
    "7.2a": "Không phát sinh hoạt động gửi, nhận tài liệu mà không thông báo lý do",
    "7.2b": "Bị virus chiếm dụng, bị người khác chiếm dụng, lộ mật khẩu",
    "7.2c": "Tham gia vào các hoạt động bị cấm quy định tại Điều 4",
    "7.2d": "Không thay đổi mật khẩu mặc định",
    "7.3": "Khôi phục theo văn bản đề nghị của cơ quan, đơn vị",
}
_MISSING = {
    "period-not-over": "kỳ báo cáo chưa kết thúc",
    "no-longer-kept": "số liệu theo ngày không còn được lưu",
    "not-observed": "không ghi nhận được hoạt động gửi, nhận",
    "no-incident-log": "không có nhật ký sự cố",
}
_FIGURES = {"all": "Tất cả", "traffic": "Gửi, nhận", "incidents": "Sự cố, thư bị từ chối"}

_STYLE = """
@page { size: A4; margin: 20mm 15mm 20mm 25mm }
body { font: 12pt/1.35 "Times New Roman", Tinos, serif; color: #000; max-width: 170mm; margin: 0 auto; padding: 1em }
header { display: flex; justify-content: space-between; gap: 1em; text-align: center; font-size: 11pt }
header > div:last-child { white-space: nowrap }
header p, footer p { margin: 0 }
header .rule { width: 40%; margin: .2em auto; border-top: 1px solid }
.caps { text-transform: uppercase }
h1 { font-size: 14pt; text-align: center; margin: 1.5em 0 .3em }
h1 span { display: block }
h2 { font-size: 12pt; margin: 1.4em 0 .4em }
h2, caption { break-after: avoid }
.period { text-align: center; margin: 0 0 1em }
table { border-collapse: collapse; width: 100%; font-size: 10.5pt; margin: .4em 0 }
caption { text-align: left; font-style: italic; padding: .2em 0 }
th, td { border: 1px solid #555; padding: .15em .4em; text-align: right; white-space: nowrap }
th { background: #eee; text-align: center; white-space: normal }
th[scope=row], td.text { text-align: left; font-weight: normal; background: none; white-space: normal;
  overflow-wrap: anywhere }
tr { break-inside: avoid }
thead { display: table-header-group }
svg { width: 100%; height: auto; break-inside: avoid; font: 10px sans-serif; print-color-adjust: exact }
.units { font-size: 8pt }
footer { display: flex; justify-content: space-between; gap: 1em; margin-top: 2em; break-inside: avoid }
footer .signature { text-align: center; min-width: 45% }
footer .name { margin-top: 5em; font-weight: bold }
"""


@dataclass(frozen=True, slots=True)
class Head:
    """Who reports, on what ground, to be signed by whom; a name that is "" is left to be written."""

    superior: str
    unit_name: str
    basis: str
    place: str
    signer_title: str
    signer: str


def page(shown: Mapping[str, Any], head: Head) -> str:
    """Return the page of a report's figures, as Figures.as_json returns them."""
    year, made_at = shown["year"], datetime.fromisoformat(shown["made_at"])
    title = f"BÁO CÁO tình hình sử dụng hộp thư điện tử công vụ năm {year}"
    sections = (
        ("Hộp thư điện tử công vụ", _mailboxes(shown["mailboxes"])),
        ("Gửi, nhận thư theo tháng", _traffic(shown["traffic"])),
        ("Thư bị từ chối, tạm hoãn, giữ lại", _refused(shown["refused"])),
        ("Tạm khóa, thu hồi, khôi phục hộp thư", _changes(shown["changes"])),
        ("Sự cố được ghi nhận", _incidents(shown["incidents"])),
        ("Hộp thư công vụ nhận thư đăng ký dịch vụ trực tuyến", _registered(shown["registered"])),
        ("Hộp thư đến hạn tạm khóa, thu hồi", _inactive(shown["inactive"], shown["withheld"])),
        ("Theo cơ quan, đơn vị", _units(shown["units"])),
        ("Số liệu chưa đầy đủ", _unknown(shown["unknown"])),
    )
    body = "\n".join(f"<h2>{place}. {text}</h2>\n{content}" for place, (text, content) in enumerate(sections, 1))
    return f"""<!DOCTYPE html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<div><p class="caps">{escape(head.superior)}</p>
<p class="caps"><b>{escape(head.unit_name)}</b></p>
<div class="rule"></div><p>Số: ....../BC-......</p></div>
<div><p><b>CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM</b></p>
<p><b>Độc lập - Tự do - Hạnh phúc</b></p>
<div class="rule"></div>
<p><i>{escape(head.place)}, ngày {made_at:%d} tháng {made_at:%m} năm {made_at:%Y}</i></p></div>
</header>
<main>
<h1><span>BÁO CÁO</span> tình hình sử dụng hộp thư điện tử công vụ năm {year}</h1>
<p class="period">(Kỳ báo cáo: từ ngày {_day(shown["first"])} đến ngày {_day(shown["last"])})</p>
<p>{escape(head.basis)}, {escape(head.unit_name)} báo cáo như sau:</p>
{body}
</main>
<footer>
<div><p><b><i>Nơi nhận:</i></b></p><p>- Như trên;</p><p>- Lưu: VT.</p></div>
<div class="signature"><p class="caps"><b>{escape(head.signer_title)}</b></p><p><i>(Ký, ghi rõ họ tên)</i></p>
<p class="name">{escape(head.signer)}</p></div>
</footer>
</body>
</html>
"""


def _mailboxes(rows: Sequence[Mapping[str, Any]]) -> str:
    totals = {status: sum(row[status] for row in rows) for status in _STATUSES}
    cells = [_summed(_KINDS[row["kind"]], [row[status] for status in _STATUSES]) for row in rows]
    cells.append(_summed("Tổng số", list(totals.values())))
    chart = bars(
        "states",
        "Hộp thư theo trạng thái",
        _in_words((text, totals[status]) for status, text in _STATUSES.items()),
        ("Hộp thư",),
        [(text, (totals[status],)) for status, text in _STATUSES.items()],
        _number,
    )
    caption = "Số hộp thư tại thời điểm lập báo cáo"
    return chart + _table(caption, ("Loại hộp thư", *_STATUSES.values(), "Tổng số"), cells)


def _traffic(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [(_month(row["month"]), *(row[name] for name in _TRAFFIC)) for row in rows]
    totals = {name: sum(row[name] for row in rows) for name in _TRAFFIC}
    chart = bars(
        "traffic",
        "Thư gửi, nhận theo tháng",
        _in_words((text, totals[name]) for name, text in _TRAFFIC.items()),
        tuple(_TRAFFIC.values()),
        [(label, values) for label, *values in cells],
        _number,
    )
    columns = ("Tháng", *_TRAFFIC.values())
    return chart + _table("Số thư của các hộp thư, theo tháng", columns, [*cells, ("Tổng số", *totals.values())])


def _refused(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return _none()
    by_rule: dict[str, int] = {}
    for row in rows:
        by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + row["mails"]
    groups = [(_rule(rule), (mails,)) for rule, mails in by_rule.items()]
    chart = bars(
        "refused",
        "Thư bị từ chối, tạm hoãn, giữ lại theo quy tắc",
        _in_words((label, mails) for label, (mails,) in groups),
        ("Thư",),
        groups,
        _number,
    )
    cells = [
        (_rule(row["rule"]), row["clause"], _ACTIONS.get(row["action"], row["action"]), row["mails"]) for row in rows
    ]
    caption = "Một thư gửi lại nhiều lần được tính mỗi lần"
    return chart + _table(caption, ("Quy tắc", "Điều khoản", "Xử lý", "Số thư"), cells)


def _changes(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [(_ACTIONS[row["change"]], row["clause"], _CLAUSES.get(row["clause"], ""), row["acts"]) for row in rows]
    return _table("Trong kỳ báo cáo", ("Việc", "Điều khoản", "Lý do", "Số lượt"), cells) if rows else _none()


def _incidents(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [(_rule(row["rule"]), row["records"]) for row in rows]
    caption = "Bao gồm cả việc chỉ ghi nhận hoặc được miễn"
    return _table(caption, ("Quy tắc", "Số sự cố"), cells) if rows else _none()


def _registered(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [(row["mailbox"], row["mails"]) for row in sorted(rows, key=lambda row: -row["mails"])]
    caption = "Khoản 4 Điều 4; một thư như vậy chưa chứng tỏ người dùng đã tự đăng ký"
    return _table(caption, ("Hộp thư", "Số thư"), cells) if rows else _none()


def _inactive(rows: Sequence[Mapping[str, Any]], withheld: int) -> str:
    cells = [
        (_ACTIONS[row["action"]], row["clause"], _CLAUSES.get(row["clause"], ""), row["mailboxes"]) for row in rows
    ]
    columns = ("Đề xuất", "Điều khoản", "Lý do", "Số hộp thư")
    table = _table("Tại thời điểm lập báo cáo", columns, cells) if rows else _none()
    note = "hộp thư chưa được đề xuất vì có thời gian không ghi nhận được hoạt động gửi, nhận."
    return table + (f"<p>{_number(withheld)} {note}</p>" if withheld else "")


def _units(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "individual_mailboxes": "Hộp thư cá nhân",
        "unit_mailboxes": "Hộp thư đơn vị",
        **_STATUSES,
        **_TRAFFIC,
        "incidents": "Sự cố",
        "due_lock": "Đến hạn khóa",
        "due_revoke": "Đến hạn thu hồi",
    }
    cells = [(_unit(row["unit"]), *(row[name] for name in columns)) for row in rows]
    caption = "Một sự cố liên quan nhiều đơn vị được tính cho mỗi đơn vị"
    return _table(caption, ("Cơ quan, đơn vị", *columns.values()), cells, "units") if rows else _none()


def _unknown(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        (
            _FIGURES[row["figures"]],
            _MISSING[row["reason"]] + (f" (máy chủ {row['node']})" if row["node"] else ""),
            *(f"{datetime.fromisoformat(row[end]):%H:%M %d/%m/%Y}" for end in ("from", "to")),
        )
        for row in rows
    ]
    caption = "Số liệu trong thời gian này không đầy đủ"
    return _table(caption, ("Số liệu", "Lý do", "Từ", "Đến"), cells) if rows else _none()


def _none() -> str:
    return "<p>Không có.</p>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str | int]], kind: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    lines = []
    for first, *others in rows:
        cells = "".join(
            f"<td>{_number(cell)}</td>" if isinstance(cell, int) else f'<td class="text">{escape(cell)}</td>'
            for cell in others
        )
        lines.append(f'<tr><th scope="row">{escape(str(first))}</th>{cells}</tr>')
    return (
        f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _summed(label: str, numbers: Sequence[int]) -> list[str | int]:
    return [label, *numbers, sum(numbers)]


def _in_words(values: Iterable[tuple[str, int]]) -> str:
    return "; ".join(f"{label}: {_number(value)}" for label, value in values)


def _unit(name: str | None) -> str:
    return _KINDS["unregistered"] if name is None else name or "(Không ghi đơn vị)"


def _rule(name: str) -> str:
    return _RULES.get(name, name)


def _number(value: int) -> str:
    """Write a number as Vietnamese does, with points: 1.234.567."""
    return f"{value:,}".replace(",", ".")


def _day(text: str) -> str:
    return f"{date.fromisoformat(text):%d/%m/%Y}"


def _month(text: str) -> str:
    year, _, month = text.partition("-")
    return f"{month}/{year}"
