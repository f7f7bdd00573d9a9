"""What a file's name says it is, as the system that opens it reads the name; and the tricks that hide this.

Windows drops dots and spaces at the end, takes what follows a colon for a stream of the file, and shows a name by the
Unicode rules of direction, so that a name may show as "thongbao exe.pdf" and end in ".exe".
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from ..caches import remembered

# What opens as a program or script by a double click, or mounts and so loses the mark of the web. The lists of
# Outlook ("Blocked attachments in Outlook") and of Gmail ("File types blocked in Gmail"), less what offices send one
# another: certificates (cer, crt, der), databases (mdb), cabinets, libraries of mail (pst), and data (mat, tmp, prf).
# More than theirs: what connects or queries when it is opened (rdp, iqy, oqy, dqy, rqy), installs (appinstaller,
# ppkg), or is loaded into office programs (wll, xla, ppa, ppam).
PROGRAMS = frozenset(
    {
        *("accda", "accde", "accdu", "ade", "adp", "apk", "app", "appcontent-ms", "appinstaller"),
        *("application", "appref-ms", "appx", "appxbundle", "bas", "bat", "bgi", "cdxml", "chm", "cmd", "cnt"),
        *("com", "command", "contact", "cpl", "csh", "desklink", "deskthemepack", "dex", "diagcab", "diagcfg"),
        *("diagpkg", "dll", "dmg", "dqy", "drv", "efi", "ex_", "exe", "fxp", "gadget", "hlp", "hpj", "hta"),
        *("htc", "htt", "ica", "img", "inf", "ins", "iqy", "iso", "isp", "jar", "jnlp", "js", "jse", "ksh"),
        *("lib", "library-ms", "lnk", "mad", "maf", "mag", "mam", "mapimail", "maq", "mar", "mas", "mau"),
        *("mav", "maw", "mcf", "mda", "mde", "mdt", "mdw", "mdz", "mjs", "msc", "msh", "msh1", "msh1xml"),
        *("msh2", "msh2xml", "mshxml", "msi", "msix", "msixbundle", "msp", "mst", "msu", "nsh", "ocx", "one"),
        *("onepkg", "ops", "oqy", "osd", "pcd", "pif", "plg", "ppa", "ppam", "ppkg", "prg", "printerexport"),
        *("ps1", "ps1xml", "ps2", "ps2xml", "psc1", "psc2", "psd1", "psdm1", "psm1", "pssc", "py", "pyc"),
        *("pyo", "pyw", "pyz", "pyzw", "rdp", "reg", "rqy", "scf", "scr", "sct", "search-ms"),
        *("searchconnector-ms", "settingcontent-ms", "shb", "shs", "sys", "theme", "themepack", "udl", "url"),
        *("vb", "vbe", "vbp", "vbs", "vhd", "vhdx", "vsmacros", "vsw", "vxd", "webpnp", "website", "wll", "ws"),
        *("wsc", "wsf", "wsh", "xbap", "xla", "xlam", "xll", "xnk"),
    }
)

# What names of documents end in: a name that ends so promises that opening it runs nothing.
DOCUMENTS = frozenset(
    {
        *("pdf", "doc", "docx", "docm", "dot", "dotx", "dotm", "rtf", "xls", "xlsx", "xlsm", "xlsb", "xlt"),
        *("xltx", "csv", "ppt", "pptx", "pptm", "pps", "ppsx", "pot", "potx", "odt", "ods", "odp", "odg"),
        *("txt", "text", "log", "md", "htm", "html", "mht", "mhtml", "xml", "jpg", "jpeg", "jfif", "png"),
        *("gif", "bmp", "tif", "tiff", "webp", "heic", "svg", "psd", "ico", "mp3", "wav", "ogg", "flac"),
        *("m4a", "mp4", "avi", "mkv", "mov", "wmv", "eml", "msg", "ics", "vcf", "epub", "xps"),
    }
)


class Trick(StrEnum):
    """What hides the kind of a file in its name."""

    DOUBLE_EXTENSION = "double extension"
    DIRECTION = "control of direction"
    PADDING = "spaces before the extension"
    ENDING = "dots or spaces at the end"
    FULL_WIDTH = "full-width letters"
    STREAM = "stream of a file"
    PATH = "way out of the folder"
    CONTROL = "control character"
    CLASS = "class of a program as extension"


# Nobody writes these by mistake; the others matter only where a program's extension is behind them.
HOSTILE = frozenset({Trick.DIRECTION, Trick.PATH, Trick.CONTROL, Trick.CLASS})


@dataclass(frozen=True, slots=True)
class Reading:
    """A name as the system reads it: the extensions that it may be opened by, in lower case, and the tricks in it."""

    extensions: tuple[str, ...]
    tricks: tuple[Trick, ...]


_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Line ends and tabs are left by folded headers, and 02 05 06 14 19 1E are capitals of VISCII.
_CONTROL = re.compile("[\0\x01\x03\x04\x07\x08\x0e-\x13\x15-\x18\x1a-\x1d\x1f\x7f]")
_INVISIBLE = re.compile("[\xad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_PADDING = re.compile(r"\s{4}\.[^.\s]")
# What programs leave out of an extension: what Windows forbids, the blank of a fold, what could not be read.
_FORBIDDEN = re.compile(r"""[<>"'|?*\s\x00-\x1f\x7f\ufffd]""")
_CLASS = re.compile(r"\{[0-9a-f]{8}-[0-9a-f-]{27}\}")  # the shell opens a.{…} by the program of this number
_LONGEST = 1_024  # no file system has a longer name; its end decides


