"""The SMTP codec: what ends a message and what is a flaw of it, however it is cut; commands, replies and headers."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_bytes_unchanged import SAMPLES

from mailgate.doors.offline import split_message
from mailgate.wire.smtp import (
    CommandError,
    Flaw,
    MessageDecoder,
    Reply,
    parse_path,
    parse_xforward,
    reply_of,
    split_header,
    stuffed,
    xforward_commands,
)

CUTS = (1, 2, 3, 4, 5, 7, 1_000, 1 << 30)


def decoded(
    wire: bytes, cut: int, line_bytes: int = 998, message_bytes: int = 1 << 30
) -> tuple[bytes, MessageDecoder]:
    """Feed a decoder, a piece at a time, and return the message and the decoder at its end."""
    decoder = MessageDecoder(line_bytes, message_bytes)
    message = b""
    for start in range(0, len(wire), cut):
        message += decoder.feed(wire[start : start + cut])
        if decoder.ended:
            decoder.rest += wire[start + cut :]
            break
    return message, decoder


@pytest.mark.parametrize(
    ("wire", "message", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"x\r\n.\r\nMAIL", b"x\r\n", b"MAIL"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".x\r\n.\r\n", b"x\r\n", b""),
        (b"..x\r\n...\r\n..\r\n.\r\n.\r\n", b".x\r\n..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n.\r\nQUIT\r\n", b"a\r\n.b\r\n", b"QUIT\r\n"),
        (b"\r\n\r\n.\r\n\r\n.\r\n", b"\r\n\r\n", b"\r\n.\r\n"),
        (b"\x00\xff\r\n.\r\n", b"\x00\xff\r\n", b""),
    ],
)
@pytest.mark.parametrize("cut", CUTS)
def test_a_message_ends_at_its_end(wire: bytes, message: bytes, rest: bytes, cut: int) -> None:
    found, decoder = decoded(wire, cut)
    assert (found, decoder.ended, decoder.rest, decoder.flaws) == (message, True, rest, set())
    assert decoder.octets == len(message)


@pytest.mark.parametrize(
    "lines",
    [
        b"a\nb",
        b"a\rb",
        b"a\r\r\nb",
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\n.\r",
        b"\r.\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n\0\0.\0\0\r\n",
        b"\r\n" + b"\0" * 5_000 + b".\r\n",
        b"\r\n." + b"\0" * 5_000 + b"\r\n",
        b"\r\0\n.\r\n",
        b"\r\n.\r\0\n",
    ],
)
@pytest.mark.parametrize("cut", CUTS)
def test_what_may_smuggle_is_a_flaw_and_no_end(lines: bytes, cut: int) -> None:
    _, decoder = decoded(b"x" + lines + b"MAIL FROM:<a@example.com>\r\n.\r\n", cut, line_bytes=10_000)
    assert decoder.ended
    assert decoder.rest == b""
    assert decoder.flaws == {Flaw.LINE_ENDINGS}


@pytest.mark.parametrize(
    ("length", "is_long"), [(0, False), (997, False), (998, False), (999, True), (5_000, True), (200_000, True)]
)
@pytest.mark.parametrize("cut", [*CUTS[2:], 999, 1_000, 1_001, 65_536])
def test_a_line_has_its_limit(length: int, is_long: bool, cut: int) -> None:
    short = b"y" * 900 + b"\r\n"
    for before, after in ((b"", b""), (short, b""), (b"", short), (short * 2, short * 3)):
        _, decoder = decoded(before + b"x" * length + b"\r\n" + after + b".\r\n", cut)
        assert decoder.flaws == ({Flaw.LONG_LINE} if is_long else set())


@pytest.mark.parametrize(("size", "is_large"), [(98, False), (100, False), (101, True)])
def test_a_message_has_its_limit(size: int, is_large: bool) -> None:
    message, decoder = decoded(b"x" * (size - 2) + b"\r\n.\r\n", 7, message_bytes=100)
    assert len(message) == size
    assert decoder.flaws == ({Flaw.TOO_LARGE} if is_large else set())


LINES = st.lists(st.text("x.\0", max_size=4).map(str.encode), max_size=8)


@given(LINES, st.integers(1, 9), st.integers(1, 9))
def test_stuffing_and_decoding_are_inverse(lines: Sequence[bytes], cut: int, send_cut: int) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    chunks = [message[start : start + send_cut] for start in range(0, len(message), send_cut)]
    wire = b"".join(stuffed(chunks)) + b".\r\n"
    found, decoder = decoded(wire + b"QUIT", cut)
    assert (found, decoder.rest) == (message, b"QUIT")


@pytest.mark.parametrize(
    ("argument", "keyword", "path", "parameters"),
    [
        (b"FROM:<a@example.com>", b"FROM", b"<a@example.com>", []),
        (b"from: <>  SIZE=1 body=8BITMIME", b"FROM", b"<>", [b"SIZE=1", b"body=8BITMIME"]),
        (b'TO:<"a >b\\""@example.com> NOTIFY=NEVER', b"TO", b'<"a >b\\""@example.com>', [b"NOTIFY=NEVER"]),
        ("TO:<lan@hànam.vn>".encode(), b"TO", "<lan@hànam.vn>".encode(), []),
        (b"FROM:a@example.com", b"FROM", None, []),
        (b"TO:<a@example.com>", b"FROM", None, []),
        (b"FROM <a@example.com>", b"FROM", None, []),
        (b"FROM:<a@example.com>SIZE=1", b"FROM", None, []),
        (b"FROM:<a@example.com", b"FROM", None, []),
        (b"FROM:<a@example.com> SIZE=1 SIZE=2", b"FROM", None, []),
        (b"FROM:<a@example.com> SIZE=", b"FROM", None, []),
        (b"FROM:<a@example.com> =1", b"FROM", None, []),
        (b"", b"FROM", None, []),
    ],
)
def test_paths(argument: bytes, keyword: bytes, path: bytes | None, parameters: Sequence[bytes]) -> None:
    if path is not None:
        assert parse_path(argument, keyword) == (path, parameters)
    else:
        with pytest.raises(CommandError) as caught:
            parse_path(argument, keyword)
        assert caught.value.reply.code == 501


@pytest.mark.parametrize(
    ("argument", "attributes"),
    [
        (b"NAME=mail.example.com ADDR=203.0.113.7", {"NAME": "mail.example.com", "ADDR": "203.0.113.7"}),
        (b"addr=IPV6:2001:db8::7 port=25", {"ADDR": "2001:db8::7", "PORT": "25"}),
        (b"NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]", {"NAME": "", "ADDR": ""}),
        (b"HELO=a+20b+2Bc IDENT=4Cw3", {"HELO": "a b+c", "IDENT": "4Cw3"}),
        (b"HELO=a+0D+0Ab", {"HELO": "a??b"}),
        (b"ADDR=a.b.c.d", None),
        (b"LOGIN=a", None),
        (b"NAME=", None),
        (b"", None),
        (b"HELO=" + b"x" * 256, None),
    ],
)
def test_xforward(argument: bytes, attributes: dict[str, str] | None) -> None:
    if attributes is None:
        with pytest.raises(CommandError):
            parse_xforward(argument)
        return
    assert parse_xforward(argument) == attributes
    said = b" ".join(
        command.removeprefix(b"XFORWARD ")
        for command in xforward_commands(attributes, ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"))
    )
    assert parse_xforward(said) == attributes
    assert list(xforward_commands(attributes, ())) == []


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (Reply(250, "ok"), b"250 ok\r\n"),
        (Reply(250, "a\nb\nc"), b"250-a\r\n250-b\r\n250 c\r\n"),
        (Reply(550, "a\rb\0"), b"550 a?b?\r\n"),
        (Reply(550, "nh\udce1"), b"550 nh\xe1\r\n"),
        (reply_of("550 5.7.1 No"), b"550 5.7.1 No\r\n"),
        (reply_of("550 5.7.1 No\nKhong"), b"550-5.7.1 No\r\n550 5.7.1 Khong\r\n"),
        (reply_of("451 later"), b"451 later\r\n"),
    ],
)
def test_replies(reply: Reply, octets: bytes) -> None:
    assert reply.octets() == octets


@pytest.mark.parametrize("text", ["", "250 2.0.0 Ok", "55 x", "550"])
def test_what_refuses_nothing_is_no_verdict_s_reply(text: str) -> None:
    with pytest.raises(ValueError, match="not an SMTP reply"):
        reply_of(text)


STRICT = [data for data in SAMPLES.values() if not re.search(rb"\r(?!\n)|(?<!\r)\n", data)]


@pytest.mark.parametrize(
    "message",
    [
        *STRICT[::7],
        b"",
        b"\r\n",
        b"x\r\n",
        b"Subject: x\r\n",
        b"Subject: x\r\ny\r\n\r\nz\r\n",
        b" x\r\n\r\n",
        b"From a@example.com Tue\r\nSubject: x\r\n\r\nb\r\n",
        b"X-A : 1\r\nX-B:2\r\n\tthree\r\n\r\nb\r\n",
    ],
)
def test_a_header_is_split_as_for_the_other_doors_and_loses_no_octet(message: bytes) -> None:
    fields, end = split_header(message)
    assert (fields, message[end:]) == split_message(message)
    assert 0 <= end <= len(message)


@pytest.mark.parametrize(
    ("fields", "most", "seen", "rest"),
    [(5, 5, 5, b"body"), (6, 5, 6, b"body"), (7, 5, 6, b"body"), (300_000, 5, 6, b"body"), (7, None, 7, b"body")],
)
def test_of_very_many_fields_the_rest_is_not_split(fields: int, most: int | None, seen: int, rest: bytes) -> None:
    message = b"X: y\r\n" * fields + b"\r\nbody"
    found, end = split_header(message, most)
    assert (len(found), message[end:]) == (seen, rest)
