"""Documents as offices have them, by the programs that write them: LibreOffice, python-docx, openpyxl, reportlab, ...

Each is made from a seed, and knows what was put into it: `python -m tests.lab.office make FOLDER [--count N]` writes
ordinary ones, in which nothing is to be found, and ones that bear a mark of secrecy in one of the places where a
document can have it; `python -m tests.lab.office judge FOLDER` reads them, and prints what is wrong; `keep FOLDER`
puts some of each into tests/data/office.zip, for test_office.py.

Making needs soffice, and python-docx, openpyxl, XlsxWriter, xlwt, python-pptx, odfpy, reportlab and pypdf; judging
needs none of them.
"""

import argparse
import io
import json
import random
import re
import subprocess
import sys
import time
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.documents.found import Extract
from mailgate.model import Danger, File, Grade, TextKind, Uninspected
from mailgate.text.marks import marks_in

KEPT = Path(__file__).parents[1] / "data" / "office.zip"
INDEX = "index.json"
MARK = "TUYỆT MẬT"
_SMALL_OCTETS, _MOST_LARGE = 18_000, 4
PASSED = frozenset({Danger.MACRO, Danger.ACTIVE_PDF, Danger.LINKED_WORKBOOK})
"""Dangers that are said, and let through."""

_PEOPLE = ("Nguyễn Văn An", "Trần Thị Mật", "Lê Hoàng Sơn", "Phạm Thu Hà", "Đỗ Đức Thắng", "Vũ Thị Tuyết")
_UNITS = ("Sở Nội vụ", "Văn phòng UBND tỉnh", "Phòng Tư pháp huyện Bình Lục", "Sở Tài chính", "UBND xã Đồn Xá")
_SUBJECTS = (
    "báo cáo kết quả thực hiện nhiệm vụ quý {n}",
    "triển khai Luật Bảo vệ bí mật nhà nước năm {n}",
    "hướng dẫn đổi mật khẩu hộp thư công vụ lần {n}",
    "mật độ dân số các xã tính đến ngày {n} tháng 6",
    "tổ chức hội nghị tổng kết công tác năm, đợt {n}",
    "bảo mật hệ thống thông tin cấp độ {n}",
    "kế hoạch trồng cây, nuôi ong lấy mật ong tại thôn {n}",
)
_SENTENCES = (
    "Thực hiện Công văn số {n}/UBND-NC, {unit} {subject}.",
    "Đề nghị {unit} chủ trì, phối hợp với các đơn vị {subject} trước ngày {n} tháng 12.",
    "Đồng chí {person} chịu trách nhiệm {subject}.",
    "Kinh phí: {n}.000.000 đồng; nguồn: ngân sách địa phương.",
    "Nơi nhận: như trên; lưu: VT, {person} ({n} bản).",
)


@dataclass(frozen=True, slots=True)
class Letter:
    """What an ordinary document says."""

    title: str
    lines: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    header: str
    footer: str
    note: str


@dataclass(frozen=True, slots=True)
class Made:
    """A document: its name, its octets, what was put into it, and where its mark stands, "" for none."""

    name: str
    octets: bytes
    texts: tuple[str, ...]
    place: str = ""


def letter(seed: int, size: int = 8) -> Letter:
    """Return what one document says."""
    chance = random.Random(seed)

    def filled(form: str) -> str:
        subject = chance.choice(_SUBJECTS).format(n=chance.randrange(1, 30))
        return form.format(
            n=chance.randrange(1, 999), unit=chance.choice(_UNITS), person=chance.choice(_PEOPLE), subject=subject
        )

    lines = tuple(filled(chance.choice(_SENTENCES)) for _ in range(chance.randrange(3, size)))
    rows = tuple(
        (str(number), chance.choice(_PEOPLE), chance.choice(_UNITS), str(chance.randrange(10**6)))
        for number in range(1, chance.randrange(3, size))
    )
    return Letter(
        f"Báo cáo số {seed}/BC-UBND",
        lines,
        rows,
        f"UBND TỈNH HÀ NAM {seed}",
        f"Trang in ngày {seed % 28 + 1}",
        f"Ghi chú của {chance.choice(_PEOPLE)} {seed}",
    )


# -- makers --------------------------------------------------------------------------------------------------

