"""What is read of the files of a mail: each family's text, what is inside, what cannot be seen; nothing raises."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from libarchive.write import custom_writer
from tests.lab import documents as made

from mailgate.documents import archives, macros
from mailgate.documents.budget import HEAD_LETTERS, Budget, Limits
from mailgate.documents.content import Extract, look_into, merged, missing
from mailgate.documents.message import look_into_leaf
from mailgate.documents.msg import unpacked
from mailgate.mime.walker import Leaf
from mailgate.model import Danger, File, Level, Obstacle, Taken, TextKind, Uninspected
from mailgate.text.marks import marks_in

LINES = ("Kính gửi: Sở Nội vụ", "TỐI MẬT", "Nội dung báo cáo")
TEXT = "\n".join(LINES)


def found(octets: bytes, name: str, limits: Limits | None = None) -> list[File | Extract | Uninspected]:
    """Return what is found in a file, each file once."""
    looked = merged(look_into(octets, name, "", name, Budget(limits)))
    return [each for each in looked if not isinstance(each, Taken)]


def texts(octets: bytes, name: str = "a") -> list[str]:
    return [each.text for each in found(octets, name) if isinstance(each, Extract)]


def files(octets: bytes, name: str = "a") -> dict[str, str]:
    """Return the places of all files, and their types."""
    return {each.place: each.type for each in found(octets, name) if isinstance(each, File)}


def blocked(octets: bytes, name: str = "a", limits: Limits | None = None) -> set[tuple[str, Obstacle]]:
    """Return the places that were not looked into, and why."""
    return {(each.place, each.obstacle) for each in found(octets, name, limits) if isinstance(each, Uninspected)}


def dangers(octets: bytes, name: str = "a") -> set[Danger]:
    return {danger for each in found(octets, name) if isinstance(each, File) for danger, _ in each.dangers}


def mail(text: str) -> bytes:
    return b"From: a@example.com\r\nSubject: b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode()


def by_libarchive(kind: str, members: dict[str, bytes]) -> bytes:
    """Return an archive that libarchive writes: 7zip, iso9660, ..."""
    out = io.BytesIO()
    with custom_writer(out.write, kind) as archive:
        for name, octets in members.items():
            archive.add_file_from_memory(name, len(octets), octets)
    return out.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, octets in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(octets)
            archive.addfile(entry, io.BytesIO(octets))
    return out.getvalue()


SAMPLES = {
    "a.docx": made.docx(*LINES),
    "a.xlsx": made.xlsx(*[[line] for line in LINES]),
    "a.pptx": made.pptx(*LINES),
    "a.odt": made.odt(*LINES),
    "a.rtf": made.rtf(*LINES),
    "a.pdf": made.pdf(TEXT),
    "a.doc": made.doc("\r".join(LINES)),
    "a.xls": made.xls(*LINES),
    "a.ppt": made.ppt("\r".join(LINES)),
    "a.xlsb": made.xlsb(*[[line] for line in LINES]),
    "a.msg": made.msg("Về việc họp", TEXT),
    "a.txt": TEXT.encode(),
    "a.html": f"<html><body>{''.join(f'<p>{line}</p>' for line in LINES)}</body></html>".encode(),
    "a.xml": f"<?xml version='1.0'?><a>{''.join(f'<b>{line}</b>' for line in LINES)}</a>".encode(),
    "a.fodt": made.flat_odt(*LINES),
    "a.flat.xml": made.flat_docx(*LINES),
    "a.2003.xml": made.word_2003(*LINES),
    "a.eml": mail(TEXT),
    "a.zip": made.zipped({"thư mục/b.docx": made.docx(*LINES)}),
    "a.tar": tar({"b.txt": TEXT.encode()}),
    "a.tar.gz": gzip.compress(tar({"b.txt": TEXT.encode()})),
    "a.txt.gz": gzip.compress(TEXT.encode()),
    "a.txt.bz2": bz2.compress(TEXT.encode()),
    "a.txt.xz": lzma.compress(TEXT.encode()),
    "a.7z": by_libarchive("7zip", {"b.txt": TEXT.encode()}),
    "a.iso": by_libarchive("iso9660", {"b.txt": TEXT.encode()}),
    "a.cpio": by_libarchive("cpio", {"b.txt": TEXT.encode()}),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mark_of_secrecy_stands_on_its_own_line(name: str) -> None:
    shown = texts(SAMPLES[name], name)
    assert any(set(LINES) <= set(text.split("\n")) for text in shown)
    levels = [mark.level for text in shown for mark in marks_in(text, TextKind.DOCUMENT)]
    assert levels == [Level.SECRET]
    assert blocked(SAMPLES[name], name) == set()


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_cut_is_read_or_said(name: str) -> None:
    octets = SAMPLES[name]
    for cut in range(8, len(octets), max(1, len(octets) // 60)):
        head, *rest = found(octets[:cut], name)
        assert rest, cut
        assert any(isinstance(each, Extract | Uninspected) for each in (head, *rest)), cut


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_raises_whatever_the_octets(name: str) -> None:
    chance = random.Random(name)
    for _ in range(150):
        octets = bytearray(SAMPLES[name])
        for _ in range(chance.choice((1, 4, 16))):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        assert [each.place for each in found(bytes(octets), name) if isinstance(each, File)].count(name) == 1


# -- parts of documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.docx(parts={"word/header1.xml": made.word_part("hdr", "Mật")}), "Mật"),
        (made.docx(parts={"word/footer1.xml": made.word_part("ftr", "Mật")}), "Mật"),
        (made.docx(parts={"word/footnotes.xml": made.word_part("footnotes", "Mật")}), "Mật"),
        (made.docx(parts={"word/comments.xml": made.word_part("comments", "Mật")}), "Mật"),
        (made.docx(parts={"docProps/core.xml": "<c><title>Mật</title><creator>A</creator></c>"}), "Mật\nA"),
        (made.docx(body=made.paragraph("tối mật", "<w:caps/>")), "TỐI MẬT"),
        (made.docx(body=made.paragraph("mật", '<w:caps w:val="0"/>')), "mật"),
        (
            made.docx(
                body="<w:tbl><w:tr>" + "".join(f"<w:tc>{made.paragraph(c)}</w:tc>" for c in "ab") + "</w:tr></w:tbl>"
            ),
            "a\tb",
        ),
        (made.docx(body=f"<w:p><w:r><w:txbxContent>{made.paragraph('b')}</w:txbxContent></w:r></w:p>"), "b\n"),
        (made.docx(body="<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>"), "a\tb\nc"),
        (made.pptx(parts={"ppt/notesSlides/notesSlide1.xml": made.slide("Mật")}), "Mật"),
        (made.pptx(parts={"ppt/comments/comment1.xml": "<cm><text>Mật</text></cm>"}), "Mật"),
        (made.xlsx(cells='<row><c t="inlineStr"><is><t>a</t></is></c><c><v>5</v></c></row>'), "a\t5"),
        (made.xlsx(parts={"xl/comments1.xml": "<cs><comment><text><t>Mật</t></text></comment></cs>"}), "Mật"),
        (made.xlsx(parts={"xl/drawings/drawing1.xml": made.slide("Mật")}), "Mật"),
        (
            made.xlsx(parts={"xl/worksheets/sheet2.xml": '<s><oddHeader>&amp;C&amp;"Arial,Bold"MẬT</oddHeader></s>'}),
            "\nMẬT",
        ),
        (made.odt(parts={"styles.xml": "<s><header><p>Mật</p></header></s>"}), "Mật"),
        (made.odt(parts={"meta.xml": "<m><title>Mật</title></m>"}), "Mật"),
        (
            made.odt(
                kind="spreadsheet",
                body="<table:table-row>"
                + "".join(f"<table:table-cell><text:p>{c}</text:p></table:table-cell>" for c in "ab")
                + "</table:table-row>",
            ),
            "a\tb",
        ),
        (made.rtf(head=r"{\header M\u7853?t\par}"), "Mật"),
        (made.rtf(head=r"{\info{\title Ti\'eau}}"), "Tiêu"),
        (made.rtf(fonts=r"{\f0\fcharset163 Arial;}", head=r"\f0 \'d0\'ea\par "), "Đê"),
        (made.rtf(head=r"{\*\generator x}{\pict 00ff}a\cell b\row "), "a\tb"),
        (made.xls("a", extra=made.record(0x14, struct.pack("<HB", 3, 0) + b"&CB")), "\nB"),
        (made.pdf("UBND-\nNC"), "UBND-\nNC"),
        (made.doc("a\x13 PAGE \x14 5\x15b\rc\x07d\x07\x07"), "a 5b\nc\td\n"),
    ],
)
def test_parts_of_documents(octets: bytes, wants: str) -> None:
    assert wants in [line for text in texts(octets) for line in (text, text.strip("\n"))]


_SHEET_FONTS = (
    f'<styleSheet xmlns="{made.S}"><fonts><font><name val=".VnTimeH"/></font></fonts>'
    '<cellXfs><xf fontId="0"/></cellXfs></styleSheet>'
)
_RTF_FONTS = r"{\f0 Arial;}{\f1 .VnTimeH;}"
_RTF_STYLES = r"{\stylesheet{\s0 N;}{\s1\sbasedon0\f1 A;}{\s2\sbasedon1 B;}}"
_THEME = f'<a:theme xmlns:a="{made.A}"><a:minorFont><a:latin typeface=".VnTimeH"/></a:minorFont></a:theme>'
_THEMED = made.paragraph("tèi mËt", '<w:rFonts w:asciiTheme="minorHAnsi" w:hAnsiTheme="minorHAnsi"/>')
_BASED = (
    f'<w:styles xmlns:w="{made.W}"><w:style w:type="paragraph" w:styleId="A"><w:rPr><w:rFonts w:ascii=".VnTime"/>'
    '</w:rPr></w:style><w:style w:type="paragraph" w:styleId="B"><w:basedOn w:val="A"/></w:style></w:styles>'
)
_BY_STYLE = '<w:p><w:pPr><w:pStyle w:val="B"/></w:pPr><w:r><w:t>tèi mËt</w:t></w:r></w:p>'


def _odt(body: str) -> bytes:
    """Return an odt whose styles A to E are of paragraphs (B on A), letters, shapes and cells."""
    fonts = (
        ("A", "paragraph", ".VnTimeH"),
        ("C", "text", "VnT"),
        ("D", "graphic", ".VnTimeH"),
        ("E", "table-cell", "VNI-Times"),
    )
    styles = "".join(
        f'<style:style style:name="{name}" style:family="{family}"><style:text-properties style:font-name="{font}"/>'
        "</style:style>"
        for name, family, font in fonts
    )
    styles += '<style:style style:name="B" style:family="paragraph" style:parent-style-name="A"/>'
    face = '<style:font-face style:name="VnT" svg:font-family="\'.VnTime\'"/>'
    head = f'<office xmlns:style="s" xmlns:svg="v" xmlns:draw="d">{face}<automatic-styles>{styles}</automatic-styles>'
    return made.odt(body=f"{head}{body}</office>")


_PPT_FONTS = b"".join(
    made.atom(0x0FB7, name.encode("utf-16-le").ljust(68, b"\0"), number)
    for number, name in enumerate(("Arial", ".VnTimeH"))
)
_PPT_LOOK = made.atom(0x0FA1, struct.pack("<IHI", 8, 0, 0) + struct.pack("<IIH", 8, 0x1_0000, 1))
_PPT_MASTER = made.atom(0x0FA3, struct.pack("<HIIH", 1, 0, 0x1_0000, 1), 4)
_BINARY_FONTS = (
    made.binary_record(43, bytes(21) + made.wide(".VnTimeH"))
    + made.binary_record(617, b"")
    + made.binary_record(47, bytes(16))
    + made.binary_record(618, b"")
)
_STYLES = (
    f'<w:styles xmlns:w="{made.W}"><w:style w:type="paragraph" w:default="1" w:styleId="N"><w:rPr>'
    '<w:rFonts w:ascii=".VnTime"/></w:rPr></w:style></w:styles>'
)


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.docx(body=made.paragraph("tèi mËt", '<w:rFonts w:ascii=".VnTime"/>')), "tối mật"),
        (made.docx(body=made.paragraph("tèi mËt", '<w:rFonts w:hAnsi=".VnTimeH"/>')), "TỐI MẬT"),
        (made.docx(body=made.paragraph("toái maät", '<w:rFonts w:ascii="VNI-Times"/>')), "tối mật"),
        (made.docx("tèi mËt", parts={"word/styles.xml": _STYLES}), "tối mật"),
        (made.xlsx(["tèi mËt"], parts={"xl/styles.xml": _SHEET_FONTS}), "TỐI MẬT"),
        (made.doc("tèi mËt", fonts=["Arial", ".VnTimeH"], font=1), "TỐI MẬT"),
        (made.doc("tèi mËt", fonts=["Arial", ".VnTime"], normal=1), "tối mật"),
        (made.doc("tèi mËt", is_wide=False, fonts=["Arial", ".VnTime"], font=1), "tối mật"),
        (made.rtf(fonts=r"{\f0 .VnTimeH;}", head=r"t\'e8i m\'cbt\par "), "TỐI MẬT"),
        (made.rtf(fonts=_RTF_FONTS, head=rf"{_RTF_STYLES}\pard\s2 t\'e8i m\'cbt\par "), "TỐI MẬT"),
        (made.docx(body=_THEMED, parts={"word/theme/theme1.xml": _THEME}), "TỐI MẬT"),
        (made.docx(body=_BY_STYLE, parts={"word/styles.xml": _BASED}), "tối mật"),
        (_odt('<text:p text:style-name="B">tèi mËt</text:p>'), "TỐI MẬT"),
        (_odt('<text:p>a <text:span text:style-name="C">tèi mËt</text:span></text:p>'), "a tối mật"),
        (_odt('<draw:frame draw:style-name="D"><text:p>tèi mËt</text:p></draw:frame>'), "TỐI MẬT"),
        (
            _odt(
                '<table:table><table:table-column table:default-cell-style-name="E"/><table:table-row>'
                "<table:table-cell><text:p>toái maät</text:p></table:table-cell></table:table-row></table:table>"
            ),
            "tối mật",
        ),
        (made.ppt("tèi mËt", extra=_PPT_LOOK + _PPT_FONTS), "TỐI MẬT"),
        (made.ppt("tèi mËt", extra=_PPT_FONTS + _PPT_MASTER), "TỐI MẬT"),
        (made.pdf("tèi mËt").replace(b"/Helvetica", b"/.VnTimeH,Bold"), "TỐI MẬT"),
        (made.pdf("toái maät").replace(b"/Helvetica", b"/AAAAAA+VNI-Times"), "tối mật"),
        (made.xls("tèi mËt", font=".VnTimeH"), "TỐI MẬT"),
        (made.xlsb(["a", "tèi mËt"], parts={"xl/styles.bin": _BINARY_FONTS}), "TỐI MẬT"),
        ('<html><font face=".VnTime">tèi mËt cña'.encode(), "tối mật của"),
    ],
)
def test_fonts_from_before_unicode(octets: bytes, wants: str) -> None:
    (shown,) = [each for each in found(octets, "a") if isinstance(each, Extract) and wants in each.text]
    assert shown.charset in ("tcvn3", "vni")


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.docx(body=made.paragraph("Tối mật", '<w:rFonts w:ascii=".VnTime"/>')), "Tối mật"),
        (made.docx(body=made.paragraph("\t \xa0 12/BC", '<w:rFonts w:ascii=".VnTime"/>')), "\t \xa0 12/BC"),
        (made.doc("a\t \r", fonts=["Arial", ".VnArial Narrow"], font=1), "a\t \n"),
        (made.rtf("Tối mật", fonts=r"{\f0 Arial;}{\f1 .VnTime;}", head=r"\f1  \tab\f0 "), " \tTối mật"),
        (_odt('<text:p>Tối mật<text:span text:style-name="C"> <text:tab/></text:span></text:p>'), "Tối mật \t"),
        (made.xls("Tối mật", font=".VnTime"), "Tối mật"),
        (made.ppt("Tối mật", extra=_PPT_LOOK + _PPT_FONTS), "Tối mật"),
        (made.pdf("Tối mật").replace(b"/Helvetica", b"/.VnTime"), "Tối mật"),
    ],
)
def test_unicode_and_blanks_in_such_a_font_are_no_text_from_before_it(octets: bytes, wants: str) -> None:
    shown = [each for each in found(octets, "a") if isinstance(each, Extract)]
    assert wants in [line for each in shown for line in (each.text, *each.text.split("\n"))]
    assert {each.charset for each in shown} == {""}


# -- what is inside --------------------------------------------------------------------------------------


def _encrypted(octets: bytes) -> bytes:
    """Return a zip whose members say that they are encrypted (APPNOTE 4.4.4)."""
    out = bytearray(octets)
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = out.find(signature)
        while place >= 0:
            out[place + at] |= 1
            place = out.find(signature, place + 4)
    return bytes(out)


_MAIL_WITH_FILE = (
    b"From: a@example.com\r\nSubject: =?utf-8?q?M=E1=BA=ADt?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>a<p>b\r\n"
    b"--b\r\nContent-Type: application/octet-stream; name=c.txt\r\nContent-Transfer-Encoding: base64\r\n\r\nZA==\r\n"
    b"--b--\r\n"
)


def _called(mode: int) -> bytes:
    """Return a zip with a file that its directory calls something else by this mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("b.doc")
        entry.create_system, entry.external_attr = 3, mode << 16
        archive.writestr(entry, made.PROGRAM)
    return out.getvalue()


