"""What a file is, by its content: a short word ("pdf", "docx", "exe"), "" where nothing tells.

A file can be two at once: a picture with an archive behind it, a program that unpacks itself. Every reading is
named, the first is the one that the content begins with. The name of a file decides nothing here but whether it lies.
"""

import re
import struct
import zipfile
from io import BytesIO
from itertools import islice

from ..model import Danger
from ..text.file_names import DOCUMENTS, extension_of
from .budget import Blocked
from .compound import opened
from .smime import is_smime

ARCHIVES = frozenset(
    {
        *("zip", "jar", "apk", "7z", "rar", "tar", "gz", "bz2", "xz", "lzma", "zstd", "lz4", "compress"),
        *("lha", "cab", "iso", "udf", "cpio", "ar", "rpm", "xar", "warc"),
    }
)
IMAGES = frozenset(["png", "jpeg", "gif", "bmp", "tiff", "webp", "heic", "ico", "psd", "emf", "wmf", "jp2", "avif"])
SOUNDS = frozenset(["mp3", "wav", "ogg", "flac", "aac", "mp4", "avi", "mkv", "asf", "mpeg", "flv", "amr", "midi"])
UNOPENED = frozenset(
    {
        *("one", "tnef", "ace", "arj", "vhd", "vhdx", "vmdk", "dmg", "img", "vsdx", "vsd", "pub"),
        *("mdb", "chm", "lrzip", "onepkg"),
    }
)
"""Containers that nothing here opens."""

_DANGERS = {
    **dict.fromkeys(("exe", "elf", "macho", "class", "jar", "apk", "dex", "msi"), Danger.PROGRAM),
    **dict.fromkeys(("script", "hta", "wsf", "reg", "batch", "vbe"), Danger.SCRIPT),
    **dict.fromkeys(("lnk", "url"), Danger.SHORTCUT),
    **dict.fromkeys(("iso", "udf", "vhd", "vhdx", "vmdk", "dmg", "img"), Danger.DISK_IMAGE),
    "one": Danger.NOTEBOOK,
    "chm": Danger.HELP,
}
RUNNING = frozenset({Danger.PROGRAM, Danger.SCRIPT, Danger.SHORTCUT, Danger.DISK_IMAGE})
"""What is disguised where its name promises a document."""

BIFF = (b"\x09\0\x04\0", b"\x09\x02\x06\0", b"\x09\x04\x06\0", b"\x09\x08\x08\0\0\x05", b"\x09\x08\x10\0\0\x06")
"""How a workbook begins that is no compound file: the record BOF of BIFF2, 3, 4, 5 and 8 (MS-XLS 2.4.21)."""