Maker = Callable[[Letter, str], tuple[bytes, tuple[str, ...]]]
"""Makes a document of a letter, with the mark in a place ("" for none); returns what was put in beside its lines."""


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


_VML = (
    '<w:r xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:v="urn:schemas-microsoft-com:'
    'vml" xmlns:o="urn:schemas-microsoft-com:office:office"><w:pict><v:shapetype id="_x0000_t136" '
    'coordsize="21600,21600" '
    'o:spt="136" path="m@7,l@8,m@5,21600l@6,21600e"><v:textpath on="t" fitshape="t"/></v:shapetype><v:shape id="W1" '
    'type="#_x0000_t136" style="position:absolute;width:400pt;height:100pt;rotation:315" fillcolor="silver">'
    '<v:textpath style="font-family:&quot;Times New Roman&quot;" string="{}"/></v:shape></w:pict></w:r>'
)
_BOX = (
    '<w:r xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:wp="http://schemas.openxmlformats.'
    'org/drawingml/2006/wordprocessingDrawing" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:'
    'wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><w:drawing><wp:anchor distT="0" '
    'distB="0" '
    'distL="0" distR="0" simplePos="0" relativeHeight="2" behindDoc="0" locked="0" layoutInCell="1" allowOverlap="1">'
    '<wp:simplePos x="0" y="0"/><wp:positionH relativeFrom="page"><wp:posOffset>900000</wp:posOffset></wp:positionH>'
    '<wp:positionV relativeFrom="page"><wp:posOffset>900000</wp:posOffset></wp:positionV><wp:extent cx="1800000" '
    'cy="400000"/><wp:wrapNone/><wp:docPr id="9" name="Box" descr="{descr}"/><a:graphic><a:graphicData uri="http://'
    'schemas.microsoft.com/office/word/2010/wordprocessingShape"><wps:wsp><wps:cNvSpPr txBox="1"/><wps:spPr><a:xfrm>'
    '<a:off x="0" y="0"/><a:ext cx="1800000" cy="400000"/></a:xfrm><a:prstGeom prst="rect"/></wps:spPr><wps:txbx>'
    "<w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:txbxContent></wps:txbx><wps:bodyPr/></wps:wsp>"
    "</a:graphicData></a:graphic></wp:anchor></w:drawing></w:r>"
)


