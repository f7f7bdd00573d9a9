"""What an inspection does with one leaf: its octets in, texts as rules read them, files and what was in the way
out."""

from collections.abc import Iterator

from ..documents.budget import Budget
from ..documents.found import Extract
from ..documents.message import look_into_leaf
from ..mime.transfer import decoder_for
from ..model import File, Obstacle, TextKind, Uninspected
from ..text.reading import read_text
from .job import Item, Piece


def look(piece: Piece, encoded: Iterator[bytes], budget: Budget) -> Iterator[Item]:
    """Yield what is in a leaf, each thing as soon as it is known; encoded: its octets as they stand in the mail."""
    decoder = decoder_for(piece.leaf.encoding)
    octets = b"".join(map(decoder.feed, encoded)) + decoder.finish()
    if "base64-data-after-pad" in decoder.defects:
        yield Uninspected(piece.place, Obstacle.DAMAGED, "base64 that programs read in two ways")
    named = set()
    for found in look_into_leaf(octets, piece.leaf, piece.place, budget, body=not piece.leaf.is_inside):
        if isinstance(found, File) and found.place not in named:
            named.add(found.place)
            for name in (found.name, *found.names):
                yield read_text(found.place, TextKind.FILE_NAME, name)
        if isinstance(found, Extract):
            try:
                yield read_text(found.place, found.kind, found.text, found.charset, found.declared, found.is_html)
            except MemoryError:
                yield Uninspected(found.place, Obstacle.LIMIT, "the text takes too much memory")
        else:
            yield found
