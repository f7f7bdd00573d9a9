"""The walk over a message's MIME parts while it arrives, in one pass and bounded memory.

`begin(headers)`, then `feed` for each chunk cut anywhere, then `finish`: `content` always tells what was
seen so far, and does not depend on the cuts. Nothing raises on any input: what is malformed, or read in
different ways by different programs, is named in `content.defects`, and where a boundary can be
read in several ways every reading delimits.

What counts as an attachment (clause 8.1b): a leaf with a file name or disposition attachment, and every
leaf that is not text; an attached message/rfc822 once, as its raw octets; winmail.dat whole; uuencoded and
yEnc files inside text. Not the alternatives of a body, not an S/MIME signature.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..model import Attachment, Content, Header
from .fields import CONTROLS, MOST_PARAMETERS
from .inline import InlineFiles
from .part import CONTENT_FIELDS, PartHeader, describe, describe_block, names_a_program
from .transfer import IDENTITY, Base64Counter, Decoder, decoder_for


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What lies beyond these is not walked into, and `content.exceeded` says so.

    depth: Postfix's mime_nesting_limit is 100. parts: the largest lawful mail seen had a few hundred; the rest of the
    message is one part. header_bytes: of one part's header block, which an attached mail begins with; Microsoft 365
    takes headers of 256 KB. field_bytes: of a Content-Type or the like; RFC 2231 names of 255 letters take 3,000.
    boundaries: of one multipart, where programs read it in several ways. delimiter_bytes: RFC 2046 allows a boundary
    of 70 octets; longer ones occur and are honoured.
    """

    depth: int = 100
    parts: int = 2_000
    header_bytes: int = 262_144
    field_bytes: int = 16_384
    boundaries: int = 20
    delimiter_bytes: int = 8_192


class _Frame:
    """An open multipart or attached message: the way from the whole message to the current part."""

    __slots__ = (
        "attachment",
        "boundaries",
        "ended",
        "has_shorter",
        "is_global",
        "shadowed",
        "start",
        "subtype",
        "whole",
    )

    @property
    def is_encoded(self) -> bool:
        """Tell whether it is an attached message that says that it is encoded."""
        return not self.subtype and self.whole is not None and self.whole.encoding not in IDENTITY

    @property
    def is_a_file_to_some(self) -> bool:
        """Tell whether some programs do not read on in it: message/global, and attached mail that is encoded."""
        return self.is_global or (not self.subtype and self.whole is not None)

    def __init__(
        self,
        subtype: str,
        boundaries: tuple[bytes, ...],
        attachment: Attachment | None,
        whole: PartHeader | None = None,
        start: int = 0,
        is_global: bool = False,
    ) -> None:
        self.is_global = is_global
        self.subtype = subtype  # of the multipart; "" for an attached message
        self.whole = whole  # of a multipart that some programs take for one file, which begins at `start`
        self.start = start
        self.boundaries = boundaries
        # Where the boundary is also read as a shorter one, the end by the longer is none by that.
        self.has_shorter = len(boundaries) > 1 and any(
            one != other and other.startswith(one) for one in boundaries for other in boundaries
        )
        self.attachment = attachment  # of an attached message that counts
        self.shadowed: list[tuple[bytes, int | None]] = []  # each boundary, and the outer level that it stood for
        self.ended = False  # its closing delimiter was seen


@dataclass(slots=True, init=False)
class Leaf:
    """A leaf whose octets can be decoded again from the raw message: span, encoding, and what its header says of it.

    is_attachment: it counts as one. is_inside: it is of an attached message. names: what else programs read for its
    name.
    """

    span: tuple[int, int]
    encoding: str
    type: str
    name: str
    charset: str
    is_attachment: bool
    is_inside: bool
    names: tuple[str, ...]

    def __init__(
        self,
        span: tuple[int, int],
        encoding: str,
        type: str,
        name: str = "",
        charset: str = "",
        is_attachment: bool = False,
        is_inside: bool = False,
        names: tuple[str, ...] = (),
    ) -> None:
        self.span = span
        self.encoding = encoding
        self.type = type
        self.name = name
        self.charset = charset
        self.is_attachment = is_attachment
        self.is_inside = is_inside
        self.names = names


