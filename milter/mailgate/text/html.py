"""HTML to the text that a mail program shows: what is hidden is left out, cells and blocks stand apart.

The parser is lexbor's (selectolax): the algorithm of WHATWG, in C. So this runs where a crash costs nothing but one
file: in an inspection worker. Its time grows with the text times the depth.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

_UNSEEN = frozenset({"script", "style", "head", "template", "noscript", "iframe", "object", "-comment", "-doctype"})
_LINES = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"),
        *("legend", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "title"),
        *("tr", "ul"),
    }
)
_CELLS = frozenset({"td", "th"})
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?<![\w-])font-size\s*:\s*0+(?:\.0+)?\s*(?:px|pt|em|%|;|!|$)"
    r"|(?<![\w-])opacity\s*:\s*0+(?:\.0+)?\s*(?:;|!|$)|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_LINE_ENDS = re.compile(r"[ \xa0]*\n[ \xa0\n]*")
_FONTS = re.compile(r"font-family\s*:\s*([^;]+)", re.IGNORECASE)


def visible_text(html: str) -> str:
    """Return what shows of an HTML text: a line for each block, a tab before each cell but the first."""
    body = LexborHTMLParser(html).body
    if body is None:
        return ""
    text = "".join(_pieces(body))
    return _LINE_ENDS.sub("\n", text).strip(" \n")


def _pieces(root: LexborNode) -> Iterator[str]:
    """Walk in document order without recursion: a mail may nest as deep as it likes."""
    node: LexborNode | None = root
    top = root.mem_id  # nodes compare by their whole text
    while node is not None:
        tag = node.tag or ""
        shows = tag not in _UNSEEN and not _is_hidden(node)
        if tag == "-text":
            yield _BLANKS.sub(" ", node.text_content or "")
        elif shows:
            yield _before(tag)
            if tag == "img" and (words := node.attributes.get("alt")):
                yield f" {words} "
        child = node.child if shows and tag != "-text" else None
        if child is not None:
            node = child
            continue
        while node is not None and node.mem_id != top and node.next is None:
            node = node.parent
            if node is not None and node.tag in _LINES:
                yield "\n"
        if node is None or node.mem_id == top:
            return
        if node.tag in _LINES:
            yield "\n"
        node = node.next


def _before(tag: str) -> str:
    if tag in _LINES:
        return "\n"
    return "\t" if tag in _CELLS else ""


def _is_hidden(node: LexborNode) -> bool:
    if not (node.tag or "-").startswith("-"):
        attributes = node.attributes
        if "hidden" in attributes:
            return True
        style = attributes.get("style")
        return bool(style) and _HIDDEN.search(style or "") is not None
    return False


def fonts_in(html: str) -> set[str]:
    """Return the fonts that an HTML text names: .VnTime and VNI-Times tell a charset (text.charsets)."""
    parser = LexborHTMLParser(html)
    found = {font for node in parser.css("font[face]") for font in (node.attributes.get("face") or "").split(",")}
    for node in parser.css("[style]"):
        for families in _FONTS.findall(node.attributes.get("style") or ""):
            found |= set(families.split(","))
    return {font.strip(" \"'") for font in found}
