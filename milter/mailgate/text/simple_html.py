"""The text of HTML that reads one way: what mail programs write, without a parser's repairs.

Most of the world's mail has HTML, and a process for each would cost more than all else. So HTML whose elements are
closed as they were opened is read here, in a language that does not overrun memory. Whatever the algorithm of WHATWG
would repair, move or run is not: there is no answer then, and a parser in a process of its own has it
(`html.visible_text`). Where there is one, it is the parser's.
"""

import re
from html import unescape

LINES = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"),
        *("legend", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "title"),
        *("tr", "ul"),
    }
)
CELLS = frozenset({"td", "th"})
HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?<![\w-])font-size\s*:\s*0+(?:\.0+)?\s*(?:px|pt|em|%|;|!|$)"
    r"|(?<![\w-])opacity\s*:\s*0+(?:\.0+)?\s*(?:;|!|$)|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
BLANKS = re.compile(r"[ \t\r\n\f]+")
LINE_ENDS = re.compile(r"[ \xa0]*\n[ \xa0\n]*")

OLD_FONTS = re.compile(r"\.vn|vni[ -]", re.IGNORECASE)  # whether it is worth while to look which fonts there are
_OLD_FONTS = ((b".vn", b"abcdefghijklmnopqrstuvwxyz"), (b"vni", b" -"))  # how their names begin, and what follows
_META = re.compile(rb"<meta\s[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)

_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9:]{0,30})"
    r"((?:\s+[A-Za-z_:][A-Za-z0-9_:.-]*(?:=(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'=<>`/]+))?)*)\s*(/?)>"
)
_COMMENT = re.compile(r"<!--(?!-?>)(?:(?!--!?>|<!--).)*-->", re.DOTALL)
_DECLARATION = re.compile(r"<!(?:doctype|\[(?:if|endif))[^>\"']*(?:\"[^\">]*\"[^>\"']*){0,3}>", re.IGNORECASE)
_CONDITION = re.compile(r"<!\[(?:if|endif)[^<>\"']*>", re.IGNORECASE)
_RAW = re.compile(r"[^<]*(?:<(?!/style)[^<]*)*</style\s*>", re.IGNORECASE)
_TITLE = re.compile(r"[^<&]*</title\s*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\s([A-Za-z_:][A-Za-z0-9_:.-]*)(?:=(\"[^\"]*\"|'[^']*'|[^\s\"'=<>`/]+))?")
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30};|#[0-9]{2,6};|#[xX][0-9A-Fa-f]{2,5};|(?=[ \n])|$)")
_NUMBER = re.compile(r"&#(?:[xX]([0-9A-Fa-f]+)|([0-9]+));")
_WHAT_HIDES = (b"hidden", b"display", b"visibility", b"opacity", b"mso-hide")
_NO_SIZE = re.compile(rb"font-size\s*:\s*0")
_RUNS = re.compile(" {2,}")
_HIDES_LETTERS = re.compile(r"&(?:#|colon|hyphen|dash|lpar|rpar|period|semi)")  # of what follows here
_BLANK = " \t\r\n\f"

_VOID = frozenset({"area", "br", "col", "hr", "img", "link", "meta", "wbr", "base", "bgsound"})
_INLINE = frozenset(
    {
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins"),
        *("kbd", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var"),
    }
)
_FORMATTING = frozenset({*("a", "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u")})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption"),
        *("figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "legend", "li", "main", "nav", "ol", "p"),
        *("pre", "section", "ul"),
    }
)
_TABLES = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_ONCE = {"li": ("li", ("ul", "ol")), "dd": ("dd", ("dl",)), "dt": ("dt", ("dl",)), "a": ("a", ())}
_WITHIN = {
    "thead": ("table",),
    "tbody": ("table",),
    "tfoot": ("table",),
    "caption": ("table",),
    "colgroup": ("table",),
    "tr": ("table", "thead", "tbody", "tfoot"),
    "td": ("tr",),
    "th": ("tr",),
}
_OF_TEXT = frozenset({"td", "th", "caption"})  # parts of a table that text may stand in
_NO_TEXT = _TABLES - _OF_TEXT
_SIMPLE = (_INLINE - {"a"}) | {"o:p"}  # open anywhere that text stands, and change nothing
_DEPTH = 100  # a parser's time grows with it; mail programs write some twenty


