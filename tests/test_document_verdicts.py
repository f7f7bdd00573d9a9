"""Mails with a document, from an official to somebody outside, judged by the rules for content as shipped."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from tests.lab import documents as made
from tests.lab.gates import make_gate, settings_of

from mailgate.documents.budget import Budget
from mailgate.documents.content import Extract, look_into, merged
from mailgate.doors.offline import Case, judge_case
from mailgate.gate import Gate
from mailgate.model import Action, Uninspected
from mailgate_rules import charset, dangerous_attachment, state_secret, uninspectable

DATA = Path(__file__).parent / "data" / "documents"
OFFICE, OUTSIDER = "ptp.bl@hanam.gov.vn", "lan@example.com"
HELD, REFUSED, PASSED, TAGGED = (
    (Action.QUARANTINE, {"state-secret"}),
    (Action.REJECT, {"dangerous-attachment"}),
    (Action.ACCEPT, set[str]()),
    (Action.ACCEPT, {"dangerous-attachment"}),
)
Verdict = tuple[Action, set[str]]


@cache
def gate() -> Gate:
    """Return one gate for all: to make one takes longer than to judge a mail."""
    rules = (charset.Stanza(), dangerous_attachment.Stanza(), state_secret.Stanza(), uninspectable.Stanza())
    return make_gate(settings_of(*rules))


async def judged(message: bytes) -> Verdict:
    """Return the verdict on a mail, and the rules that found something."""
    answer = await judge_case(
        gate(), Case(message, client_ip="203.0.113.7", auth=OFFICE, mail_from=OFFICE, rcpts=(OUTSIDER,))
    )
    return answer.verdict.action, {finding.rule for finding in answer.findings}


def with_files(*files: tuple[bytes, str], kind: str = "octet-stream") -> bytes:
    """Return a mail with these files."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = OFFICE, OUTSIDER, "Văn bản"
    message.set_content("Xin gửi kèm.")
    for octets, name in files:
        message.add_attachment(octets, "application", kind, filename=name)
    return message.as_bytes()


FILES: dict[str, Verdict] = {
    "47251_1.xls": PASSED,
    "NoGutsRecords.xls": PASSED,
    "doc-stream-in-capitals.doc": HELD,
    "docx-watermark-wordart-vml.docx": HELD,
    "fp2-scan-rgb200-3p.pdf": PASSED,
    "msg-control-subject.msg": HELD,
    "msg-exe-control.msg": REFUSED,
    "msg-pdf-replaced-by-doc-subject.msg": HELD,
    "ods-xlsx-sheetname.ods": HELD,
    "pdf-form-field.pdf": HELD,
    "pdf-freetext-annotation.pdf": HELD,
    "pdf-stamp-same-line-as-date.pdf": HELD,
    "rtf-word-first-paragraph.rtf": HELD,
    "sample_with_lnk_to_calc.doc": REFUSED,
    "text-margins.ppt": PASSED,
    "xls-cell-stream-in-capitals.xls": HELD,
    "xlsx-header-theme.xlsx": HELD,
    "xlsx-link-unc.xlsx": TAGGED,
}


@pytest.mark.parametrize("name", FILES)
async def test_documents_from_the_field(name: str) -> None:
    assert await judged(with_files(((DATA / name).read_bytes(), name))) == FILES[name]


@pytest.mark.parametrize(
    ("name", "wants"),
    [
        ("47251_1.xls", "AAAAAAA:\tAAAAAA AAAAAAA"),
        ("NoGutsRecords.xls", "Expiring contracts"),
        ("text-margins.ppt", "Cliquez pour modifier le style du titre"),
    ],
)
def test_what_is_said_in_documents_that_were_called_damaged(name: str, wants: str) -> None:
    found = look_into((DATA / name).read_bytes(), name, "", name, Budget())
    assert any(wants in each.text for each in found if isinstance(each, Extract))


# -- links -------------------------------------------------------------------------------------------------

_LINK = r"C:\Windows\System32\calc.exe"


def _relation(part: str, kind: str, target: str) -> bytes:
    folder, _, name = part.rpartition("/")
    parts = {part: "<a/>", f"{folder}/_rels/{name}.rels": made.relations(kind, target)}
    return (made.xlsx if part.startswith("xl/") else made.docx)("a", parts=parts)


def _packaged_link(target: str) -> bytes:
    """Return a Packager's stream of a link, as Word writes one."""
    path = target.encode() + b"\0"
    inner = b"\x02\0" + path.rpartition(b"\\")[2] + path + b"\0\0\x01\0\x01\0" + path
    return struct.pack("<I", len(inner)) + inner


