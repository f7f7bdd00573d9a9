"""HTML to the text that a mail program shows: what is hidden is left out, cells and blocks stand apart.

The parser is lexbor's (selectolax): the algorithm of WHATWG, in C. So this runs where a crash costs nothing but one
file: in an inspection worker. Its time grows with the text times the depth.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from .simple_html import BLANKS, CELLS, HIDDEN, LINE_ENDS, LINES

_UNSEEN = frozenset({"script", "style", "head", "template", "noscript", "iframe", "object", "-comment", "-doctype"})
_FONTS = re.compile(r"font-family\s*:\s*([^;]+)", re.IGNORECASE)


def visible_text(html: str) -> str:
    """Return what shows of an HTML text: a line for each block, a tab before each cell but the first."""
    body = LexborHTMLParser(html).body
    if body is None:
        return ""
    text = "".join(_pieces(body))
    return LINE_ENDS.sub("\n", text).strip(" \n")


def _pieces(root: LexborNode) -> Iterator[str]:
    """Walk in document order without recursion: a mail may nest as deep as it likes."""
    node: LexborNode | None = root
    top = root.mem_id  # nodes compare by their whole text
    while node is not None:
        tag = node.tag or ""
        shows = tag not in _UNSEEN and not _is_hidden(node)
        if tag == "-text":
            yield BLANKS.sub(" ", node.text_content or "")
        elif shows:
            yield _before(tag)
            if tag == "img" and (words := node.attributes.get("alt")):
                yield f" {words} "
        child = node.child if shows and tag != "-text" else None
        if child is not None:
            node = child
            continue
        while node is not None and node.mem_id != top and node.next is None:
            node, shows = node.parent, True
            if node is not None and node.tag in LINES:
                yield "\n"
        if node is None or node.mem_id == top:
            return
        if shows and node.tag in LINES:
            yield "\n"
        node = node.next


def _before(tag: str) -> str:
    if tag in LINES:
        return "\n"
    return "\t" if tag in CELLS else ""


def _is_hidden(node: LexborNode) -> bool:
    if not (node.tag or "-").startswith("-"):
        attributes = node.attributes
        if "hidden" in attributes:
            return True
        style = attributes.get("style")
        return bool(style) and HIDDEN.search(style or "") is not None
    return False


def fonts_in(html: str) -> set[str]:
    """Return the fonts that an HTML text names: .VnTime and VNI-Times tell a charset (text.charsets)."""
    parser = LexborHTMLParser(html)
    found = {font for node in parser.css("font[face]") for font in (node.attributes.get("face") or "").split(",")}
    for node in parser.css("[style]"):
        for families in _FONTS.findall(node.attributes.get("style") or ""):
            found |= set(families.split(","))
    return {font.strip(" \"'") for font in found}
