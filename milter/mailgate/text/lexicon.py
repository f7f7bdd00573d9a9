"""All phrases of the site's lists, looked for in one pass over a text.

Hyperscan's literal matcher has them in one database: 5,000 cost what ten do. It finds octets, so a text is laid out
for it first: UTF-8, one blank for each run of white space; what it finds is then led back to the text. Whole words
alone count: the letters beside a match say whether it is one.
"""

import re
import unicodedata
from collections.abc import Sequence

import hyperscan

from ..lists.entries import kind_of
from ..model import ListEntry, Lists, Spotted, Text
from .folding import fold

MOST_OF_ONE = 20
"""Places of one phrase in a text, in each of its forms: more tell nothing new."""

_WHITE_SPACE = "\t\n\v\f\r "
_BLANKS = bytes(0x20 if chr(octet) in _WHITE_SPACE else octet for octet in range(256))
_LINE_ENDS = ("\x85", "\u2028", "\u2029")  # white space beyond ASCII that NFKC leaves as it is
_WORD = re.compile(f"[^{_WHITE_SPACE}{''.join(_LINE_ENDS)}]+")
_OUTSIDE = frozenset(octet for octet in range(128) if not chr(octet).isalnum() and octet != ord("_"))


class Lexicon:
    """The phrases of some lists, compiled: 5,000 take 0.4 s. For one thread: a search has the matcher to itself."""

    def __init__(self, lists: Lists) -> None:
        meant: dict[bytes, list[tuple[str, ListEntry]]] = {}
        for name, entries in lists.entries.items():
            kind = kind_of(name)
            if kind is not None and kind.has_phrases:
                for phrase, entry in entries.items():
                    for form in _forms(phrase):
                        meant.setdefault(form, []).append((name, entry))
        self._forms = list(meant)
        self._meant = list(meant.values())
        self._lengths = [len(form) for form in self._forms]
        self._matcher: hyperscan.Database | None = None
        if meant:
            self._matcher = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._matcher.compile(
                expressions=self._forms,
                ids=list(range(len(self._forms))),
                elements=len(self._forms),
                flags=[0] * len(self._forms),
                literal=True,
            )

    def find_in(self, texts: Sequence[Text]) -> list[Spotted]:
        """Return the phrases that some texts hold, in order; linear in them, whatever they hold."""
        # All at once first, with what no phrase has between them: nearly always there is nothing to be found.
        if not self._matches(_laid_out("\0".join([text.canon for text in texts]))):
            return []
        return [spotted for text in texts for spotted in self.find(text)]

    def find(self, text: Text) -> list[Spotted]:
        """Return the phrases that a text holds, in order."""
        octets = _laid_out(text.canon)
        found = self._matches(octets)
        return self._led_back(text, octets, sorted(found)) if found else []

    def _matches(self, octets: bytes) -> list[tuple[int, int]]:
        """Return where a phrase stands as a whole, and its number."""
        if self._matcher is None:
            return []
        lengths = self._lengths
        found: list[tuple[int, int]] = []
        counts: dict[int, int] = {}

        def note(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            count = counts.get(number, 0)
            if count < MOST_OF_ONE and _is_whole(octets, start := end - lengths[number], end):
                counts[number] = count + 1
                found.append((start, number))

        self._matcher.scan(octets, match_event_handler=note)
        return found

    def _led_back(self, text: Text, octets: bytes, found: Sequence[tuple[int, int]]) -> list[Spotted]:
        """Return what was found with its place in the text: its word by number, and its column in that word."""
        words = [word.start() for word in _WORD.finditer(text.canon)]
        spotted = []
        word, column, done = -1, 0, 0
        for start, number in found:
            passed = octets[done:start]
            blanks = passed.count(b" ")
            if blanks:
                word += blanks
                column = 0
                passed = passed[passed.rfind(b" ") + 1 :]
            column += len(passed.decode("utf-8", "surrogatepass"))
            done = start
            for name, entry in self._meant[number]:
                spotted.append(Spotted(name, entry, text.place, text.kind, words[word] + column))
        return spotted


def _forms(phrase: str) -> list[bytes]:
    """Return how a phrase is looked for: as it is folded; one of several words without its marks (không dấu) too."""
    folded = fold(phrase)
    forms = [folded.canon]
    if len(phrase.split()) > 1 and folded.ascii != folded.canon:
        forms.append(folded.ascii)
    return [_laid_out(form)[1:-1] for form in forms]


def _laid_out(canon: str) -> bytes:
    """Return a text as UTF-8, a blank before and after it and for each run of white space."""
    for line_end in _LINE_ENDS:
        if line_end in canon:
            canon = canon.replace(line_end, " ")
    octets = f" {canon} ".encode("utf-8", "surrogatepass").translate(_BLANKS)
    while b"  " in octets:  # halves each run: the logarithm of the longest is how often
        octets = octets.replace(b"  ", b" ")
    return octets


def _is_whole(octets: bytes, start: int, end: int) -> bool:
    """Tell whether neither end of a match is inside a word; one that is no letter itself is at no word's inside."""
    before, after = octets[start - 1], octets[end]
    return (
        before in _OUTSIDE or octets[start] in _OUTSIDE or not _is_letter(octets[max(0, start - 4) : start], -1)
    ) and (after in _OUTSIDE or octets[end - 1] in _OUTSIDE or not _is_letter(octets[end : end + 4], 0))


def _is_letter(near: bytes, at: int) -> bool:
    letter = near.decode("utf-8", "ignore")[at:][:1]
    return letter == "_" or unicodedata.category(letter)[0] in "LMN" if letter else False
