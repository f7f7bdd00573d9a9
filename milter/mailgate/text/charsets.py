"""Octets as text where the label may be wrong: UTF-8 first, then the label, then what the octets themselves say.

Before Unicode, Vietnamese was written in some forty charsets, in fonts of their own, and sent without a label or with
that of Latin-1. TCVN 6909:2001 asks for Unicode. Four are read here: windows-1258, TCVN3 (ABC, the fonts .Vn…), VNI
and VISCII. VPS is known by its label and fonts alone: no table of it could be verified.

A charset is believed by statistics only where it makes Vietnamese syllables of words that Latin-1 reads otherwise,
and next to none that are no syllables: French and German do not come out so.
"""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from ..caches import remembered

WINDOWS_1252, WINDOWS_1258 = "windows-1252", "windows-1258"
TCVN3, VNI, VISCII, VPS = "tcvn3", "vni", "viscii", "vps"
LEGACY = (WINDOWS_1258, TCVN3, VNI, VISCII)  # in this order where two fit alike


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the charset that it was in, the one that was declared (lower case, "" for none), and whether the
    declared one is wrong."""

    text: str
    charset: str
    declared: str
    differs: bool


# -- tables --------------------------------------------------------------------------------------------


def _as_python_has_it(charset: str) -> str:
    """Return what each octet is; where Python has nothing, as browsers do, the control character."""
    return "".join([bytes([i]).decode(charset, "ignore") or chr(i) for i in range(256)])


_ASCII = "".join(map(chr, range(128)))
_WESTERN = _as_python_has_it("cp1252")  # RFC 2046's Latin-1 too: WHATWG Encoding has one for both
_VIETNAMESE = _as_python_has_it("cp1258")  # unicode.org: MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1258.TXT

# TCVN 5712:1993, as glibc has it (localedata/charmaps/TCVN5712-1): A0 to FF, which its three variants share. TCVN3 is
# the one of the fonts .Vn…: its capitals with tones are small letters in a font of capitals, and on Windows 80 to 9F
# are the quotation marks and dashes of windows-1252.
_TCVN = (
    _WESTERN[:160] + "\u00a0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴ"
    "ẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịò"
    "ỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ"
)

# RFC 1456: every other octet is a letter, and six capitals stand where ASCII has controls.
_VISCII_CAPITALS = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}
_VISCII = (
    _ASCII.translate(_VISCII_CAPITALS) + "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲ"
    "ÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡư"
    "àáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
)

# VNI-Windows (vnisoft.com: vnichar.htm): a vowel and, after it, an octet for its marks; here as Latin-1 has them.
_VNI_MARKS = {
    **dict(zip("øùûõï", "\u0300\u0301\u0309\u0303\u0323", strict=True)),
    **dict(zip("âàáåãä", ("\u0302" + tone for tone in ("", *"\u0300\u0301\u0309\u0303\u0323")), strict=True)),
    **dict(zip("êèéúüë", ("\u0306" + tone for tone in ("", *"\u0300\u0301\u0309\u0303\u0323")), strict=True)),
}
_VNI_MARKED = re.compile("(?<=[aeiouyôöAEIOUYÔÖ])[øùûõïØÙÛÕÏ]|(?<=[aeoAEO])[âàáåãäÂÀÁÅÃÄ]|(?<=[aA])[êèéúüëÊÈÉÚÜË]")
_VNI_LETTERS = str.maketrans("ñôöæóòîÑÔÖÆÓÒÎ", "đơưỉĩịỵĐƠƯỈĨỊỴ")

_TABLES = {WINDOWS_1252: _WESTERN, WINDOWS_1258: _VIETNAMESE, TCVN3: _TCVN, VISCII: _VISCII}


def _decode(octets: bytes, charset: str) -> str:
    """Decode by one of the tables above."""
    text = codecs.charmap_decode(octets, "strict", _TABLES.get(charset, _WESTERN))[0]
    if charset == VNI:
        text = _VNI_MARKED.sub(lambda match: _VNI_MARKS[match[0].lower()], text).translate(_VNI_LETTERS)
    # windows-1258 and VNI have marks of their own, some in an order that only NFC puts right.
    return text if charset == WINDOWS_1252 else unicodedata.normalize("NFC", text)


# -- labels --------------------------------------------------------------------------------------------

_NAMES = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "latin-1", "l1", "cp1252", "x-cp1252"), WINDOWS_1252),
    **dict.fromkeys(("cp1258", "x-cp1258", "windows1258"), WINDOWS_1258),
    **dict.fromkeys(("csviscii", "viscii1.1-1", "x-viscii", "x-viet-viscii"), VISCII),
    **dict.fromkeys(("tcvn", "tcvn-5712", "tcvn5712", "tcvn5712-1", "tcvn5712-1:1993"), TCVN3),
    **dict.fromkeys(("x-viet-tcvn", "x-viet-tcvn5712", "x-tcvn", "x-tcvn3", "vscii", "abc"), TCVN3),
    **dict.fromkeys(("x-viet-vni", "x-vni", "vni-windows"), VNI),
    **dict.fromkeys(("x-viet-vps", "x-vps"), VPS),
    **dict.fromkeys(("utf8", "unicode-1-1-utf-8", "x-utf-8"), "utf-8"),
    **dict.fromkeys(("ascii", "ansi_x3.4-1968"), "us-ascii"),
}
# In these, other characters than ASCII are ASCII octets, so that valid UTF-8 says nothing.
_SEVEN_BIT = re.compile("utf-?7|iso-2022-.*|hz.*")
_WIDE = re.compile("utf-?(?:16|32).*")
# Codecs that Python lists beside charsets; no mail is in them, and some take time that grows with the square.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
# Labels that programs write without looking: statistics may overrule them. Another one is believed if it can be true.
_CARELESS = frozenset({"", "us-ascii", WINDOWS_1252, "utf-8", "unknown-8bit", *LEGACY, VPS})

_FONTS = ((".vn", TCVN3), ("vni-", VNI), ("vni ", VNI), ("vps ", VPS), ("vps-", VPS))


def charset_of_font(name: str) -> str:
    """Return the charset that a font's name gives away, "" for none: .VnTime, VNI-Times, VPS Times."""
    lower = name.strip(" \"'").lower()
    return next((charset for prefix, charset in _FONTS if lower.startswith(prefix)), "")


