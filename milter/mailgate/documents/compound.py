"""OLE compound files (MS-CFB) by olefile: storages and streams, whose names have no case (2.6.4)."""

from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import olefile

from ..model import Obstacle
from ..text import charsets
from .budget import Blocked, Budget

_MSG = "00020D0B-0000-0000-C000-000000000046"  # the class of Outlook's messages (MS-OXMSG 2.2.1)
# The class of MSI's packages, patches and transforms.
_INSTALLERS = tuple(f"000C108{last}-0000-0000-C000-000000000046" for last in "462")
_TABLE = "\u4840"  # an installer's tables have names of two letters in one, behind this one
_PROPERTIES = "__properties_version1.0"
_KINDS = {
    "worddocument": "doc",
    "workbook": "xls",
    "book": "xls",
    "powerpoint document": "ppt",
    "visiodocument": "vsd",
    "quill": "pub",
}

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # 2.2
# Properties that a reader is shown (MS-OLEPS 2.25.1, MS-OSHARED 2.3.3.2): title, subject, keywords, comments; then
# category.
_SHOWN = (("\x05SummaryInformation", (2, 3, 5, 6)), ("\x05DocumentSummaryInformation", (2,)))
_CODE_PAGE, _UTF_8 = 1, 65_001


@dataclass(frozen=True, slots=True)
class Compound:
    """A compound file that is open. paths: of its streams, as they are spelled there."""

    file: olefile.OleFileIO
    paths: tuple[tuple[str, ...], ...]

    @property
    def kind(self) -> str:
        """What it is by the class of its root and by what stands there: what is further inside is an attachment's."""
        names = {entry.name.lower() for entry in self.file.root.kids}
        own = str(self.file.root.clsid).upper()
        if own == _MSG or _PROPERTIES in names or "__nameid_version1.0" in names:
            return "msg"
        if own in _INSTALLERS or any(name.startswith(_TABLE) for name in names):
            return "msi"
        return next((kind for name, kind in _KINDS.items() if name in names), "ole")

    def properties(self) -> list[str]:
        """Return the properties of the document that a reader is shown."""
        found: list[str] = []
        for name, shown in _SHOWN:
            if not self.file.exists(name):
                continue
            with suppress(Exception):  # as in `opened`; some programs write there what is no such table
                known = self.file.getproperties(name)
                page = known.get(_CODE_PAGE, 1_252)
                found += [_decoded(known[each], page) for each in shown if each in known]
        return [text for text in found if text]

    def stream(self, path: tuple[str, ...], budget: Budget) -> bytes:
        """Return a stream's octets, b"" where it is not there; raise Blocked where it is damaged or too large."""
        if self.file.get_type(list(path)) != olefile.STGTY_STREAM:
            return b""
        limit = budget.limits.file_octets
        size = int(self.file.get_size(list(path)))
        if size > limit:
            raise Blocked(Obstacle.LIMIT, f"a stream is larger than {limit} octets")
        budget.take_octets(size)
        try:
            return bytes(self.file.openstream(list(path)).read())
        except Exception as error:  # olefile raises whatever a damaged chain of sectors leads to
            raise Blocked(Obstacle.DAMAGED, "stream of an ole") from error


def _decoded(value: object, page: object) -> str:
    """Return a property of text; page: its charset, as a signed number of 16 bits."""
    if isinstance(value, str):
        return value.rstrip("\0")
    if not isinstance(value, bytes):
        return ""
    number = page & 0xFFFF if isinstance(page, int) else 0
    octets = value.rstrip(b"\0")
    return charsets.read(octets, "utf-8" if number == _UTF_8 else f"cp{number}").text


def opened(octets: bytes) -> Compound:
    """Return a compound file; raise Blocked where its directory cannot be read."""
    try:
        file = olefile.OleFileIO(BytesIO(octets), raise_defects=olefile.DEFECT_FATAL)
        paths = file.listdir(streams=True, storages=False)
    except Exception as error:  # olefile raises OSError, but also IndexError, struct.error, ...
        raise Blocked(Obstacle.DAMAGED, "ole") from error
    return Compound(file, tuple(map(tuple, paths)))
