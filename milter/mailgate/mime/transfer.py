"""Transfer encodings, decoded as they arrive: base64, quoted-printable, uuencode.

A decoder is fed chunks cut anywhere and returns octets; the concatenation does not depend on the
cuts. None raises: what a strict decoder would refuse is decoded as mail programs do, and named in
`defects`.
"""

import binascii
import re
from collections.abc import Iterable
from typing import Protocol

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
NOT_ALPHABET = bytes(octet for octet in range(256) if octet not in ALPHABET)
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in ALPHABET + b"=")
_EXPECTED = ALPHABET + b"=\r\n \t"


class Decoder(Protocol):
    """What every transfer encoding has."""

    defects: set[str]

    def feed(self, chunk: bytes | bytearray) -> bytes:
        """Take the next encoded octets, return those decoded so far."""

    def finish(self) -> bytes:
        """Return what was still held back."""


class IdentityDecoder:
    """7bit, 8bit, binary: the octets themselves."""

    def __init__(self) -> None:
        self.defects: set[str] = set()

    def feed(self, chunk: bytes | bytearray) -> bytes:
        return bytes(chunk)

    def finish(self) -> bytes:
        return b""


class Base64Decoder:
    """RFC 2045 section 6.8. A pad ends a group, not the data: what follows is decoded as a new group."""

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._held = b""
        self._padded = False

    def feed(self, chunk: bytes | bytearray) -> bytes:
        if chunk.translate(None, _EXPECTED):
            self.defects.add("base64-junk")
        text = self._held + chunk.translate(None, _NOT_BASE64)
        if b"=" not in text:
            if text and self._padded:
                self.defects.add("base64-data-after-pad")
            whole = len(text) - len(text) % 4
            self._held = text[whole:]
            return binascii.a2b_base64(text[:whole])
        if self._padded and text.strip(b"="):
            self.defects.add("base64-data-after-pad")
        self._padded = True
        groups = re.split(rb"=+", text)
        last = groups.pop()
        if any(groups[1:]) or last:
            self.defects.add("base64-data-after-pad")
        out = b"".join(_decode_group(group) for group in groups)
        whole = len(last) - len(last) % 4
        self._held = last[whole:]
        return out + binascii.a2b_base64(last[:whole])

    def finish(self) -> bytes:
        if self._held:
            self.defects.add("base64-unpadded")
        held, self._held = self._held, b""
        return _decode_group(held)


class PadlessBase64Decoder(Base64Decoder):
    """The other reading of base64 with data after a pad: a pad amid the data is junk, as CPython's parser has it."""

    def feed(self, chunk: bytes | bytearray) -> bytes:
        return super().feed(chunk.translate(None, b"="))


def _decode_group(digits: bytes) -> bytes:
    """Decode digits without their pad; a single left-over digit carries no octet."""
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


class QuotedPrintableDecoder:
    """RFC 2045 section 6.7. White space before a line's end is dropped, also after a soft break."""

    _LONGEST_HELD = 65_536
    # A run of blanks is looked at from its start alone, and never given back: else one long run costs its square.
    _TRAILING = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
    _SOFT = re.compile(rb"=[ \t]++(?=\r?\n)")
    _BAD = re.compile(rb"=(?![0-9A-F]{2}|\r?\n)")

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._held = b""

    def feed(self, chunk: bytes | bytearray) -> bytes:
        text = self._held + chunk
        whole = text.rfind(b"\n") + 1
        if len(text) - whole > self._LONGEST_HELD:
            whole = max(whole, _settled(text))
        if len(text) - whole > self._LONGEST_HELD:  # blanks only: nobody shows them
            whole = len(text)
        self._held = text[whole:]
        return self._decode(text[:whole])

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return self._decode(held)

    def _decode(self, text: bytes) -> bytes:
        if not text:
            return b""
        if b" \r\n" in text or b"\t\r\n" in text or b" \n" in text or b"\t\n" in text:
            if self._SOFT.search(text):
                self.defects.add("qp-space-after-soft-break")
            text = self._TRAILING.sub(b"", text)
        if self._BAD.search(text):
            self.defects.add("qp-bad-escape")
        return binascii.a2b_qp(text)


def _settled(text: bytes) -> int:
    """Return how much of an unfinished line decodes the same whatever follows: not its last escape or blanks."""
    end = len(text.rstrip(b" \t\r"))
    if text.endswith(b"=", 0, end):
        return end - 1
    if end == len(text) and text.endswith(b"=", 0, end - 1):
        return end - 2
    return end


class UuDecoder:
    """A uuencoded body (x-uuencode): the lines between `begin` and `end`, or all when there is no begin."""

    _LONGEST_LINE = 4_096  # a line has at most 61 octets

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._held = b""
        self._ended = False

    def feed(self, chunk: bytes | bytearray) -> bytes:
        *lines, held = (self._held + chunk).split(b"\n")
        self._held = held[: self._LONGEST_LINE + 1]  # of a longer line only that it is longer
        return b"".join(self._line(line.rstrip(b"\r")) for line in lines)

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return self._line(held.rstrip(b"\r"))

    def _line(self, line: bytes) -> bytes:
        if len(line) > self._LONGEST_LINE:
            self.defects.add("uu-long-line")
            return b""
        if self._ended or not line or line.startswith((b"begin ", b"begin-")):
            return b""
        if line == b"end":
            self._ended = True
            return b""
        try:
            return binascii.a2b_uu(line)
        except binascii.Error:
            self.defects.add("uu-bad-line")
            # Some encoders pad lines wrongly: take as many octets as the count says, as Python's uu does.
            count = (((line[0] - 32) & 63) * 4 + 5) // 3
            if len(line) <= count:
                return b""
            try:
                return binascii.a2b_uu(line[:count])
            except binascii.Error:
                return b""


