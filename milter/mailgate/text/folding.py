"""Vietnamese text folded, so that what looks alike compares alike, and every place in it leads back to the original.

The stages stand in this order because each needs the one before: a repaired ậ may have been read with a soft hyphen
in it (UTF-8 in Latin-1), so repair comes before stripping; a letter composes only once nothing stands between it and
its marks. Whoever compares Vietnamese words takes `canon`; `ascii` makes mất, mặt and mật one, and serves only for
phrases of several words.

Every stage is linear in the text, and touches only what it changes. One look (hyperscan) tells whether a text needs
any of them: most need none.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import hyperscan

from ..caches import remembered

# -- UTF-8 that was read as Latin-1 or windows-1252 ------------------------------------------------

_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"  # what windows-1252 has in 80 to 9F
_OCTETS = {ord(letter): letter.encode("cp1252")[0] for letter in _CP1252}
_NEXT = f"[\x80-\xbf{_CP1252}]"
# á»‡ is E1 BB 87, ệ: no text has these three in a row. â€™ is a quotation mark.
_MISREAD_THREE = f"[áÁ][º»]{_NEXT}|[âÂ][\x80€]{_NEXT}"
# Ã¡ is C3 A1, á. But "XÃ”" may be a commune in quotation marks, so these are believed only line by line.
_MISREAD = re.compile(f"{_MISREAD_THREE}|[ÂÃÄÅÆÌ]{_NEXT}")
_LINE = re.compile("[^\n]+")
_MOST_TIMES = 3  # a text that three programs misread; more would be made up, and each costs a pass

# -- what takes no place -----------------------------------------------------------------------------

# Category Cf alone would miss U+034F and the variation selectors (Mn), the Hangul fillers (Lo) and controls.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)

# -- letters -----------------------------------------------------------------------------------------

# đ has no decomposition; U+00D0, U+00F0 (eth) and U+0189, U+0256 (African d) are typed for it, and dotless i for i.
# The dotted capital I is the only letter that two small ones stand for.
LOOK_ALIKES = str.maketrans("ÐðƉɖıİ", "ĐđĐđiI")
HOMOGLYPHS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХҮаеѕіјорсухһԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχ",
    "ABESIJKMHOPCTYXYaesijopcyxhdqw" + "ABEZHIKMNOPTYXaikvoptux",
)
_OTHER_SCRIPT = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_MARK = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_MOST_MARKS = 30  # on one letter, as in the Stream-Safe Text Format (UAX #15): no language has ten
_OVERSTACKED = re.compile(f"(?<=[{_MARK}]{{{_MOST_MARKS}}})[{_MARK}]+")
_WORD = re.compile(f"[^\\W_][^\\W_{_MARK}]*(?:[{_MARK}]+[^\\W_{_MARK}]*)*")
# An ASCII character composes with nothing before it: what stands between two of them normalizes by itself.
_RUN = re.compile("[\0-\x7f]?[^\0-\x7f]+")
_CLUSTER = re.compile(f".[{_MARK}]*", re.DOTALL)

_CAPITAL = "[A-ZĐÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬÈÉẺẼẸÊỀẾỂỄỆÌÍỈĨỊÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢÙÚỦŨỤƯỪỨỬỮỰỲÝỶỸỴ]"  # composed by then
# "T U Y Ệ T  M Ậ T", a heading that is spread: three letters or more, two spaces or more between its words.
_SPREAD = re.compile(rf"(?<![^\W_]){_CAPITAL}(?: {_CAPITAL}){{2,}}(?: {{2,8}}{_CAPITAL}(?: {_CAPITAL})+)*(?![^\W_])")
_SPACES = re.compile(" +")

# hoà, hoè, thuỷ of the new placement in open syllables; qu is an onset, and hoàn has one place only.
_NEW_PLACEMENT = (  # each begins with a letter, which re looks for first
    re.compile(f"o[àáảãạèéẻẽẹ](?<!qo.)(?![^\\W\\d_]|[{_MARK}])"),
    re.compile(f"u[ỳýỷỹỵ](?<!qu.)(?![^\\W\\d_]|[{_MARK}])"),
)
_OLD_PLACEMENT = {
    first + second: unicodedata.normalize("NFC", first + tone) + bare
    for first, bare, toned in (("o", "a", "àáảãạ"), ("o", "e", "èéẻẽẹ"), ("u", "y", "ỳýỷỹỵ"))
    for second, tone in zip(toned, "\u0300\u0301\u0309\u0303\u0323", strict=True)
}


@dataclass(frozen=True, slots=True)
class Folded:
    """A text folded: canon, its marks kept (có dấu), and cased, canon as it stood before it was made lower case.

    canon_at: of each position, the one in the original where it came from; they never decrease.
    """

    canon: str
    cased: str
    canon_at: Sequence[int]

    @property
    def ascii(self) -> str:
        """canon without its marks (không dấu)."""
        return self.canon.translate(self._bare())

    @property
    def ascii_at(self) -> Sequence[int]:
        """Of each position in ascii, the one in the original."""
        bare = self._bare()
        if "" not in bare.values():
            return self.canon_at
        kept = [bool(bare.get(ord(letter), letter)) for letter in self.canon]
        return array("L", compress(self.canon_at, kept))

    def _bare(self) -> dict[int, str]:
        return {ord(letter): bare_of(letter) for letter in set(self.canon) if letter > "\x7f"}


def fold(text: str) -> Folded:
    """Fold a text, whatever it holds: folding its canon again changes nothing.

    canon is NFKC, in lower case, with the tone where tradition has it (hòa, thủy); đ look-alikes are đ, and letters
    of other scripts that look Latin are Latin where they stand in one word with Latin ones. Capitals that are spread
    by spaces are joined. 1 MB takes about 0.2 s where it is ordinary, under 1 s where every letter is decomposed. Of
    the marks on one letter _MOST_MARKS count.
    """
    odd = _odd(text)
    if odd <= _NEW:  # as nearly always
        canon = text.lower()
        if unicodedata.is_normalized("NFKC", canon):
            return Folded(_with_old_placement(canon) if odd else canon, text, range(len(text)))
    cased, at = text, array("L", range(len(text)))
    if odd == _STACKED:
        cased, at = _edited(cased, at, _overstacked(cased))
    for _ in range(_MOST_TIMES):
        cased, at = _edited(cased, at, _misread(cased))
    cased, at = _edited(cased, at, _invisible(cased))
    cased, at = _composed(cased, at)
    cased = _with_latin_letters(cased)
    cased, at = _composed(cased, at)
    cased, at = _edited(cased, at, _misread(cased))  # what was hidden until now
    cased, at = _edited(cased, at, _spread(cased))
    canon = cased.lower()
    if not unicodedata.is_normalized("NFKC", canon):  # small letters compose that capitals do not: H̱, ẖ
        canon, step = _composed(canon, array("L", range(len(canon))))
        cased = "".join([cased[i] for i in step])
        at = array("L", [at[i] for i in step])
    return Folded(_with_old_placement(canon), cased, at)


def is_plain(text: str) -> bool:
    """Tell whether folding a text does next to nothing, as with nearly every one."""
    return _odd(text) <= _NEW


# What is odd about a text: at most the new placement of tones, something else, or letters under heaps of marks.
_NEW, _OTHER, _STACKED = 1, 2, 3
_ODDITIES = (
    *(_MISREAD.pattern, _INVISIBLE.pattern, f"[{''.join(map(chr, LOOK_ALIKES))}]", _OTHER_SCRIPT.pattern),
    f"{_CAPITAL} {_CAPITAL} {_CAPITAL}",
)


def _escaped(pattern: str) -> bytes:
    return "".join(c if " " <= c <= "~" else f"\\x{{{ord(c):x}}}" for c in pattern).encode()


_FINDER = hyperscan.Database()
_FINDER.compile(
    expressions=[
        _escaped(pattern)
        for pattern in (f"[{_MARK}]{{{_MOST_MARKS + 1}}}", *_ODDITIES, "[oO][àáảãạèéẻẽẹÀÁẢÃẠÈÉẺẼẸ]|[uU][ỳýỷỹỵỲÝỶỸỴ]")
    ],
    ids=[_STACKED] + [_OTHER] * len(_ODDITIES) + [_NEW],
    flags=hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH,
)


_last_odd: tuple[str, int] = ("", 0)  # who asks whether a text is plain folds it next


def _odd(text: str) -> int:
    """Return 0 where folding a text only makes it lower case, _NEW where it places tones too, else more."""
    global _last_odd
    known, odd = _last_odd
    if known != text:
        odd = _oddity(text)
        _last_odd = (text, odd)
    return odd


def _oddity(text: str) -> int:
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        return _STACKED if _OVERSTACKED.search(text) else _OTHER
    found: list[int] = []

    def note(kind: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        found.append(kind)

    _FINDER.scan(octets, match_event_handler=note)
    odd = max(found) if found else 0
    # Normalizing takes time with the square of the marks on one letter: it is asked for where those are few.
    if odd < _OTHER and not unicodedata.is_normalized("NFKC", text):
        return _OTHER
    return odd


def _with_old_placement(canon: str) -> str:
    for pattern in _NEW_PLACEMENT:
        canon = pattern.sub(lambda match: _OLD_PLACEMENT[match[0]], canon)
    return canon


@remembered("bare_of")
def bare_of(letter: str) -> str:
    """Return a letter without its marks, "" for a mark alone.

    >>> bare_of("ậ"), bare_of("đ")
    ('a', 'd')
    """
    if letter in "đĐ":
        return "d" if letter == "đ" else "D"
    parts = [part for part in unicodedata.normalize("NFD", letter) if unicodedata.category(part) != "Mn"]
    return unicodedata.normalize("NFC", "".join(parts))


# -- the stages ---------------------------------------------------------------------------------------


def _edited(text: str, at: "array[int]", changes: Iterable[tuple[int, int, str]]) -> tuple[str, "array[int]"]:
    """Put other text in place of some, from left to right: (start, end, what stands there then)."""
    pieces: list[str] = []
    places = array("L")
    done = 0
    for start, end, new in changes:
        pieces += (text[done:start], new)
        places += at[done:start]
        old = end - start
        places.extend([at[start + min(i, old - 1)] for i in range(len(new))])
        done = end
    if not done:
        return text, at
    pieces.append(text[done:])
    places += at[done:]
    return "".join(pieces), places


def _misread(text: str) -> Iterator[tuple[int, int, str]]:
    if not _MISREAD.search(text):
        return
    for line in _LINE.finditer(text):
        found = list(_MISREAD.finditer(text, line.start(), line.end()))
        whole = len(found) > 0 and _MISREAD.sub("", line[0]).isascii()
        for match in found:
            new = _utf8(match[0])
            if new and (len(match[0]) == 3 or (whole and (len(found) > 1 or not new.isupper()))):
                yield match.start(), match.end(), new


@remembered("folding._utf8")
def _utf8(misread: str) -> str:
    if len(misread) == 3:
        misread = misread[0].lower() + misread[1:]
    try:
        return misread.translate(_OCTETS).encode("latin-1").decode()
    except UnicodeError:
        return ""


def _overstacked(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _OVERSTACKED.finditer(text):
        yield match.start(), match.end(), ""


def _invisible(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _INVISIBLE.finditer(text):
        yield match.start(), match.end(), ""


def _with_latin_letters(text: str) -> str:
    text = text.translate(LOOK_ALIKES)
    return _WORD.sub(_as_latin, text) if _OTHER_SCRIPT.search(text) else text


def _as_latin(match: re.Match[str]) -> str:
    word = match[0]
    return word.translate(HOMOGLYPHS) if _OTHER_SCRIPT.search(word) and _LATIN.search(word) else word


def _composed(text: str, at: "array[int]") -> tuple[str, "array[int]"]:
    """Normalize to NFKC."""
    if unicodedata.is_normalized("NFKC", text):
        return text, at
    return _edited(text, at, _decomposed(text))


def _decomposed(text: str) -> Iterator[tuple[int, int, str]]:
    known: dict[str, list[tuple[int, int, str]]] = {}
    for match in _RUN.finditer(text):
        run = match[0]
        changes = known.get(run)
        if changes is None:
            changes = known[run] = list(_changes_in(run))
        start = match.start()
        for begin, end, new in changes:
            yield start + begin, start + end, new


def _changes_in(run: str) -> Iterator[tuple[int, int, str]]:
    whole = unicodedata.normalize("NFKC", run)
    if whole == run:
        return
    clusters = [(match.start(), match.end(), match[0]) for match in _CLUSTER.finditer(run)]
    changes = [(start, end, unicodedata.normalize("NFKC", cluster)) for start, end, cluster in clusters]
    if "".join([new for _, _, new in changes]) != whole:  # letters of other scripts compose with each other
        yield 0, len(run), whole
        return
    for (start, end, new), (_, _, old) in zip(changes, clusters, strict=True):
        if new != old:
            yield start, end, new


def _spread(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _SPREAD.finditer(text):
        for spaces in _SPACES.finditer(match[0]):
            start, end = (match.start() + place for place in spaces.span())
            yield start, end, "" if end - start == 1 else " "
