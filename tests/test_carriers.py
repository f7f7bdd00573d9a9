"""Files that come inside a letter's own furniture: winmail.dat, notebooks, invitations, cards, attached mails."""

import base64
import struct
import time

import pytest
from tests.lab import documents as made

from mailgate.documents.budget import Budget
from mailgate.documents.content import Extract, look_into, merged
from mailgate.model import Danger, File, Obstacle, Uninspected
from mailgate.text.file_names import read_name

WIDE, OCTETS, OBJECT = 0x1F, 0x102, 0x0D
LONG_NAME, DATA, HTML, RTF, BODY = 0x3707, 0x3701, 0x1013, 0x1009, 0x1000


def look(octets: bytes, name: str, declared: str = "") -> list[object]:
    return list(merged(look_into(octets, name, declared, name, Budget())))


def files(octets: bytes, name: str, declared: str = "") -> dict[str, str]:
    """Return what is inside by its last name, and its type."""
    found = [each for each in look(octets, name, declared) if isinstance(each, File) and each.place != name]
    return {each.place.partition(" > ")[2]: each.type for each in found}


def extensions(octets: bytes, name: str) -> set[str]:
    found = [each for each in look(octets, name) if isinstance(each, File) and each.place != name]
    return {last for each in found for own in (each.name, *each.names) for last in read_name(own).extensions}


def texts(octets: bytes, name: str) -> str:
    return "\n".join(each.text for each in look(octets, name) if isinstance(each, Extract))


def blocked(octets: bytes, name: str, declared: str = "") -> set[Obstacle]:
    return {each.obstacle for each in look(octets, name, declared) if isinstance(each, Uninspected)}


# -- TNEF ------------------------------------------------------------------------------------------------


def wide(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


_INNER = made.tnef(made.tnef_file("b.exe", made.PROGRAM))
_AS_OBJECT = bytes.fromhex("0703020000000000c000000000000046") + _INNER
_MESSAGE = made.mapi(
    {(0x0E06, 0x40): bytes(8), (0x8005, 3): bytes(4), (RTF, OCTETS): made.compressed_rtf(made.rtf("TỐI MẬT"))}
)


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.tnef(made.tnef_file("b.exe", made.PROGRAM)), {"b.exe": "exe"}),
        (
            made.tnef(made.tnef_file("b.pdf", made.pdf("x")), made.tnef_file("c.exe", made.PROGRAM)),
            {"b.pdf": "pdf", "c.exe": "exe"},
        ),
        (made.tnef(made.tnef_file("B~1.EXE", b"", made.mapi({(DATA, OCTETS): made.PROGRAM}))), {"B~1.EXE": "exe"}),
        (made.tnef(made.attribute(0x0006800F, made.PROGRAM)), {"attachment": "exe"}),
        (made.tnef(made.tnef_file("a", made.PROGRAM) + made.attribute(0x0006800F, made.pdf("x"))), {"a": "pdf"}),
        (
            made.tnef(made.tnef_file("m", b"", made.mapi({(DATA, OBJECT): _AS_OBJECT}))),
            {"m": "tnef", "m > b.exe": "exe"},
        ),
        (
            made.tnef(
                made.tnef_file(
                    "o", b"", made.mapi({(DATA, OBJECT): bytes(16) + made.zipped({"b.exe": made.PROGRAM})})
                )
            ),
            {"o": "zip", "o > b.exe": "exe"},
        ),
        (made.tnef(made.attribute(0x00069003, _MESSAGE)), {"body.rtf": "rtf"}),
        (
            made.tnef(made.attribute(0x00069003, made.mapi({(HTML, OCTETS): b"<html>x</html>"}))),
            {"body.html": "html"},
        ),
    ],
)
def test_a_winmail_is_opened(octets: bytes, wants: dict[str, str]) -> None:
    assert files(octets, "winmail.dat", "application/ms-tnef") == wants
    assert blocked(octets, "winmail.dat", "application/ms-tnef") == set()