_NESTED = {"a.zip > b/c.zip": "zip", "a.zip > b/c.zip > d.txt": "text"}


@pytest.mark.parametrize(
    ("octets", "name", "wants"),
    [
        (made.zipped({"b/c.zip": made.zipped({"d.txt": "x"})}), "a.zip", _NESTED),
        (made.msg("a", "b", {"c.pdf": made.pdf("x")}), "a.msg", {"a.msg > c.pdf": "pdf"}),
        (_MAIL_WITH_FILE, "a.eml", {"a.eml > c.txt": "text"}),
        (b"x\nbegin 644 b.txt\n#0V%T\n`\nend\n", "a.txt", {"a.txt > b.txt": "text"}),
        (b"begin 644  b.txt\n#0V%T\n`\nend\n", "a.txt", {"a.txt > b.txt": "text"}),
        (b"begin 644 \tb.txt\n#0V%T\n`\nend\n", "a.txt", {"a.txt > b.txt": "text"}),
        (b"begin  100644 b.txt\n#0V%T\n`\nend\n", "a.txt", {"a.txt > b.txt": "text"}),
        (b"begin 0 b.txt\n#0V%T\n`\nend\n", "a.txt", {"a.txt > b.txt": "text"}),
        (b"begin-base64  644  b.txt\nQ2F0\n====\n", "a.txt", {"a.txt > b.txt": "text"}),
        (made.docx(parts={"word/embeddings/b.xlsx": made.xlsx(["x"])}), "a.docx", {"a.docx > b.xlsx": "xlsx"}),
        (made.docx(parts={"word/media/b.png": b"\x89PNG\r\n\x1a\n"}), "a.docx", {}),
        (
            made.docx(parts={"word/embeddings/o.bin": made.ole({"\x01Ole10Native": made.packager("b.txt", b"x")})}),
            "a.docx",
            {"a.docx > o.bin": "ole", "a.docx > o.bin > b.txt": "text"},
        ),
        (made.odt(parts={"Object 1": made.docx("x")}), "a.odt", {"a.odt > Object 1": "docx"}),
        (
            made.pdf(
                "x",
                catalog="/Names<</EmbeddedFiles<</Names[(b.txt) 7 0 R]>>>>",
                objects=[b"<</Type/Filespec/F(b.txt)/EF<</F 8 0 R>>>>", made.stream(b"x", "/Type/EmbeddedFile")],
            ),
            "a.pdf",
            {"a.pdf > b.txt": "text"},
        ),
        (
            made.pdf("x", objects=[made.stream(b"x", "/Type/EmbeddedFile")]),
            "a.pdf",
            {"a.pdf > attachment": "text"},
        ),
        (_encrypted(made.zipped({"b.exe": made.PROGRAM})), "a.zip", {"a.zip > b.exe": ""}),
        # Windows asks no zip whether a member is a folder or a link
        (_called(0o040755), "a.zip", {"a.zip > b.doc": "exe"}),
        (_called(0o120777), "a.zip", {"a.zip > b.doc": "exe"}),
        (tar({"../../b.txt": b"x"}), "a.tar", {"a.tar > ../../b.txt": "text"}),
        (made.PROGRAM + made.zipped({"b.txt": "x"}), "a.exe", {"a.exe > b.txt": "text"}),
        # mails that begin with any field, with one alone, or as in a mailbox file
        (b"X: y\r\n" + _MAIL_WITH_FILE, "a.eml", {"a.eml > c.txt": "text"}),
        (_MAIL_WITH_FILE[_MAIL_WITH_FILE.index(b"Content-Type") :], "a.mht", {"a.mht > c.txt": "text"}),
        (b"From a@b Thu Nov 26 00:00:00 2026\n" + _MAIL_WITH_FILE, "a.mbox", {"a.mbox > c.txt": "text"}),
    ],
)
def test_files_inside(octets: bytes, name: str, wants: dict[str, str]) -> None:
    inside = files(octets, name)
    del inside[name]
    assert inside == wants


