"""Documents for tests, made by hand: each as small as its format allows, so that what is in it is seen here."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """Return a zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in parts.items():
            archive.writestr(zipfile.ZipInfo(name), octets, archive.compression)  # the same octets each time
    return out.getvalue()


def paragraph(text: str, properties: str = "") -> str:
    """Return a paragraph of a docx; properties: of its run."""
    return f"<w:p><w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


def docx(*lines: str, body: str = "", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a docx with these paragraphs, then what body has; parts: further ones."""
    inner = "".join(map(paragraph, lines)) + body
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "word/document.xml": f'<w:document xmlns:w="{W}" xmlns:a="{A}"><w:body>{inner}</w:body></w:document>',
            **(parts or {}),
        }
    )


def word_part(root: str, *lines: str) -> str:
    """Return a part beside a document's main one: header, footer, footnotes, comments."""
    return f'<w:{root} xmlns:w="{W}">{"".join(map(paragraph, lines))}</w:{root}>'


def relations(kind: str, target: str, mode: str = "External") -> str:
    """Return a part of relationships with one in it."""
    return (
        f'<Relationships xmlns="{RELATIONS}"><Relationship Id="rId1" Type="{R}/{kind}" Target="{target}" '
        f'TargetMode="{mode}"/></Relationships>'
    )


def xlsx(*rows: Sequence[str], cells: str = "", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return an xlsx whose sheet has these rows, by shared strings, then the rows that cells has as XML."""
    strings = [text for row in rows for text in row]
    number = iter(range(len(strings)))
    shown = "".join("<row>" + "".join(f'<c t="s"><v>{next(number)}</v></c>' for _ in row) + "</row>" for row in rows)
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "xl/workbook.xml": f'<workbook xmlns="{S}"><sheets><sheet name="Trang 1"/></sheets></workbook>',
            "xl/sharedStrings.xml": f'<sst xmlns="{S}">'
            + "".join(f"<si><t>{text}</t></si>" for text in strings)
            + "</sst>",
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{S}"><sheetData>{shown}{cells}</sheetData></worksheet>',
            **(parts or {}),
        }
    )


def slide(*lines: str) -> str:
    """Return a slide, or its notes."""
    inner = "".join(f"<a:p><a:r><a:rPr/><a:t>{line}</a:t></a:r></a:p>" for line in lines)
    return (
        f'<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:a="{A}">{inner}</p:sld>'
    )


def pptx(*lines: str, parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a pptx of one slide."""
    return zipped({"[Content_Types].xml": TYPES, "ppt/slides/slide1.xml": slide(*lines), **(parts or {})})


_ODF = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"'  # noqa: E501


def odt(*lines: str, body: str = "", kind: str = "text", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return an OpenDocument file; kind: text, spreadsheet or presentation."""
    inner = "".join(f"<text:p>{line}</text:p>" for line in lines) + body
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr(
            "content.xml",
            f"<office:document-content {_ODF}><office:body>{inner}</office:body></office:document-content>",
        )
        for name, octets in (parts or {}).items():
            archive.writestr(zipfile.ZipInfo(name), octets, archive.compression)  # the same octets each time
    return out.getvalue()


def flat_odt(*lines: str) -> bytes:
    """Return an OpenDocument text in one XML file."""
    inner = "".join(f"<text:p>{line}</text:p>" for line in lines)
    return (
        f"<?xml version='1.0'?><office:document {_ODF}><office:body>{inner}</office:body></office:document>".encode()
    )


def flat_docx(*lines: str, parts: str = "") -> bytes:
    """Return a docx in one XML file (flat OPC); parts: further ones."""
    body = f'<w:document xmlns:w="{W}"><w:body>{"".join(map(paragraph, lines))}</w:body></w:document>'
    part = f'<pkg:part pkg:name="/word/document.xml"><pkg:xmlData>{body}</pkg:xmlData></pkg:part>'
    package = "http://schemas.microsoft.com/office/2006/xmlPackage"
    return f"<?xml version='1.0'?><pkg:package xmlns:pkg=\"{package}\">{part}{parts}</pkg:package>".encode()


def word_2003(*lines: str, more: str = "") -> bytes:
    """Return a document of Word 2003 in XML; more: further elements."""
    body = "".join(map(paragraph, lines))
    word = "http://schemas.microsoft.com/office/word/2003/wordml"
    return f"<?xml version='1.0'?><w:wordDocument xmlns:w='{word}'>{more}{body}</w:wordDocument>".encode()


def rtf(*lines: str, fonts: str = r"{\f0 Times New Roman;}", head: str = "") -> bytes:
    """Return an RTF of these lines, letters beyond ASCII as \\u."""
    text = "".join("".join(c if ord(c) < 128 else f"\\u{ord(c)}?" for c in line) + "\\par\n" for line in lines)
    return rf"{{\rtf1\ansi\ansicpg1252\deff0{{\fonttbl{fonts}}}{head}".encode("ascii") + text.encode("ascii") + b"}"


def pdf(*pages: str, objects: Sequence[bytes] = (), catalog: str = "", compress: bool = True) -> bytes:
    """Return a PDF with a line of text a line; objects: further ones, from number 5 + 2 * pages on.

    Its font has an octet for each letter, and a table to Unicode.
    """
    letters = sorted({c for page in pages for c in page if c != "\n"})
    codes = {letter: number for number, letter in enumerate(letters, 33)}
    table = "".join(f"<{code:02x}> <{ord(letter):04x}>\n" for letter, code in codes.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def 1 begincodespacerange "
        f"<00> <ff> endcodespacerange\n{len(codes)} beginbfchar\n{table}endbfchar endcmap end end"
    )
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    found = [
        f"<</Type/Catalog/Pages 2 0 R{catalog}>>".encode(),
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 4 0 R>>",
        stream(cmap.encode(), compress=compress),
    ]
    for number, page in enumerate(pages):
        found.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 {max(800, 20 * page.count(chr(10)) + 100)}]/Contents "
            f"{6 + 2 * number} 0 R/Resources<</Font<</F 3 0 R>>>>>>".encode()
        )
        lines = ["".join(f"{codes[c]:02x}" for c in line) for line in page.split("\n")]
        shown = "".join(f"<{line}> Tj 0 -20 Td\n" for line in lines)
        top = max(750, 20 * len(lines) + 50)
        found.append(stream(f"BT /F 12 Tf 40 {top} Td\n{shown}ET".encode(), compress=compress))
    found += objects
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, octets in enumerate(found, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, octets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(found) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(found) + 1, start)
    return bytes(out)


def stream(octets: bytes, keys: str = "", compress: bool = True) -> bytes:
    """Return a PDF's stream."""
    if compress:
        octets, keys = zlib.compress(octets), keys + "/Filter/FlateDecode"
    return f"<</Length {len(octets)}{keys}>>\nstream\n".encode() + octets + b"\nendstream"


# -- OLE compound files ----------------------------------------------------------------------------------

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def ole(streams: Mapping[str, bytes], kind: bytes = bytes(16)) -> bytes:
    """Return an OLE compound file (MS-CFB) of these streams, `a/b` the stream b in the storage a; kind: its class."""
    names: list[str] = []
    for path in streams:
        steps = path.split("/")
        for depth in range(1, len(steps) + 1):
            name = "/".join(steps[:depth])
            if name not in names:
                names.append(name)
    mini = bytearray()
    mini_fat: list[int] = []
    sectors: list[bytes] = []
    fat: list[int] = []

    def put(octets: bytes) -> int:
        first = len(sectors)
        count = -(-len(octets) // 512)
        for number in range(count):
            sectors.append(octets[512 * number : 512 * number + 512].ljust(512, b"\0"))
            fat.append(first + number + 1 if number < count - 1 else _END)
        return first if count else _END

    begins: dict[str, int] = {}
    for path, octets in streams.items():
        if len(octets) >= 4_096:
            begins[path] = put(octets)
            continue
        first, count = len(mini_fat), -(-len(octets) // 64)
        mini += octets.ljust(64 * count, b"\0")
        mini_fat += [first + number + 1 if number < count - 1 else _END for number in range(count)]
        begins[path] = first if count else _END
    root = put(bytes(mini))
    mini_sector = put(struct.pack(f"<{len(mini_fat)}I", *mini_fat).ljust(-(-len(mini_fat) // 128) * 512, b"\xff"))
    children: dict[str, list[int]] = {"": []}
    for number, name in enumerate(names, 1):
        children.setdefault(name.rpartition("/")[0], []).append(number)
    follows = {one: two for known in children.values() for one, two in pairwise(known)}
    entries = [_entry("Root Entry", 5, _FREE, (children[""] or [_FREE])[0], root, len(mini), kind)]
    for number, name in enumerate(names, 1):
        is_stream = name in streams
        child = children.get(name, [_FREE])[0]
        begin, size = (begins[name], len(streams[name])) if is_stream else (0, 0)
        entries.append(
            _entry(name.rpartition("/")[2], 2 if is_stream else 1, follows.get(number, _FREE), child, begin, size)
        )
    while len(entries) % 4:
        entries.append(bytes(64) + struct.pack("<4xIII", _FREE, _FREE, _FREE).ljust(64, b"\0"))
    directory = put(b"".join(entries))
    count = 1
    while 128 * count < len(fat) + count:
        count += 1
    places = [len(sectors) + number for number in range(count)]
    table = fat + [_FAT] * count
    table += [_FREE] * (128 * count - len(table))
    octets = struct.pack(f"<{len(table)}I", *table)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, count, directory, 0, 4_096, mini_sector, 1 if mini_fat else 0, _END, 0)
    header += struct.pack("<109I", *(places + [_FREE] * (109 - count)))
    return header + b"".join(sectors) + octets


def _entry(name: str, kind: int, right: int, child: int, begin: int, size: int, clsid: bytes = bytes(16)) -> bytes:
    wide = name.encode("utf-16-le")
    return (
        wide.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(wide) + 2, kind, 1, _FREE, right, child)
        + clsid
        + bytes(20)
        + struct.pack("<IQ", begin, size)
    )


def word_art(text: str, kind: int = 0x00C0) -> bytes:
    """Return a shape of Office's drawings (MS-ODRAW) with a text as this property, gtextUNICODE or another."""
    value = text.encode("utf-16-le") + b"\0\0"
    table = struct.pack("<HI", 0x0085, 7) + struct.pack("<HI", 0x8000 | kind, len(value)) + value
    properties = struct.pack("<HHI", 2 << 4 | 3, 0xF00B, len(table)) + table
    return struct.pack("<HHI", 0x0F, 0xF004, len(properties)) + properties


def summary(*properties: tuple[int, str]) -> bytes:
    """Return a stream \\5SummaryInformation (MS-OLEPS) of these properties, in UTF-8."""
    values = [(1, struct.pack("<IhH", 2, -535, 0))]  # the code page: 65001 as a signed number
    for number, text in properties:
        octets = text.encode() + b"\0"
        values.append((number, struct.pack("<II", 0x1E, len(octets)) + octets + bytes(-len(octets) % 4)))
    at = 8 + 8 * len(values)
    table = b""
    for number, octets in values:
        table += struct.pack("<II", number, at)
        at += len(octets)
    section = struct.pack("<II", at, len(values)) + table + b"".join(octets for _, octets in values)
    return struct.pack("<HHI16sI16sI", 0xFFFE, 0, 2, bytes(16), 1, bytes(16), 48) + section


def doc(
    text: str,
    is_wide: bool = True,
    flags: int = 0,
    fonts: Sequence[str] = (),
    font: int = -1,
    normal: int = -1,
    art: bytes = b"",
    streams: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a Word 97 document of one piece; fonts: of its table; font: of the text itself; normal: of its style."""
    octets = text.encode("utf-16-le" if is_wide else "cp1252")
    begin = 1_024
    document = bytearray(begin) + octets
    struct.pack_into("<HH", document, 0, 0xA5EC, 0xC1)
    struct.pack_into("<H", document, 0x0A, flags)
    where = begin if is_wide else 2 * begin | 0x4000_0000
    plc = struct.pack("<IIHIH", 0, len(text), 0, where, 0)
    clx = b"\x02" + struct.pack("<I", len(plc)) + plc
    names = struct.pack("<HH", len(fonts), 0)
    for name in fonts:
        inner = bytes(39) + name.encode("utf-16-le") + b"\0\0"
        names += bytes((len(inner),)) + inner
    table = clx + names
    struct.pack_into("<II", document, 0x1A2, 0, len(clx))
    struct.pack_into("<II", document, 0x112, len(clx), len(names))
    if normal >= 0:
        style = struct.pack("<5H", 0, 0xFFF1, 2, 0, 0) + struct.pack("<H", 6) + "Normal\0".encode("utf-16-le")
        style += struct.pack("<HH", 2, 0) + struct.pack("<HHH", 4, 0x4A4F, normal)
        styles = struct.pack("<HHH", 18, 1, 10) + bytes(14) + struct.pack("<H", len(style)) + style
        struct.pack_into("<II", document, 0xA2, len(table), len(styles))
        table += styles
    if font >= 0:
        document += bytes(-len(document) % 512)
        page = bytearray(512)
        struct.pack_into("<II", page, 0, begin, begin + len(octets))
        page[8] = 100
        page[200:205] = b"\x04" + struct.pack("<HH", 0x4A4F, font)
        page[511] = 1
        struct.pack_into("<II", document, 0xFA, len(table), 12)
        table += struct.pack("<III", begin, begin + len(octets), len(document) // 512)
        document += page
    if art:
        drawings = struct.pack("<HHI", 0x0F, 0xF000, 0) + b"\0" + struct.pack("<HHI", 0x0F, 0xF002, len(art)) + art
        struct.pack_into("<II", document, 0x22A, len(table), len(drawings))
        table += drawings
    return ole({"WordDocument": bytes(document), "0Table": table, "1Table": b"", **(streams or {})})


def record(kind: int, octets: bytes = b"") -> bytes:
    """Return a record of a workbook."""
    return struct.pack("<HH", kind, len(octets)) + octets


def workbook(*texts: str, extra: bytes = b"", macro_sheet: bool = False) -> bytes:
    """Return the stream of a workbook before 2007 (BIFF8): its only sheet has these texts, one a row."""
    begin = record(0x809, struct.pack("<HHHHII", 0x600, 5, 0x0DBB, 0x07CC, 0, 6))
    strings = b"".join(struct.pack("<HB", len(text), 1) + text.encode("utf-16-le") for text in texts)
    font = struct.pack("<HHHHHBBBBBB", 200, 0, 8, 400, 0, 0, 0, 0, 0, 5, 0) + b"Arial"
    globe = begin + b"".join(record(0x31, font) for _ in range(5)) + record(0xE0, bytes(20)) + extra
    table = record(0xFC, struct.pack("<II", len(texts), len(texts)) + strings)
    size = len(globe) + len(record(0x85, bytes(12))) + len(table) + 4
    sheet = record(0x85, struct.pack("<IBBBB", size, 0, int(macro_sheet), 4, 0) + b"Tr 1")
    globe += sheet + table + record(0x0A)
    cells = b"".join(record(0xFD, struct.pack("<HHHI", row, 0, 0, row)) for row in range(len(texts)))
    page = record(0x809, struct.pack("<HHHHII", 0x600, 0x40 if macro_sheet else 0x10, 0x0DBB, 0x07CC, 0, 6))
    return globe + page + cells + record(0x0A)


def xls(*texts: str, extra: bytes = b"", macro_sheet: bool = False) -> bytes:
    """Return a workbook before 2007, as a file."""
    return ole({"Workbook": workbook(*texts, extra=extra, macro_sheet=macro_sheet).ljust(4_096, b"\0")})


def atom(kind: int, octets: bytes, instance: int = 0) -> bytes:
    """Return a record of a presentation that holds no others."""
    return struct.pack("<HHI", instance << 4, kind, len(octets)) + octets


def ppt(*texts: str, extra: bytes = b"") -> bytes:
    """Return a presentation of PowerPoint 97; extra: further records."""
    atoms = b"".join(atom(0x0FA0, text.encode("utf-16-le")) for text in texts) + extra
    whole = struct.pack("<HHI", 0x0F, 0x03E8, len(atoms)) + atoms
    return ole({"PowerPoint Document": whole, "Current User": bytes(20)})


def xlsb(
    *rows: Sequence[str], name: str = "Tr 1", header: str = "", parts: Mapping[str, bytes] | None = None
) -> bytes:
    """Return a workbook in binary parts (MS-XLSB); the first cell of each row is a shared string."""
    shared = b"".join(binary_record(19, b"\0" + wide(row[0])) for row in rows)
    cells = b""
    for number, row in enumerate(rows):
        cells += binary_record(0, struct.pack("<I", number) + bytes(13))
        cells += binary_record(7, struct.pack("<III", 0, 0, number))
        cells += b"".join(
            binary_record(6, struct.pack("<II", at, 0) + wide(text)) for at, text in enumerate(row[1:], 1)
        )
    headers = binary_record(479, b"\0\0" + wide(header) + b"\xff" * 20) if header else b""
    book = binary_record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide(name))
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "xl/workbook.bin": book,
            "xl/sharedStrings.bin": shared,
            "xl/worksheets/sheet1.bin": cells + headers,
            **(parts or {}),
        }
    )


def binary_record(kind: int, octets: bytes) -> bytes:
    """Return a record of an xlsb (2.1.4): its type and size in seven bits an octet."""
    head = bytes((kind,)) if kind < 0x80 else bytes((kind & 0x7F | 0x80, kind >> 7))
    size = len(octets)
    while size >= 0x80:
        head += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return head + bytes((size,)) + octets


def wide(text: str) -> bytes:
    """Return a string of an xlsb: its letters are counted, in four octets."""
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def msg(
    subject: str,
    body: str,
    attachments: Mapping[str, bytes] | None = None,
    further: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a message file of Outlook; further: streams."""
    streams = {
        "__properties_version1.0": bytes(32),
        "__substg1.0_0037001F": subject.encode("utf-16-le"),
        "__substg1.0_1000001F": body.encode("utf-16-le"),
    }
    for number, (name, octets) in enumerate((attachments or {}).items()):
        folder = f"__attach_version1.0_#{number:08X}"
        streams[f"{folder}/__properties_version1.0"] = bytes(8)
        streams[f"{folder}/__substg1.0_3707001F"] = name.encode("utf-16-le")
        streams[f"{folder}/__substg1.0_37010102"] = octets
    return ole({**streams, **(further or {})})


def compressed_rtf(octets: bytes) -> bytes:
    """Return RTF as a message file has it (MS-OXRTFCP 2.2), by literal tokens alone."""
    tokens = b"".join(b"\0" + octets[at : at + 8] for at in range(0, len(octets), 8))
    return struct.pack("<II", len(tokens) + 12, len(octets)) + b"LZFu" + bytes(4) + tokens


def mapi(properties: Mapping[tuple[int, int], bytes]) -> bytes:
    """Return MAPI properties as TNEF has them, (number, type) to octets."""
    out = struct.pack("<I", len(properties))
    for (number, kind), octets in properties.items():
        out += struct.pack("<HH", kind, number)
        if number >= 0x8000:
            out += bytes(16) + struct.pack("<II", 0, number)
        if kind in (0x1E, 0x1F, 0x102, 0x0D):
            out += struct.pack("<II", 1, len(octets))
        out += octets + bytes(-len(octets) % 4)
    return out


def attribute(number: int, octets: bytes) -> bytes:
    """Return an attribute of a TNEF."""
    level = 1 if number in (0x00018004, 0x0002800C, 0x00069003) else 2
    return struct.pack("<BII", level, number, len(octets)) + octets + struct.pack("<H", sum(octets) & 0xFFFF)


def tnef(*attributes: bytes) -> bytes:
    """Return a winmail.dat of these attributes."""
    return b'x\x9f>"\1\0' + attribute(0x00089006, b"\0\0\1\0") + b"".join(attributes)


def tnef_file(title: str, octets: bytes, properties: bytes = b"") -> bytes:
    """Return the attributes of an attachment."""
    found = attribute(0x00069002, bytes(14)) + attribute(0x00018010, title.encode() + b"\0")
    found += attribute(0x0006800F, octets) if octets else b""
    return found + (attribute(0x00069005, properties) if properties else b"")


def notebook(*files: bytes, names: Sequence[str] = ()) -> bytes:
    """Return a section of OneNote with these files in it."""
    out = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(1_008)
    for name in names:
        wide = name.encode("utf-16-le") + b"\0\0"
        out += struct.pack("<I", len(wide)) + wide
    for octets in files:
        out += bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac") + struct.pack("<QIQ", len(octets), 0, 0) + octets
        out += bytes(-len(octets) % 8) + bytes.fromhex("22a7fb71790f0b4abb13899256426b24")
    return out


# -- macros ----------------------------------------------------------------------------------------------


def vba_project(code: str) -> bytes:
    """Return a vbaProject.bin (MS-OVBA) with one module of this code."""
    return ole(
        {
            "PROJECT": b'ID="{0}"\r\nModule=Module1\r\n',
            "VBA/_VBA_PROJECT": b"\xcc\x61\xff\xff\0\0\0",
            "VBA/dir": _packed(_directory()),
            "VBA/Module1": _packed(code.encode("cp1252")),
        }
    )


def _packed(octets: bytes) -> bytes:
    """Return octets as a compressed container (MS-OVBA 2.4.1) of literal tokens alone."""
    out = b"\x01"
    for at in range(0, len(octets), 3_600):
        chunk = octets[at : at + 3_600]
        tokens = b"".join(b"\0" + chunk[i : i + 8] for i in range(0, len(chunk), 8))
        out += struct.pack("<H", 0xB000 | len(tokens) - 1) + tokens
    return out


def _directory() -> bytes:
    """Return the stream dir (MS-OVBA 2.3.4.2): a project without references, and one module."""

    def field(number: int, octets: bytes) -> bytes:
        return struct.pack("<HI", number, len(octets)) + octets

    wide = "Module1".encode("utf-16-le")
    information = (
        field(0x01, struct.pack("<I", 1)),
        *(field(0x02, struct.pack("<I", 0x0409)), field(0x14, struct.pack("<I", 0x0409))),
        *(field(0x03, struct.pack("<H", 1252)), field(0x04, b"P"), field(0x05, b""), field(0x40, b"")),
        *(field(0x06, b""), field(0x3D, b""), field(0x07, bytes(4)), field(0x08, bytes(4))),
        *(struct.pack("<HIIH", 0x09, 4, 1, 1), field(0x0C, b""), field(0x3C, b"")),
    )
    modules = (
        *(field(0x0F, struct.pack("<H", 1)), field(0x13, struct.pack("<H", 0xFFFF))),
        *(field(0x19, b"Module1"), field(0x47, wide), field(0x1A, b"Module1"), field(0x32, wide)),
        *(field(0x1C, b""), field(0x48, b""), field(0x31, bytes(4)), field(0x1E, bytes(4))),
        *(field(0x2C, b"\xff\xff"), field(0x21, b""), field(0x2B, b""), field(0x10, b"")),
    )
    return b"".join((*information, *modules))


def packager(name: str, octets: bytes) -> bytes:
    """Return what the Packager embeds: the stream \\1Ole10Native."""
    label = name.encode("ascii") + b"\0"
    inner = b"\x02\0" + label + label + bytes(4) + struct.pack("<I", len(label)) + label
    inner += struct.pack("<I", len(octets)) + octets
    return struct.pack("<I", len(inner)) + inner


PROGRAM = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + bytes(60)
"""What Windows takes for a program; it has no code."""