def by_docx(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make a docx by python-docx."""
    docx, oxml = import_module("docx"), import_module("docx.oxml")
    document = docx.Document()
    document.core_properties.title = MARK if place == "title" else said.title
    section = document.sections[0]
    section.header.paragraphs[0].text = MARK if place == "header" else said.header
    section.footer.paragraphs[0].text = MARK if place == "footer" else said.footer
    if place == "first paragraph":
        document.add_paragraph(MARK)
    document.add_heading(said.title, 1)
    for line in said.lines:
        document.add_paragraph(line)
    table = document.add_table(len(said.rows), 4)
    for row, cells in zip(table.rows, said.rows, strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    if place == "cell":
        table.rows[0].cells[1].text = MARK
    paragraph = section.header.paragraphs[0] if place == "watermark" else document.add_paragraph()
    if place == "watermark":
        paragraph._p.append(oxml.parse_xml(_VML.format(MARK)))
    box = MARK if place == "text box" else said.note
    paragraph = document.add_paragraph()
    paragraph._p.append(oxml.parse_xml(_BOX.format(text=box, descr=MARK if place == "description" else "Hình")))
    if place == "comment":
        document.add_comment(paragraph.add_run("x"), MARK, "A", "A")
    kept = [text for text in (said.header, said.footer) if place != "watermark" or text == said.footer]
    return _saved(document), tuple(kept if not place else [])


def by_openpyxl(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make an xlsx by openpyxl."""
    openpyxl, comments = import_module("openpyxl"), import_module("openpyxl.comments")
    charts = import_module("openpyxl.chart")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = MARK if place == "name of a sheet" else "Biểu 1"
    for line in said.lines:
        sheet.append([line])
    for row in said.rows:
        sheet.append([*row[:3], int(row[3])])
    hidden = book.create_sheet("Phụ lục")
    hidden.sheet_state = "hidden"
    hidden.append([MARK if place == "hidden sheet" else said.note])
    sheet["A2"].comment = comments.Comment(MARK if place == "comment" else said.footer, "A")
    if place == "cell":
        sheet["A1"] = MARK
    sheet.oddHeader.left.text = "&K01+000" + MARK if place == "header" else said.header
    sheet.HeaderFooter.differentOddEven = True
    sheet.evenFooter.center.text = MARK if place == "even footer" else "x"
    if place == "chart":
        chart = charts.BarChart()
        chart.title = MARK
        chart.add_data(charts.Reference(sheet, min_col=4, min_row=len(said.lines) + 1, max_row=len(said.lines) + 3))
        sheet.add_chart(chart, "H2")
    book.properties.title = MARK if place == "title" else said.title
    return _saved(book), (said.note,) if place != "hidden sheet" else ()


def by_xlsxwriter(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make an xlsx by XlsxWriter."""
    out = io.BytesIO()
    book = import_module("xlsxwriter").Workbook(out, {"in_memory": True})
    sheet = book.add_worksheet()
    bold = book.add_format({"bold": True})
    for number, line in enumerate(said.lines):
        sheet.write_rich_string(number, 0, line[:6], bold, line[6:])
    for number, row in enumerate(said.rows, len(said.lines)):
        sheet.write_row(number, 0, row)
    sheet.insert_textbox(1, 6, MARK if place == "text box" else said.note, {"description": "Hộp"})
    if place == "description":
        sheet.insert_textbox(9, 6, "x", {"description": MARK})
    if place == "formula":
        sheet.write_formula(0, 9, '="TUYỆT"&" MẬT"', None, MARK)
    if place == "prompt":
        sheet.data_validation(0, 9, 0, 9, {"validate": "any", "input_title": "x", "input_message": MARK})
    sheet.set_footer("&C&12" + MARK if place == "footer" else "&CTrang &P")
    book.close()
    return out.getvalue(), (said.note,) if place != "text box" else ()


def by_xlwt(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make an xls by xlwt."""
    book = import_module("xlwt").Workbook(encoding="utf-8")
    sheet = book.add_sheet(MARK if place == "name of a sheet" else "Biểu 1")
    for number, line in enumerate(said.lines):
        sheet.write(number, 0, line)
    for number, row in enumerate(said.rows, len(said.lines)):
        for column, text in enumerate(row):
            sheet.write(number, column, int(text) if text.isdigit() else text)
    if place == "cell":
        sheet.write(1, 5, MARK)
    # The property takes octets, which its record does not.
    sheet._Worksheet__header_str = "&L&8" + (MARK if place == "header" else said.header)
    return _saved(book), (said.header,) if place != "header" else ()


def by_pptx(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make a pptx by python-pptx."""
    pptx, data = import_module("pptx"), import_module("pptx.chart.data")
    show = pptx.Presentation()
    show.core_properties.title = MARK if place == "title of the file" else said.title
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = MARK if place == "title" else said.title
    slide.placeholders[1].text = "\n".join(said.lines)
    box = slide.shapes.add_textbox(0, 0, 3_000_000, 900_000)
    box.text_frame.text = MARK if place == "text box" else said.header
    if place == "description":
        box._element.nvSpPr.cNvPr.set("descr", MARK)
    table = slide.shapes.add_table(len(said.rows), 4, 0, 4_000_000, 5_000_000, 900_000).table
    for number, row in enumerate(said.rows):
        for column, text in enumerate(row):
            table.cell(number, column).text = text
    if place == "cell":
        table.cell(0, 1).text = MARK
    slide.notes_slide.notes_text_frame.text = MARK if place == "notes" else said.note
    if place == "chart":
        values = data.CategoryChartData()
        values.categories = ["a"]
        values.add_series("b", (1,))
        chart = slide.shapes.add_chart(51, 0, 0, 3_000_000, 3_000_000, values).chart
        chart.has_title = True
        chart.chart_title.text_frame.text = MARK
    return _saved(show), ((said.note,) if place != "notes" else ()) + ((said.header,) if place != "text box" else ())


def by_odf(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make an odt by odfpy."""
    opendocument, text = import_module("odf.opendocument"), import_module("odf.text")
    dc, office, style = import_module("odf.dc"), import_module("odf.office"), import_module("odf.style")
    document = opendocument.OpenDocumentText()
    document.meta.addElement(dc.Title(text=MARK if place == "title" else said.title))
    layout = style.PageLayout(name="P")
    document.automaticstyles.addElement(layout)
    page = style.MasterPage(name="Standard", pagelayoutname="P")
    document.masterstyles.addElement(page)
    header = style.Header()
    header.addElement(text.P(text=MARK if place == "header" else said.header))
    page.addElement(header)
    document.text.addElement(text.H(outlinelevel=1, text=said.title))
    for line in said.lines:
        document.text.addElement(text.P(text=line))
    for row in said.rows:
        paragraph = text.P(text=row[0])
        for cell in row[1:]:
            paragraph.addElement(text.Tab())
            paragraph.addText(cell)
        document.text.addElement(paragraph)
    if place == "comment":
        paragraph = text.P(text="x")
        comment = office.Annotation()
        comment.addElement(text.P(text=MARK))
        paragraph.addElement(comment)
        document.text.addElement(paragraph)
    return _saved(document), (said.header,) if place != "header" else ()


def by_reportlab(said: Letter, place: str) -> tuple[bytes, tuple[str, ...]]:
    """Make a pdf by reportlab, and with pypdf what it has not."""
    canvas, pages = import_module("reportlab.pdfgen.canvas"), import_module("reportlab.lib.pagesizes")
    metrics, fonts = import_module("reportlab.pdfbase.pdfmetrics"), import_module("reportlab.pdfbase.ttfonts")
    metrics.registerFont(fonts.TTFont("D", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"))
    out = io.BytesIO()
    page = canvas.Canvas(out, pages.A4)
    page.setTitle(MARK if place == "title" else said.title)
    page.setFont("D", 9)
    if place == "beside the date":
        page.drawString(340, 780, "Hà Nam, ngày 5 tháng 5 năm 2026")
        page.drawString(60, 780, MARK)
    elif place == "behind the date":
        page.drawString(60, 780, MARK)
        page.drawString(340, 780, "Hà Nam, ngày 5 tháng 5 năm 2026")
    for number, line in enumerate((said.title, *said.lines)):
        page.drawString(40, 750 - 16 * number, line)
    for number, row in enumerate(said.rows):
        for column, text in enumerate(row):
            page.drawString(40 + 140 * column, 550 - 16 * number, text)
    if place == "watermark":
        page.saveState()
        page.translate(300, 300)
        page.rotate(45)
        page.setFont("D", 60)
        page.drawCentredString(0, 0, MARK)
        page.restoreState()
    if place == "field":
        page.acroForm.textfield(name="a", x=60, y=60, width=200, height=20)
    page.showPage()
    page.save()
    return _annotated(out.getvalue(), place), ()


def _annotated(octets: bytes, place: str) -> bytes:
    """Return a pdf with the mark in an annotation, or in the field of its form."""
    pypdf, generic = import_module("pypdf"), import_module("pypdf.generic")
    kinds = {"free text": "/FreeText", "note": "/Text", "stamp": "/Stamp", "stamp that draws": "/Stamp"}
    if place not in (*kinds, "field"):
        return octets
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(octets))
    name, text = generic.NameObject, generic.TextStringObject
    if place == "field":
        for reference in writer.pages[0]["/Annots"]:
            reference.get_object()[name("/V")] = text(MARK)
    else:
        rectangle = generic.ArrayObject([generic.FloatObject(each) for each in (60, 60, 200, 90)])
        values = {"/Type": name("/Annot"), "/Subtype": name(kinds[place]), "/Rect": rectangle}
        if place == "stamp that draws":
            form = generic.DecodedStreamObject()
            form.set_data(b"BT /F1 12 Tf 2 2 Td (MAT 1) Tj ET")
            values["/AP"] = generic.DictionaryObject(
                {name("/N"): writer._add_object(_appearance(generic, form, writer))}
            )
        else:
            values["/Contents"] = text(MARK)
        known = {name(key): value for key, value in values.items()}
        annotation = writer._add_object(generic.DictionaryObject(known))
        writer.pages[0][name("/Annots")] = generic.ArrayObject([annotation])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _appearance(generic: Any, form: Any, writer: Any) -> Any:
    """Return what a stamp draws: letters of the page's own font, that show as the mark."""
    name = generic.NameObject
    page = writer.pages[0]
    fonts = page["/Resources"]["/Font"]
    key, font = next(iter(fonts.items()))
    codes = _codes(font.get_object())
    shown = b"".join(bytes([codes[letter]]) for letter in MARK if letter in codes)
    form.set_data(b"BT " + key.encode() + b" 12 Tf 2 2 Td <" + shown.hex().encode() + b"> Tj ET")
    form.update(
        {
            name("/Type"): name("/XObject"),
            name("/Subtype"): name("/Form"),
            name("/BBox"): generic.ArrayObject([generic.FloatObject(each) for each in (0, 0, 140, 30)]),
            name("/Resources"): generic.DictionaryObject({name("/Font"): fonts}),
        }
    )
    return form


def _codes(font: Any) -> dict[str, int]:
    """Return which octet shows which letter, by the table of a font."""
    table = font["/ToUnicode"].get_object().get_data().decode("latin-1")
    pairs = re.findall(r"<([0-9A-F]{2})> <[0-9A-F]{2}> <([0-9A-F]{4})>|<([0-9A-F]{2})> <([0-9A-F]{4})>", table)
    return {chr(int(b or d, 16)): int(a or c, 16) for a, b, c, d in pairs}


_MAKERS: tuple[tuple[str, str, Maker, tuple[str, ...]], ...] = (
    (
        "python-docx",
        "docx",
        by_docx,
        ("first paragraph", "header", "footer", "cell", "title", "watermark", "text box", "description", "comment"),
    ),
    (
        "openpyxl",
        "xlsx",
        by_openpyxl,
        ("cell", "name of a sheet", "hidden sheet", "comment", "header", "even footer", "chart", "title"),
    ),
    ("xlsxwriter", "xlsx", by_xlsxwriter, ("text box", "description", "formula", "prompt", "footer")),
    ("xlwt", "xls", by_xlwt, ("cell", "name of a sheet", "header")),
    (
        "python-pptx",
        "pptx",
        by_pptx,
        ("title", "text box", "cell", "notes", "description", "chart", "title of the file"),
    ),
    ("odfpy", "odt", by_odf, ("header", "title", "comment")),
    (
        "reportlab",
        "pdf",
        by_reportlab,
        ("beside the date", "behind the date", "title", "watermark", "free text", "note", "stamp", "field"),
    ),
)
# What LibreOffice makes of each, and what it leaves out there: it draws WordArt in a PDF as curves, and so on.
_CONVERTED = {
    "docx": ("doc", "odt", "rtf", "pdf", "docx"),
    "xlsx": ("xls", "ods", "pdf", "xlsx"),
    "xls": ("xlsx", "ods"),
    "pptx": ("ppt", "odp", "pdf", "pptx"),
    "odt": ("doc", "docx", "pdf", "rtf"),
    "pdf": (),
}
_LEFT_OUT = {
    ("xls", "even footer"),
    *((kind, "formula") for kind in ("xls", "pdf")),  # it has no last value there
    *((kind, "description") for kind in ("doc", "xls", "xlsx", "ppt", "pptx")),
    ("pdf", "watermark"),
    ("pdf", "description"),
    ("pdf", "comment"),
    ("pdf", "hidden sheet"),
    ("pdf", "name of a sheet"),
    ("pdf", "notes"),
    ("pdf", "prompt"),
    ("pdf", "even footer"),
    ("rtf", "description"),
}


def made(count: int, folder: Path) -> Iterator[Made]:
    """Yield ordinary documents of `count` letters by each maker, marked ones, and what LibreOffice makes of all."""
    for program, kind, maker, places in _MAKERS:
        for number, place in enumerate([""] * count + list(places)):
            said = letter(number + 1_000 * len(program))
            octets, more = maker(said, place)
            name = f"{program}-{(place or str(number)).replace(' ', '-')}"
            cells = [cell for row in said.rows for cell in row[1:3]]
            first = Made(f"{name}.{kind}", octets, () if place else (*said.lines, *cells, *more), place)
            yield first
            (folder / "source").mkdir(parents=True, exist_ok=True)
            (folder / "source" / first.name).write_bytes(octets)
            (folder / "source" / f"{first.name}.json").write_text(
                json.dumps([[] if place else said.lines, first.texts, place])
            )
    for kind, targets in _CONVERTED.items():
        sources = sorted((folder / "source").glob(f"*.{kind}"))
        for target in targets:
            yield from _converted(sources, target, folder / "converted" / f"{kind}-{target}")


def _converted(sources: Sequence[Path], target: str, out: Path) -> Iterator[Made]:
    profile = out.parent / "profile"
    for at in range(0, len(sources), 100):
        command = [
            "soffice",
            f"-env:UserInstallation=file://{profile.absolute()}",
            "--headless",
            "--convert-to",
            target,
        ]
        command += ["--outdir", str(out), *map(str, sources[at : at + 100])]
        subprocess.run(command, check=True, capture_output=True, timeout=1_800)
    for source in sources:
        path = out / f"{source.stem}.{target}"
        lines, texts, place = json.loads(Path(f"{source}.json").read_text())
        if path.exists() and (target, place) not in _LEFT_OUT:
            if target == "pdf":  # it has what pages show, cells of tables broken into lines, and those of sheets cut
                texts = [] if source.suffix in (".xlsx", ".xls") else lines
            yield Made(f"{source.stem}-{source.suffix[1:]}.{target}", path.read_bytes(), tuple(texts), place)


# -- judging -------------------------------------------------------------------------------------------------


def faults(octets: bytes, name: str, texts: Sequence[str], place: str) -> list[str]:
    """Return what is wrong with how a document is judged, nothing where all is well."""
    found = list(merged(look_into(octets, name, "", name, Budget())))
    wrong = [f"{each.obstacle}: {each.detail}" for each in found if isinstance(each, Uninspected)]
    for file in found:
        if isinstance(file, File):
            wrong += [f"{danger}: {detail}" for danger, detail in file.dangers if danger not in PASSED]
    shown = [each for each in found if isinstance(each, Extract)]
    wrong += [f"charset {each.charset}" for each in shown if each.charset]
    held = any(mark.grade is Grade.HOLD for each in shown for mark in marks_in(each.text, each.kind))
    if held != bool(place):
        wrong.append(f"no mark in: {place}" if place else "a mark")
    whole = _plain(" ".join([each.text for each in shown if each.kind is TextKind.DOCUMENT]))
    return wrong + [f"no text: {text}" for text in texts if _plain(text) not in whole]


def _plain(text: str) -> str:
    """Return a text without blanks, which programs set and break as they like."""
    return "".join(unicodedata.normalize("NFC", text).split())


def main() -> None:
    """Make documents, or judge them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("act", choices=("make", "judge", "keep"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=40, help="ordinary letters by each maker; 40 make some 1,000")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if arguments.act == "make":
        folder.mkdir(parents=True, exist_ok=True)
        index = {}
        for document in made(arguments.count, folder):
            (folder / document.name).write_bytes(document.octets)
            index[document.name] = [document.texts, document.place]
        (folder / INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=0))
        print(f"{len(index)} documents in {folder}")
        return
    if arguments.act == "keep":
        _keep(folder)
        return
    sys.exit(_judge(folder))


def _keep(folder: Path) -> None:
    """Keep the small ones, and of the others some of each kind, as large as they are."""
    index = json.loads((folder / INDEX).read_text())
    kept: dict[str, Any] = {}
    kinds: Counter[tuple[str, bool]] = Counter()
    chance = random.Random(1)
    for name in sorted(index, key=lambda _: chance.random()):
        kind = (name.rpartition(".")[2], bool(index[name][1]))
        if len(zlib.compress((folder / name).read_bytes())) > _SMALL_OCTETS:
            if kinds[kind] >= _MOST_LARGE:
                continue
            kinds[kind] += 1
        kept[name] = index[name]
    with zipfile.ZipFile(KEPT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(zipfile.ZipInfo(INDEX), json.dumps(kept, ensure_ascii=False, indent=0))
        for name in sorted(kept):
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    print(f"{len(kept)} documents in {KEPT.name}, {KEPT.stat().st_size} octets")


def _judge(folder: Path) -> int:
    index = json.loads((folder / INDEX).read_text())
    wrong: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    started = time.process_time()
    for name, (texts, place) in index.items():
        kinds[f"{'marked' if place else 'ordinary'} {name.rpartition('.')[2]}"] += 1
        for fault in faults((folder / name).read_bytes(), name, texts, place):
            wrong[fault.partition(":")[0]] += 1
            print(f"{name}: {fault}")
    print(f"{len(index)} documents, {time.process_time() - started:.1f} s; {dict(kinds)}; wrong: {dict(wrong)}")
    return int(bool(wrong))


if __name__ == "__main__":
    main()
