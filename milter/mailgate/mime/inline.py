"""Files inside text: uuencode (`begin 644 name` ... `end`) and yEnc (`=ybegin` ... `=yend`).

A uuencoded line tells its own size in its first character; a yEnc line's size is its octets less its
escape characters. Text without either costs two searches a chunk.
"""

import re

from .fields import to_text

_BEGIN_UU = re.compile(rb"begin [0-7]{3,4} (\S.*)")
_BEGIN_YENC = re.compile(rb"=ybegin (?=.*\bsize=\d)(?:.* )?name=(.*)")
_LONGEST_LINE = 1_000  # RFC 5322 section 2.1.1; a longer line begins nothing


class InlineFiles:
    """The files found in one text part so far, as (name, decoded octets); fed chunks cut anywhere."""

    __slots__ = ("_held", "_mode", "_name", "_size", "files", "octets")

    def __init__(self) -> None:
        self.files: list[tuple[str, int]] = []
        self.octets = 0  # of all files, the unfinished one included
        self._held = b""
        self._mode = ""  # "", "uu", "yenc"
        self._name = ""
        self._size = 0

    def feed(self, data: bytes | bytearray, start: int, stop: int) -> None:
        """Look at data[start:stop]."""
        held = self._held
        if not self._mode and data.find(b"begin", start, stop) < 0 and not held.startswith((b"b", b"=")):
            last = data.rfind(b"\n", start, stop)
            self._hold(bytes(data[last + 1 : stop]) if last >= 0 else held + data[start:stop])
            return
        *lines, held = (held + data[start:stop]).split(b"\n")
        for line in lines:
            self._line(line.rstrip(b"\r"))
        self._hold(held)

    def finish(self) -> None:
        """End the text: a file that did not end counts with what there is of it."""
        if self._held:
            self._line(self._held.rstrip(b"\r"))
        self._close()

    def _hold(self, partial: bytes) -> None:
        """Keep the start of the line that has not ended; of a long one only that it is long."""
        self._held = partial[: _LONGEST_LINE + 1]

    def _line(self, line: bytes) -> None:
        if len(line) > _LONGEST_LINE:
            self._close()
            return
        if self._mode == "uu":
            count = (line[0] - 32) & 63 if line else 0
            expected = (count + 2) // 3 * 4
            if line == b"end" or not line or len(line) - 1 < expected - 3 or len(line) - 1 > expected + 3:
                self._close()
            else:
                self._add(count)
                return
        elif self._mode == "yenc":
            if line.startswith(b"=yend"):
                self._close()
            elif not line.startswith(b"=ypart"):
                self._add(len(line) - line.count(b"="))
            return
        if line.startswith(b"begin") and (match := _BEGIN_UU.fullmatch(line)):
            self._mode, self._name = "uu", to_text(match[1])
        elif line.startswith(b"=ybegin") and (match := _BEGIN_YENC.fullmatch(line)):
            self._mode, self._name = "yenc", to_text(match[1].strip())

    def _add(self, count: int) -> None:
        self._size += count
        self.octets += count

    def _close(self) -> None:
        if self._size:
            self.files.append((self._name, self._size))
        self._mode, self._name, self._size = "", "", 0
