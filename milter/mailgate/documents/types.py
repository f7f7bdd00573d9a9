"""What a file is, by its content: a short word ("pdf", "docx", "exe"), "" where nothing tells.

A file can be two at once: a picture with an archive behind it, a program that unpacks itself. Every reading is
named, the first is the one that the content begins with. The name of a file decides nothing here but whether it lies.
"""

import re
import struct
import zipfile
from collections.abc import Set as AbstractSet
from io import BytesIO
from itertools import islice

from ..model import Danger
from ..text.file_names import DOCUMENTS, extension_of
from .budget import Blocked
from .compound import opened
from .smime import is_smime

ARCHIVES = frozenset(
    {
        *("zip", "jar", "apk", "7z", "rar", "tar", "gz", "bz2", "xz", "lzma", "lzip", "zstd", "lz4", "compress"),
        *("lha", "cab", "iso", "udf", "cpio", "ar", "rpm", "xar", "warc"),
    }
)
IMAGES = frozenset(["png", "jpeg", "gif", "bmp", "tiff", "webp", "heic", "ico", "psd", "emf", "wmf", "jp2", "avif"])
SOUNDS = frozenset(["mp3", "wav", "ogg", "flac", "aac", "mp4", "avi", "mkv", "asf", "mpeg", "flv", "amr", "midi"])
UNOPENED = frozenset(
    {
        *("ace", "arj", "vhd", "vhdx", "vmdk", "dmg", "img", "vsdx", "vsd", "pub"),
        *("mdb", "chm", "lrzip", "onepkg", "zoo", "egg", "alz", "wim", "squashfs", "qcow", "vdi", "lzop", "stuffit"),
        *("zpaq", "sqz", "szdd"),
    }
)
"""Containers that nothing here opens."""

