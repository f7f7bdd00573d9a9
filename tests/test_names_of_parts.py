"""The names of a part as any mail program reads them: one that opens as a program is never missed, and none is made
of what is lawful."""

import time

import pytest

from mailgate.mime.part import PartHeader, read_fields
from mailgate.text.file_names import PROGRAMS, read_name

_PLACE = b"content-disposition"
_TYPE = b"content-type"


def described(*values: bytes) -> PartHeader:
    """Describe a part of these dispositions; what begins with a type is a Content-Type."""
    return read_fields(tuple((_TYPE if b"/" in value[:12] else _PLACE, value) for value in values))


def programs(*values: bytes) -> set[str]:
    """Return the extensions of programs among all readings."""
    header = described(*values)
    names = (header.name, *header.names)
    return {extension for name in names for extension in read_name(name).extensions if extension in PROGRAMS}


@pytest.mark.parametrize(
    "value",
    [
        # twice, in two forms
        b'attachment; filename="a.txt"; filename="a.vbs"',
        b'attachment; filename="a.vbs"; filename="a.txt"',
        b'attachment; filename="a.txt"; filename="b.txt"; filename="a.vbs"',
        b"attachment; filename=\"a.vbs\"; filename*=utf-8''a.txt",
        b"attachment; filename=\"a.txt\"; filename*=utf-8''a%2Evbs",
        b"attachment; filename*=utf-8''a.txt; filename*=utf-8''a.vbs",
        b"attachment; filename=a.txt; name=a.vbs",
        b"application/pdf; name=a.pdf; filename=a.vbs",
        b"application/pdf; name*0=a.; name*1=vbs; name=a.pdf",
        # pieces of a name
        b"attachment; filename*0=a.; filename*1=vbs",
        b"attachment; filename*1=vbs; filename*0=a.",
        b"attachment; filename*1=a.; filename*0=vbs",
        b"attachment; filename*0=a.; filename*1=txt; filename*1=vbs",
        b"attachment; filename*0=a.vbs; filename*2=.txt",
        b"attachment; filename*1=a.; filename*2=vbs",
        b"attachment; filename*0=a.; filename*1=vbs; filename=a.txt",
        b"attachment; filename*0*=utf-8''a.; filename*1=%76bs",
        b"attachment; filename*0=a.; filename*1*=%76bs",
        b"attachment; filename*00000=a.vbs",
        b"attachment; filename*0*=utf-7''a%2BAC4-; filename*1=vbs",
        # what is encoded, and what only looks so
        b'attachment; filename="=?utf-8?B?YS52YnM=?="',
        b"attachment; filename==?utf-8?Q?a=2Evbs?=",
        b'attachment; filename="=?utf-8?Q?a=2E?= =?utf-8?Q?vbs?="',
        b"attachment; filename*=utf-8''=?utf-8?B?YS52YnM=?=",
        b"attachment; filename*0==?utf-8?B?YS52; filename*1=YnM=?=",
        b'attachment; filename="=?utf-8?Q?a%2Evbs?="',
        b'attachment; filename="a%2Evbs"',
        b'attachment; filename="%61%2E%76%62%73"',
        b'attachment; filename="=?utf7?Q?a+AC4-vbs?="',
        b"attachment; filename*=utf-7''a%2BAC4-vbs",
        b'attachment; filename="=?cp037?Q?=81K=A5=82=A2?="',
        b"attachment; filename*=utf-8'a.vbs",
        b"attachment; filename*=a.vbs",
        b"attachment; filename*=no-such-charset'vi'a%2Evbs",
        b'attachment; filename="=?utf-8?B?YS52YnM"',
        b"attachment; filename*=iso-2022-jp''a%1B$B!%%1B(Bvbs",
        # quotes, blanks and semicolons
        b"attachment; filename=bao cao.vbs",
        b"attachment; filename=a.vbs .txt",
        b"attachment; filename=a;b.vbs",
        b"attachment; filename='a.vbs'",
        b'attachment; filename="a.vbs".txt',
        b'attachment; filename="a.txt".vbs',
        b'attachment; filename="a.vbs',
        b'attachment; filename="a\\.vbs"',
        b'attachment; filename=a.vbs"',
        b"attachment; FileName\t=\r\n\t a.vbs",
        b'attachment; filename="a.v\r\n bs"',
        b"attachment filename=a.vbs",
        b"attachment, filename=a.vbs",
        b"filename=a.vbs",
        b"attachment; filename=bao cao (1).vbs",
        # a token, which ends at any of these
        *(b"attachment; filename=a.vbs%cx.txt" % mark for mark in b'@,/[]<>?:=\\"();'),
        b"text/plain; name=a.vbs@x.txt",
        b"attachment; filename=a.vbs@x.txt; size=9",
        b"attachment; filename=a.vbs@x y.txt",
        b"attachment; filename=a.txt; name=a.vbs,x.txt",
        b"attachment;\r\n\tfilename=a.vbs@x.txt",
        b"attachment; filename=(x)a.vbs@x.txt",
        # stars and junk
        b"attachment; filename**=a.vbs",
        b"attachment; filename**=utf-8''a%2Evbs",
        b"attachment; filename**0=a.; filename**1=vbs",
        b'attachment; filename="=?utf-8?B?YS52*YnM?="',
        b'attachment; filename="=?utf-8?B?YS-5!2 Yn_M=?="',
        # octets that no charset explains
        b'attachment; filename="b\xe1o c\xe1o\xff.vbs"',
        b'attachment; filename="a.vbs\xff"',
        b'attachment; filename="a.v\xffbs"',
        b"attachment; filename*=utf-8''b%E1o%FF.vbs",
        b'attachment; filename="=?utf-8?Q?b=E1o=FF=2Evbs=FF?="',
        b'attachment; filename="a.txt\0.vbs"',
        b'attachment; filename="a.vbs\0.txt"',
        b'attachment; filename="a.vbs::$DATA"',
        b'attachment; filename="a.vbs ."',
        b'attachment; filename="a.vbs\\\\."',
        b'attachment; filename="a.v?bs"',
        'attachment; filename="a．ｖｂｓ"'.encode(),
    ],
)
def test_a_program_shows_in_any_reading(value: bytes) -> None:
    assert programs(value) == {"vbs"}