@remembered("charsets._codec")
def _codec(label: str) -> str:
    """Return the name of Python's codec for a label, "" for none."""
    try:
        found = codecs.lookup(label)
    except (LookupError, ValueError):
        return ""
    # Codecs from octets to octets (hex, zip) are no charsets; only this attribute tells them apart.
    return found.name if getattr(found, "_is_text_encoding", True) and found.name not in _NO_CHARSETS else ""


# -- reading --------------------------------------------------------------------------------------------


def read(octets: bytes, declared: str = "") -> Decoded:
    """Decode octets, and say what they were in; never raise, whatever the label.

    declared: the label, also with RFC 2231's language after `*`; "" for none, US-ASCII then (RFC 2046 section 4.1.2).
    Octets that nothing explains are windows-1252. Linear, with a sample for the statistics.
    """
    declared = declared.partition("*")[0].strip(" \t\"'").lower()
    label = _NAMES.get(declared, declared)
    if _SEVEN_BIT.fullmatch(label) or (_WIDE.fullmatch(label) and b"\0" in octets):
        text = _by_codec(octets, label)
        if text is not None:
            return Decoded(text, label, declared, False)
    if octets.isascii() and label == VISCII:
        return Decoded(_decode(octets, VISCII), VISCII, declared, False)
    if octets.isascii():
        return Decoded(octets.decode("ascii"), label if label in LEGACY else "us-ascii", declared, False)
    text = _as_utf8(octets)
    if text is not None:
        return Decoded(text, "utf-8", declared, label != "utf-8")
    if label not in _CARELESS:
        text = _by_codec(octets, label)
        if text is not None:
            return Decoded(text, label, declared, False)
    charset = _by_statistics(octets, label) or label
    if charset not in (*LEGACY, VPS):
        # What is cut or damaged is still in its charset.
        text = _by_codec(octets, label, "replace") if label not in _CARELESS else None
        if text is not None:
            return Decoded(text, label, declared, False)
        charset = WINDOWS_1252
    return Decoded(_decode(octets, charset), charset, declared, charset != label)


def _as_utf8(octets: bytes) -> str | None:
    """Decode UTF-8, also where a few octets are damaged or the last character is cut."""
    octets = octets.removeprefix(codecs.BOM_UTF8)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        text = octets.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    whole = len(_ASCII_ONLY.sub("", text)) - damaged
    return text if not damaged or whole > 4 * (damaged - text.endswith("\ufffd")) else None


_ASCII_ONLY = re.compile("[\0-\x7f]+")