MOST_CONTENT_FIELDS = 20  # of one part: three are lawful
_MOST_CUTS = 3  # of one header: a program that passes over the first such line ends it at the next
_REST = PartHeader("application/octet-stream", disposition="attachment")
_HEADER_LINE = re.compile(rb"([!-9;-~]+)[\x00-\x20\x7f]*:")
_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_USUAL_BLOCK = 4_096  # octets in which a part's whole header block is looked for at once
# A part whose header says that it is a multipart, and more: what it is to some program is one file of all its octets.
_MAYBE_ONE_FILE = frozenset({"multipart-or-file", "encoded-multipart"})
_MESSAGES = frozenset({"message/rfc822", "message/global"})
_BODY_TEXT = frozenset({"text/plain", "text/html"})


class Walker:
    """One message's walk.

    exact: also check base64 digit by digit and line ends octet by octet. It costs 1 ns an octet, and is needed only
    where something looks into the content. leaves: where each leaf stands, so that it can be decoded again.
    """

    def __init__(self, limits: WalkLimits | None = None, exact: bool = False) -> None:
        self.content = Content()
        self.leaves: list[Leaf] = []
        self._limits = limits or WalkLimits()
        self._exact = exact
        self._frames: list[_Frame] = []
        self._delimiters: dict[bytes, int] = {}
        self._lengths: dict[int, int] = {}  # of the boundaries, and how many are so long
        self._held = b""
        self._offset = 0  # of the next octet fed, in the raw message
        self._fresh = False  # at the start of a body or part, where a delimiter needs no line break before it
        self._in_header = False
        self._header: list[bytes] = []  # the lines of its Content-* fields
        self._header_octets = 0
        self._is_content_field = False
        self._cuts: list[tuple[int, int]] = []  # where lines that are no fields stand, and the fields before each
        self._no_field_yet = False  # in the header of what is only a message if it is not encoded
        self._opaque = False
        # the current leaf
        self._attachment: Attachment | None = None
        self._closed = 0  # octets of the attachments that have ended
        self._closed_inline = 0
        self._count: Base64Counter | None = None
        self._decoder: Decoder | None = None
        self._files: InlineFiles | None = None
        self._checker: Decoder | None = None
        self._leaf_start = 0
        self._leaf_type = ""
        self._leaf: PartHeader | None = None
        self._cut_leaves: list[tuple[int, PartHeader]] = []  # the same leaf where its header ends at such a line
        self._messages = 0  # open attached messages
        self._encoded_count: Base64Counter | None = None
        self._encoded_decoder: Decoder | None = None
        self._encoded_size = 0

    # -- the three calls ----------------------------------------------------------------------

    def begin(self, headers: Iterable[Header], offset: int = 0) -> None:
        """Start with the message's own header fields, names in lower case.

        offset is where its body starts in the raw message.
        """
        self._offset = offset
        self._open_part(self._described([header for header in headers if header[0] in CONTENT_FIELDS]), offset)

    def begin_attached(self, offset: int = 0) -> None:
        """Start with a message whose header is fed too, as that of an attached message."""
        self._offset = offset
        self._messages = 1
        self._in_header = True

    def feed(self, data: bytes | bytearray, start: int, stop: int) -> None:
        """Take data[start:stop], which need not outlive the call."""
        if self._held:
            data = self._held + data[start:stop]
            self._offset -= len(self._held)
            self._held = b""
            start, stop = 0, len(data)
        base = self._offset - start
        self._offset += stop - start
        position = start
        while position < stop and not self._held:
            if self._in_header:
                position = self._read_header(data, position, stop, base)
            else:
                position = self._read_body(data, position, stop, base)
        self._total()

    def finish(self) -> Content:
        """End the message and return its content."""
        held, self._held = self._held, b""
        content = self.content
        if held:
            base = self._offset - len(held)
            if self._in_header:
                # The line break that ends it for the reader is none of the message's.
                self._take_encoded(held, 0, len(held))
                count, decoder = self._encoded_count, self._encoded_decoder
                self._encoded_count = self._encoded_decoder = None
                self._read_header(held + b"\n", 0, len(held) + 1, base)
                if count is not None or decoder is not None:
                    self._encoded_count, self._encoded_decoder = count, decoder
            else:
                line = held.lstrip(b"\r\n")
                match = self._match(line) if line.startswith(b"--") else None
                if match is None:
                    self._take(held, 0, len(held))
                else:
                    self._delimiter(match, base, base + len(held))
        if self._in_header:
            self._end_header(self._offset)
        self._end_leaf(self._offset)
        if any(frame.subtype and not frame.ended for frame in self._frames):
            self._defect("unclosed-multipart")
        self._pop_to(0, self._offset)
        self._total()
        content.octets = self._offset
        content.complete = True
        return content

    # -- header blocks of parts ---------------------------------------------------------------

    def _read_header(self, data: bytes | bytearray, position: int, stop: int, base: int) -> int:
        if not self._header_octets and not data.startswith(b"--", position, stop):
            blank = data.find(b"\r\n\r\n", position, min(stop, position + _USUAL_BLOCK))
            if blank >= 0 and data.find(b"\n--", position, blank) < 0:
                header = describe_block(bytes(data[position : blank + 2]))
                if header is not None:
                    self._in_header = self._no_field_yet = False
                    if self._messages:
                        self._take_encoded(data, position, blank + 4)
                    self._open_part(header, base + blank + 4)
                    return blank + 4
        while position < stop:
            newline = data.find(b"\n", position, stop)
            if newline < 0:
                if self._no_field_yet and stop - position > self._limits.delimiter_bytes:
                    self._take_encoded(data, position, stop)
                    return stop
                if stop - position + self._header_octets > self._limits.header_bytes:
                    self._exceed("octets-of-a-part's-header", self._limits.header_bytes)
                    self._end_header(base + position)
                    return position
                self._held = bytes(data[position:stop])
                return position
            line = bytes(data[position:newline])
            if line.endswith(b"\r"):
                line = line[:-1]
            following = newline + 1
            if not line:
                self._take_encoded(data, position, following)
                self._end_header(base + following)
                return following
            if line.startswith(b"--") and self._match(line) is not None:
                # A part that ends inside its header: its delimiter is the next body line.
                if not self._no_field_yet:
                    self._defect("part-without-body")
                self._end_header(base + position)
                return position
            is_field = line[0] not in b" \t" and _HEADER_LINE.match(line) is not None
            if self._no_field_yet and not is_field:
                self._take_encoded(data, position, following)
                position = following
                continue
            self._no_field_yet = False
            if line[0] not in b" \t":
                if not is_field:
                    # Some programs end the header here, others pass over the line: Dovecot shows its readers the file
                    # that stands behind it.
                    self._defect("missing-blank-line")
                    if len(self._cuts) < _MOST_CUTS:
                        self._cuts.append((base + position, len(self._header)))
                self._is_content_field = is_field and line[:8].lower() == b"content-"
            if b"\r" in line:
                self._defect("bare-cr")
            self._header_octets += following - position
            if self._header_octets > self._limits.header_bytes:
                self._exceed("octets-of-a-part's-header", self._limits.header_bytes)
                self._end_header(base + position)
                return position
            if self._is_content_field:
                self._header.append(line)
            if self._messages:
                self._take_encoded(data, position, following)
            position = following
        return position

    def _end_header(self, body_start: int) -> None:
        if self._no_field_yet:
            self._no_field_yet = self._in_header = False
            self._open_nothing(body_start)
            return
        header = self._described(_told(self._header))
        for place, count in self._cuts:
            self._cut_leaves.append((place, self._described(_told(self._header[:count]))))
        self._cuts = []
        self._header = []
        self._header_octets = 0
        self._in_header = self._is_content_field = False
        self._open_part(header, body_start)

    def _described(self, fields: list[Header]) -> PartHeader:
        """Read the Content-* fields of a part, as far as the limits go."""
        most = self._limits.field_bytes
        if len(fields) > MOST_CONTENT_FIELDS or max([len(value) for _, value in fields], default=0) > most:
            self._exceed("octets-of-a-content-field", most)
            fields = [(name, value[:most]) for name, value in fields[:MOST_CONTENT_FIELDS]]
        return describe(tuple(fields))

    # -- parts --------------------------------------------------------------------------------

    def _open_part(self, header: PartHeader, start: int) -> None:
        """Decide what the part is whose header was read and whose body starts here."""
        content = self.content
        self._fresh = True
        if header.defects:
            content.defects.update(header.defects)
            if "multipart-or-file" in header.defects and self._frames and header.boundaries:
                self._defect("ambiguous-delimiters")  # a delimiter around it may begin with its own, or be the same
            if "too-many-parameters" in header.defects:
                self._exceed("parameters-of-a-field", MOST_PARAMETERS)
        content.parts += 1
        main = header.type or ("message/rfc822" if self._parent() == "digest" else "text/plain")
        if content.parts > self._limits.parts:
            # The rest is one part, whatever it says of itself: no delimiter ends it.
            self._exceed("parts", self._limits.parts)
            self._delimiters, self._lengths = {}, {}
            header, main = _REST, _REST.type
        elif self._opaque or len(self._frames) >= self._limits.depth:
            self._exceed("levels-of-nesting", self._limits.depth)
            self._opaque = True
        elif header.multipart and header.boundaries:
            boundaries = header.boundaries
            if len(boundaries) > self._limits.boundaries:
                self._exceed("boundaries-of-a-multipart", self._limits.boundaries)
                boundaries = boundaries[: self._limits.boundaries]
            self._end_cut_leaves(start)
            whole = header if _MAYBE_ONE_FILE & set(header.defects) else None
            self._push(_Frame(header.multipart, boundaries, None, whole, start))
            self._open_nothing(start)
            return
        elif main in _MESSAGES:
            attachment = None
            if not self._messages:
                attachment = Attachment(
                    header.name, main, 0, header.encoding, span=(start, start), names=header.names
                )
                content.attachments.append(attachment)
            self._end_cut_leaves(start)
            encoded = header.encoding not in IDENTITY
            if encoded and not self._messages:
                self._begin_encoded(header.encoding)
            self._messages += 1
            whole = header if encoded or "multipart-or-file" in header.defects else None
            self._push(_Frame("", (), attachment, whole, start, main == "message/global"))
            self._in_header = True
            self._no_field_yet = encoded
            return
        self._open_leaf(header, main, start)

    def _parent(self) -> str:
        return self._frames[-1].subtype if self._frames else ""

    def _open_leaf(self, header: PartHeader, main: str, start: int) -> None:
        encoding = header.encoding
        self._leaf_start, self._leaf_type, self._leaf = start, main, header
        self._count = self._decoder = self._files = self._attachment = None
        self._checker = decoder_for("base64") if self._exact and encoding == "base64" else None
        if self._messages:
            return
        if not self._counts(main, header.name, header.disposition):
            self._files = InlineFiles()
            if encoding not in IDENTITY:
                self._decoder = decoder_for(encoding)
            return
        inline = not header.name and header.disposition != "attachment"
        self._attachment = Attachment(header.name, main, 0, encoding, inline, (start, start), header.names)
        self.content.attachments.append(self._attachment)
        if encoding == "base64":
            self._count = Base64Counter(self._exact)
        elif encoding not in IDENTITY:
            self._decoder = decoder_for(encoding)

    def _counts(self, main: str, name: str, disposition: str) -> bool:
        parent = self._parent()
        if main in _SIGNATURES and parent == "signed":
            return False
        if parent == "alternative" and disposition != "attachment" and (main in _BODY_TEXT or not name):
            return False
        return bool(name) or disposition == "attachment" or not main.startswith("text/")

    def _open_nothing(self, start: int) -> None:
        """A preamble or epilogue: octets that belong to no part."""
        self._leaf_start, self._leaf_type, self._leaf = start, "", None
        self._count = self._decoder = self._files = self._checker = self._attachment = None

    def _end_leaf(self, stop: int) -> None:
        attachment = self._attachment
        for decoder in (self._decoder, self._checker):
            if decoder is not None:
                rest = decoder.finish()
                if decoder is self._decoder:
                    self._take_decoded(rest)
                for defect in decoder.defects:
                    self._defect(defect)
        if attachment is not None:
            if self._count is not None:
                attachment.size = self._count.size
            attachment.span = (self._leaf_start, stop)
            self._close(attachment)
        if self._files is not None:
            self._files.finish()
            room = max(0, self._limits.parts - len(self.content.attachments))
            if len(self._files.files) > room:
                self._exceed("parts", self._limits.parts)
                self._closed += sum([size for _, size in self._files.files[room:]])
            for name, size in self._files.files[:room]:
                found = Attachment(name, "application/octet-stream", size, "uuencode", span=(self._leaf_start, stop))
                self.content.attachments.append(found)
                self._closed += size
        if self._leaf is not None:
            self._add_leaf(self._leaf_start, stop, self._leaf, self._leaf_type)
        self._end_cut_leaves(stop)
        self._open_nothing(stop)

    def _end_cut_leaves(self, stop: int) -> None:
        for start, header in self._cut_leaves:
            if not header.multipart:  # else what stands there is a preamble
                self._add_leaf(start, stop, header, header.type or "text/plain")
        self._cut_leaves = []

    def _add_leaf(self, start: int, stop: int, header: PartHeader, main: str) -> None:
        if stop > start:
            is_file = bool(header.name or header.names) or self._counts(main, header.name, header.disposition)
            told = (header.encoding, main, header.name, header.charset)
            self.leaves.append(Leaf((start, stop), *told, is_file, self._messages > 0, header.names))

    def _close(self, attachment: Attachment) -> None:
        self._closed += attachment.size
        if attachment.inline:
            self._closed_inline += attachment.size

    def _push(self, frame: _Frame) -> None:
        self._frames.append(frame)
        self.content.depth = max(self.content.depth, len(self._frames))
        delimiters = self._delimiters
        is_doubtful = len(frame.boundaries) > 1 or any(each.is_a_file_to_some for each in self._frames)
        if is_doubtful and any(boundary.startswith(tuple(delimiters)) for boundary in frame.boundaries):
            self._defect("ambiguous-delimiters")
        for boundary in frame.boundaries:
            outer = delimiters.get(boundary)
            frame.shadowed.append((boundary, outer))
            delimiters[boundary] = len(self._frames) - 1
            if outer is None:
                self._lengths[len(boundary)] = self._lengths.get(len(boundary), 0) + 1

    def _pop_to(self, depth: int, stop: int) -> None:
        """Close the frames above this depth; `stop` is where they end in the raw message."""
        if len(self._frames) <= depth:
            return
        for frame in reversed(self._frames[depth:]):
            if not frame.subtype:
                self._messages -= 1
                if not self._messages and frame.attachment is not None and frame.is_encoded:
                    frame.attachment.size = self._end_encoded()
            if frame.whole is not None:
                self._add_leaf(frame.start, stop, frame.whole, frame.whole.type or "message/rfc822")
            elif frame.attachment is not None and names_a_program(frame.attachment.name, *frame.attachment.names):
                told = PartHeader(name=frame.attachment.name, names=frame.attachment.names)
                self._add_leaf(frame.start, stop, told, frame.attachment.type)
            if frame.attachment is not None:
                start = frame.attachment.span[0]
                if not frame.is_encoded:
                    frame.attachment.size = max(0, stop - start)
                frame.attachment.span = (start, max(start, stop))
                self._close(frame.attachment)
            for boundary, outer in frame.shadowed:
                if outer is None:
                    if self._delimiters.pop(boundary, None) is not None:
                        self._forget_length(len(boundary))
                elif boundary in self._delimiters:
                    self._delimiters[boundary] = outer
        del self._frames[depth:]

    def _forget_length(self, length: int) -> None:
        count = self._lengths[length] - 1
        if count:
            self._lengths[length] = count
        else:
            del self._lengths[length]

    # -- bodies -------------------------------------------------------------------------------

    def _read_body(self, data: bytes | bytearray, position: int, stop: int, base: int) -> int:
        if not self._delimiters:
            keep = stop - 1 if data[stop - 1] == 13 else stop
            self._take(data, position, keep)
            self._held = bytes(data[keep:stop])
            return keep
        at = position
        if self._fresh:
            if stop - position < 2 and data[position] == 45:
                self._held = bytes(data[position:stop])
                return position
            if data.startswith(b"--", position, stop):
                outcome = self._try_delimiter(data, position, position, position, stop, base)
                if outcome is not None:
                    return outcome
            self._fresh = False
        dash = data.find(b"-", at, stop)  # a search for one octet is ten times as fast; base64 has no other
        if dash >= 0:
            at = max(at, dash - 1)
            while (newline := data.find(b"\n--", at, stop)) >= 0:
                cut = newline - 1 if newline > position and data[newline - 1] == 13 else newline
                outcome = self._try_delimiter(data, newline + 1, position, cut, stop, base)
                if outcome is not None:
                    return outcome
                at = newline + 1
        # A line break at the very end may belong to a delimiter that has not arrived yet.
        keep = stop
        if data[stop - 1] == 45 and stop - position >= 2 and data[stop - 2] == 10:
            keep = stop - 2
        elif data[stop - 1] == 10:
            keep = stop - 1
        if keep > position and (keep < stop or data[stop - 1] == 13) and data[keep - 1] == 13:
            keep -= 1
        self._take(data, position, keep)
        self._held = bytes(data[keep:stop])
        return keep

    def _try_delimiter(
        self, data: bytes | bytearray, line: int, position: int, cut: int, stop: int, base: int
    ) -> int | None:
        """Act on the line that starts here with `--`; None when it is no delimiter.

        position: what is not yet taken; cut: where content ends if it is one. Returns the next position.
        """
        newline = data.find(b"\n", line, min(stop, line + self._limits.delimiter_bytes))
        if newline < 0:
            if stop - line >= self._limits.delimiter_bytes:
                self._match_prefix(bytes(data[line + 2 : line + self._limits.delimiter_bytes]))
                return None
            self._take(data, position, cut)
            self._held = bytes(data[cut:stop])
            return cut
        match = self._match(bytes(data[line:newline]))
        if match is None:
            return None
        self._take(data, position, cut)
        self._delimiter(match, base + cut, base + newline + 1)
        return newline + 1

    def _match(self, line: bytes) -> tuple[int, bool] | None:
        """Return (level of the multipart, is it its end) of a delimiter line."""
        text = line[2:].rstrip(b"\r\n")
        level = self._delimiters.get(text)
        if level is not None:
            return level, False
        bare = text.rstrip(b" \t\r")
        level = self._delimiters.get(bare)
        closing = False
        if level is None and bare.endswith(b"--"):
            level = self._delimiters.get(bare[:-2])
            closing = True
        if level is None:
            return self._match_prefix(text)
        if bare != text:
            self._defect("delimiter-padding")
        return level, closing

    def _match_prefix(self, text: bytes) -> tuple[int, bool] | None:
        """Return the same of a line that only begins with a boundary: Dovecot takes the longest for a delimiter."""
        lengths = [length for length in self._lengths if length < len(text) and text[:length] in self._delimiters]
        if not lengths:
            return None
        longest = max(lengths)
        self._defect("delimiter-by-prefix")
        return self._delimiters[text[:longest]], text.startswith(b"--", longest)

    def _delimiter(self, match: tuple[int, bool], cut: int, following: int) -> None:
        level, closing = match
        while self._frames[level].ended and (outer := self._same_around(level)) is not None:
            level = outer
        self._end_leaf(cut)
        self._pop_to(level + 1, cut)
        frame = self._frames[level]
        if closing:
            # What follows is an epilogue; but some programs take the boundary up again, so it stays known.
            frame.ended = True
            if frame.has_shorter:
                self._in_header = True
            else:
                self._open_nothing(following)
        else:
            if frame.ended:
                self._defect("part-after-end")
            self._in_header = True
        self._fresh = not self._in_header

    def _begin_encoded(self, encoding: str) -> None:
        """An attached mail says that it is encoded, which RFC 2046 section 5.2.1 forbids: some programs decode it,
        others read it as it stands. It is walked as it stands, counts as decoded, and is a leaf too."""
        if encoding == "base64" and not self._exact:
            self._encoded_count = Base64Counter(False)
        else:
            self._encoded_decoder = decoder_for(encoding)
            self._encoded_size = 0

    def _take_encoded(self, data: bytes | bytearray, start: int, stop: int) -> None:
        if self._encoded_count is not None:
            self._encoded_count.take(data, start, stop)
        elif self._encoded_decoder is not None:
            self._encoded_size += len(self._encoded_decoder.feed(data[start:stop]))

    def _end_encoded(self) -> int:
        """Return how many octets it had, decoded."""
        if self._encoded_count is not None:
            size = self._encoded_count.size
            self._encoded_count = None
            return size
        assert self._encoded_decoder is not None
        size = self._encoded_size + len(self._encoded_decoder.finish())
        self.content.defects.update(self._encoded_decoder.defects)
        self._encoded_decoder = None
        return size

    def _same_around(self, level: int) -> int | None:
        """Return the level of the multipart around this one that has its boundary too, None for none."""
        boundaries = set(self._frames[level].boundaries)
        outer = [number for number in range(level) if not boundaries.isdisjoint(self._frames[number].boundaries)]
        return outer[-1] if outer else None

    def _take(self, data: bytes | bytearray, start: int, stop: int) -> None:
        if start >= stop:
            return
        if self._messages:
            self._take_encoded(data, start, stop)
        if self._count is not None:
            self._count.take(data, start, stop)
            if self._checker is not None:
                self._checker.feed(data[start:stop])
        elif self._decoder is not None:
            self._take_decoded(self._decoder.feed(data[start:stop]))
        elif self._attachment is not None:
            self._attachment.size += stop - start
        elif self._files is not None:
            self._files.feed(data, start, stop)
        if self._exact and data.count(b"\r", start, stop) > data.count(b"\r\n", start, stop):
            self._defect("bare-cr")

    def _take_decoded(self, octets: bytes) -> None:
        if self._attachment is not None:
            self._attachment.size += len(octets)
        elif self._files is not None:
            self._files.feed(octets, 0, len(octets))

    def _total(self) -> None:
        """Bring the sum up to date: ended attachments, the current one, the attached message around it."""
        total = self._closed
        inline = self._closed_inline
        if self._attachment is not None:
            if self._count is not None:
                self._attachment.size = self._count.size
            size = self._attachment.size
            total += size
            if self._attachment.inline:
                inline += size
        if self._encoded_count is not None:
            total += self._encoded_count.size
        elif self._encoded_decoder is not None:
            total += self._encoded_size
        elif self._messages:
            total += sum(
                max(0, self._offset - len(self._held) - frame.attachment.span[0])
                for frame in self._frames
                if frame.attachment is not None
            )
        if self._files is not None:
            total += self._files.octets
        self.content.attachment_bytes = total
        self.content.inline_bytes = inline

    def _defect(self, name: str) -> None:
        self.content.defects.add(name)

    def _exceed(self, name: str, limit: int) -> None:
        self.content.exceeded[name] = limit


def _told(lines: Iterable[bytes]) -> list[Header]:
    """Return the Content-* fields of these lines, names in lower case, values unfolded."""
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        if line[0] in b" \t":
            if fields:
                fields[-1][1].append(line)
            continue
        name, _, value = line.partition(b":")
        fields.append((name.strip(CONTROLS).lower(), [value]))
    return [(name, b"\r\n".join(values)) for name, values in fields if name in CONTENT_FIELDS]
