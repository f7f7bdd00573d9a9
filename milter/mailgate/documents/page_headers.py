"""Headers and footers of Excel's pages: text with codes in it (ECMA-376 18.3.1.46, and the same in MS-XLS)."""

import re

# Left, centre and right begin a new line; numbers of pages, dates and names show something of their own; the others
# say how what follows looks, and part no word: "&K01+000TỐI &BMẬT".
_CODE = re.compile(
    r"&(?:(?P<section>[LCR])|(?P<value>[PNDTAFGZ])|\"[^\"]*\"|K[0-9A-F]{2}[+-][0-9]{3}|K[0-9A-F]{6}|[0-9]{1,3}"
    r"|[BIUESXYOH]|(?P<sign>&))",
    re.IGNORECASE,
)


def shown(text: str) -> str:
    r"""Return a header as it shows, a line for each of its sections.

    >>> shown('&L&"Arial,Bold"&12&K01+000TỐI &BMẬT&CTrang &P')
    '\nTỐI MẬT\nTrang  '
    """
    return _CODE.sub(_value, text)


def _value(code: "re.Match[str]") -> str:
    if code["section"]:
        return "\n"
    return " " if code["value"] else code["sign"] or ""
