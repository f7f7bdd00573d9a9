"""HTML made from a seed: as mail programs write it, and as nobody should."""

import random

_TAGS = (
    *("p", "div", "span", "b", "i", "a", "font", "table", "tbody", "thead", "tr", "td", "th", "ul", "ol", "li", "dl"),
    *(
        "dt",
        "dd",
        "br",
        "hr",
        "img",
        "h1",
        "h2",
        "pre",
        "center",
        "blockquote",
        "o:p",
        "u",
        "strong",
        "em",
        "caption",
    ),
)
_ODD_TAGS = (
    "html",
    "head",
    "body",
    "title",
    "style",
    "meta",
    "select",
    "option",
    "script",
    "svg",
    "textarea",
    "button",
)
_VOID = frozenset({"br", "hr", "img", "meta"})
_INSIDE = {
    "table": ("tr", "tbody", "thead", "caption"),
    "tbody": ("tr",),
    "thead": ("tr",),
    "tr": ("td", "th"),
    "ul": ("li",),
    "ol": ("li",),
    "dl": ("dt", "dd"),
}
_ONLY_INSIDE = frozenset(name for names in _INSIDE.values() for name in names)
_ATTRIBUTES = (
    *("", "", ' style="color:red"', ' style="display:none"', " STYLE='display: none'", " hidden", " class=x"),
    *(' style="font-size:0"', ' style="displ&#97;y:none"', " style=visibility:hidden", ' a="hidden"'),
    *(' style="x" style="display:none"', ' dir="rtl"', ' title="a>b"', ' a="b'),
)
_TEXTS = ("xin", "chào ", "\n", "  ", "&nbsp;", "&amp;", "&lt;b&gt;", "Mật", "&#7853;t", "TUYỆT")
_ODD_TEXTS = (
    *("&copy", "& ", "a&b", "&#0;", "&#x9d;", "<!-- c -->", "<!--[if mso]>x<![endif]-->", "<![if !mso]>", "<!-->"),
    *("<!DOCTYPE html>", "<", "<?xml?>", "</br>", "</p>", "\0", "<!-- -- > --!>", "&notit;"),
)
_HEAD = "<html><head><meta charset=utf-8><style>p{x:y}</style><title>t</title></head><body>"


def page(chance: random.Random, is_tidy: bool) -> str:
    """Return a page; is_tidy: its elements are closed as they were opened."""
    out: list[str] = []
    opened: list[str] = []
    for _ in range(chance.randrange(3, 30)):
        kind = chance.random()
        if kind < 0.4:
            out.append(chance.choice(_TEXTS if is_tidy or chance.random() < 0.9 else _ODD_TEXTS))
        elif kind < 0.75:
            name = _name(chance, opened[-1] if opened else "", is_tidy)
            alt = ' alt="p &amp; q"' if name == "img" and chance.random() < 0.5 else ""
            attribute = chance.choice(_ATTRIBUTES[:11] if is_tidy else _ATTRIBUTES)
            out.append(f"<{name}{attribute}{alt}>")
            if name not in _VOID:
                opened.append(name)
        elif opened:
            name = opened.pop() if is_tidy or chance.random() < 0.8 else chance.choice(_TAGS)
            out.append(f"</{name}>")
    while opened and (is_tidy or chance.random() < 0.9):
        out.append(f"</{opened.pop()}>")
    body = "".join(out)
    return f"{_HEAD}{body}</body></html>" if chance.random() < 0.5 else body


def _name(chance: random.Random, around: str, is_tidy: bool) -> str:
    name = chance.choice(_TAGS if is_tidy or chance.random() < 0.9 else _ODD_TAGS)
    if not is_tidy:
        return name
    if around in _INSIDE:
        return chance.choice(_INSIDE[around])
    return "div" if name in _ONLY_INSIDE else name
