"""Text in fonts from before Unicode: .VnTime and VNI-Times show Vietnamese for what a file holds as Western letters.

A program that opens such a file has the octets as windows-1252, so they are made octets again and read in the font's
charset. What does not go back into octets is Unicode already.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from ..text import charsets

# Fonts of symbols have their octets here; Word puts the letters of a font that it takes for one there.
_PRIVATE = {0xF000 + octet: octet for octet in range(0x20, 0x100)}
_CAPITALS = re.compile(r"[\s\"']*\.Vn[\w ]*H(?![a-z])")  # .VnTimeH, also as PDF has it: .VnTimeH,Bold
Run = tuple[str, str]
"""A text, and the name of its font."""


@lru_cache(maxsize=1_024)
def charset_of(font: str) -> str:
    """Return the charset that a font's name gives away, "" for Unicode or none."""
    return charsets.charset_of_font(font)


def read_run(text: str, font: str) -> tuple[str, str]:
    """Return a text as its font shows it, and the charset that it was in, "" for Unicode.

    Blanks, tabs and letters without marks are the same in every charset.
    """
    charset = charset_of(font)
    if not charset:
        return text, ""
    text = text.translate(_PRIVATE)
    octets = octets_of(text)
    if octets is None:
        return text, ""
    decoded = charsets.read(octets, charset).text
    if decoded == text:
        charset = ""
    # .VnTimeH is a font of capitals: its small letters show as capitals (text.charsets).
    if _CAPITALS.match(font):
        decoded = decoded.upper()
    return decoded, charset


def octets_of(text: str) -> bytes | None:
    """Return the octets that a text was before it was read as windows-1252, None where it was not."""
    try:
        return text.encode("cp1252")
    except UnicodeEncodeError:
        pass
    try:
        return b"".join([letter.encode("latin-1" if "\x80" <= letter <= "\x9f" else "cp1252") for letter in text])
    except UnicodeEncodeError:
        return None


def read_runs(runs: Iterable[Run]) -> tuple[str, str]:
    """Return the text of runs one after another, those of one font read as one, and the first charset among them."""
    out: list[str] = []
    held: list[str] = []
    held_font = charset = ""
    for text, font in (*runs, ("", "\0")):  # the last one only ends the one before
        if font != held_font:
            if held:
                shown, found = read_run("".join(held), held_font)
                out.append(shown)
                charset = charset or found
                held = []
            held_font = font
        if text:
            held.append(text)
    return "".join(out), charset
