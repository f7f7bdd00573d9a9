"""Every place where a document of any family can bear a mark of secrecy: what stands there is read, and is held."""

import struct
from collections.abc import Callable

import pytest
from tests.lab import documents as made

from mailgate.documents.budget import Budget
from mailgate.documents.content import Extract, look_into, merged
from mailgate.model import Grade, Uninspected
from mailgate.text.marks import marks_in

MARK = "TUYỆT MẬT"
OTHER = "BÁO CÁO X"  # as long as the mark
_VML = 'xmlns:v="urn:schemas-microsoft-com:vml"'


def extracts(octets: bytes, name: str) -> list[Extract]:
    return [each for each in merged(look_into(octets, name, "", name, Budget())) if isinstance(each, Extract)]


def held(octets: bytes, name: str) -> bool:
    """Tell whether a document has a mark that holds a mail."""
    shown = extracts(octets, name)
    return any(mark.grade is Grade.HOLD for each in shown for mark in marks_in(each.text, each.kind))


def _word(body: str = "", **parts: str) -> bytes:
    return made.docx("Kính gửi", body=body, parts={f"word/{name}.xml": part for name, part in parts.items()})


def _relations(*targets: tuple[str, str]) -> str:
    inner = "".join(
        f'<Relationship Id="r{number}" Type="{made.R}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets)
    )
    return f'<Relationships xmlns="{made.RELATIONS}">{inner}</Relationships>'


def _sheet(inner: str) -> str:
    return f'<worksheet xmlns="{made.S}">{inner}</worksheet>'


def _header(text: str, element: str = "oddHeader") -> bytes:
    return made.xlsx(["a"], parts={"xl/worksheets/sheet2.xml": _sheet(f"<{element}>{text}</{element}>")})


def _odf(body: str, kind: str = "text", **parts: str) -> bytes:
    return made.odt("a", body=body, kind=kind, parts={f"{name}.xml": part for name, part in parts.items()})


_CAPITALS = (
    '<style:style xmlns:style="s" style:name="C" style:family="text"><style:text-properties '
    'text-transform="uppercase"/></style:style>'
)


def _rtf(head: str) -> bytes:
    return made.rtf("a", head=head)


def _pdf(annotation: str, *more: bytes, text: str = "a", catalog: str = "") -> bytes:
    """Return a PDF whose page has one annotation, of which object 7 is; further objects are 8, 9, ..."""
    octets = made.pdf(text, objects=[annotation.encode("latin-1"), *more], catalog=catalog)
    return octets.replace(b"/Type/Page/", b"/Annots[7 0 R]/Type/Page/")


def _in_word(mark: str) -> dict[str, bytes]:
    """Return where a docx has the mark."""
    drawn = f"<a:p><a:r><a:t>{mark}</a:t></a:r></a:p>"
    return {
        "WordArt, as watermarks": _word(
            header1=f'<hdr {_VML}><v:shape><v:textpath string="{mark}"/></v:shape></hdr>'
        ),
        "text box": _word(
            f"<w:p><w:r><w:drawing><w:txbxContent>{made.paragraph(mark)}</w:txbxContent></w:drawing></w:r></w:p>"
        ),
        "header": _word(header3=made.word_part("hdr", mark)),
        "footer": _word(footer2=made.word_part("ftr", mark)),
        "footnote": _word(footnotes=made.word_part("footnotes", mark)),
        "endnote": _word(endnotes=made.word_part("endnotes", mark)),
        "comment": _word(comments=made.word_part("comments", mark)),
        "description of a picture": _word(f'<w:drawing><w:docPr descr="{mark}"/></w:drawing>'),
        "title of a picture": _word(f'<w:drawing><w:docPr title="{mark}"/></w:drawing>'),
        "description of a shape": _word(f'<w:pict {_VML}><v:shape alt="{mark}"/></w:pict>'),
        "caption of a table": _word(f'<w:tblPr><w:tblCaption w:val="{mark}"/></w:tblPr>'),
        "deleted text": _word(f"<w:p><w:r><w:delText>{mark}</w:delText></w:r></w:p>"),
        "small capitals": _word(made.paragraph(mark.capitalize(), "<w:smallCaps/>")),
        "chart": made.docx("a", parts={"word/charts/chart1.xml": made.slide(mark)}),
        "diagram": made.docx("a", parts={"word/diagrams/data1.xml": f'<d xmlns:a="{made.A}"><t>{drawn}</t></d>'}),
        "title": made.docx("a", parts={"docProps/core.xml": f"<c><title>{mark}</title></c>"}),
        "subject": made.docx("a", parts={"docProps/core.xml": f"<c><subject>{mark}</subject></c>"}),
        "property of its own": made.docx("a", parts={"docProps/custom.xml": f"<c><p><v>{mark}</v></p></c>"}),
        "data of a control": made.docx("a", parts={"customXml/item1.xml": f"<c>{mark}</c>"}),
        "part with the name of a theme": made.zipped(
            {
                "[Content_Types].xml": made.TYPES,
                "_rels/.rels": _relations(("officeDocument", "word/theme/theme1.xml")),
                "word/theme/theme1.xml": made.word_part("document", mark),
            }
        ),
    }


