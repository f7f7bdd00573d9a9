"""OLE compound files (MS-CFB) by olefile: which documents and objects their streams are, and macros in them."""

from collections.abc import Iterator
from io import BytesIO

import olefile

from ..model import Danger, Obstacle, Uninspected
from . import doc, macros, msg, ppt, xls
from .budget import Blocked, Budget
from .found import Found, Inside, Threat
from .objects import packaged

_ENCRYPTED = frozenset({"encryptedpackage", "encryptedsummary"})
# Streams of objects that documents embed: what they hold is read here, or is a formula and no more.
_KNOWN = frozenset({"\x01ole", "\x01ole10native", "\x03objinfo", "equation native", "package", "contents"})
_OWN = "\x01Ole10Native"


def read(octets: bytes, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a compound file holds; a damaged stream does not keep the others from being read."""
    try:
        compound = olefile.OleFileIO(BytesIO(octets), raise_defects=olefile.DEFECT_FATAL)
        paths = compound.listdir(streams=True, storages=False)
    except Exception as error:  # olefile raises OSError, but also IndexError, struct.error, ...
        raise Blocked(Obstacle.DAMAGED, "ole") from error
    if any(path[-1].lower() in _ENCRYPTED for path in paths):
        raise Blocked(Obstacle.ENCRYPTED, "office document")
    if kind == "msg":
        yield from msg.read(compound, paths, place, budget)
        return
    if len(paths) > budget.limits.files:
        raise Blocked(Obstacle.LIMIT, f"more than {budget.limits.files} streams")
    lower = [[each.lower() for each in path] for path in paths]
    has_macros = any(path[-1] == "_vba_project" for path in lower)
    if has_macros:
        yield Threat(Danger.MACRO, "VBA")
    if kind == "ole" and not has_macros and not any(path[-1] in _KNOWN for path in lower):
        raise Blocked(Obstacle.UNSUPPORTED, kind)
    steps = [_streams(compound, path, octets, place, budget) for path in paths]
    if has_macros:
        steps.append(macros.read(octets, kind))
    for step in steps:
        try:
            yield from step
        except Blocked as blocked:
            if blocked.obstacle is Obstacle.LIMIT:
                raise
            yield Uninspected(place, blocked.obstacle, blocked.detail)


def _streams(
    compound: olefile.OleFileIO, path: list[str], octets: bytes, place: str, budget: Budget
) -> Iterator[Found]:
    """Yield what one stream holds, together with those beside it that it needs."""
    folder, name = path[:-1], path[-1]
    if name == "WordDocument":
        tables = (stream_of(compound, [*folder, "0Table"], budget), stream_of(compound, [*folder, "1Table"], budget))
        yield from doc.read(stream_of(compound, path, budget), tables, place, budget)
    elif name in ("Workbook", "Book"):
        stream = stream_of(compound, path, budget)
        yield from xls.read(stream, stream if folder else octets, place, budget)
    elif name == "PowerPoint Document":
        user = stream_of(compound, [*folder, "Current User"], budget)
        yield from ppt.read(stream_of(compound, path, budget), user, place, budget)
    elif name == _OWN:
        if found := packaged(stream_of(compound, path, budget)):
            yield Inside(found.name, found.octets)
    elif name.lower() in ("package", "contents", "\x01olepackage"):
        yield Inside(name.lower(), stream_of(compound, path, budget))


def stream_of(compound: olefile.OleFileIO, path: list[str], budget: Budget) -> bytes:
    """Return a stream's octets, b"" where it is not there; raise Blocked where it is damaged or too large."""
    if not compound.exists(path):
        return b""
    limit = budget.limits.file_octets
    size = int(compound.get_size(path))
    if size > limit:
        raise Blocked(Obstacle.LIMIT, f"a stream is larger than {limit} octets")
    budget.take_octets(size)
    try:
        return bytes(compound.openstream(path).read())
    except Exception as error:  # as above
        raise Blocked(Obstacle.DAMAGED, "stream of an ole") from error