@pytest.mark.parametrize("value", [b"a.com@x.txt", b"a.com(1).docx", b"a.com x", b"a.com", b"bao cao.com"])
def test_a_site_is_a_program_where_no_document_goes_on(value: bytes) -> None:
    assert programs(b"attachment; filename=" + value) == {"com"}


def test_a_program_shows_in_either_of_two_fields() -> None:
    for pair in (
        (b"attachment; filename=a.txt", b"attachment; filename=a.vbs"),
        (b"text/a; name=a.txt", b"text/a; name=a.vbs"),
    ):
        assert programs(*pair) == programs(*reversed(pair)) == {"vbs"}
    assert programs(
        b"attachment; filename=a.txt", b"text/plain; name=a.txt", b"text/plain; name*0=a.v; name*1=bs"
    ) == {"vbs"}


def test_a_description_names_a_part_without_a_name() -> None:
    header = read_fields(
        ((_TYPE, b"application/octet-stream"), (b"content-description", b"=?utf-8?Q?b=C3=A1o_c=C3=A1o.vbs?="))
    )
    assert (header.name, header.names) == ("", ("báo cáo.vbs",))
    header = read_fields(((_TYPE, b"application/pdf; name=a.pdf"), (b"content-description", b"trang vnexpress.com")))
    assert (header.name, header.names) == ("a.pdf", ())
    header = read_fields(((_TYPE, b"message/delivery-status"), (b"content-description", b"Delivery report")))
    assert (header.name, header.names) == ("", ())


