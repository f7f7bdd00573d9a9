"""What is inside a mail: short plain text is read at once, everything else by a worker, and the same file once.

What a worker could not see is in the inspection, and never left out: a file that killed it, or outlived its limits,
is Uninspected. Only where no worker can be had at all is there no inspection (OSError).
"""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..documents.eml import is_shown
from ..documents.types import is_inert, types_of
from ..mime.fields import decode_words
from ..mime.transfer import IDENTITY, decoder_for
from ..mime.walker import Leaf
from ..model import File, Inspection, Mail, Obstacle, Taken, Text, TextKind, Uninspected
from ..spool import IN_MEMORY_BYTES, Spool
from ..text.charsets import LEGACY, VPS, read
from ..text.folding import is_plain
from ..text.reading import read_simple_html, read_text
from .job import Item, Job, Piece
from .limits import InspectionLimits
from .pool import Content, Ending, Outcome

_SHORT_OCTETS = 32_768
"""Text up to here, in a whole mail, is read at once: some 300 us."""
_SHORT_HTML_OCTETS = 65_536
"""The same of HTML that needs no parser: a millisecond."""
_ODD_OCTETS = 2_048  # up to here whatever it is made of; what takes more time for each letter goes to a worker
_FEW_LEAVES = 20
_IN_A_TURN = 100  # leaves that are looked at before other mails have a turn
_HEAD_OCTETS = 1_024  # of a file, by which a picture is known
_SUBJECT_OCTETS = 4_096  # of all that a mail has; five times what any mail program shows
_SUBJECT_LEAST = 64  # what each counts at the least, for empty ones cost time too
_AT_ONCE_OCTETS = 65_536  # are hashed on the loop, in some 40 us
_TRIES = 2  # a worker may die for no fault of the mail
_LEAST_CPU_S = 0.4  # for the second one, however long the first one took: ordinary mails take less


class Workers(Protocol):
    """Who does jobs (pool.Pool)."""

    async def run(self, job: Job, content: Content) -> Outcome[Item]:
        """Do a job; raises OSError where no worker can be had."""

    def lacks(self) -> Sequence[str]:
        """Return what the workers lack, once there are any."""

    async def close(self) -> None:
        """End all workers."""


@dataclass(slots=True)
class _Kept:
    items: Sequence[Item]
    octets: int