def label_of(octets: bytes) -> str:
    """Return the charset that HTML says it is in, "" for none."""
    meta = _META.search(octets[:4_096])
    return meta[1].decode("ascii", "replace") if meta else ""


def simple_text(html: str) -> str | None:
    """Return what shows of an HTML text, as `html.visible_text` does, None where only a parser can tell."""
    if "\0" in html:
        return None
    may_hide = _may_hide(unescape(html) if _HIDES_LETTERS.search(html) else html)
    pieces: list[str] = []
    tags: dict[str, tuple[str, str, str, str]] = {}  # most come again and again
    stack: list[str] = []  # of the open elements in the body
    hidden = 0  # how many of them are inside the outermost that does not show, itself included
    is_body = False
    at = 0
    end = len(html)
    while at < end:
        begin = html.find("<", at)
        if begin < 0:
            begin = end
        if begin > at:
            text = html[at:begin]
            is_blank = not text.strip(_BLANK)
            if not is_body:
                if not is_blank:
                    if stack:  # in the head
                        return None
                    is_body = True
            elif stack and stack[-1] in _NO_TEXT and not is_blank:
                return None  # a parser puts it before the table
            if is_body and not hidden:
                if "&" in text:
                    readable = _unescaped(text)
                    if readable is None:
                        return None
                    text = readable
                pieces.append(_collapsed(text))
            at = begin
            if at == end:
                break
        stop = html.find(">", at) + 1
        tag = tags.get(html[at:stop])
        if tag is None and (match := _TAG.match(html, at)) is not None:
            tag = tags[html[at:stop]] = (match[1], match[2].lower(), match[3], match[4])
        if tag is None:
            match = _COMMENT.match(html, at) or (_CONDITION if is_body else _DECLARATION).match(html, at)
            if match is None:
                return None
            at = match.end()
            continue
        at = stop
        closes, name, attributes, empty = tag
        top = stack[-1] if stack else ""
        if is_body and closes and top == name and not attributes:
            stack.pop()
            if hidden:
                hidden -= 1
            elif name in LINES:
                pieces.append("\n")
            continue
        if is_body and not (may_hide or closes or empty) and name in _SIMPLE and top not in _NO_TEXT:
            if len(stack) >= _DEPTH:
                return None
            stack.append(name)
            continue
        if not is_body:
            if name in ("html", "head"):
                if name == "head":
                    if closes != ("/" if stack else ""):
                        return None
                    stack = [] if closes else ["head"]
                elif closes or stack:
                    return None
                continue
            if name == "body":
                if closes or (may_hide and _hides(attributes) is not False):
                    return None
                stack, is_body = [], True
                continue
            if name in ("meta", "link", "base"):
                continue
            if name == "style" and not closes:
                match = _RAW.match(html, at)
                if match is None:
                    return None
                at = match.end()
                continue
            if name == "title" and not closes and stack:
                match = _TITLE.match(html, at)
                if match is None:
                    return None
                at = match.end()
                continue
            if stack:
                return None
            is_body = True
        if name in ("body", "html"):
            if not closes or stack:
                return None
            if html[at:].strip(_BLANK).lower() not in ("", "</html>"):
                return None
            break
        if name == "style":
            match = None if closes else _RAW.match(html, at)
            if match is None or hidden:
                return None
            at = match.end()
            continue
        if name in _VOID:
            if closes:
                return None
            if top in _NO_TEXT and name != "col":
                return None
            if name == "hr" and "p" in stack[_scope(stack) :]:
                return None  # it closes the paragraph
            if name in ("base", "bgsound") or (may_hide and _hides(attributes) is not False):
                return None
            if not hidden:
                if name in LINES:
                    pieces.append("\n")
                elif name == "img" and "alt" in attributes.lower():
                    words = _alternative(attributes)
                    if words is None:
                        return None
                    if words:
                        pieces.append(f" {words} ")
            continue
        is_known = name in _INLINE or name in _BLOCKS or name in _TABLES or ":" in name
        if not is_known or (empty and ":" not in name):
            return None
        if closes:
            return None  # what closes something else is repaired
        if not _may_open(name, stack):
            return None
        hides = _hides(attributes) if may_hide else False
        if hides is None or len(stack) >= _DEPTH:
            return None
        if not (hidden or hides):
            if name in LINES:
                pieces.append("\n")
            elif name in CELLS:
                pieces.append("\t")
        stack.append(name)
        if hidden or hides:
            hidden += 1
    if stack:
        return None
    # As LINE_ENDS says it.
    lines = [line.strip(" \xa0") for line in "".join(pieces).split("\n")]
    return "\n".join([line for line in lines if line])