def test_names_in_archives_from_before_unicode() -> None:
    inside = made.zipped({"Bao_cao_ket_qua_nam.txt": b"x"})
    legacy = "B¸o c¸o kÕt qu¶ n¨m.txt".encode("cp1252")
    inside = inside.replace(b"Bao_cao_ket_qua_nam.txt", legacy.ljust(23, b"t"))
    assert [place for place in files(inside, "a.zip") if "Báo cáo kết quả năm" in place]


_SIGNED = bytes.fromhex("308006092a864886f70d010702a0803080020101310f300d0609608648016503040201050030")


@pytest.mark.parametrize(
    ("rest", "wants"),
    [
        (b"\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x01\xa0\x80$\x80\x04\x02M\xe1\x04\x02\xba\xad\x04\x01t\0\0", ["Mật"]),
        (b"\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x01\xa0\x07\x04\x05M\xe1\xba\xadt", ["Mật"]),
        (b"\x0b\x06\x09*\x86H\x86\xf7\r\x01\x07\x010\x80", []),  # detached
    ],
)
def test_what_is_signed_is_read(rest: bytes, wants: list[str]) -> None:
    assert texts(_SIGNED + rest, "smime.p7m") == wants
    assert blocked(_SIGNED + rest, "smime.p7m") == set()


