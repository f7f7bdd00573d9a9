"""Files that a double click makes run, connect or fetch something: by name, and by content under another."""

import time
from base64 import b64encode

import pytest
from tests.lab import documents as made
from tests.lab.gates import make_gate, settings_of

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.documents.types import types_of
from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action, File
from mailgate_rules.dangerous_attachment import Stanza

_RDP = b"full address:s:203.0.113.9\r\nredirectdrives:i:1\r\n"
_SLK = b'ID;P\r\nO;E\r\nNN;NAuto_open;ER1C1\r\nC;X1;Y1;EEXEC("calc.exe")\r\nC;X1;Y2;EHALT()\r\nE\r\n'


def dangers(octets: bytes, name: str) -> set[str]:
    files = [each for each in merged(look_into(octets, name, "", name, Budget())) if isinstance(each, File)]
    return {danger.value for file in files for danger, _ in file.dangers}


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (_RDP, "shortcut"),
        (b"screen mode id:i:2\r\nAlternate Full Address:s:203.0.113.9\r\n", "shortcut"),
        ("\ufeffscreen mode id:i:2\r\nfull address:s:a.example\r\n".encode("utf-16-le"), "shortcut"),
        (b"redirectdrives:i:1\r\nremoteapplicationprogram:s:||a\r\n", "shortcut"),
        (b"WEB\r\n1\r\nhttps://example.com/a.dat\r\n", "dynamic-data"),
        (b"web\n1\n\\\\192.0.2.1\\a\n", "dynamic-data"),
        (b"XLODBC\r\n1\r\nDRIVER=x;SERVER=192.0.2.1\r\n", "dynamic-data"),
        (b'<html xmlns:o="a"><head><meta name=ProgId content=ODC.Table></head></html>', "dynamic-data"),
        (b'<html><meta content=x><META NAME="ProgId" CONTENT="ODC.Database"></html>', "dynamic-data"),
        (_SLK, "macro macro-autorun macro-shell"),
        (b'ID;PWXL;N;E\nNN;N Auto_Open;ER1C1\nC;Y1;X1;K0;ECALL("a","b")\nE\n', "macro-autorun macro-shell"),
        (b'ID;P\nC;Y1;X1;K0;E1+REGISTER("urlmon","URLDownloadToFileA","JJ")\nE\n', "macro-shell"),
        (b"ID;P\nC;Y1;X1;K0;Ecmd|'/c calc'!A0\nE\n", "dynamic-data"),
        (b'ID;P\nC;Y1;X1;K0;EEX\x1b EC("a")\nE\n', "macro-shell"),
        (b'<?xml version="1.0"?><libraryDescription xmlns="x"><url>\\\\a\\b</url></libraryDescription>', "shortcut"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<persistedQuery version="1.0"/>', "shortcut"),
        (b'<searchConnectorDescription xmlns="x"/>', "shortcut"),
        (b"<?xml version='1.0'?><PCSettings><SearchableContent/></PCSettings>", "shortcut"),
        (b'<?xml version="1.0"?><MMC_ConsoleFile ConsoleVersion="3.0"/>', "script"),
        (b'<?xml version="1.0"?><AppInstaller Uri="https://a/b.appinstaller"/>', "shortcut"),
        (b'<?xml version="1.0"?><jnlp spec="1.0+" codebase="https://a/"/>', "script"),
        (b'<c:contact xmlns:c="http://schemas.microsoft.com/Contact"></c:contact>', "shortcut"),
        (
            b'<?xml version="1.0"?><asmv1:assembly xmlns:asmv1="urn:schemas-microsoft-com:asm.v1" '
            b'xmlns="urn:schemas-microsoft-com:clickonce.v1"/>',
            "shortcut",
        ),
        (b'<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"/>', "script"),
        (b"[Shell]\r\nCommand=2\r\nIconFile=\\\\192.0.2.1\\a.ico\r\n", "shortcut"),
        (b"[ScriptFile]\r\nPath=C:\\a.vbs\r\n", "shortcut"),
        (b"[AutoRun]\r\nopen=a.exe\r\n", "shortcut"),
        (b"[.ShellClassInfo]\r\nIconResource=\\\\192.0.2.1\\a,0\r\n", "shortcut"),
        (b"[Desktop Entry]\nType=Application\nExec=sh -c a\n", "shortcut"),
        (b"; x\r\n[InternetShortcut]\r\nURL=file://192.0.2.1/b.exe\r\n", "shortcut"),
        (b"[{000214A0-0000-0000-C000-000000000046}]\r\nProp3=19,2\r\n[InternetShortcut]\r\nURL=a\r\n", "shortcut"),
        (b"?_\x03\0" + bytes(60), "help"),
        (made.zipped({"[Content_Types].xml": "", "AppxManifest.xml": "<Package/>"}), "program"),
    ],
)
def test_content_tells_whatever_it_is_called(octets: bytes, wants: str) -> None:
    for name in ("a", "a.bin"):
        assert dangers(octets, name) == set(wants.split())
    assert dangers(octets, "a.txt") - {"disguised"} == set(wants.split())


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b'ID;PWXL;N;E\r\nC;Y1;X1;K"STT"\r\nC;Y2;X1;K5;ESUM(R1C1:R2C2)\r\nE\r\n', "a.slk"),
        (b"ID;Name;EXEC(x)\r\n1;Lan;2\r\n", "a.csv"),
        ("Cách nối máy chủ: mở mstsc, gõ\r\nfull address:s:may-chu\r\nrồi Enter.".encode(), "a.txt"),
        (b"<?xml version='1.0'?><Task><Name>Hop</Name></Task>", "a.xml"),
        (b"<?xml version='1.0'?><contact><name>Lan</name></contact>", "a.xml"),
        (b"<?xml version='1.0'?><assembly manifestVersion='1.0'/>", "a.manifest"),
        (b"[Shell]\r\nThe word shell in brackets.\r\n", "a.txt"),
        (b"[Settings]\r\nopen=1\r\n", "a.ini"),
        (b"WEB\r\n1. Trang thong tin\r\n", "a.txt"),
        (b"<html><head><meta name=ProgId content=Word.Document></head><p>x</html>", "a.htm"),
        (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", "a.ics"),
    ],
)
def test_lawful_files(octets: bytes, name: str) -> None:
    assert dangers(octets, name) == set()