def _in_excel(mark: str) -> dict[str, bytes]:
    """Return where an xlsx or xlsb has it."""
    renamed = made.zipped(
        {
            "[Content_Types].xml": made.TYPES,
            "xl/workbook.xml": f'<workbook xmlns="{made.S}"/>',
            "xl/_rels/workbook.xml.rels": _relations(
                ("sharedStrings", "theme/a.xml"), ("worksheet", "/xl/styles.xml")
            ),
            "xl/theme/a.xml": f'<sst xmlns="{made.S}"><si><t>{mark}</t></si></sst>',
            "xl/styles.xml": _sheet('<sheetData><row><c t="s"><v>0</v></c></row></sheetData>'),
        }
    )
    return {
        "cell": made.xlsx([mark]),
        "header with a colour of the theme": _header(f"&amp;L&amp;K01+000{mark}"),
        "header with a font and a size": _header(f'&amp;C&amp;"Arial,Bold"&amp;12{mark}&amp;RTrang &amp;P'),
        "header that is bold in part": _header(f"&amp;C{mark[:6]}&amp;B{mark[6:]}"),
        "first footer": _header(f"&amp;C{mark}", "firstFooter"),
        "even header": _header(f"&amp;R&amp;KFF0000{mark}", "evenHeader"),
        "name of a sheet": made.xlsx(
            ["a"],
            parts={"xl/workbook.xml": f'<w><sheets><sheet name="{mark}" state="veryHidden"/></sheets></w>'},
        ),
        "comment": made.xlsx(
            ["a"], parts={"xl/comments1.xml": f"<c><comment><text><t>{mark}</t></text></comment></c>"}
        ),
        "comment of a thread": made.xlsx(["a"], parts={"xl/threadedComments/t.xml": f"<c><text>{mark}</text></c>"}),
        "drawing": made.xlsx(["a"], parts={"xl/drawings/drawing1.xml": made.slide(mark)}),
        "description": made.xlsx(["a"], parts={"xl/drawings/drawing1.xml": f'<d><cNvPr descr="{mark}"/></d>'}),
        "chart": made.xlsx(["a"], parts={"xl/charts/chart1.xml": made.slide(mark)}),
        "category of a chart": made.xlsx(["a"], parts={"xl/charts/chart1.xml": f"<c><pt><v>{mark}</v></pt></c>"}),
        "category of a newer chart": made.xlsx(["a"], parts={"xl/charts/chartEx1.xml": f"<c><pt>{mark}</pt></c>"}),
        "cached values": made.xlsx(["a"], parts={"xl/pivotCache/p.xml": f'<c><s v="{mark}"/></c>'}),
        "prompt": made.xlsx(["a"], parts={"xl/worksheets/sheet2.xml": _sheet(f'<dataValidation prompt="{mark}"/>')}),
        "control": made.xlsx(["a"], parts={"xl/drawings/vml1.vml": f"<x><v><div><font>{mark}</font></div></v></x>"}),
        "control that is no XML": made.xlsx(["a"], parts={"xl/drawings/vml1.vml": f"<x><div><br>{mark}</div></x>"}),
        "parts with names of others": renamed,
        "text of a formula": made.xlsx(cells=f'<row><c t="str"><f>A1</f><v>{mark}</v></c></row>'),
        "binary: shared string": made.xlsb([mark]),
        "binary: cell": made.xlsb(["a", mark]),
        "binary: header": made.xlsb(["a"], header=f"&L&K01+000{mark}"),
        "binary: name of a sheet": made.xlsb(["a"], name=mark),
        "binary: comment": made.xlsb(
            ["a"], parts={"xl/comments1.bin": made.binary_record(637, b"\0" + made.wide(mark))}
        ),
        "binary: drawing": made.xlsb(["a"], parts={"xl/drawings/drawing1.xml": made.slide(mark).encode()}),
    }