_SIGNATURES = (
    (0, b"\x7fELF", "elf"),
    (0, b"\xfe\xed\xfa\xce", "macho"),
    (0, b"\xfe\xed\xfa\xcf", "macho"),
    (0, b"\xce\xfa\xed\xfe", "macho"),
    (0, b"\xcf\xfa\xed\xfe", "macho"),
    (0, b"dex\n03", "dex"),
    (0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "lnk"),  # MS-SHLLINK 2.1: the class of shortcuts
    (0, b"ITSF", "chm"),
    (0, bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3"), "one"),  # MS-ONESTORE 2.3.1
    (0, bytes.fromhex("a12ff43fd9ef764c9ee210ea5722765f"), "one"),
    (0, b'x\x9f>"', "tnef"),  # MS-OXTNEF 2.1.3.1
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0, b"KDMV", "vmdk"),
    (0, b"MSCF", "cab"),
    (0, b"%PDF-", "pdf"),
    (0, b"{\\rt", "rtf"),
    *((0, begin, "xls") for begin in BIFF),
    (0, b"7z\xbc\xaf'\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PK\x07\x08", "zip"),
    (0, b"\x1f\x8b\x08", "gz"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"BZh", "bz2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"]\0\0", "lzma"),
    (0, b"(\xb5/\xfd", "zstd"),
    (0, b'\x04"M\x18', "lz4"),
    (0, b"LRZI", "lrzip"),
    (7, b"**ACE**", "ace"),
    (0, b"`\xea", "arj"),
    (2, b"-lh", "lha"),
    (2, b"-lz", "lha"),
    (0, b"xar!", "xar"),
    (0, b"!<arch>\n", "ar"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"070701", "cpio"),
    (0, b"070707", "cpio"),
    (257, b"ustar", "tar"),
    (32_769, b"CD001", "iso"),
    (32_769, b"BEA01", "udf"),
    (32_769, b"NSR0", "udf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (8, b"WEBP", "webp"),
    (0, b"8BPS", "psd"),
    (0, b"\0\0\x01\0", "ico"),
    (0, b"\0\0\0\x0cjP  ", "jp2"),
    (0, b"\xd7\xcd\xc6\x9a", "wmf"),
    (40, b" EMF", "emf"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"\xff\xf1", "aac"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (8, b"WAVE", "wav"),
    (8, b"AVI ", "avi"),
    (0, b"\x1aE\xdf\xa3", "mkv"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"\0\0\x01\xb3", "mpeg"),
    (0, b"FLV\x01", "flv"),
    (0, b"#!AMR", "amr"),
    (0, b"MThd", "midi"),
    (4, b"ftypheic", "heic"),
    (4, b"ftypmif1", "heic"),
    (4, b"ftypavif", "avif"),
    (4, b"ftyp", "mp4"),
    (4, b"Standard Jet DB", "mdb"),
    (4, b"Standard ACE DB", "mdb"),
)

# What may hold a zip as it is, at its end: there it is nothing hidden.
_HOLDING = ARCHIVES | frozenset(["doc", "xls", "ppt", "msg", "vsd", "pub", "msi", "ole", "eml", "tnef"])
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD = 65_536  # octets in which what a text is shows


def types_of(octets: bytes) -> tuple[str, ...]:
    """Return what a file is, and what else it is too: () where nothing tells."""
    first = _type_by_head(octets)
    found = [_zip_kind(octets)] if first == "zip" else [first] if first else []
    if first != "pdf" and octets.find(b"%PDF-", 0, 1_024 + 5) > 0:
        found.append("pdf")  # a reader looks for the header that far (ISO 32000-1 annex H, note 13)
    has_end = first not in _HOLDING and octets.rfind(_END, max(0, len(octets) - 65_557)) >= 0
    if has_end and zipfile.is_zipfile(BytesIO(octets)):
        found.append(_zip_kind(octets))
    if octets[-512:].startswith(b"conectix") and first != "vhd":
        found.append("vhd")
    if octets[-512:].startswith(b"koly"):
        found.append("dmg")
    return tuple(dict.fromkeys(found))


def _type_by_head(octets: bytes) -> str:
    if octets.startswith(b"MZ") and _is_program(octets):
        return "exe"
    if octets.startswith(b"\xca\xfe\xba\xbe"):  # a class has its version here, a fat Mach-O the few it holds
        return "class" if int.from_bytes(octets[4:8], "big") > 40 else "macho"
    if octets.startswith(_OLE):
        return _ole_kind(octets)
    if octets.startswith(b"BM") and octets[6:10] == bytes(4):
        return "bmp"
    for offset, signature, kind in _SIGNATURES:
        if octets.startswith(signature, offset):
            return kind
    if octets[510:512] == b"U\xaa" and (octets[3:7] == b"NTFS" or b"FAT" in (octets[54:57], octets[82:85])):
        return "img"
    if _is_old_tar(octets):
        return "tar"
    if is_smime(octets):
        return "p7m"
    return _text_kind(octets)


def _is_program(octets: bytes) -> bool:
    if len(octets) < 64:
        return b"\0" in octets
    at = int.from_bytes(octets[60:64], "little")
    return octets[at : at + 2] in (b"PE", b"NE", b"LE", b"LX") or b"\0" in octets[:64]


def _is_old_tar(octets: bytes) -> bool:
    """Tell a tar without a signature, by the checksum in its first header."""
    if len(octets) < 512 or not octets[0]:
        return False
    try:
        told = int(octets[148:156].strip(b" \0") or b"-1", 8)
    except ValueError:
        return False
    return told == sum(octets[:148]) + 8 * 32 + sum(octets[156:512])


def _ole_kind(octets: bytes) -> str:
    """Tell an OLE compound file by its root storage; "ole" where that cannot be read."""
    try:
        return opened(octets).kind
    except Blocked:
        return "ole"


_LOCAL = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)  # APPNOTE 4.3.7
_END = b"PK\x05\x06"  # APPNOTE 4.3.16: the size of the directory stands 12 octets on
_DIRECTORY_OCTETS = 1_048_576  # some 10,000 members; to list a directory of 20 MiB takes seconds
_SEEN_MEMBERS = 1_000  # what kind of zip it is shows in its first ones
_ODF = {
    "text": "odt",
    "spreadsheet": "ods",
    "presentation": "odp",
    "graphics": "odg",
    "chart": "odc",
    "formula": "odf",
}
OOXML = {"word/": ("docx", "docm"), "xl/": ("xlsx", "xlsm"), "ppt/": ("pptx", "pptm")}


def directory_is_large(octets: bytes) -> bool:
    """Tell whether a zip has a directory that is too large to be listed."""
    at = octets.rfind(_END)
    return at >= 0 and int.from_bytes(octets[at + 12 : at + 16], "little") > _DIRECTORY_OCTETS


def zip_names(octets: bytes) -> list[str]:
    """Return the names in a zip: of its directory, else of the first members that can be seen."""
    try:
        if not directory_is_large(octets):
            with zipfile.ZipFile(BytesIO(octets)) as archive:
                return archive.namelist()
    except Exception:  # noqa: S110 - whatever zipfile stumbles on, the members are still there
        pass
    names = []
    for match in islice(_LOCAL.finditer(octets), _SEEN_MEMBERS):
        (length,) = struct.unpack("<H", match[1])
        names.append(octets[match.end() : match.end() + length].decode("utf-8", "replace"))
    return names


def _zip_kind(octets: bytes) -> str:
    names = zip_names(octets)
    lower = [name.replace("\\", "/").lower().lstrip("/") for name in names]
    known = set(lower)
    if "mimetype" in known:
        at = octets.find(b"mimetypeapplication/")
        mime = octets[at + 8 : at + 100] if at >= 0 else b""
        if match := re.match(rb"application/vnd\.oasis\.opendocument\.([a-z]+)", mime):
            return _ODF.get(match[1].decode(), "odt")
        if "content.xml" in known:
            return "odt"
        return "epub" if mime.startswith(b"application/epub") else "zip"
    if "[content_types].xml" in known:
        if "xl/workbook.bin" in known:
            return "xlsb"
        if any(name.startswith("visio/") for name in known):
            return "vsdx"
        for folder, (plain, macro) in OOXML.items():
            if any(name.startswith(folder) for name in known):
                return macro if any(name.endswith("vbaproject.bin") for name in known) else plain
        return "zip"
    for folder, main, (plain, _) in (
        ("word/", "word/document.xml", OOXML["word/"]),
        ("xl/", "xl/workbook.xml", OOXML["xl/"]),
        ("ppt/", "ppt/presentation.xml", OOXML["ppt/"]),
    ):
        if main in known and f"{folder}_rels/" in "".join(lower):
            return plain
    if "androidmanifest.xml" in known:
        return "apk"
    if any(name.endswith(".class") for name in known):
        return "jar"
    return "zip"


_FIELDS = re.compile(
    rb"(?:(?:From|To|Cc|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Content-Type|Delivered-To|Reply-To"
    rb"|Sender|X-[\w-]{1,60}|DKIM-Signature|Content-[\w-]{1,40})[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2}",
    re.IGNORECASE,
)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|table|div|meta|title|style|iframe|form|p|br|font|h1|a|img)\b",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<svg\b", re.IGNORECASE)
_BATCH = re.compile(rb"(?:@echo (?:off|on)|@cls)\b", re.IGNORECASE)
_WSF = re.compile(rb"<(?:job|package|component|scriptlet|registration)\b[^>]*>", re.IGNORECASE)
_BINARY = re.compile(
    rb"[\x00\x01\x03\x04\x07\x08\x0e-\x13\x15-\x18\x1a\x1c\x1d\x1f\x7f]"
)  # as in no text, VISCII's too
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def _text_kind(octets: bytes) -> str:
    """Tell what a text is; "" where it is none."""
    head = octets[:_HEAD]
    if head.startswith(_BOMS):
        head = head.decode("utf-16", "replace").encode("utf-8")
    head = head.removeprefix(b"\xef\xbb\xbf")
    begin = head[:4_096].lstrip()
    if not begin:
        return "text" if head else ""
    if re.match(rb"#!\s*/", begin):
        return "script"
    if begin.startswith(b"#@~^"):  # VBScript or JScript, encoded
        return "vbe"
    if begin.startswith((b"Windows Registry Editor", b"REGEDIT4")):
        return "reg"
    if begin[:512].lower().find(b"[internetshortcut]") >= 0 and not begin.startswith(b"<"):
        return "url"
    if _BATCH.match(begin):
        return "batch"
    if begin.startswith(b"<"):
        lower = begin.lower()
        if b"<hta:application" in head.lower():
            return "hta"
        if lower.startswith(b"<?xml") or not _HTML.match(begin):
            if _WSF.search(begin) and b"<script" in lower:
                return "wsf"
            if b"<html" in lower:
                return "html"
            return "svg" if _SVG.search(begin) else "xml" if re.match(rb"<[?!]?[\w:]", begin) else "text"
        return "html"
    if _FIELDS.match(begin):
        return "eml"
    if len(_BINARY.findall(head)) * 100 > len(head):
        return ""
    return "html" if re.search(rb"<html\b|<!doctype html", head[:1_024], re.IGNORECASE) else "text"