def _may_hide(html: str) -> bool:
    """Tell whether anything in HTML may hide an element."""
    lower = _lower(html)
    return any(word in lower for word in _WHAT_HIDES) or _NO_SIZE.search(lower) is not None


def _lower(text: str) -> bytes:
    """Return a text's octets with small letters for those of ASCII; ten times as fast as with all of them."""
    return text.encode("utf-8", "replace").lower()


def _collapsed(text: str) -> str:
    """Return a text with a blank for each run of white space, as `BLANKS` says it."""
    for blank in ("\r", "\n", "\t", "\f"):
        if blank in text:
            text = text.replace(blank, " ")
    return _RUNS.sub(" ", text) if "  " in text else text


def names_old_font(html: str) -> bool:
    """Tell whether HTML may name a font from before Unicode: .VnTime, VNI-Times; no domain (gov.vn)."""
    lower = _lower(html)
    for begin, following in _OLD_FONTS:
        at = lower.find(begin)
        while at >= 0:
            before, after = lower[at - 1 : at], lower[at + len(begin) : at + len(begin) + 1]
            if not (before.isalnum() or before >= b"\x80") and after and after in following:
                return True
            at = lower.find(begin, at + 1)
    return False


def _may_open(name: str, stack: list[str]) -> bool:
    """Tell whether an element may stand here, so that nothing is closed, left out or moved for it."""
    top = stack[-1] if stack else ""
    if name in _WITHIN:
        return top in _WITHIN[name]
    if top in _NO_TEXT:
        return False
    if name in _BLOCKS or name == "table":
        if "p" in stack[_scope(stack) :]:
            return False
        if name in _HEADINGS and top in _HEADINGS:
            return False
    once = _ONCE.get(name)
    if once is not None and once[0] in stack:
        around = stack[_scope(stack) :]
        last = len(around) - 1 - around[::-1].index(once[0]) if once[0] in around else -1
        if last >= 0 and not any(each in once[1] for each in around[last:]):
            return False
        if name in ("dd", "dt") and last >= 0:
            return False
    return not (name in ("dd", "dt") and ("dd" in stack or "dt" in stack) and top != "dl")


def _scope(stack: list[str]) -> int:
    """Return where the innermost cell's content begins in the stack: what is open around it is out of its reach."""
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] in _OF_TEXT:
            return index + 1
    return 0


def _hides(attributes: str) -> bool | None:
    """Tell whether an element's attributes hide it, None where that is not plain."""
    seen = False
    for name, value in _ATTRIBUTE.findall(attributes):
        name = name.lower()
        if name == "hidden":
            return True
        if name == "style":
            if seen:
                return None
            seen = True
            if HIDDEN.search(unescape(value.strip("\"'"))):
                return True
    return False


def _alternative(attributes: str) -> str | None:
    """Return what stands for a picture, None where that is not plain."""
    for name, value in _ATTRIBUTE.findall(attributes):
        if name.lower() == "alt":
            words: str = value[1:-1] if value.startswith(("'", '"')) else value
            return _unescaped(words)
    return ""


def _unescaped(text: str) -> str | None:
    """Return a text without character references, None where programs differ in what they are."""
    if "&" not in text:
        return text
    if text.count("&") != len(_ENTITY.findall(text)):
        return None
    for hexadecimal, decimal in _NUMBER.findall(text):
        number = int(hexadecimal, 16) if hexadecimal else int(decimal)
        if not (
            31 < number < 127 or 159 < number < 0xD800 or 0xE000 <= number < 0xFDD0 or 0x10000 <= number < 0x1FFFE
        ):
            return None
    return unescape(text)