def _linked_by_moniker(target: str, is_url: bool = False) -> bytes:
    """Return a stream \\1Ole of an object that is linked (MS-OLEDS 2.3.3)."""
    if is_url:
        wide = target.encode("utf-16-le") + b"\0\0"
        moniker = bytes.fromhex("e0c9ea79f9bace118c8200aa004ba90b") + struct.pack("<I", len(wide)) + wide
    else:
        path = target.encode() + b"\0"
        moniker = bytes.fromhex("0303000000000000c000000000000046") + struct.pack("<HI", 0, len(path)) + path
        moniker += b"\xff\xff\xad\xde" + bytes(20) + bytes(4)
    return struct.pack("<IIIII", 0x0200_0001, 1, 1, 0, len(moniker)) + moniker


def _ole_1_link(target: str) -> bytes:
    """Return an OLE 1 object that is linked (MS-OLEDS 2.2.6)."""
    parts = [name.encode() + b"\0" for name in ("Package", target)]
    return struct.pack("<II", 0x0501, 1) + b"".join(struct.pack("<I", len(part)) + part for part in parts) + bytes(16)


def _in_rtf(octets: bytes, kind: str = "objautlink") -> bytes:
    return made.rtf("a", head=rf"{{\object\{kind}{{\*\objdata {octets.hex()}}}}}")


_SHARE = r"file:///\\server\share\so-lieu.xlsx"
_BOOK = "https://hanam.sharepoint.example/a.xlsx"
LINKS: list[tuple[str, bytes, Verdict]] = [
    *(
        (f"a.xlsx: {kind} to {target}", _relation("xl/externalLinks/externalLink1.xml", kind, target), TAGGED)
        for kind in ("externalLinkPath", "xlPathMissing")
        for target in (_SHARE, _BOOK, "file://server/a.xlsx", r"\\server\a.xlsx")
    ),
    ("a.xlsx: beside it", _relation("xl/externalLinks/externalLink1.xml", "externalLinkPath", "b.xlsx"), PASSED),
    (
        "a.xlsx: on a drive",
        _relation("xl/externalLinks/externalLink1.xml", "externalLinkPath", "file:///D:/b.xlsx"),
        PASSED,
    ),
    ("a.docx: chart", _relation("word/charts/chart1.xml", "oleObject", _SHARE), TAGGED),
    ("a.ods: sheet", made.odt(body='<table-source xlink:href="file://server/a.ods"/>', kind="spreadsheet"), TAGGED),
    ("a.docx: template", _relation("word/settings.xml", "attachedTemplate", _SHARE), REFUSED),
    ("a.docx: object", _relation("word/document.xml", "oleObject", _BOOK), REFUSED),
    ("a.xlsx: object", _relation("xl/worksheets/sheet1.xml", "oleObject", _SHARE), REFUSED),
    ("a.docx: frame", _relation("word/webSettings.xml", "frame", _BOOK), REFUSED),
    ("a.docx: program", _relation("word/document.xml", "oleObject", f"file:///{_LINK}"), REFUSED),
    ("a.xlsx: program", _relation("xl/worksheets/sheet1.xml", "oleObject", "file:///C:/a/run.bat"), REFUSED),
    ("a.docx: workbook", _relation("word/document.xml", "oleObject", "file:///D:/so-lieu.xlsx"), PASSED),
    ("a.odt: program", made.odt(body=f'<object-ole xlink:href="file:///{_LINK}"/>'), REFUSED),
    (
        "a.doc: package",
        made.ole({"WordDocument": b"", "ObjectPool/_1/\x01Ole10Native": _packaged_link(_LINK)}),
        REFUSED,
    ),
    (
        "a.docx: package",
        made.docx(parts={"word/embeddings/o.bin": made.ole({"\x01Ole10Native": _packaged_link(_LINK)})}),
        REFUSED,
    ),
    (
        "a.rtf: package",
        _in_rtf(
            struct.pack("<III", 0x501, 2, 8)
            + b"Package\0"
            + bytes(8)
            + struct.pack("<I", len(_packaged_link(_LINK)))
            + _packaged_link(_LINK),
            "objemb",
        ),
        REFUSED,
    ),
    ("a.rtf: link to a program", _in_rtf(_ole_1_link(_LINK)), REFUSED),
    ("a.rtf: link to a command", _in_rtf(_ole_1_link("cmd.exe /c calc"), "objlink"), REFUSED),
    ("a.rtf: link to a share", _in_rtf(_ole_1_link(r"\\192.0.2.1\a\b.doc")), REFUSED),
    ("a.rtf: link to a workbook", _in_rtf(_ole_1_link(r"D:\so-lieu.xls")), PASSED),
    ("a.rtf: moniker", _in_rtf(made.ole({"\x01Ole": _linked_by_moniker("http://192.0.2.1/a.hta", True)})), REFUSED),
    ("a.doc: moniker", made.ole({"ObjectPool/_1/\x01OLE": _linked_by_moniker(_LINK)}), REFUSED),
    ("a.doc: moniker of a share", made.ole({"\x01Ole": _linked_by_moniker(r"\\192.0.2.1\a.doc")}), REFUSED),
    ("a.doc: moniker of a workbook", made.ole({"\x01Ole": _linked_by_moniker(r"D:\so-lieu.xls")}), PASSED),
]