def dangers_of(kinds: tuple[str, ...], name: str) -> tuple[tuple[Danger, str], ...]:
    """Return what a file is dangerous for by what it is, and whether its name hides that."""
    found = [(_DANGERS[kind], kind) for kind in kinds if kind in _DANGERS]
    promised = extension_of(name)
    if promised in DOCUMENTS:
        found += [(Danger.DISGUISED, f"{kind} named {promised}") for danger, kind in found if danger in RUNNING]
    return tuple(found)


_EXTENSIONS = {
    **{kind: {kind} for kind in (*IMAGES, *SOUNDS)},
    "jpeg": {"jpg", "jpeg", "jpe", "jfif"},
    "tiff": {"tif", "tiff"},
    "heic": {"heic", "heif"},
    "mp4": {"mp4", "m4a", "m4v", "mov", "3gp"},
    "asf": {"wmv", "wma", "asf"},
    "mkv": {"mkv", "webm"},
    "ogg": {"ogg", "oga", "ogv", "opus"},
    "mpeg": {"mpg", "mpeg"},
    "midi": {"mid", "midi"},
}


def is_inert(head: bytes, name: str) -> bool:
    """Tell by a file's first octets whether it is a picture, sound or film, and its name says the same.

    Nobody needs to look into it: what a program makes of such a name shows it, and no more.
    """
    kind = _type_by_head(head)
    return extension_of(name) in _EXTENSIONS.get(kind, ())