@pytest.mark.parametrize(
    "octets",
    [
        made.tnef(made.tnef_file("a.txt", b"x", made.mapi({(LONG_NAME, WIDE): wide("báo cáo.vbs")}))),
        made.tnef(made.tnef_file("a.vbs", b"x", made.mapi({(LONG_NAME, WIDE): wide("báo cáo.txt")}))),
        made.tnef(made.tnef_file("a.txt", b"x", made.mapi({(0x3704, 0x1E): b"A.VBS\0"}))),
        made.tnef(made.tnef_file("a.txt", b"x", made.mapi({(0x3001, WIDE): wide("a.vbs")}))),
        made.tnef(made.tnef_file("a.txt", b"x") + made.attribute(0x00069001, b"a.vbs\0")),
        made.tnef(made.tnef_file("b\udce1o".encode("utf-8", "surrogateescape").decode("latin-1") + ".vbs", b"x")),
    ],
)
def test_every_name_in_a_winmail_counts(octets: bytes) -> None:
    assert "vbs" in extensions(octets, "winmail.dat")


@pytest.mark.parametrize(
    "octets",
    [
        made.tnef(made.attribute(0x0002800C, "TỐI MẬT\r\n\0".encode())),
        made.tnef(made.attribute(0x00018004, "TỐI MẬT\0".encode())),
        made.tnef(made.attribute(0x00069003, made.mapi({(BODY, WIDE): wide("TỐI MẬT")}))),
        made.tnef(made.attribute(0x00069003, _MESSAGE)),
        made.tnef(made.attribute(0x00069003, made.mapi({(HTML, OCTETS): "<html><p>TỐI MẬT</html>".encode()}))),
    ],
)
def test_the_text_of_a_winmail_is_read(octets: bytes) -> None:
    assert "TỐI MẬT" in texts(octets, "winmail.dat").split("\n")


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (_INNER[:-40], {Obstacle.DAMAGED}),
        (_INNER[:20], {Obstacle.DAMAGED}),
        (b'x\x9f>"\1\0', {Obstacle.DAMAGED}),
        (b"no tnef at all", {Obstacle.DAMAGED}),
        (made.tnef(made.attribute(0x00069003, struct.pack("<IHH", 9, 0x1F, 0x1000))), {Obstacle.DAMAGED}),
        (
            made.tnef(made.attribute(0x00069003, struct.pack("<IHHI", 9, 0x1001, 0x1000, 0xFFFFFFFF))),
            {Obstacle.DAMAGED},
        ),
    ],
)
def test_a_winmail_that_cannot_be_read_is_said(octets: bytes, wants: set[Obstacle]) -> None:
    assert blocked(octets, "winmail.dat", "application/ms-tnef") == wants


def test_a_winmail_is_read_up_to_the_damage() -> None:
    assert files(_INNER + made.tnef_file("c.txt", b"x" * 99)[:-60], "winmail.dat")["b.exe"] == "exe"


# -- OneNote ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.notebook(made.PROGRAM), ["exe"]),
        (made.notebook(b"\x89PNG\r\n\x1a\n", b"#!/bin/sh\n", made.PROGRAM), ["exe", "png", "script"]),
        (made.notebook(made.zipped({"b.pdf": made.pdf("x")})), ["pdf", "zip"]),
        (made.notebook(), []),
    ],
)
def test_files_in_a_notebook(octets: bytes, wants: list[str]) -> None:
    assert sorted(each.type for each in look(octets, "a.one") if isinstance(each, File)) == sorted([*wants, "one"])
    assert blocked(octets, "a.one") == {Obstacle.UNSUPPORTED}


def test_the_names_in_a_notebook_count() -> None:
    assert "hta" in extensions(made.notebook(b"x", names=["Hoá đơn.png", "Hoá đơn.hta"]), "a.one")


# -- calendars and cards -----------------------------------------------------------------------------------

_DIGITS = base64.b64encode(made.PROGRAM)


def event(*lines: bytes) -> bytes:
    return b"\r\n".join(
        (b"BEGIN:VCALENDAR", b"VERSION:2.0", b"BEGIN:VEVENT", b"UID:1", *lines, b"END:VEVENT", b"END:VCALENDAR", b"")
    )