@pytest.mark.parametrize(("title", "octets", "wants"), LINKS, ids=[title for title, _, _ in LINKS])
async def test_links(title: str, octets: bytes, wants: Verdict) -> None:
    action, rules = await judged(with_files((octets, title.partition(":")[0])))
    assert (action, rules - {"uninspectable"}) == wants  # some are made of the stream alone that the test is about


# -- Excel 4 -----------------------------------------------------------------------------------------------


def _excel_4(name: str, formula: str = "HALT()") -> dict[str, str | bytes]:
    return {
        "xl/workbook.xml": f'<w><definedNames><definedName name="{name}">a</definedName></definedNames></w>',
        "xl/macrosheets/sheet1.xml": f"<s><row><c><f>{formula}</f></c></row></s>",
    }


_CALL = made.binary_record(9, struct.pack("<II", 0, 0) + bytes(8) + bytes(6) + b"\x42\x01\x6e\x00")
_NAMED = made.binary_record(39, bytes(9) + made.wide("_xlnm.Auto_Open"))


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.xlsx(["a"], parts=_excel_4("x")), Action.ACCEPT),
        (made.xlsx(["a"], parts=_excel_4("_xlnm.Auto_Open")), Action.QUARANTINE),
        (made.xlsx(["a"], parts=_excel_4("auto_open_1")), Action.QUARANTINE),
        (made.xlsx(["a"], parts=_excel_4("_xlnm.Auto_Close")), Action.QUARANTINE),
        (made.xlsx(["a"], parts=_excel_4("x", "EXEC(&quot;a&quot;)")), Action.REJECT),
        (
            made.xlsx(["a"], parts={"xl/workbook.xml": '<w><definedName name="Auto_Open">a</definedName></w>'}),
            Action.ACCEPT,
        ),
        (made.xlsb(["a"], parts={"xl/macrosheets/sheet1.bin": b""}), Action.ACCEPT),
        (made.xlsb(["a"], parts={"xl/macrosheets/sheet1.bin": _CALL}), Action.REJECT),
        (made.xlsb(["a"], parts={"xl/macrosheets/sheet1.bin": b"", "xl/names.bin": _NAMED}), Action.QUARANTINE),
        (
            made.xlsb(["a"], parts={"xl/vbaProject.bin": made.vba_project('Sub Workbook_Open()\nShell "a"')}),
            Action.REJECT,
        ),
        (made.record(0x409, struct.pack("<HH", 0x400, 0x40)) + made.record(0x0A), Action.ACCEPT),
    ],
)
async def test_excel_4_and_binary_workbooks(octets: bytes, wants: Action) -> None:
    assert (await judged(with_files((octets, "a.xls"))))[0] is wants


# -- messages and signatures -------------------------------------------------------------------------------

_MARKED = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "TUYỆT MẬT\r\nSố: 5/BC\r\n".encode()


@cache
def _signer() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A")])
    now = datetime(2026, 11, 1, tzinfo=UTC)
    made_of = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return made_of.sign(key, SHA256()), key


def _signed(octets: bytes, encoding: Encoding, *options: pkcs7.PKCS7Options) -> bytes:
    certificate, key = _signer()
    builder = pkcs7.PKCS7SignatureBuilder().set_data(octets).add_signer(certificate, key, SHA256())
    return builder.sign(encoding, list(options))


def _indefinite(octets: bytes) -> bytes:
    """Return signed data whose lengths are open and whose content is in pieces, as programs write that stream it."""
    identifier = bytes.fromhex("06092a864886f70d0107")
    pieces = b"".join(b"\x04" + bytes((len(piece),)) + piece for piece in (octets[:9], octets[9:60], octets[60:]))
    content = b"\x30\x80" + identifier + b"\x01\xa0\x80\x24\x80\x24\x80" + pieces + bytes(4) + bytes(4)
    algorithms = bytes.fromhex("310f300d06096086480165030402010500")
    return (
        b"\x30\x80" + identifier + b"\x02\xa0\x80\x30\x80\x02\x01\x01" + algorithms + content + b"\x31\x00" + bytes(6)
    )