def _in_powerpoint(mark: str) -> dict[str, bytes]:
    """Return where a pptx has it."""
    drawn = f"<a:p><a:r><a:t>{mark}</a:t></a:r></a:p>"
    return {
        "slide": made.pptx(mark),
        **{
            part: made.pptx("a", parts={f"ppt/{part}1.xml": made.slide(mark)})
            for part in ("notesSlides/n", "slideMasters/m", "slideLayouts/l", "charts/c", "handoutMasters/h")
        },
        "comment": made.pptx("a", parts={"ppt/comments/c.xml": f"<c><cm><text>{mark}</text></cm></c>"}),
        "diagram": made.pptx("a", parts={"ppt/diagrams/data1.xml": f'<d xmlns:a="{made.A}"><t>{drawn}</t></d>'}),
        "description": made.pptx("a", parts={"ppt/slides/slide2.xml": f'<s><cNvPr descr="{mark}"/></s>'}),
    }


def _in_odf(mark: str) -> dict[str, bytes]:
    """Return where a file of OpenDocument has it."""
    return {
        "title of a drawing": _odf(f"<frame><title>{mark}</title></frame>"),
        "description of a drawing": _odf(f"<frame><desc>{mark}</desc></frame>"),
        "text box": _odf(f"<frame><text-box><text:p>{mark}</text:p></text-box></frame>"),
        "WordArt": _odf(f"<custom-shape><text:p>{mark}</text:p></custom-shape>"),
        "comment": _odf(f"<text:p>a<annotation><text:p>{mark}</text:p></annotation></text:p>"),
        "header": _odf("", styles=f"<s><header><p>{mark}</p></header></s>"),
        "title": _odf("", meta=f"<m><title>{mark}</title></m>"),
        "value of a field": _odf(f'<user-field-decl string-value="{mark}"/>'),
        "control": _odf(
            '<form xmlns:form="urn:oasis:names:tc:opendocument:xmlns:form:1.0">'
            f'<form:button form:label="{mark}"/></form>'
        ),
        "capitals by style": _odf(
            f'{_CAPITALS}<text:p><text:span style-name="C">{mark.capitalize()}</text:span></text:p>'
        ),
        "name of a sheet": _odf(f'<spreadsheet><table:table table:name="{mark}"/></spreadsheet>', "spreadsheet"),
        "value of a cell": _odf(
            f'<table:table-row><table:table-cell string-value="{mark}"/></table:table-row>', "spreadsheet"
        ),
        "header of slides": _odf(f"<header-decl>{mark}</header-decl>", "presentation"),
        "notes": _odf(f"<notes><frame><text-box><text:p>{mark}</text:p></text-box></frame></notes>", "presentation"),
        "chart": made.odt("a", parts={"Object 1/content.xml": f"<c><title><p>{mark}</p></title></c>"}),
    }