@pytest.mark.parametrize(
    "octets", [b" " * 4_000 + b":s", b"a:s:\n" * 1_000, b"ID;P\n" + b"C;E" * 30_000, b"[shell]" * 600]
)
def test_telling_costs_little(octets: bytes) -> None:
    started = time.process_time()
    types_of(octets)
    dangers(octets, "a.slk")
    assert time.process_time() - started < 0.5


async def _action_on(part: bytes) -> Action:
    mail = (
        b"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + part
        + b"\r\n--b--\r\n"
    )
    gate = make_gate(settings_of(Stanza()))
    case = Case(mail, client_ip="203.0.113.7", mail_from="a@example.com", rcpts=("ptp.bl@hanam.gov.vn",))
    return (await judge_case(gate, case)).verdict.action


_LETTER = b"From: b@example.com\r\nSubject: x\r\n\r\nKinh gui anh.\r\n"


@pytest.mark.parametrize("kind", [b"message/rfc822", b"message/global"])
@pytest.mark.parametrize(
    ("name", "wants"),
    [
        (b"Fwd: bao gia abc.com", Action.ACCEPT),
        (b"Re: node.js", Action.ACCEPT),
        (b"[SPAM] vietnam.com", Action.ACCEPT),
        (b"Loi hanam.com: khong vao duoc", Action.ACCEPT),
        (b"Re: loi setup.exe", Action.ACCEPT),
        (b"Fwd: abc.com.eml", Action.ACCEPT),
        # what runs with fields of a mail before it, and what nobody writes
        (b"hoa don.hta", Action.REJECT),
        (b"Re: hoa don.pdf.cmd", Action.REJECT),
        (b"a.jar", Action.REJECT),
        (b"a.iso", Action.REJECT),
        (b"../../a", Action.REJECT),
        ("hoa don\u202efdp.js".encode(), Action.REJECT),
    ],
)
async def test_an_attached_mail_is_called_by_its_subject(kind: bytes, name: bytes, wants: Action) -> None:
    for field in (
        b'Content-Type: %s; name="%s"',
        b'Content-Type: %s\r\nContent-Disposition: attachment; filename="%s"',
    ):
        assert await _action_on(field % (kind, name) + b"\r\n\r\n" + _LETTER) is wants


@pytest.mark.parametrize(
    ("title", "inner", "wants"),
    [
        ("Re: node.js", made.tnef(), Action.ACCEPT),
        ("Fwd: bao gia abc.com", made.tnef(made.tnef_file("a.txt", b"x")), Action.ACCEPT),
        ("Fwd: bao gia abc.com", made.tnef(made.tnef_file("a.exe", b"x")), Action.REJECT),
        ("a.com", b"x", Action.REJECT),
        ("a.hta", made.tnef(), Action.REJECT),
    ],
)
async def test_a_mail_in_winmail_dat_is_called_by_its_subject(title: str, inner: bytes, wants: Action) -> None:
    field = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    octets = made.tnef(made.tnef_file(title, inner))
    assert await _action_on(field + b64encode(octets)) is wants


@pytest.mark.parametrize(
    ("field", "body"),
    [
        (b'message/rfc822; name="a.js"\r\nContent-Transfer-Encoding: base64', b64encode(b"alert(1)\r\n")),
        (b'message/rfc822; name="a.com"\r\nContent-Transfer-Encoding: base64', b64encode(made.PROGRAM)),
        (b"message/rfc822\r\nContent-Transfer-Encoding: base64", b64encode(made.PROGRAM)),
        (b'message/rfc822; name="a.exe"\r\nContent-Transfer-Encoding: binary', made.PROGRAM),
        (b'message/global; name="Re: a.com"', made.PROGRAM),
        (b'message/delivery-status; name="a.exe"', b"Action: failed\r\n"),
    ],
)
async def test_an_attached_mail_that_is_none(field: bytes, body: bytes) -> None:
    assert await _action_on(b"Content-Type: " + field + b"\r\n\r\n" + body) is Action.REJECT


@pytest.mark.parametrize(
    "extension",
    [
        *(
            "rdp",
            "iqy",
            "oqy",
            "dqy",
            "rqy",
            "library-ms",
            "search-ms",
            "searchconnector-ms",
            "settingcontent-ms",
            "msc",
        ),
        *(
            "wsf",
            "appinstaller",
            "scf",
            "url",
            "msix",
            "ppkg",
            "wll",
            "xla",
            "ppam",
            "accde",
            "cdxml",
            "contact",
            "theme",
        ),
    ],
)
async def test_an_extension_is_refused_whatever_is_in_it(extension: str) -> None:
    mail = (
        b"From: a@example.com\r\nContent-Type: application/octet-stream\r\n"
        b'Content-Disposition: attachment; filename="tai-lieu.%s"\r\n\r\nx' % extension.encode()
    )
    gate = make_gate(settings_of(Stanza()))
    case = Case(mail, client_ip="203.0.113.7", mail_from="a@example.com", rcpts=("ptp.bl@hanam.gov.vn",))
    assert (await judge_case(gate, case)).verdict.action is Action.REJECT
