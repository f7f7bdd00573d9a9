"""clamd's protocol: commands to bytes, answers to one of five statuses. No IO.

Source: clamd(8). Commands are sent with the `z` prefix, so that an answer ends in NUL; one that does
not was cut and is an error, never clean.
"""

import re
import struct
from collections.abc import Iterable, Iterator

from ..model import Scan, ScanStatus

PING = b"zPING\0"
VERSION = b"zVERSION\0"
FILDES = b"zFILDES\0"  # the descriptor follows with one octet, as SCM_RIGHTS
INSTREAM = b"zINSTREAM\0"
END_OF_STREAM = b"\0\0\0\0"

LONGEST_ANSWER = 65_536  # a path and a signature name: under 1 KiB in practice

_LENGTH = struct.Struct(">I")
_ANSWER = re.compile(r"(?:[^:\0]*: )?(.*?) ?(OK|FOUND|ERROR)", re.DOTALL)


def stream_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Frame the octets of an INSTREAM; the caller sends END_OF_STREAM after them."""
    for chunk in chunks:
        if chunk:
            yield _LENGTH.pack(len(chunk)) + chunk


def parse_answer(answer: bytes, part: str) -> Scan:
    """Read a whole answer to a scan, `part` being what was scanned.

    b"stream: OK\\0", b"fd[10]: Eicar-Test-Signature FOUND\\0", b"INSTREAM size limit exceeded. ERROR\\0"
    """
    if not answer:
        return Scan(ScanStatus.ERROR, "empty answer", part)
    if not answer.endswith(b"\0"):
        return Scan(ScanStatus.ERROR, f"answer cut after {len(answer)} octets", part)
    text = answer[:-1].decode("utf-8", "replace").strip()
    match = _ANSWER.fullmatch(text)
    if match is None:
        return Scan(ScanStatus.ERROR, f"unknown answer: {text[:200]!r}", part)
    detail, kind = match.groups()
    if kind == "OK" and not detail:
        return Scan(ScanStatus.CLEAN, "", part)
    if kind == "FOUND":
        if detail.startswith("Heuristics.Encrypted."):
            return Scan(ScanStatus.ENCRYPTED, detail, part)
        if detail.startswith("Heuristics.Limits.Exceeded"):
            return Scan(ScanStatus.TOO_LARGE, detail, part)
        return Scan(ScanStatus.FOUND, detail, part)
    if "size limit exceeded" in text:
        return Scan(ScanStatus.TOO_LARGE, detail, part)
    return Scan(ScanStatus.ERROR, detail or text, part)