def folded(line: bytes, at: int = 60) -> bytes:
    return b"\r\n ".join(line[place : place + at] for place in range(0, len(line), at))


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (event(b"ATTACH;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=x/y;FILENAME=b.exe:" + _DIGITS), {"b.exe": "exe"}),
        (event(folded(b"ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=b.exe:" + _DIGITS)), {"b.exe": "exe"}),
        (event(folded(b'ATTACH;FILENAME="bao cao: b.exe";ENCODING=b:' + _DIGITS, 31)), {"bao cao: b.exe": "exe"}),
        (
            event(b"ATTACH;ENCODING=BASE64;FILENAME=b.exe:" + _DIGITS[:40], _DIGITS[40:80], _DIGITS[80:]),
            {"b.exe": "exe"},
        ),
        (event(b"attach;encoding=base64;x-apple-filename=b.exe:" + _DIGITS), {"b.exe": "exe"}),
        (event(b"ATTACH;VALUE=BINARY:" + _DIGITS), {"attach": "exe"}),
        (event(b"ATTACH;BASE64;X-LABEL=b.exe:" + _DIGITS), {"b.exe": "exe"}),
        (event(b"ATTACH:data:application/x-msdownload;base64," + _DIGITS), {"attach": "exe"}),
        (
            event(b"X-ALT-DESC;FMTTYPE=text/html;ENCODING=BASE64:" + base64.b64encode(b"<html>x</html>")),
            {"x-alt-desc": "html"},
        ),
        (
            event(b"ATTACH;ENCODING=BASE64;FILENAME=b.zip:" + base64.b64encode(made.zipped({"c.exe": made.PROGRAM}))),
            {"b.zip": "zip", "b.zip > c.exe": "exe"},
        ),
        (
            event(b"ATTACH;ENCODING=BASE64;FILENAME=b.exe:" + _DIGITS, b"ATTACH;ENCODING=BASE64;FILENAME=c.txt:eA=="),
            {"b.exe": "exe", "c.txt": "text"},
        ),
        (
            b"BEGIN:VCARD\r\nVERSION:2.1\r\nPHOTO;ENCODING=BASE64;TYPE=JPEG:" + _DIGITS + b"\r\nEND:VCARD\r\n",
            {"photo": "exe"},
        ),
        (
            b"BEGIN:VCARD\r\nVERSION:4.0\r\nKEY:data:application/pgp-keys;base64," + _DIGITS + b"\r\nEND:VCARD\r\n",
            {"key": "exe"},
        ),
        (b"\xef\xbb\xbf\r\n" + event(b"ATTACH;ENCODING=BASE64;FILENAME=b.exe:" + _DIGITS), {"b.exe": "exe"}),
        (b"x\r\n" + event(b"ATTACH;ENCODING=BASE64;FILENAME=b.exe:" + _DIGITS), {"b.exe": "exe"}),
        # what is lawful
        (event(b"SUMMARY:Hop", b"ATTACH:https://example.com/b.exe", b"ATTACH;FMTTYPE=a/b:CID:1@a"), {}),
        (event(b"DESCRIPTION:base64 la gi: TVqQAAMAAAAEAAAA", b'ORGANIZER;CN="A: B":mailto:a@example.com'), {}),
    ],
)
def test_files_in_calendars_and_cards(octets: bytes, wants: dict[str, str]) -> None:
    assert files(octets, "a.ics", "text/calendar") == wants
    assert blocked(octets, "a.ics") == set()


def test_the_text_of_a_calendar_is_read_without_its_files() -> None:
    octets = event(
        "SUMMARY:TỐI MẬT".encode(), b"ATTACH;ENCODING=BASE64;FILENAME=b.txt:" + base64.b64encode(b"y" * 99)
    )
    assert "SUMMARY:TỐI MẬT" in texts(octets, "a.ics").splitlines()
    assert base64.b64encode(b"y" * 99).decode() not in texts(octets, "a.ics")


# -- attached mails --------------------------------------------------------------------------------------