def test_an_attached_mail_is_read() -> None:
    shown = [
        (each.kind, each.text, each.is_html) for each in found(_MAIL_WITH_FILE, "a") if isinstance(each, Extract)
    ]
    assert shown == [
        (TextKind.SUBJECT, "Mật", False),
        (TextKind.DOCUMENT, "a\nb", True),
        (TextKind.DOCUMENT, "d", False),
    ]


@pytest.mark.parametrize(
    ("leaf", "body", "wants"),
    [
        (Leaf((0, 1), "", "text/plain", charset="utf-8"), True, [(TextKind.BODY, "Mật")]),
        (Leaf((0, 1), "", "text/html"), False, [(TextKind.DOCUMENT, "Mật")]),
        (Leaf((0, 1), "", "text/plain", "a.txt", is_attachment=True), True, [File, (TextKind.DOCUMENT, "Mật")]),
    ],
)
def test_leaves_of_the_mail(leaf: Leaf, body: bool, wants: list[object]) -> None:
    seen = list(look_into_leaf("Mật".encode(), leaf, "part 1", Budget(), body))
    assert [
        File if isinstance(each, File) else (each.kind, each.text)
        for each in seen
        if not isinstance(each, Uninspected | Taken)
    ] == wants


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (made.compressed_rtf(b"{\\rtf1\\ansi hello}"), b"{\\rtf1\\ansi hello}"),
        # a reference to the 10 octets that stand before all: {\rtf1\ans
        (struct.pack("<II", 15, 10) + b"LZFu" + bytes(4) + b"\x01\x00\x08", rb"{\rtf1\ans"),
        (struct.pack("<II", 16, 4) + b"MELA" + bytes(4) + b"{\\r}", b"{\\r}"),
    ],
)
def test_compressed_rtf_of_a_message(octets: bytes, wants: bytes) -> None:
    assert unpacked(octets, Budget()) == wants


