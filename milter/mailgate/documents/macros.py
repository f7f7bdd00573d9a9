"""Macros: whether VBA runs by itself, starts programs, fetches files. oletools is needed for the code, and optional.

What a macro does is told by the names it calls, which no obfuscation can do without but by building them from
pieces: literal pieces are joined first.
"""

import logging
import re
from collections.abc import Iterator

from ..model import Danger, Obstacle
from .budget import Blocked
from .found import Threat

try:
    from oletools.olevba import VBA_Parser
except Exception:  # the optional package, or one of those that it needs
    VBA_Parser = None

logging.getLogger("olevba").setLevel(logging.CRITICAL)

_MOST_CODE = 2_000_000  # letters that are looked at; the largest workbook seen had a tenth of it

_COMMENT = re.compile(r"^[ \t]*(?:'|Rem\b)[^\n]*", re.IGNORECASE | re.MULTILINE)
_JOINED = re.compile(r"\"[ \t]{0,20}[&+][ \t]{0,20}(?:_[ \t]{0,20}\r?\n[ \t]{0,200})?\"")
_RUNS_ITSELF = re.compile(
    r"\b(?:Auto_?(?:Open|Exec|Exit|Close|New)|Document_?(?:Open|New|Close|BeforeClose|Change)|NewDocument"
    r"|Workbook_(?:Open|Activate|BeforeClose|WindowActivate)|\w{1,64}_(?:Painted|Layout|GotFocus|MouseMove|MouseHover))\b",
    re.IGNORECASE,
)
_STARTS_PROGRAMS = re.compile(
    r"\bShell\s*[(\"]|\bShell\s+[\w(]|WScript\.Shell|Shell\.Application|ShellExecute|\bshell32\b|powershell|\bcmd(?:\.exe)?\s*/[ck]"
    r"|CreateProcess|Win32_Process|\bmshta\b|rundll32|regsvr32|VirtualAlloc|CreateThread|RtlMoveMemory|MacScript",
    re.IGNORECASE,
)
_FETCHES = re.compile(
    r"URLDownloadToFile|XMLHTTP|WinHttp|InternetOpenUrl|InternetReadFile|\bWebClient\b|DownloadFile|DownloadString"
    r"|bitsadmin|\bcertutil\b|Invoke-WebRequest",
    re.IGNORECASE,
)


def is_missing() -> bool:
    """Tell whether oletools cannot be had."""
    return VBA_Parser is None


def read(octets: bytes, kind: str) -> Iterator[Threat]:
    """Yield what the macros of an OLE file do: vbaProject.bin, or a whole doc, xls or ppt."""
    if VBA_Parser is None:
        raise Blocked(Obstacle.UNSUPPORTED, "macros: oletools is missing")
    try:
        parser = VBA_Parser(kind or "ole", data=octets)
        code = "\n".join(str(text) for *_, text in parser.extract_macros())
    except Exception as error:  # oletools lets through whatever it stumbles on
        raise Blocked(Obstacle.DAMAGED, f"macros: {type(error).__name__}") from error
    yield from judged(code, "VBA")
    if len(code) > _MOST_CODE:
        raise Blocked(Obstacle.LIMIT, f"macros of more than {_MOST_CODE} letters")


def judged(code: str, language: str) -> Iterator[Threat]:
    """Yield what code of VBA, or of another Basic, does."""
    code = _JOINED.sub("", _COMMENT.sub("", code[:_MOST_CODE]))
    for danger, pattern in (
        (Danger.MACRO_AUTORUN, _RUNS_ITSELF),
        (Danger.MACRO_SHELL, _STARTS_PROGRAMS),
        (Danger.MACRO_DOWNLOAD, _FETCHES),
    ):
        if pattern.search(code):
            yield Threat(danger, language)