_PARTS = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: x/y\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=b.exe\r\n\r\n"
    + _DIGITS
    + b"\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("octets", "name", "declared"),
    [
        (b"From: a@example.com\r\nSubject: x\r\n" + _PARTS, "a.eml", ""),
        (b"From: a@example.com\r\nno field at all\r\n" + _PARTS, "a.eml", ""),
        (b"no field at all\r\nSubject: x\r\n" + _PARTS, "a.eml", ""),
        (b"no field at all\r\n" + _PARTS, "a", "message/rfc822"),
        (b"\r\n\r\n" + _PARTS, "a.eml", ""),
        (b"\xef\xbb\xbf" + _PARTS, "a.eml", ""),
        (b"From - Thu Nov 26 00:00:00 2026\n" + _PARTS, "a.eml", ""),
        (b"Content Type: x\r\n" + _PARTS, "a.mht", ""),
        (b"From: <Saved by Blink>\r\nSnapshot-Content-Location: https://a/\r\n" + _PARTS, "a.mhtml", ""),
        (b"From: <Saved by Blink>\r\nSubject: x\r\n" + _PARTS, "a.doc", ""),
        (_PARTS.replace(b"\r\n", b"\n"), "a.eml", ""),
        (_PARTS.replace(b"\r\n", b"\r"), "a.eml", ""),
    ],
)
def test_an_attached_mail_is_opened_whatever_it_begins_with(octets: bytes, name: str, declared: str) -> None:
    assert files(octets, name, declared) == {"b.exe": "exe"}


_SIGNATURES = (
    *("BEGIN:VCALENDAR", "ID;x: y", "GIF89a: x", "ID3: x", "MThd: x", "8BPS: x", "OggS: x", "%PDF-1.4: x", "MSCF: x"),
    *("{\\rt: x", "<?xml: x", "<html>: x", "MZ: x", "BZh: x", "#!/bin/sh: x", "REGEDIT4: x", "WEB: x"),
)


@pytest.mark.parametrize(
    ("name", "declared"),
    [("a.eml", ""), ("a.MHT", ""), ("a.mhtml", ""), ("a", "message/rfc822"), ("a", "message/global")],
)
@pytest.mark.parametrize("begin", _SIGNATURES)
def test_a_mail_is_opened_though_its_first_field_is_a_signature(begin: str, name: str, declared: str) -> None:
    octets = begin.encode() + b"\r\n" + _PARTS
    assert files(octets, name, declared)["b.exe"] == "exe"


@pytest.mark.parametrize("name", ["smime.p7m", "van-ban.pdf.p7m"])
@pytest.mark.parametrize("begin", _SIGNATURES[:8])
def test_so_is_the_mail_that_is_signed(begin: str, name: str) -> None:
    content = begin.encode() + b"\r\n" + _PARTS
    length = b"\x82" + len(content).to_bytes(2, "big")
    octets = bytes.fromhex("308006092a864886f70d010702a0803080020101310f300d0609608648016503040201050030") + (
        b"\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x01\xa0\x80\x04" + length + content
    )
    assert "exe" in files(octets, name).values()


@pytest.mark.parametrize(
    "octets",
    [
        *(made.pdf("x"), made.docx("a"), made.rtf("x"), made.zipped({"a.txt": "x"}), made.msg("x", "y", {})),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
    ],
)
def test_what_only_calls_itself_a_mail_is_damaged_at_the_most(octets: bytes) -> None:
    assert blocked(octets, "a.eml") <= {Obstacle.DAMAGED}


def test_a_text_is_no_mail() -> None:
    assert files(b"Kinh gui: So Noi vu\r\nngay 12: hop\r\n\r\nx\r\n", "a.txt") == {}


# -- what it costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (made.tnef(*[made.attribute(0x00069002, b"")] * 100_000), "winmail.dat"),
        (
            made.tnef(
                made.attribute(0x00069003, struct.pack("<IHHI", 1, 0x101E, 0x1000, 0xFFFFFFFF) + bytes(400_000))
            ),
            "winmail.dat",
        ),
        (made.notebook() + b".\0a\0" * 500_000, "a.one"),
        (made.notebook(*[b""] * 50_000), "a.one"),
        (event(b"ATTACH;A=" + b'"' * 500_000), "a.ics"),
        (event(b";a" * 300_000 + b":x"), "a.ics"),
        (event(*[b"ATTACH;ENCODING=BASE64:AAAA"] * 5_000), "a.ics"),
        (b"\n".join([b"no field"] * 100_000), "a.eml"),
    ],
)
def test_hostile_carriers_cost_little(octets: bytes, name: str) -> None:
    started = time.process_time()
    assert Danger.BOMB not in {
        danger for each in look(octets, name) if isinstance(each, File) for danger, _ in each.dangers
    }
    assert time.process_time() - started < 2.0