# -- what cannot be seen ---------------------------------------------------------------------------------


_LOCKED_PDF = made.pdf("a").replace(
    b"/Root 1 0 R",
    b"/Root 1 0 R/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<"
    + b"00" * 32
    + b">/U<"
    + b"11" * 32
    + b">>>",
)
_LOCKED_ODT = made.odt("a", parts={"META-INF/manifest.xml": "<m><file-entry><encryption-data/></file-entry></m>"})


@pytest.mark.parametrize(
    ("octets", "name", "wants"),
    [
        (_encrypted(made.zipped({"b.txt": "x"})), "a.zip", ("a.zip > b.txt", Obstacle.ENCRYPTED)),
        (_LOCKED_PDF, "a.pdf", ("a.pdf", Obstacle.ENCRYPTED)),
        (_LOCKED_ODT, "a.odt", ("a.odt", Obstacle.ENCRYPTED)),
        (made.ole({"EncryptedPackage": b"x", "EncryptionInfo": b"y"}), "a.docx", ("a.docx", Obstacle.ENCRYPTED)),
        (made.doc("a", flags=0x100), "a.doc", ("a.doc", Obstacle.ENCRYPTED)),
        (made.xls("a", extra=made.record(0x2F, bytes(6))), "a.xls", ("a.xls", Obstacle.ENCRYPTED)),
        (
            made.ole({"PowerPoint Document": bytes(16), "Current User": bytes(12) + b"\xdf\xc4\xd1\xf3"}),
            "a.ppt",
            ("a.ppt", Obstacle.ENCRYPTED),
        ),
        (b'x\x9f>"' + bytes(4), "winmail.dat", ("winmail.dat", Obstacle.DAMAGED)),
        (bytes.fromhex("308006092a864886f70d010703a080"), "smime.p7m", ("smime.p7m", Obstacle.ENCRYPTED)),
        (b"x\n-----BEGIN PGP MESSAGE-----\n", "a.txt", ("a.txt", Obstacle.ENCRYPTED)),
        (bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(40), "a.one", ("a.one", Obstacle.UNSUPPORTED)),
        (b"vhdxfile" + bytes(40), "a.vhdx", ("a.vhdx", Obstacle.UNSUPPORTED)),
        (made.ole({"Catalog": b"x"}), "Thumbs.db", ("Thumbs.db", Obstacle.UNSUPPORTED)),
        (b"\1\2\3" * 40, "a.docx", ("a.docx", Obstacle.DAMAGED)),
        (b"x" * 70_000 + b"Rar!\x1a\x07\1\0" + bytes(99), "a.rar", ("a.rar", Obstacle.DAMAGED)),
        (b"GIF89a" + bytes(99) + b"Rar!\x1a\x07\1\0", "a.rar", ("a.rar", Obstacle.DAMAGED)),
        (b"x\n=ybegin line=128 size=3 name=b.exe\nabc\n", "a.txt", ("a.txt", Obstacle.UNSUPPORTED)),
    ],
)
def test_what_cannot_be_seen_is_said(octets: bytes, name: str, wants: tuple[str, Obstacle]) -> None:
    assert blocked(octets, name) == {wants}