_DECODERS: dict[str, type[Base64Decoder | QuotedPrintableDecoder | UuDecoder]] = {
    "base64": Base64Decoder,
    "quoted-printable": QuotedPrintableDecoder,
    "x-uuencode": UuDecoder,
    "uuencode": UuDecoder,
    "x-uue": UuDecoder,
    "uue": UuDecoder,
}
WITHOUT_PADS = "base64 without pads"  # no mail says so: another way to read what says base64
IDENTITY = frozenset({"", "7bit", "8bit", "binary"})


def is_known(encoding: str) -> bool:
    """Tell whether an encoding other than the identity has a decoder."""
    return encoding in _DECODERS


def decoder_for(encoding: str) -> Decoder:
    """Return the decoder of a Content-Transfer-Encoding; an unknown one is taken as the octets themselves."""
    made = PadlessBase64Decoder if encoding == WITHOUT_PADS else _DECODERS.get(encoding)
    return made() if made else IdentityDecoder()


def decode(encoding: str, chunks: Iterable[bytes]) -> bytes:
    """Return octets without their Content-Transfer-Encoding."""
    decoder = decoder_for(encoding)
    octets = bytearray()
    for chunk in chunks:
        octets += decoder.feed(chunk)
    octets += decoder.finish()
    return bytes(octets)


class Base64Counter:
    """The decoded size of base64, without decoding it.

    A file's base64 comes in lines of one width (RFC 2045: at most 76). While each line ends just where the
    width says and no pad is met, two strided slices prove it for a whole chunk, forty times faster
    than looking at each octet; such a line counts as full. From the first other line on, and always
    when `exact`, the digits of the alphabet are counted. The result does not depend on the cuts.
    """

    __slots__ = ("_digits", "_partial", "_width")

    def __init__(self, exact: bool) -> None:
        self._digits = 0
        self._partial = b""
        self._width = -1 if exact else 0  # 0: not known yet; -1: no regular lines

    @property
    def size(self) -> int:
        """Octets so far, as if the data ended here."""
        partial = len(self._partial.translate(None, NOT_ALPHABET)) if self._partial else 0
        return (self._digits + partial) * 3 // 4

    def take(self, data: bytes | bytearray, start: int, stop: int) -> None:
        """Count data[start:stop]."""
        if self._width < 0:
            self._digits += len(data[start:stop].translate(None, NOT_ALPHABET))
            return
        width, partial = self._width, self._partial
        if width > 0 and len(partial) <= width and self._take_regular(data, start, stop, width, partial):
            return
        if self._partial:
            missing = (self._width or 1_000) + 2 - len(self._partial)
            if not self._width:
                newline = data.find(b"\n", start, min(stop, start + missing))
                head_stop = newline + 1 if newline >= 0 else min(stop, start + missing)
            else:
                head_stop = min(stop, start + missing)
            head = self._partial + data[start:head_stop]
            self._partial = b""
            self._lines(head, 0, len(head))
            if self._width < 0:
                self.take(data, head_stop, stop)
                return
            if self._partial:
                return
            start = head_stop
        self._lines(data, start, stop)

    def _take_regular(self, data: bytes | bytearray, start: int, stop: int, width: int, partial: bytes) -> bool:
        """Count a chunk whose lines, the begun one included, are all regular; else touch nothing."""
        first = start + width - len(partial)  # where the begun line must end
        if first + 2 > stop or b"=" in partial:
            return False
        period = width + 2
        count = (stop - first - 2) // period + 1
        whole = first + 2 + (count - 1) * period
        if (
            data[first:whole:period].count(13) != count
            or data[first + 1 : whole : period].count(10) != count
            or data.find(b"=", start, whole) >= 0
        ):
            return False
        self._digits += count * width
        self._partial = bytes(data[whole:stop])
        return True

    def _lines(self, data: bytes | bytearray, start: int, stop: int) -> None:
        """Count whole lines from a line's start, keep the partial one."""
        width = self._width
        if not width:
            newline = data.find(b"\n", start, min(stop, start + 1_000))
            if newline < 0:
                if stop - start >= 1_000:
                    self._width = -1
                    self._digits += len(data[start:stop].translate(None, NOT_ALPHABET))
                else:
                    self._partial = bytes(data[start:stop])
                return
            width = newline - 1 - start
            if width < 4 or width % 4 or data[newline - 1] != 13:
                self._width = -1
                self._digits += len(data[start:stop].translate(None, NOT_ALPHABET))
                return
            self._width = width
        period = width + 2
        count = (stop - start) // period
        whole = start + count * period
        regular = count
        if count:
            returns = data[start + width : whole : period]
            newlines = data[start + width + 1 : whole : period]
            if returns.count(b"\r") != count or newlines.count(b"\n") != count:
                regular = _leading(returns, newlines)
            pad = data.find(b"=", start, start + regular * period)
            if pad >= 0:
                regular = (pad - start) // period
            self._digits += regular * width
        if regular == count:
            self._partial = bytes(data[whole:stop])
            return
        self._width = -1
        self._digits += len(data[start + regular * period : stop].translate(None, NOT_ALPHABET))


def _leading(returns: bytes | bytearray, newlines: bytes | bytearray) -> int:
    """Count the lines that end in CR LF before the first that does not."""
    for index, (carriage, newline) in enumerate(zip(returns, newlines, strict=True)):
        if carriage != 13 or newline != 10:
            return index
    return len(returns)