class Inspector:
    """Looks into mails; one of a daemon process, whatever is reloaded but its limits."""

    def __init__(
        self, workers: Workers, limits: InspectionLimits, count: Callable[[str, float], None] = lambda *_: None
    ) -> None:
        self.limits = limits
        self._workers = workers
        self._count = count  # adds to a counter of metrics
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._kept_octets = 0
        self._flying: dict[bytes, asyncio.Future[bool]] = {}  # True once it was looked into, whatever came of it

    async def start(self) -> list[str]:
        """Have a worker at hand, and return what the workers lack, and what is then not inspected or not prevented.

        Where none comes, that is what is returned, and each mail that needs one says so.
        """
        try:
            await self._workers.run(Job((), self.limits.cpu_s), Content())
        except OSError as error:
            return [f"nothing is inspected: {error}"]
        return list(self._workers.lacks())

    async def close(self) -> None:
        """End the workers."""
        await self._workers.close()

    # -- at once --------------------------------------------------------------------------------

    def at_once(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection | None:
        """Return what is inside a mail of short plain text, pictures, and files that are known; None for any
        other."""
        if len(leaves) > _FEW_LEAVES:
            return None
        found: list[Sequence[Item]] = []
        room = _room()
        known = 0
        for number, leaf in enumerate(leaves, 1):
            items = None
            octets = leaf.span[1] - leaf.span[0]
            if leaf.type in room and not leaf.is_attachment:
                items = _read_short(raw, leaf, number, room)
            elif octets <= _AT_ONCE_OCTETS:
                items = _inert(raw, leaf, number)
                if items is None:
                    items = self._known(_key(raw, leaf, number))
                    known += 1
            else:
                items = _inert(raw, leaf, number)
            if items is None:
                return None
            found.append(items)
        self._count("inspection_known", known)
        return _gathered(mail, found)

    # -- by workers -----------------------------------------------------------------------------

    async def inspect(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection:
        """Return what is inside a mail; raises OSError where no worker can be had."""
        found: list[Sequence[Item] | None] = [None] * len(leaves)
        keys: dict[int, bytes] = {}
        room = _room()
        for index, leaf in enumerate(leaves):
            if index % _IN_A_TURN == _IN_A_TURN - 1:
                await asyncio.sleep(0)
            if leaf.type in room and not leaf.is_attachment:
                found[index] = _read_short(raw, leaf, index + 1, room)
                continue
            found[index] = _inert(raw, leaf, index + 1)
            if found[index] is None and leaf.is_attachment:
                keys[index] = await _key_of(raw, leaf, index + 1)
        for index, key in keys.items():
            while (flying := self._flying.get(key)) is not None:
                if await asyncio.shield(flying):
                    break
            found[index] = self._known(key)
        self._count("inspection_known", sum(found[index] is not None for index in keys))
        firsts: dict[bytes, int] = {}  # a mail may have the same file twice
        for index, key in keys.items():
            if found[index] is None:
                firsts.setdefault(key, index)
        todo = [
            index
            for index, items in enumerate(found)
            if items is None and (index not in keys or firsts[keys[index]] == index)
        ]
        if todo:
            await self._look(raw, leaves, todo, {index: key for key, index in firsts.items()}, found)
            for index, key in keys.items():
                if key in firsts:
                    found[index] = found[firsts[key]]
        return _gathered(mail, [items or () for items in found])

    async def _look(
        self,
        raw: Spool,
        leaves: Sequence[Leaf],
        todo: Sequence[int],
        keys: Mapping[int, bytes],
        found: list[Sequence[Item] | None],
    ) -> None:
        """Have workers look into the leaves of these indexes; a file that others wait for is looked into for them."""
        flying: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        mine = [keys[index] for index in todo if index in keys and keys[index] not in self._flying]
        self._flying.update(dict.fromkeys(mine, flying))
        is_done = False
        try:
            for index in await self._run(raw, leaves, list(todo), found):
                items = found[index]
                if index in keys and items is not None:
                    self._keep(keys[index], items)
            is_done = True
        finally:
            for key in mine:
                del self._flying[key]
            flying.set_result(is_done)

    async def _run(
        self, raw: Spool, leaves: Sequence[Leaf], todo: list[int], found: list[Sequence[Item] | None]
    ) -> set[int]:
        """Look into the leaves of these indexes; return those of which what was found holds for the next mail too."""
        lasting: set[int] = set()
        has_files = any(not is_shown(leaves[index]) for index in todo)
        cpu_s = whole_s = max(self.limits.cpu_s, self.limits.files_cpu_s) if has_files else self.limits.cpu_s
        for _ in range(_TRIES):
            pieces, content = _packed(raw, [(leaves[index], index + 1) for index in todo])
            self._count("inspection_jobs", 1)
            outcome = await self._workers.run(Job(pieces, cpu_s), content)
            for number, (index, items) in enumerate(zip(todo, outcome.ended, strict=False)):
                found[index] = items
                if number == 0:  # a file of the same mail that a worker read before may have had it say anything
                    lasting.add(index)
            del todo[: len(outcome.ended)]
            if outcome.ending is Ending.CPU and not outcome.ended and cpu_s == whole_s:
                lasting.add(todo[0])  # it had all the time that a mail has
            if outcome.ending in (Ending.DONE, Ending.CPU):
                break
            # Else it may not have been the mail: a worker that was killed, or one that stood still. Once more, with
            # what is left of its processor time at the least.
            if outcome.ending is Ending.DIED:
                cpu_s = max(cpu_s - outcome.wall_s, _LEAST_CPU_S)
        for number, index in enumerate(todo):
            place = _place(leaves[index], index + 1)
            if number == 0:
                found[index] = (*outcome.begun, Uninspected(place, Obstacle.KILLED, outcome.detail))
            else:
                found[index] = (Uninspected(place, Obstacle.LIMIT, f"after another file: {outcome.detail}"),)
        return lasting

    # -- what is known --------------------------------------------------------------------------

    def _known(self, key: bytes) -> Sequence[Item] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept.items

    def _keep(self, key: bytes, items: Sequence[Item]) -> None:
        octets = sum(_octets_of(item) for item in items)
        if octets > self.limits.cache_bytes // 4 or key in self._kept:
            return
        self._kept[key] = _Kept(items, octets)
        self._kept_octets += octets
        while self._kept_octets > self.limits.cache_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._kept_octets -= oldest.octets


_ITEM_OCTETS = 600  # what a thing found takes in memory beside its texts


def _octets_of(item: Item) -> int:
    if isinstance(item, Taken):
        return _ITEM_OCTETS + len(item.octets)
    return _ITEM_OCTETS + (2 * len(item.canon) if isinstance(item, Text) else 0)


def _place(leaf: Leaf, number: int) -> str:
    return leaf.name or f"part {number}"


def _octets(raw: Spool, leaf: Leaf) -> bytes:
    encoded = b"".join(raw.chunks(*leaf.span))
    if leaf.encoding in IDENTITY:
        return encoded
    decoder = decoder_for(leaf.encoding)
    return decoder.feed(encoded) + decoder.finish()


_MORE_THAN_TEXT = re.compile(rb"^(?:begin(?:-base64)?[ \t]+[0-7]|=ybegin |-----BEGIN PGP MESSAGE)", re.MULTILINE)


def _room() -> dict[str, int]:
    """Return how many octets of a mail's text are read at once, by their type."""
    return {"text/plain": _SHORT_OCTETS, "text/html": _SHORT_HTML_OCTETS}


def _read_short(raw: Spool, leaf: Leaf, number: int, room: dict[str, int]) -> Sequence[Item] | None:
    """Return a short text; None where it is long, HTML that needs a parser, or holds a file or what is encrypted
    (documents.plain knows)."""
    room[leaf.type] -= leaf.span[1] - leaf.span[0]
    if room[leaf.type] < 0:
        return None
    octets = _octets(raw, leaf)
    if leaf.type == "text/html":
        kind = TextKind.DOCUMENT if leaf.is_inside else TextKind.BODY
        text = read_simple_html(f"part {number}", kind, octets, leaf.charset, _ODD_OCTETS)
        return None if text is None else (text,)
    if _MORE_THAN_TEXT.search(octets) or (len(octets) > _ODD_OCTETS and not _is_ordinary(octets)):
        return None
    decoded = read(octets, leaf.charset)
    charset = decoded.charset if decoded.charset in _BEFORE_UNICODE else ""
    kind = TextKind.DOCUMENT if leaf.is_inside else TextKind.BODY
    return (read_text(f"part {number}", kind, decoded.text, charset, decoded.declared),)


def _is_ordinary(octets: bytes) -> bool:
    """Tell whether octets are text in UTF-8 that is read at a glance."""
    try:
        return is_plain(octets.decode())
    except UnicodeDecodeError:
        return False


_BEFORE_UNICODE = frozenset({*LEGACY, VPS})


def _inert(raw: Spool, leaf: Leaf, number: int) -> Sequence[Item] | None:
    """Return a picture, sound or film, known by its first octets and its name; None for what must be looked into."""
    if not leaf.type.startswith(("image/", "audio/", "video/")):
        return None
    start, stop = leaf.span
    head = decoder_for(leaf.encoding).feed(b"".join(raw.chunks(start, min(stop, start + 2 * _HEAD_OCTETS))))
    if leaf.names or not is_inert(head[:_HEAD_OCTETS], leaf.name):
        return None
    place = _place(leaf, number)
    file = File(place, leaf.name, types_of(head[:_HEAD_OCTETS])[0], leaf.type, _decoded_octets(leaf))
    return (file, read_text(place, TextKind.FILE_NAME, leaf.name)) if leaf.name else (file,)


def _decoded_octets(leaf: Leaf) -> int:
    """Return about how many octets a leaf has decoded: whoever needs them exactly decodes it."""
    octets = leaf.span[1] - leaf.span[0]
    return octets * 57 // 78 if leaf.encoding == "base64" else octets


def _key(raw: Spool, leaf: Leaf, number: int) -> bytes:
    """Return what a file is known by: its octets as they are encoded, and all that it is called."""
    told = (
        leaf.encoding,
        leaf.type,
        leaf.charset,
        leaf.is_attachment,
        leaf.is_inside,
        _place(leaf, number),
        leaf.names,
    )
    digest = hashlib.sha256(repr(told).encode())
    for chunk in raw.chunks(*leaf.span):
        digest.update(chunk)
    return digest.digest()


async def _key_of(raw: Spool, leaf: Leaf, number: int) -> bytes:
    if leaf.span[1] - leaf.span[0] <= _AT_ONCE_OCTETS:
        return _key(raw, leaf, number)
    return await asyncio.get_running_loop().run_in_executor(None, _key, raw, leaf, number)


def _packed(raw: Spool, leaves: Iterable[tuple[Leaf, int]]) -> tuple[list[Piece], Content]:
    """Return leaves as a job's pieces, with the content that they stand in."""
    numbered = list(leaves)
    if raw.size > IN_MEMORY_BYTES:
        return [Piece(leaf, _place(leaf, number)) for leaf, number in numbered], Content(descriptor=raw.fileno())
    pieces, octets = [], bytearray()
    for leaf, number in numbered:
        start = len(octets)
        octets += b"".join(raw.chunks(*leaf.span))
        moved = Leaf(
            (start, len(octets)),
            leaf.encoding,
            leaf.type,
            leaf.name,
            leaf.charset,
            leaf.is_attachment,
            leaf.is_inside,
            leaf.names,
        )
        pieces.append(Piece(moved, _place(leaf, number)))
    return pieces, Content(bytes(octets))


# Programs differ in what they make of such a part; it was looked into in one way.
_AMBIGUOUS = frozenset(
    {
        *("duplicate-content-type", "duplicate-parameter", "duplicate-transfer-encoding", "differing-names"),
        *("unknown-transfer-encoding", "encoded-multipart", "no-boundary"),
    }
)


def _gathered(mail: Mail, found: Sequence[Sequence[Item]]) -> Inspection:
    texts: list[Text] = []
    files: dict[tuple[str, str], File] = {}  # each as it was known last
    uninspected: list[Uninspected] = []
    taken: list[Taken] = []
    room = _SUBJECT_OCTETS
    for value in mail.header_values(b"subject"):
        texts.append(read_text("subject", TextKind.SUBJECT, decode_words(value[:room])))
        room -= max(len(value), _SUBJECT_LEAST)
        if room < 0:
            uninspected.append(Uninspected("subject", Obstacle.LIMIT, f"more than {_SUBJECT_OCTETS} octets"))
            break
    defects = mail.content.defects
    uninspected += [Uninspected("structure", Obstacle.LIMIT, limit) for limit in mail.content.unread()]
    uninspected += [Uninspected("structure", Obstacle.DAMAGED, defect) for defect in sorted(_AMBIGUOUS & defects)]
    uninspected += [Uninspected("structure", Obstacle.AMBIGUOUS, defect) for defect in mail.content.ambiguities()]
    if not found and "unclosed-multipart" in defects:
        uninspected.append(Uninspected("structure", Obstacle.DAMAGED, "no part of a multipart"))
    for items in found:
        for item in items:
            if isinstance(item, Text):
                texts.append(item)
            elif isinstance(item, File):
                before = files.get((item.place, item.sha256))
                if before is not None and before.dangers:
                    item = replace(item, dangers=tuple(dict.fromkeys((*before.dangers, *item.dangers))))
                files[item.place, item.sha256] = item
            elif isinstance(item, Taken):
                taken.append(item)
            else:
                uninspected.append(item)
    return Inspection(tuple(texts), tuple(files.values()), tuple(uninspected), tuple(taken))