def test_a_document_with_a_damaged_directory_is_read_member_by_member() -> None:
    octets = made.docx(*LINES)[:-30]
    assert blocked(octets, "a.docx") == {("a.docx", Obstacle.DAMAGED)}
    assert any("TỐI MẬT" in text.split("\n") for text in texts(octets, "a.docx"))


def test_without_oletools_macros_are_named_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macros, "VBA_Parser", None)
    octets = made.docx("a", parts={"word/vbaProject.bin": made.vba_project("Sub AutoOpen()")})
    assert dangers(octets) == {Danger.MACRO}
    assert blocked(octets) == {("a", Obstacle.UNSUPPORTED)}
    assert ["oletools" in line for line in missing()] == [True]


def test_without_libarchive_archives_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ffi", None)
    assert blocked(SAMPLES["a.7z"], "a.7z") == {("a.7z", Obstacle.UNSUPPORTED)}
    assert files(SAMPLES["a.zip"], "a.zip") == {"a.zip": "zip", "a.zip > thư mục/b.docx": "docx"}
    assert ["libarchive" in line for line in missing()] == [True]


# -- limits ----------------------------------------------------------------------------------------------


def _nested(depth: int) -> bytes:
    octets = b"x"
    for number in range(depth):
        octets = made.zipped({f"{number}.zip": octets})
    return octets