@pytest.mark.parametrize(
    ("fields", "judged"),
    [
        ((b"application/octet-stream",), "a.vbs"),
        ((b"application/octet-stream",), "bao cao.vbs"),
        ((b"audio/mpeg",), "a.js"),
        ((b"attachment",), "a.vbs"),
        ((b"text/plain", b"attachment"), "a.vbs"),
        ((b"image/png", b"inline", b"attachment"), "a.hta"),
        # what is shown has no file's name
        ((b"text/plain",), ""),
        ((b"text/html; charset=utf-8", b"inline"), ""),
        ((b"image/png", b"inline"), ""),
        ((), ""),
    ],
)
def test_a_description_names_what_is_saved(fields: tuple[bytes, ...], judged: str) -> None:
    placed = tuple((_TYPE if b"/" in value else _PLACE, value) for value in fields)
    for text in {judged or "a.vbs", judged or "Huong dan Node.js"}:
        header = read_fields((*placed, (b"content-description", text.encode())))
        assert header.names == ((judged,) if judged else ())


@pytest.mark.parametrize(
    "text",
    ["Logo www.hanam.com", "a@hanam.com", "Huong dan Node.js", "http://abc.com/", "hanam.com.", "Lan <a@b.py>"],
)
def test_a_description_may_name_a_site(text: str) -> None:
    for fields in ((b"application/pdf",), (b"attachment",), (b"image/gif", b"attachment")):
        placed = tuple((_TYPE if b"/" in value else _PLACE, value) for value in fields)
        assert read_fields((*placed, (b"content-description", text.encode()))).names == ()


@pytest.mark.parametrize(
    "values",
    [
        (b"attachment; filename=\"Bao cao.docx\"; filename*=UTF-8''B%C3%A1o%20c%C3%A1o.docx",),
        (
            b'attachment; filename="=?UTF-8?B?QsOhbyBjw6FvLmRvY3g=?="',
            b'application/msword; name="=?UTF-8?Q?B=C3=A1o_c=C3=A1o.docx?="',
        ),
        (b"attachment; filename*0*=UTF-8''B%C3%A1o%20c%C3%A1o%20VNG.com;\r\n filename*1*=%20ng%C3%A0y%2012.docx",),
        (b"attachment; filename=Bao cao (12).docx",),
        (b'attachment; filename="B\xe1o c\xe1o.docx"',),
        (b"attachment; filename=VNG.com thang 12.docx",),
        (b"text/plain; name=Hanam.com (thang 12), ban 2.docx",),
        (b"attachment; filename=bao-cao,thang-12[1].docx",),
        (b"attachment; filename=12/QD-UBND.docx",),
        (b'attachment; filename="100% xong.docx"',),
        (b'attachment; filename="12.QD-UBND (v1.2).docx"; size=9; creation-date="Tue, 24 Nov 2026 08:00:00 +0700"',),
        (b'text/plain; charset=utf-8; name="a; b.docx"',),
        (b"attachment; filename*=iso-2022-jp''%1B%24B%3Bq%4E%41%1B%28B.docx",),
        (b"attachment; filename*0*=iso-2022-jp''%1B%24B%3Bq%4E; filename*1*=%41%1B%28B.docx",),
        (b"attachment; filename*=utf-16''%FF%FEa%00.%00d%00o%00c%00x%00",),
        (b"attachment; filename*0*=gb18030''%D7%CA; filename*1*=%C1%CF.docx; filename=x.docx",),
    ],
)
def test_a_lawful_name_is_one(values: tuple[bytes, ...]) -> None:
    header = described(*values)
    assert header.name.endswith(".docx")
    assert header.names == ()
    assert programs(*values) == set()


@pytest.mark.parametrize(
    "value",
    [
        b"name=" * 3_000,
        b"a; filename=" + b"a.com " * 2_500 + b"(" * 5_000,
        b"a;" + b"name=a@;" * 30_000,
        b'filename="' * 1_600,
        b"a; filename*0=" + b"x; filename*1=" * 1_100,
        b"a; filename*0*='" + b"x'; filename*1*='" * 900,
        b"a; filename=" + b"=?a?q?" * 2_500,
        b"a; filename=" + b"%41" * 5_000,
        b'a; filename="' + b"\\" * 16_000,
    ],
)
def test_names_cost_little(value: bytes) -> None:
    started = time.process_time()
    read_fields.anew(((_PLACE, value),))
    assert time.process_time() - started < 0.5
