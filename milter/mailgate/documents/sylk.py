"""SYLK: a workbook in lines of text, which Excel opens whatever it is called, with its macros (symbolic link, 1986).

A record is a letter and fields apart by semicolons: `C;X1;Y1;EEXEC("calc.exe")` is a cell with a formula,
`NN;NAuto_open;ER1C1` a name that runs, `O;E` a sheet of macros.
"""

import re
from collections.abc import Iterator

from ..model import Danger, TextKind
from .budget import Budget
from .found import Extract, Found, Threat
from .plain import read_csv

_FORMULA = re.compile(r"^(?:C|F|NN|NE|NU)\b[^\r\n]{0,2000}?;E([^\r\n]{1,8000})", re.MULTILINE | re.IGNORECASE)
_RUNS = re.compile(
    r"\b(?:EXEC|CALL|REGISTER(?:\.ID)?|FOPEN|FWRITE(?:LN)?|FORMULA|RUN|SHELL|SEND\.KEYS)\s*\(", re.IGNORECASE
)
_AUTO = re.compile(
    r"^NN\b[^\r\n]{0,2000}?;N\s*Auto_?(?:open|close|activate|deactivate|exec)", re.MULTILINE | re.IGNORECASE
)
_MACROS = re.compile(r"^O\b[^\r\n]{0,200}?;E", re.MULTILINE | re.IGNORECASE)
_LINK = re.compile(r"[A-Za-z][\w.]{0,60}\s*\|[^\r\n]{0,255}!")
_ESCAPED = re.compile("\x1b(?:[ -/][0-?]|.)")  # letters that SYLK writes as an escape


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a SYLK file, and what it runs."""
    for found in read_csv(octets, "", place, TextKind.DOCUMENT, budget):
        yield found
        if not isinstance(found, Extract):
            continue
        text = _ESCAPED.sub("", found.text).replace(";;", " ")
        formulas = _FORMULA.findall(text)
        if _MACROS.search(text):
            yield Threat(Danger.MACRO, "XLM")
        if _AUTO.search(text):
            yield Threat(Danger.MACRO_AUTORUN, "XLM")
        if any(_RUNS.search(formula) for formula in formulas):
            yield Threat(Danger.MACRO_SHELL, "XLM")
        if any(_LINK.search(formula) for formula in formulas):
            yield Threat(Danger.DYNAMIC_DATA, "DDE")