def _zeros(octets: int) -> bytes:
    """Return raw deflate of zeros, made without them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(octets >> 20)) + packer.flush()


def _zip_of_zeros(octets: int) -> bytes:
    raw, name = _zeros(octets), b"a.bin"
    sizes = struct.pack("<IIIHH", 0, len(raw), octets, len(name), 0)
    local = struct.pack("<4sHHHHH", b"PK\3\4", 20, 0, 8, 0, 0) + sizes + name
    central = struct.pack("<4sHHHHHH", b"PK\1\2", 20, 20, 0, 8, 0, 0) + sizes + bytes(14) + name
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(raw), 0)
    return local + raw + central + end


_TWICE = "/Filter[/FlateDecode/FlateDecode]"
_ENTITIES = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    "octets",
    [
        _zip_of_zeros(300 << 20),
        made.zipped({f"{number}.zip": _zip_of_zeros(300 << 20) for number in range(3)}),
        gzip.compress(b"ab" * (150 << 20)),
        made.pdf("x", objects=[made.stream(bytes(64 << 20))]),
        made.pdf("x", objects=[made.stream(zlib.compress(zlib.compress(bytes(64 << 20))), _TWICE, False)]),
        _ENTITIES.encode(),
        made.docx(parts={"word/footnotes.xml": _ENTITIES}),
    ],
    ids=["zip", "zip of zips", "gz", "pdf", "pdf, twice", "xml", "docx"],
)
def test_bombs(octets: bytes) -> None:
    assert Danger.BOMB in dangers(octets)
    assert {obstacle for _, obstacle in blocked(octets)} == {Obstacle.LIMIT}


@pytest.mark.parametrize(
    ("octets", "limits", "wants"),
    [
        (_nested(3), Limits(depth=4), set[str]()),
        (_nested(4), Limits(depth=4), {"nested more than 4 deep"}),
        (made.zipped({str(number): "x" for number in range(4)}), Limits(files=5), set[str]()),
        (made.zipped({str(number): "x" for number in range(5)}), Limits(files=5), {"more than 5 files"}),
        (made.zipped({"b": "x" * 10}), Limits(octets=10), set[str]()),
        (made.zipped({"b": "x" * 11}), Limits(octets=10), {"more than 10 octets when opened"}),
        (made.zipped({"b": "x" * 11}), Limits(file_octets=10), {"larger than 10 octets"}),
        (b"x" * 10, Limits(letters=10), set[str]()),
        (b"x" * 11, Limits(letters=10), {"more than 10 letters of text"}),
        (made.xlsx(["x" * 50] * 3), Limits(letters=100), {"text of a sheet", "more than 100 letters of text"}),
        (made.xls(*["x" * 50] * 3), Limits(letters=100), {"text of a workbook", "more than 100 letters of text"}),
        (made.xlsb(*[["x" * 50]] * 3), Limits(letters=100), {"more than 100 letters of text"}),
        (made.docx(*["x"] * 9), Limits(steps=1_000), set[str]()),
        (made.docx(*["x"] * 900), Limits(steps=1_000), {"more than 1000 elements"}),
        (made.xlsx(cells="<row><c><v>1</v></c></row>" * 900), Limits(steps=1_000), {"more than 1000 elements"}),
        (made.xlsx(cells='<row><c s="1"/></row>' * 900), Limits(steps=1_000), set[str]()),
        (made.odt(*["x"] * 900), Limits(steps=1_000), {"more than 1000 elements"}),
        (made.xls("a", extra=made.record(0x5D) * 9_000), Limits(steps=5_000), {"more than 5000 elements"}),
        (made.ppt("a", extra=made.atom(1, b"") * 9_000), Limits(steps=5_000), {"more than 5000 elements"}),
        (made.xlsb(*[["a"]] * 9_000), Limits(steps=5_000), {"more than 5000 elements"}),
    ],
)
def test_limits(octets: bytes, limits: Limits, wants: set[str]) -> None:
    details = {each.detail for each in found(octets, "a", limits) if isinstance(each, Uninspected)}
    assert details <= wants
    assert bool(details) == bool(wants)


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"=\n" * 500_000, "a.csv"),
        (b"=" * 1_000_000, "a.csv"),
        (b"begin 644 a\n" * 50_000, "a.txt"),
        (b"begin 644 a\nend" + b"\n" * 500_000 + b"x", "a.txt"),
        (b"{\\rtf1 " + b"{\\f1 a}" * 50_000, "a.rtf"),
        (b"{\\rtf1 " + b"{\\*\\template a" * 50_000, "a.rtf"),
        (b"%PDF-1.4\n" + b"stream\n" * 100_000, "a.pdf"),
        (b"%PDF-1.4\n" + b"1 0 obj <</Filter/FlateDecode>> stream\nendstream endobj\n" * 20_000, "a.pdf"),
        (b"Subject: a\r\nFrom: b\r\n" + b"X-A: b\r\n" * 100_000, "a.eml"),
        (b"PK\3\4" * 200_000, "a.zip"),
        (b"<?xml version='1.0'?>" + b"<a>" * 300_000, "a.xml"),
    ],
)
def test_hostile_files_cost_little(octets: bytes, name: str) -> None:
    started = time.process_time()
    found(octets, name)
    assert time.process_time() - started < 1.5  # a quadratic reader takes minutes


def test_what_was_read_before_a_limit_is_kept() -> None:
    text = "x" * (HEAD_LETTERS + 30)
    shown = [each.text for each in found(text.encode(), "a", Limits(letters=30)) if isinstance(each, Extract)]
    assert shown == [text[:HEAD_LETTERS]]


def test_the_head_of_a_text_is_read_whatever_other_texts_took() -> None:
    """A mark stands at the head of its document: nothing that comes before it in the mail may hide it."""
    octets = made.zipped({"a.txt": "x" * 2_000_000, "b.docx": made.docx("TỐI MẬT", "Số: 5/BC")})
    everything = list(found(octets, "a.zip", Limits(letters=1_000)))
    marked = [each.place for each in everything if isinstance(each, Extract) and "TỐI MẬT" in each.text]
    assert marked == ["a.zip > b.docx"]
    assert {each.obstacle for each in everything if isinstance(each, Uninspected)} == {Obstacle.TRUNCATED}


def test_a_lawful_archive_passes_whole() -> None:
    chance = random.Random(1)
    members: dict[str, str | bytes] = {f"{number}.docx": made.docx(f"Báo cáo {number}") for number in range(499)}
    members["anh.bin"] = chance.randbytes(19 << 20)
    octets = made.zipped(members)
    inspected = found(octets, "a.zip")
    assert [each for each in inspected if isinstance(each, Uninspected)] == []
    assert sum(isinstance(each, File) for each in inspected) == 501
    assert sum(isinstance(each, Extract) for each in inspected) == 499


@pytest.mark.parametrize(
    ("error", "wants"),
    [(KeyError, Obstacle.DAMAGED), (MemoryError, Obstacle.LIMIT), (RecursionError, Obstacle.LIMIT)],
)
def test_an_exception_of_a_library_is_said(
    error: type[Exception], wants: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> Iterator[Extract]:
        yield Extract("a.rtf", TextKind.DOCUMENT, "before")
        raise error("text that nobody may see")

    monkeypatch.setattr("mailgate.documents.rtf.read", read)
    shown, blocked_by, _ = found(made.rtf("x"), "a.rtf")
    assert shown == Extract("a.rtf", TextKind.DOCUMENT, "before")
    assert blocked_by == Uninspected("a.rtf", wants, error.__name__)
