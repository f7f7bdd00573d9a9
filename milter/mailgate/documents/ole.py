"""OLE compound files: which documents and objects their streams are, and macros in them."""

from collections.abc import Iterator

from ..model import Danger, Obstacle, Uninspected
from . import doc, macros, msg, ppt, xls
from .budget import Blocked, Budget
from .compound import MAGIC, Compound, opened
from .found import Found, Inside, Threat, extracts
from .objects import links_of, packaged, shown

_ENCRYPTED = frozenset({"encryptedpackage", "encryptedsummary"})
_SINCE_97 = ["PP97_DUALSTORAGE", "PowerPoint Document"]  # beside what PowerPoint 95 reads (MS-PPT 2.1.1)
_RECIPIENT = "__recip_version1.0_"  # of a message: one storage for each (MS-OXMSG 2.2.1)
_DOCUMENTS = frozenset({"worddocument", "workbook", "book", "powerpoint document"})
# Streams of objects that documents embed: what they hold is read here, or is a formula and no more.
_PACKED = frozenset({"package", "package_stream", "contents", "\x01olepackage"})  # a file as it stands
_KNOWN = _DOCUMENTS | _PACKED | {"\x01ole", "\x01ole10native", "\x03objinfo", "equation native"}


def read(octets: bytes, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a compound file holds; a damaged stream does not keep the others from being read."""
    if kind == "xls" and not octets.startswith(MAGIC):
        yield from xls.read(octets, place, budget)
        return
    compound = opened(octets)
    paths = [tuple(each.lower() for each in path) for path in compound.paths if not path[0].startswith(_RECIPIENT)]
    if any(path[-1] in _ENCRYPTED for path in paths):
        raise Blocked(Obstacle.ENCRYPTED, "office document")
    if len(paths) > budget.limits.files:
        raise Blocked(Obstacle.LIMIT, f"more than {budget.limits.files} streams")
    has_macros = any(path[-1] == "_vba_project" for path in paths)
    if has_macros:
        yield Threat(Danger.MACRO, "VBA")
    is_message = kind == "msg" or compound.kind == "msg"
    if not is_message and not has_macros and not any(path[-1] in _KNOWN for path in paths):
        raise Blocked(Obstacle.UNSUPPORTED, kind)
    if is_message:
        yield from msg.read(compound, place, budget)
    else:
        yield from extracts(compound.properties(), place, "", budget)
    steps = [_streams(compound, path, place, budget) for path in compound.paths]
    if has_macros:
        steps.append(macros.read(octets, kind))
    for step in steps:
        try:
            yield from step
        except Blocked as blocked:
            if blocked.obstacle is Obstacle.LIMIT:
                raise
            yield Uninspected(place, blocked.obstacle, blocked.detail)


def _streams(compound: Compound, path: tuple[str, ...], place: str, budget: Budget) -> Iterator[Found]:
    """Yield what one stream holds, together with those beside it that it needs."""
    folder, name = path[:-1], path[-1].lower()
    if name == "worddocument":
        tables = (compound.stream((*folder, "0Table"), budget), compound.stream((*folder, "1Table"), budget))
        data = compound.stream((*folder, "Data"), budget)
        yield from doc.read(compound.stream(path, budget), tables, data, place, budget)
    elif name in ("workbook", "book"):
        yield from xls.read(compound.stream(path, budget), place, budget)
    elif name == "powerpoint document":
        if not folder and compound.file.exists(_SINCE_97):
            return
        user = compound.stream((*folder, "Current User"), budget)
        yield from ppt.read(compound.stream(path, budget), user, place, budget)
    elif name == "\x01ole10native":
        yield from shown(packaged(compound.stream(path, budget)))
    elif name == "\x01ole":
        for link in links_of(compound.stream(path, budget)):
            yield from shown(link)
    elif name in _PACKED:
        yield Inside(name, compound.stream(path, budget))