def _in_ole(mark: str) -> dict[str, bytes]:
    """Return where a compound file has it."""
    title = {"\x05SummaryInformation": made.summary((2, mark))}
    wide = mark.encode("utf-16-le")
    return {
        "doc: text": made.doc(f"a\r{mark}\r"),
        "doc: WordArt": made.doc("a", art=made.word_art(mark)),
        "doc: description": made.doc("a", art=made.word_art(mark, 0x0381)),
        "doc: title": made.doc("a", streams=title),
        "doc: names in capitals": made.doc(f"{mark}\r").replace(
            "WordDocument".encode("utf-16-le"), "WORDDOCUMENT".encode("utf-16-le")
        ),
        "xls: WordArt": made.xls("a", extra=made.record(0xEC, made.word_art(mark))),
        "xls: WordArt in two records": made.xls(
            "a",
            extra=made.record(0xEC, made.word_art(mark)[:20])
            + made.record(0x5D)
            + made.record(0xEC, made.word_art(mark)[20:]),
        ),
        "xls: header": made.xls(
            "a", extra=made.record(0x14, struct.pack("<HB", 11, 1) + f"&C{mark}".encode("utf-16-le"))
        ),
        "xls: text box": made.xls(
            "a",
            extra=made.record(0x1B6, bytes(10) + struct.pack("<H", 9) + bytes(6)) + made.record(0x3C, b"\1" + wide),
        ),
        "xls: chart": made.xls("a", extra=made.record(0x100D, struct.pack("<HBB", 0, 9, 1) + wide)),
        "xls: prompt": made.xls("a", extra=made.record(0x1BE, bytes(4) + 4 * (struct.pack("<HB", 9, 1) + wide))),
        "xls: name of a sheet": made.xls("a", extra=made.record(0x85, struct.pack("<IHBB", 0, 0, 9, 1) + wide)),
        "xls: as a stream alone": made.workbook(mark),
        "xls: Book": made.ole({"BOOK": made.workbook(mark).ljust(4_096, b"\0")}),
        "xls: a graph": made.ole(
            {
                "workbook": made.record(0x809, struct.pack("<HH", 0x600, 0x20))
                + made.record(0x100D, struct.pack("<HBB", 0, 9, 1) + wide)
            }
        ),
        "ppt: text": made.ppt(mark),
        "ppt: WordArt": made.ppt("a", extra=made.word_art(mark)),
        "ppt: behind a record that is too long": made.ppt(
            "a",
            extra=struct.pack("<HHI", 0x0F, 0x0428, 12)
            + struct.pack("<HHI", 0, 0x0403, 9_999)
            + bytes(4)
            + made.atom(0x0FA0, wide),
        ),
        "msg: subject": made.msg(mark, "a"),
        "msg: body": made.msg("a", f"x\n{mark}\n"),
        "msg: attached doc": made.msg("a", "b", {"c.pdf": made.doc(f"{mark}\r")}),
        "msg: attached xls": made.msg("a", "b", {"c.xls": made.xls(mark)}),
        "msg: attached msg": made.msg("a", "b", {"c.msg": made.msg(mark, "d")}),
        "msg: message attached": made.msg(
            "a", "b", further={"__attach_version1.0_#0/__substg1.0_3701000D/__substg1.0_0037001F": wide}
        ),
        "msg: object attached": made.msg(
            "a",
            "b",
            further={"__attach_version1.0_#0/__substg1.0_3701000D/Workbook": made.workbook(mark).ljust(4_096, b"\0")},
        ),
        "msg: compressed RTF alone": made.msg(
            "a", "b", further={"__substg1.0_10090102": made.compressed_rtf(made.rtf(mark))}
        ),
    }


def _in_rtf(mark: str) -> dict[str, bytes]:
    """Return where an RTF has it."""
    word = _escaped(mark)
    return {
        "title": _rtf(rf"{{\info{{\title {word}}}{{\author A}}}}"),
        "subject": _rtf(rf"{{\info{{\author A}}{{\subject {word}}}}}"),
        "title in Unicode beside ANSI": _rtf(rf"{{\info{{\title{{\upr{{TUY?T}}{{\*\ud{{{word}}}}}}}}}}}"),
        "behind the author": _rtf(rf"{{\info{{\author A}}{{\operator B}}}}\pard {word}\par "),
        "header": _rtf(rf"{{\header {word}\par}}"),
        "header without an end of a paragraph": _rtf(rf"{{\headerf {word}}}x\par "),
        "footnote": _rtf(rf"x{{\footnote {word}}}y\par "),
        "comment": _rtf(rf"x{{\*\annotation {word}}}y\par "),
        "text box": _rtf(rf"{{\shp{{\*\shpinst{{\shptxt {word}\par}}}}}}x\par "),
        "WordArt": _rtf(
            rf"{{\shp{{\*\shpinst{{\sp{{\sn gtextUNICODE}}{{\sv {word}}}}}{{\sp{{\sn x}}{{\sv 1}}}}}}}}x\par "
        ),
        "description": _rtf(rf"{{\pict{{\*\picprop{{\sp{{\sn wzDescription}}{{\sv {word}}}}}}}00ff}}x\par "),
        "small capitals": _rtf(rf"\scaps {_escaped(mark.capitalize())}\scaps0\par "),
    }