@remembered("read_name")
def read_name(name: str) -> Reading:
    """Read a file's name, with the folders before it where it has any.

    >>> read_name("bao-cao.pdf.exe . ").extensions
    ('exe',)
    """
    tricks = set()
    if _DIRECTION.search(name):
        tricks.add(Trick.DIRECTION)
    if _CONTROL.search(name):
        tricks.add(Trick.CONTROL)
    if ".." in re.split(r"[/\\]", name):
        tricks.add(Trick.PATH)
    wide = unicodedata.normalize("NFKC", name[-_LONGEST:])
    plain = _INVISIBLE.sub("", wide).lower()
    last = re.split(r"[/\\]", _without_folder_end(plain))[-1]
    written = "".join(name[-_LONGEST:].lower().split())
    extensions = []
    pieces = [piece for piece in re.split("[:\0]", last) if piece.strip(" .")]
    for piece in pieces:
        whole = piece.rstrip(" .\t\r\n\xa0")
        stem, dot, extension = whole.rpartition(".")
        extension = extension.strip()
        if not dot:
            continue
        extensions.append(extension)
        if _CLASS.fullmatch(extension):
            tricks.add(Trick.CLASS)
        if extension not in PROGRAMS and (bare := _FORBIDDEN.sub("", extension).rstrip(" .")) != extension:
            extension = bare
            if extension:
                extensions.append(extension)
        if extension not in PROGRAMS:
            continue
        if stem.rstrip().rpartition(".")[2].strip() in DOCUMENTS and "." in stem:
            tricks.add(Trick.DOUBLE_EXTENSION)
        if whole != piece:
            tricks.add(Trick.ENDING)
        if _PADDING.search(piece):
            tricks.add(Trick.PADDING)
        if len(pieces) > 1:
            tricks.add(Trick.STREAM)
        if f".{extension}" not in written:
            tricks.add(Trick.FULL_WIDTH)
    return Reading(tuple(dict.fromkeys(extensions)), tuple(trick for trick in Trick if trick in tricks))


def _without_folder_end(name: str) -> str:
    r"""Take off what Windows takes for the folder itself: a.exe/, a.exe\."""
    end = len(name.rstrip("/\\. "))
    return name[:end] if re.search(r"[/\\]", name[end:]) else name


def opens_alike(name: str, other: str) -> bool:
    """Tell whether two names are opened by the same program."""
    return read_name(name) == read_name(other)


def extension_of(name: str) -> str:
    """Return the last extension that a name may be opened by, "" for none."""
    return (read_name(name).extensions or ("",))[-1]