def _by_codec(octets: bytes, label: str, errors: str = "strict") -> str | None:
    codec = _codec(label)
    try:
        return octets.decode(codec, errors) if codec else None
    except (UnicodeError, ValueError):
        return None


# -- statistics ------------------------------------------------------------------------------------------

_SAMPLE = 65_536  # octets from the first one beyond ASCII on: a page says enough
_HIGH = re.compile(rb"[\x80-\xff]")
_WORD = re.compile(rb"[A-Za-z\x80-\xff\x02\x05\x06\x14\x19\x1e]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def _by_statistics(octets: bytes, label: str) -> str:
    """Return the legacy Vietnamese charset that octets are in, "" where they are in none.

    Of two that fit alike the declared one is taken.
    """
    first = _HIGH.search(octets)
    if first is None:
        return ""
    start = max(0, first.start() - 1_024)
    words = Counter(_WORD.findall(octets, start, start + _SAMPLE))
    high = [(word, count) for word, count in words.items() if not word.isascii()]
    plain = {word.decode().lower(): count for word, count in words.items() if word.isascii() and len(word) > 1}
    known = sum(count for word, count in plain.items() if _is_syllable(word))
    best, most = "", 0
    for charset in sorted(LEGACY, key=lambda each: each != label):
        own, shared, wrong = _fit(high, charset)
        right = own + shared
        if own - wrong <= most or right < 2 or right <= 4 * wrong:
            continue
        # Twenty syllables speak for themselves; with fewer, the words in ASCII beside them must be Vietnamese too.
        if right >= 20 or right + known >= 0.6 * (right + wrong + sum(plain.values())):
            best, most = charset, own - wrong
    return best


def _fit(words: list[tuple[bytes, int]], charset: str) -> tuple[int, int, int]:
    """Count words by how a charset reads them: as syllables, as syllables that Latin-1 has too, and as neither."""
    own = shared = wrong = 0
    for word, count in words:
        text = _decode(word, charset)
        parts = [part.lower() for part in _LETTERS.findall(text)]
        if not any(len(part) > 1 and not part.isascii() for part in parts):
            continue  # a quotation mark, a copyright sign, à
        if not all(part.isascii() or _is_syllable(part) or _VOWELS.isdisjoint(_bases(part)) for part in parts):
            wrong += count
        elif text == _decode(word, WINDOWS_1252):
            shared += count
        else:
            own += count
    return own, shared, wrong


_VOWELS = frozenset("aăâeêioôơuưy")
_TONES = str.maketrans("", "", "\u0300\u0301\u0309\u0303\u0323")
_RIMES = (
    "a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây "
    "e ec em en eng eo ep et ê êch êm ên ênh êp êt êu i ia ich im in inh ip it iu iêc iêm iên iêng iêp iêt iêu "
    "o oc oi om on ong op ot oa oac oach oai oam oan oang oanh oao oap oat oay oăc oăm oăn oăng oăt oe oen oeo oet "
    "ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn ơp ơt "
    "u ua uc ui um un ung up ut uân uâng uât uây uê uêch uênh uơ uy uya uych uynh uyt uyu uyên uyêt "
    "uôc uôi uôm uôn uông uôt ư ưa ưc ưi ưng ưt ưu ươc ươi ươm ươn ương ươp ươt ươu y yêm yên yêng yêt yêu"
)
# c, g and ng stand before back vowels, k, gh and ngh before front ones; p alone begins only foreign words.
_SYLLABLE = re.compile(
    rf"(?:(?:b|ch|d|đ|gi|h|kh|l|m|n|nh|ph|qu|r|s|t|th|tr|v|x)?|(?:c|g|ng)(?=[aăâoôơuư])|g(?=i)|(?:k|gh|ngh)(?=[eêiy]))"
    rf"(?:{_RIMES.replace(' ', '|')})"
)


def _bases(word: str) -> str:
    """Return a word without its tones."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).translate(_TONES))


@remembered("charsets._is_syllable")
def _is_syllable(word: str) -> bool:
    """Tell whether a word in lower case may be a Vietnamese syllable: one tone, sắc or nặng before c, ch, p and t."""
    parts = unicodedata.normalize("NFD", word)
    tones = [part for part in parts if part in "\u0300\u0301\u0309\u0303\u0323"]
    if len(tones) > 1 or not _SYLLABLE.fullmatch(_bases(word)):
        return False
    is_stopped = word.endswith(("c", "ch", "p", "t"))
    return not is_stopped or word.isascii() or tones in (["\u0301"], ["\u0323"])