def _in_pdf(mark: str) -> dict[str, bytes]:
    """Return where a PDF has it."""
    word = "<feff" + mark.encode("utf-16-be").hex() + ">"
    place = "/Type/Annot/Rect[60 60 300 90]"
    letters = "".join(sorted(set(mark)))
    return {
        **{
            kind: _pdf(f"<<{place}/Subtype/{kind}/Contents{word}>>")
            for kind in ("FreeText", "Text", "Stamp", "Square", "Highlight", "Popup", "Watermark", "Redact")
        },
        "value of a field": _pdf(
            f"<<{place}/Subtype/Widget/FT/Tx/T(a)/V{word}>>", catalog="/AcroForm<</Fields[7 0 R]>>"
        ),
        "value that a field has at first": _pdf(
            f"<<{place}/Subtype/Widget/FT/Tx/T(a)/DV{word}>>", catalog="/AcroForm<</Fields[7 0 R]>>"
        ),
        "value of the field above": _pdf(
            f"<<{place}/Subtype/Widget/Parent 8 0 R>>",
            f"<</FT/Tx/T(a)/V{word}/Kids[7 0 R]>>".encode(),
            catalog="/AcroForm<</Fields[8 0 R]>>",
        ),
        "hidden note": _pdf(f"<<{place}/Subtype/Text/F 2/Contents{word}>>"),
        "rich text": _pdf(f"<<{place}/Subtype/FreeText/RC(<p>x</p>)/Contents{word}>>"),
        "title": made.pdf("a", objects=[f"<</Title{word}>>".encode()]).replace(b"/Root", b"/Info 7 0 R/Root"),
        "drawn by a stamp": _pdf(f"<<{place}/Subtype/Stamp/AP<</N 8 0 R>>>>", _drawn(mark), text=letters),
        "font from before Unicode": made.pdf(_before_unicode(mark)).replace(
            b"/BaseFont/Helvetica", b"/BaseFont/ABCDEF+.VnTimeH"
        ),
        "two columns": made.pdf(f"a\n{mark}{' ' * 40}").replace(b"", b""),
        "form in XML": made.pdf(
            "a",
            catalog="/AcroForm<</Fields[]/XFA[(datasets)7 0 R]>>",
            objects=[made.stream(f"<d><a>{mark}</a></d>".encode())],
        ),
    }


def _drawn(text: str) -> bytes:
    """Return what draws a text by the font of a page that has its letters, in their order, and no others."""
    codes = {letter: number for number, letter in enumerate(sorted(set(text)), 33)}
    return made.stream(
        b"BT /F 12 Tf 2 2 Td <" + bytes(codes[letter] for letter in text).hex().encode() + b"> Tj ET",
        "/Type/XObject/Subtype/Form/BBox[0 0 240 30]/Resources<</Font<</F 3 0 R>>>>",
    )


def _before_unicode(text: str) -> str:
    """Return what .VnTimeH shows as a text in capitals."""
    return text.lower().translate(str.maketrans("ệậáào", "ÖË¸µo"))


def _escaped(text: str) -> str:
    """Return a text as RTF has it."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter)}?" for letter in text)


FAMILIES: dict[str, Callable[[str], dict[str, bytes]]] = {
    "a.docx": _in_word,
    "a.xlsx": _in_excel,
    "a.pptx": _in_powerpoint,
    "a.odt": _in_odf,
    "a.doc": _in_ole,
    "a.rtf": _in_rtf,
    "a.pdf": _in_pdf,
}
PLACES = [(name, place) for name, places in FAMILIES.items() for place in places(MARK)]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_mark_is_held_wherever_it_stands(name: str, place: str) -> None:
    octets = FAMILIES[name](MARK)[place]
    assert held(octets, name), [each.text for each in extracts(octets, name)]


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_other_words_there_are_not_held(name: str, place: str) -> None:
    octets = FAMILIES[name](OTHER)[place]
    assert not held(octets, name)
    found = merged(look_into(octets, name, "", name, Budget()))
    assert [each for each in found if isinstance(each, Uninspected)] == []