def _detached() -> bytes:
    mail = _signed(b"Xin ch\xc3\xa0o\r\n", Encoding.SMIME, pkcs7.PKCS7Options.DetachedSignature)
    return f"From: <{OFFICE}>\r\nTo: {OUTSIDER}\r\nSubject: a\r\n".encode() + mail


def _certificates() -> bytes:
    return pkcs7.serialize_certificates([_signer()[0]], Encoding.DER)


_BINARY = pkcs7.PKCS7Options.Binary
_DETACHED = pkcs7.PKCS7Options.DetachedSignature
SIGNED: dict[str, tuple[Callable[[], bytes], Verdict]] = {
    "signature beside a mail": (_detached, PASSED),
    "smime.p7s by itself": (lambda: with_files((_signed(b"a", Encoding.DER, _DETACHED), "smime.p7s")), PASSED),
    "signature as of Outlook": (
        lambda: with_files((_signed(b"a", Encoding.DER, _DETACHED), "smime.p7s"), kind="pkcs7-signature"),
        PASSED,
    ),
    "certificates": (lambda: with_files((_certificates(), "a.p7b")), PASSED),
    "opaque": (lambda: with_files((_signed(_MARKED, Encoding.DER, _BINARY), "smime.p7m"), kind="pkcs7-mime"), HELD),
    "opaque, streamed": (lambda: with_files((_indefinite(_MARKED), "smime.p7m"), kind="pkcs7-mime"), HELD),
    "opaque in opaque": (
        lambda: with_files((_signed(_signed(_MARKED, Encoding.DER, _BINARY), Encoding.DER, _BINARY), "smime.p7m")),
        HELD,
    ),
    "signed file": (lambda: with_files((_signed(made.doc("TUYỆT MẬT\r"), Encoding.DER, _BINARY), "a.doc.p7m")), HELD),
    "signed program": (lambda: with_files((_signed(made.PROGRAM, Encoding.DER, _BINARY), "a.pdf.p7m")), REFUSED),
    "opaque and lawful": (
        lambda: with_files((_signed(b"\r\nXin chao\r\n", Encoding.DER, _BINARY), "smime.p7m")),
        PASSED,
    ),
}


@pytest.mark.parametrize("title", SIGNED)
async def test_signatures(title: str) -> None:
    message, wants = SIGNED[title]
    assert await judged(message()) == wants


# -- what is large and lawful ------------------------------------------------------------------------------


def _white_scans() -> bytes:
    """Return a PDF of three white pages at 200 dpi."""
    page = made.stream(b"\xff" * (1_654 * 2_339 * 3), "/Type/XObject/Subtype/Image/Width 1654/Height 2339")
    return made.pdf("a", objects=[page] * 3)


def _white_pictures() -> bytes:
    """Return a docx with white pictures that are packed by nothing but its zip."""
    picture = b"BM" + bytes(4) + bytes(48) + b"\xff" * (1_654 * 2_339 * 3)
    return made.docx("a", parts={f"word/media/image{number}.bmp": picture for number in range(3)})


def _list(cell: Callable[[int, int], str]) -> bytes:
    """Return a list of 20,000 rows by 10 columns."""
    rows = "".join("<row>" + "".join(cell(row, column) for column in range(10)) + "</row>" for row in range(20_000))
    return made.xlsx(*([f"Nguyễn Văn {number}"] for number in range(5_000)), cells=rows)


def _shared_list() -> bytes:
    return _list(lambda row, column: f'<c r="A1" s="1" t="s"><v>{(row + column) % 5_000}</v></c>')


def _inline_list() -> bytes:
    return _list(lambda row, column: f'<c t="inlineStr"><is><t>Thôn {row}</t></is></c>')


def _ghost_rows() -> bytes:
    """Return a workbook with a million rows that look alike and hold nothing."""
    rows = "".join([f'<row r="{n}" ht="15" customHeight="1"><c r="A{n}" s="3"/></row>' for n in range(2, 1_048_577)])
    return made.xlsx(["Danh sách"], cells=rows)


@pytest.mark.parametrize(
    ("make", "name", "copies"),
    [
        (_white_scans, "a.pdf", 1),
        (_white_pictures, "a.docx", 1),
        (_shared_list, "a.xlsx", 2),
        (_inline_list, "a.xlsx", 2),
        (_ghost_rows, "a.xlsx", 1),
    ],
)
def test_what_is_large_and_lawful_is_seen_whole(make: Callable[[], bytes], name: str, copies: int) -> None:
    octets = make()
    budget = Budget()
    for _ in range(copies):
        found = list(merged(look_into(octets, name, "", name, budget)))
        assert [each for each in found if isinstance(each, Uninspected)] == []
        assert [each.dangers for each in found if hasattr(each, "dangers")] == [()]