_DANGERS = {
    **dict.fromkeys(("exe", "elf", "macho", "class", "jar", "apk", "dex", "msi", "msix"), Danger.PROGRAM),
    **dict.fromkeys(("script", "hta", "wsf", "reg", "batch", "vbe", "msc", "jnlp", "task"), Danger.SCRIPT),
    **dict.fromkeys(("lnk", "url", "scf", "wsh", "autorun", "desktop", "rdp", "contact"), Danger.SHORTCUT),
    **dict.fromkeys(("library-ms", "search-ms", "searchconnector-ms", "settingcontent-ms"), Danger.SHORTCUT),
    **dict.fromkeys(("appinstaller", "application"), Danger.SHORTCUT),
    **dict.fromkeys(("iqy", "oqy", "connection"), Danger.DYNAMIC_DATA),
    **dict.fromkeys(("iso", "udf", "vhd", "vhdx", "vmdk", "dmg", "img"), Danger.DISK_IMAGE),
    "one": Danger.NOTEBOOK,
    "chm": Danger.HELP,
    "hlp": Danger.HELP,
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
    (0, b"ActiveMime", "mso"),
    (0, b"\0" + b"\xff" * 10 + b"\0", "img"),  # sectors of a disc with all their octets (ECMA-130)
    (512, b"EFI PART", "img"),
    (3, b"EXFAT   ", "img"),
    (0, b"?_\x03\0", "hlp"),
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
    (0, b"PK00PK\x03\x04", "zip"),
    (0, b"\x1f\x8b\x08", "gz"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"BZh", "bz2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"]\0\0", "lzma"),
    (0, b"LZIP\x01", "lzip"),
    (0, b"(\xb5/\xfd", "zstd"),
    (0, b'\x04"M\x18', "lz4"),
    (0, b"LRZI", "lrzip"),
    (7, b"**ACE**", "ace"),
    (0, b"`\xea", "arj"),
    (20, b"\xdc\xa7\xc4\xfd", "zoo"),
    (0, b"EGGA", "egg"),
    (0, b"ALZ\x01", "alz"),
    (0, b"MSWIM\0\0\0", "wim"),
    (0, b"WLPWM\0\0\0", "wim"),
    (0, b"hsqs", "squashfs"),
    (0, b"QFI\xfb", "qcow"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"\x89LZO\0", "lzop"),
    (0, b"StuffIt (c)", "stuffit"),
    (0, b"SIT!", "stuffit"),
    (0, b"7kSt", "zpaq"),
    (0, b"zPQ", "zpaq"),
    (0, b"HLSQZ", "sqz"),
    (0, b"SZDD\x88\xf0'3", "szdd"),
    (0, b"KWAJ\x88\xf0'\xd1", "szdd"),
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

_END = b"PK\x05\x06"  # APPNOTE 4.3.16: the size of the directory stands 12 octets on
# What may hold a zip as it is, at its end: there it is nothing hidden.
_HOLDING = ARCHIVES | frozenset(["doc", "xls", "ppt", "msg", "vsd", "pub", "msi", "ole", "eml", "tnef", "one"])
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD = 65_536  # octets in which what a text is shows


def types_of(octets: bytes) -> tuple[str, ...]:
    """Return what a file is, and what else it is too: () where nothing tells."""
    first = type_by_head(octets)
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


# By what unpackers find an archive behind what stands before it.
MARKS = {"zip": (b"PK\x03\x04", _END), "7z": (b"7z\xbc\xaf'\x1c",), "rar": (b"Rar!\x1a\x07",)}


def packed_behind(octets: bytes, called: AbstractSet[str]) -> tuple[str, ...]:
    """Return the archives that a file is too for programs that open it by its name; called: its extensions."""
    return tuple(kind for kind, marks in MARKS.items() if kind in called and any(mark in octets for mark in marks))


def type_by_head(octets: bytes) -> str:
    """Return what a file is by what it begins with, "" where nothing tells."""
    if octets.startswith(b"MZ") and _is_program(octets):
        return "exe"
    if octets.startswith(b"\xca\xfe\xba\xbe"):  # a class has its version here, a fat Mach-O the few it holds
        return "class" if int.from_bytes(octets[4:8], "big") > 40 else "macho"
    if octets.startswith(_OLE):
        return _ole_kind(octets)
    if octets[1:4] == b"*M\x18" and octets[0] >> 4 == 5:  # a frame that zstd and lz4 skip (RFC 8878 section 3.1.2)
        return "zstd"
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
    if {"appxmanifest.xml", "appxmetadata/appxbundlemanifest.xml"} & known:
        return "msix"
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
# What opens by its root, whatever it is called: by Explorer, the console of administration, the installers.
_ROOTS = re.compile(
    rb"<(?:[\w.-]{1,20}:)?(libraryDescription|persistedQuery|searchConnectorDescription|PCSettings|MMC_ConsoleFile"
    rb"|AppInstaller|jnlp|contact|Task|assembly)[\s>]"
)
_OF_ROOT = {
    b"libraryDescription": "library-ms",
    b"persistedQuery": "search-ms",
    b"searchConnectorDescription": "searchconnector-ms",
    b"PCSettings": "settingcontent-ms",
    b"MMC_ConsoleFile": "msc",
    b"AppInstaller": "appinstaller",
    b"jnlp": "jnlp",
}
_OF_NAMESPACE = {  # roots that other files have too
    b"contact": (b"http://schemas.microsoft.com/Contact", "contact"),
    b"Task": (b"http://schemas.microsoft.com/windows/2004/02/mit/task", "task"),
    b"assembly": (b"urn:schemas-microsoft-com:clickonce", "application"),
}
_CONNECTION = re.compile(rb"\bProgId\b[\"']?\s+content\s*=\s*[\"']?ODC\.", re.IGNORECASE)
# Settings in lines: what names the file, and the key that makes it run or fetch something.
_SECTIONS = tuple(
    (re.compile(section + rb"[^\[]{0,2000}?^" + key, re.IGNORECASE | re.MULTILINE), kind)
    for section, key, kind in (
        (rb"^[ \t]*\[internetshortcut[^\]\r\n]*\]", rb"", "url"),
        (rb"^[ \t]*\[shell\]", rb"(?:command|iconfile)\s*=", "scf"),
        (rb"^[ \t]*\[scriptfile\]", rb"path\s*=", "wsh"),
        (rb"^[ \t]*\[autorun\]", rb"(?:open|shellexecute|icon|shell\\[^=\r\n]{1,80})\s*=", "autorun"),
        (
            rb"^[ \t]*\[\.shellclassinfo\]",
            rb"(?:iconresource|iconfile|clsid2?|infotip|localizedresourcename)\s*=",
            "scf",
        ),
        (rb"^[ \t]*\[desktop entry\]", rb"exec\s*=", "desktop"),
    )
)
# A file of settings alone, name:type:value a line, of which one names where to.
_REMOTE_DESKTOP = re.compile(
    rb"(?:[\w.-][\w .-]{0,59}:[isb]:[^\n]*\n|\s){0,200}?(?:alternate )?"
    rb"(?:full address|remoteapplicationprogram|shell)[ \t]*:[ \t]*s[ \t]*:",
    re.IGNORECASE,
)
_CALENDAR = re.compile(rb"BEGIN[ \t]*:[ \t]*V(?:CALENDAR|CARD|NOTE|EVENT|TODO)\b", re.IGNORECASE)
_WEB_QUERY = re.compile(rb"(?:WEB[ \t]*\r?\n[ \t]*\d+[ \t]*\r?\n[ \t]*\S|XLODBC[ \t]*\r?\n)", re.IGNORECASE)
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
    if _BATCH.match(begin):
        return "batch"
    if _CALENDAR.match(begin):
        return "calendar"
    if begin.startswith(b"ID;"):
        return "slk"
    if query := _WEB_QUERY.match(begin):
        return "iqy" if query[0][:3].upper() == b"WEB" else "oqy"
    if not begin.startswith(b"<"):
        for section, kind in _SECTIONS:
            if section.search(begin):
                return kind
        if _REMOTE_DESKTOP.match(begin):
            return "rdp"
    if begin.startswith(b"<"):
        lower = begin.lower()
        if b"<hta:application" in head.lower():
            return "hta"
        if _CONNECTION.search(begin):
            return "connection"
        if lower.startswith(b"<?xml") or not _HTML.match(begin):
            if kind := _kind_by_root(begin):
                return kind
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


def _kind_by_root(begin: bytes) -> str:
    root = _ROOTS.search(begin)
    if root is None:
        return ""
    namespace, kind = _OF_NAMESPACE.get(root[1], (b"", ""))
    return kind if namespace and namespace in begin else _OF_ROOT.get(root[1], "")


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
    kind = type_by_head(head)
    return extension_of(name) in _EXTENSIONS.get(kind, ())
