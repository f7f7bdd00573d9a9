"""The milter protocol: commands and replies, what is negotiated, legal and too large; and the door that speaks it.

Frames are written out here by hand or by tests.lab.mta, never by the module under test.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.mta import (
    ABORT,
    BODY,
    CONNECT,
    DATA,
    DECISIVE,
    EOH,
    EOM,
    HEADER,
    HELO,
    MACRO,
    MAIL,
    OPTNEG,
    QUIT,
    RCPT,
    UNKNOWN,
    Answer,
    MemoryMta,
    Offer,
    Talk,
    client_payload,
    frame,
)

from mailgate.doors.milter import Listener, MilterConnection
from mailgate.model import Header
from mailgate.wire import ProtocolError
from mailgate.wire import milter as wire
from mailgate_rules.attachment_size import Stanza as AttachmentSize
from mailgate_rules.mailbox_state import Stanza as MailboxState
from mailgate_rules.virus import Stanza as Virus

Taken = list[tuple[int, bytes]]

OFFER = frame(OPTNEG, struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
EVERYTHING = wire.Wish(wire.Actions(0x1FF), wire.Steps(0x1FFFFF), ((wire.MacroStage.DATA, "i"),))

LIMITS = wire.Limits()

# One mail as Postfix 3.7 sends it, from its first octet to its last.
SESSION = b"".join(
    (
        OFFER,
        frame(MACRO, b"Cj\0mx.hanam.gov.vn\0{daemon_name}\0MX\0"),
        frame(CONNECT, b"mx.example.com\x004\xc3P203.0.113.7\0"),
        frame(HELO, b"mx.example.com\0"),
        frame(MACRO, b"M{auth_authen}\0lan\0"),
        frame(MAIL, b"<a@example.com>\0SIZE=10\0"),
        frame(RCPT, b"<b@hanam.gov.vn>\0"),
        frame(MACRO, b"Ti\x004C\0"),
        frame(DATA),
        frame(MACRO, b"L"),
        frame(HEADER, b"Subject\0 x\0"),
        frame(MACRO, b"L"),
        frame(HEADER, b"To\0 b\n\tc\0"),
        frame(MACRO, b"N"),
        frame(EOH),
        frame(MACRO, b"B"),
        frame(BODY, b"hello\r\n"),
        frame(MACRO, b"B"),
        frame(BODY, b"D\0\0\0\1L"),
        frame(EOM),
        frame(b"A"),
        frame(b"A"),
        frame(QUIT),
    )
)
WANT: Taken = [
    (wire.NEGOTIATE, struct.pack(">III", 6, 0x1FF, 0x1FFFFF)),
    (wire.CONNECT, b"mx.example.com\x004\xc3P203.0.113.7\0"),
    (wire.HELO, b"mx.example.com\0"),
    (wire.MAIL, b"<a@example.com>\0SIZE=10\0"),
    (wire.RECIPIENT, b"<b@hanam.gov.vn>\0"),
    (wire.DATA, b""),
    (wire.HEADER, b"Subject\0 x\0"),
    (wire.HEADER, b"To\0 b\n\tc\0"),
    (wire.END_OF_HEADERS, b""),
    (wire.BODY, b"hello\r\n"),
    (wire.BODY, b"D\0\0\0\1L"),
    (wire.END_OF_MESSAGE, b""),
    (wire.ABORT, b""),
    (wire.ABORT, b""),
    (wire.QUIT, b""),
]


def receive(conversation: wire.Conversation, pieces: Sequence[bytes]) -> Taken:
    """Feed pieces as a door does, keeping what was not consumed."""
    taken: Taken = []
    held = b""
    for piece in pieces:
        data = held + piece
        for command, start, stop in conversation.receive(data, len(data)):
            if command == wire.HEADER:
                taken += [(command, b"%b\0%b\0" % header) for header in conversation.headers[start]]
            else:
                taken.append((command, data[start:stop]))
        held = data[conversation.consumed :]
    return taken


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


# -- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 11, 64, 1_000_000])
def test_every_cut_gives_the_same_frames(size: int) -> None:
    conversation = wire.Conversation()
    assert receive(conversation, cut(SESSION, size)) == WANT
    assert conversation.macros[wire.CONNECT] == b"j\0mx.hanam.gov.vn\0{daemon_name}\0MX\0"
    assert conversation.macros[wire.MAIL] == b"{auth_authen}\0lan\0"
    assert wire.DATA not in conversation.macros, "the macros of a message end with it"


@given(st.lists(st.integers(0, len(SESSION)), max_size=12))
def test_any_cuts_give_the_same_frames(places: list[int]) -> None:
    bounds = [0, *sorted(places), len(SESSION)]
    pieces = [SESSION[start:stop] for start, stop in pairwise(bounds)]
    assert receive(wire.Conversation(), pieces) == WANT


def test_a_changed_macro_replaces_a_repeated_one() -> None:
    conversation = wire.Conversation()
    header = frame(HEADER, b"A\0b\0")
    one, two = frame(MACRO, b"Li\x001\0"), frame(MACRO, b"Li\x002\0")
    octets = OFFER + frame(MAIL, b"<>\0") + (one + header) * 3 + (two + header) * 2
    assert [command for command, _ in receive(conversation, [octets])][2:] == [wire.HEADER] * 5
    assert conversation.macros[wire.HEADER] == b"i\x002\0"


def test_a_frame_of_4_gib_is_refused_at_once() -> None:
    for command in range(256):
        conversation = wire.Conversation()
        receive(conversation, [OFFER, frame(MAIL, b"<>\0")])
        with pytest.raises(ProtocolError):
            conversation.receive(b"\xff\xff\xff\xff" + bytes((command,)), 5)


@pytest.mark.parametrize(
    ("before", "command", "limit"),
    [
        (b"", MAIL, LIMITS.other_bytes),
        (b"", HELO, LIMITS.other_bytes),
        (b"", MACRO, LIMITS.other_bytes),
        (frame(MAIL, b"<>\0"), RCPT, LIMITS.other_bytes),
        (frame(MAIL, b"<>\0"), HEADER, LIMITS.header_bytes),
        (frame(MAIL, b"<>\0"), BODY, LIMITS.body_bytes),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
def test_limits_hold_for_whole_frames_and_for_beginnings(
    before: bytes, command: bytes, limit: int, pieces: int
) -> None:
    for over in (0, 1):
        octets = frame(command, command + b"\0" + b"x" * (limit - 3 + over) + b"\0")
        size = -(-len(octets) // pieces)
        conversation = wire.Conversation()
        receive(conversation, [OFFER, before])
        if over:
            with pytest.raises(ProtocolError, match="limit"):
                receive(conversation, cut(octets, size))
        else:
            receive(conversation, cut(octets, size))
            assert conversation.consumed == len(octets)


def test_a_header_of_100_kb_is_taken() -> None:
    payload = b"To\0 " + b"x" * 102_400 + b"\0"
    octets = OFFER + frame(MAIL, b"<>\0") + frame(HEADER, payload)
    assert receive(wire.Conversation(), cut(octets, 16_384))[-1] == (wire.HEADER, payload)


@pytest.mark.parametrize(
    "octets", [b"\0\0\0\0\0", OFFER + b"\0\0\0\0\0\0", OFFER + frame(MACRO), OFFER + b"\0\0\0\0L"]
)
def test_an_empty_frame_is_refused(octets: bytes) -> None:
    with pytest.raises(ProtocolError):
        receive(wire.Conversation(), [octets])


@settings(max_examples=500)
@given(st.booleans(), st.lists(st.binary(max_size=64), max_size=6))
def test_random_octets_raise_nothing_but_protocol_error(negotiated: bool, pieces: list[bytes]) -> None:
    conversation = wire.Conversation()
    try:
        receive(conversation, [OFFER] * negotiated + pieces)
    except ProtocolError:
        return
    assert 0 <= conversation.consumed <= sum(map(len, pieces)) + len(OFFER)


PARSERS: list[Callable[[bytes], Any]] = [
    wire.parse_macros,
    wire.parse_arguments,
    lambda payload: headers_of([payload]),
    wire.parse_connect,
    lambda payload: wire.negotiate(payload, EVERYTHING),
]


@pytest.mark.parametrize("parse", PARSERS)
@settings(max_examples=300)
@given(
    payload=st.binary(max_size=40) | st.lists(st.sampled_from([b"\0", b"a", b"4", b"6", b"L", b"\xff"])).map(b"".join)
)
def test_random_payloads_raise_nothing_but_protocol_error(parse: Callable[[bytes], Any], payload: bytes) -> None:
    assert outcome(lambda: parse(payload)) is not None


def outcome(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ProtocolError:
        return ProtocolError


def headers_of(payloads: Sequence[bytes], data: type[bytes] | type[bytearray] = bytes) -> list[Header]:
    """Return the headers that these payloads of one message are."""
    conversation = wire.Conversation()
    octets = data(OFFER + frame(MAIL, b"<>\0") + b"".join(frame(HEADER, payload) for payload in payloads))
    frames = conversation.receive(octets, len(octets))
    assert [command for command, _, _ in frames[2:]] == [wire.HEADER] * bool(payloads)
    return [header for run in conversation.headers for header in run]


@given(st.lists(st.lists(st.sampled_from([b"\0", b"a", b"\0b\0"]), max_size=4).map(b"".join), max_size=4))
def test_many_headers_are_parsed_as_each(payloads: list[bytes]) -> None:
    want = outcome(lambda: [header for payload in payloads for header in headers_of([payload])])
    assert outcome(lambda: headers_of(payloads)) == want
    assert outcome(lambda: headers_of(payloads, bytearray)) == want


# -- legality -------------------------------------------------------------------------------------

PAYLOADS = {b"O": struct.pack(">III", 6, 0, 0), b"C": b"x\0U", b"M": b"<>\0", b"R": b"<>\0", b"L": b"a\0b\0"}


def commands(letters: str) -> bytes:
    return b"".join(frame(bytes((code,)), PAYLOADS.get(bytes((code,)), b"")) for code in letters.encode())


@pytest.mark.parametrize(
    "letters",
    [
        "OQ",
        "Q",
        "OCHMRTLNBEQ",
        "OCHMRRRTLLLNBBBEAAQ",
        "OMRE",  # stages that were negotiated away
        "OCMREMREA",
        "OCHMRTLNBEMRTLNBE",
        "OCHAMRAMRTAMRTLAMRTLNAMRTLNBAQ",  # an abort at each stage
        "OCHMRTNEQ",  # neither header nor body
        "OCHMRTLNEKCHMREQ",
        "OKCHMRE",
        "OCHHMR",
        "OUCUHUMURUTUE",
        "OCHMRTLNBEAQ",
        "OR",  # MAIL was negotiated away
        "OCHMHAMRHAMRE",  # Postfix says EHLO in the middle of a mail before it says ABORT
    ],
)
def test_legal_orders(letters: str) -> None:
    taken = receive(wire.Conversation(), [commands(letters)])
    assert "".join(chr(command) for command, _ in taken) == letters


@pytest.mark.parametrize(
    ("letters", "says"),
    [
        ("C", "CONNECT after start"),
        ("M", "MAIL after start"),
        ("A", "ABORT after start"),
        ("OO", "OPTNEG after negotiated"),
        ("OCO", "OPTNEG after greeted"),
        ("OE", "BODYEOB after negotiated"),
        ("OCT", "DATA after greeted"),
        ("OCHL", "HEADER after greeted"),
        ("OCHN", "EOH after greeted"),
        ("OCHB", "BODY after greeted"),
        ("OMRTM", "MAIL after DATA"),
        ("OMRTR", "RCPT after DATA"),
        ("OMRLM", "MAIL after headers"),
        ("OMRLR", "RCPT after headers"),
        ("OMRLT", "DATA after headers"),
        ("OMRNL", "HEADER after body"),
        ("OMRNN", "EOH after body"),
        ("OMRBL", "HEADER after body"),
        ("OMRBR", "RCPT after body"),
        ("OMREE", "BODYEOB after end of message"),
        ("OMREB", "BODY after end of message"),
        ("OMRLU", "UNKNOWN after headers"),
        ("OX", "0x58 after negotiated"),
        ("OCHMRTLNBEX", "0x58 after end of message"),
        ("O\0", "0x00 after negotiated"),
    ],
)
def test_illegal_orders(letters: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=f"^command {says}$"):
        receive(wire.Conversation(), [commands(letters)])


# -- negotiation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "want"),
    [
        ((2, 0x3F, 0x7F), (2, 0x3F, 0x7F)),
        ((2, 0x1FF, 0x1FFFFF), (2, 0x3F, 0x7F)),
        ((3, 0x1FF, 0x1FFFFF), (3, 0x3F, 0x17F)),
        ((4, 0x1FF, 0x1FFFFF), (4, 0x3F, 0x37F)),
        ((5, 0x1FF, 0x1FFFFF), (5, 0x3F, 0x37F)),
        ((6, 0x1FF, 0x1FFFFF), (6, 0x1FF, 0x1FFFFF)),
        ((7, 0xFFFFFFFF, 0xFFFFFFFF), (6, 0x1FF, 0x1FFFFF)),
        ((6, 0x21, 0x400), (6, 0x21, 0x400)),
        ((6, 0, 0), (6, 0, 0)),
    ],
)
def test_an_offer_is_intersected_with_its_version_and_the_wish(
    offer: tuple[int, int, int], want: tuple[int, int, int]
) -> None:
    agreement, reply = wire.negotiate(struct.pack(">III", *offer), EVERYTHING)
    assert (agreement.version, agreement.actions, agreement.steps) == want
    asks_for_macros = b"\0\0\0\4i\0" if want[1] & 0x100 else b""
    assert reply == frame(OPTNEG, struct.pack(">III", *want) + asks_for_macros)


def test_what_is_not_wished_is_not_agreed_on() -> None:
    wish = wire.Wish(wire.Actions.QUARANTINE, wire.Steps.NO_HELO)
    agreement, _ = wire.negotiate(struct.pack(">III", 6, 0x1FF, 0x1FFFFF), wish)
    assert (agreement.actions, agreement.steps) == (0x20, 0x02)


@pytest.mark.parametrize("payload", [b"", b"\0" * 11, struct.pack(">III", 1, 0, 0), struct.pack(">III", 0, 9, 9)])
def test_a_short_or_old_offer_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.negotiate(payload, EVERYTHING)


@pytest.mark.parametrize(
    ("command", "bit"),
    [
        (wire.CONNECT, 0x1000),
        (wire.HELO, 0x2000),
        (wire.MAIL, 0x4000),
        (wire.RECIPIENT, 0x8000),
        (wire.DATA, 0x10000),
        (wire.UNKNOWN, 0x20000),
        (wire.HEADER, 0x80),
        (wire.END_OF_HEADERS, 0x40000),
        (wire.BODY, 0x80000),
    ],
)
def test_a_reply_is_owed_unless_it_was_negotiated_away(command: int, bit: int) -> None:
    none = wire.Agreement(6, wire.Actions(0), wire.Steps(0))
    all_others = wire.Agreement(6, wire.Actions(0), wire.Steps(0x1FFFFF & ~bit))
    this = wire.Agreement(6, wire.Actions(0), wire.Steps(bit))
    assert (none.owes_reply(command), all_others.owes_reply(command), this.owes_reply(command)) == (True, True, False)


def test_the_end_always_owes_a_reply_and_abort_and_quit_never() -> None:
    for steps in (0, 0x1FFFFF):
        agreement = wire.Agreement(6, wire.Actions(0), wire.Steps(steps))
        owed = [
            agreement.owes_reply(c) for c in (wire.END_OF_MESSAGE, wire.ABORT, wire.QUIT, wire.QUIT_NEW_CONNECTION)
        ]
        assert owed == [True, False, False, False]


# -- payloads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"", {}),
        (b"i\x004C\0", {"i": "4C"}),
        (b"{auth_authen}\0lan\0{auth_type}\0PLAIN\0j\0mx\0", {"auth_authen": "lan", "auth_type": "PLAIN", "j": "mx"}),
        (b"i\0\0", {"i": ""}),
        (b"i\0\xff\0", {"i": "\udcff"}),
    ],
)
def test_macros(payload: bytes, want: dict[str, str]) -> None:
    assert wire.parse_macros(payload) == want


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"<>\0", [b"<>"]),
        (b"<a@b>\0SIZE=1\0BODY=8BITMIME\0", [b"<a@b>", b"SIZE=1", b"BODY=8BITMIME"]),
        (b"\0", [b""]),
        (b"", None),
        (b"<a@b>", None),
    ],
)
def test_arguments(payload: bytes, want: list[bytes] | None) -> None:
    assert outcome(lambda: wire.parse_arguments(payload)) == (ProtocolError if want is None else want)


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"Subject\0 x\0", (b"Subject", b" x")),
        (b"To\0 a,\r\n\tb\0", (b"To", b" a,\r\n\tb")),
        (b"X\0\0", (b"X", b"")),
        (b"X\0\xff\0", (b"X", b"\xff")),
        (b"", None),
        (b"X", None),
        (b"X\0", None),
        (b"X\0y", None),
    ],
)
def test_headers(payload: bytes, want: tuple[bytes, bytes] | None) -> None:
    assert outcome(lambda: headers_of([payload])) == ([want] if want else ProtocolError)


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"mx\x004\x00\x19203.0.113.7\0", wire.Client("mx", b"4", 25, "203.0.113.7")),
        (b"mx\x006\x00\x192001:db8::7\0", wire.Client("mx", b"6", 25, "2001:db8::7")),
        (b"mx\x006\x00\x19IPv6:2001:db8::7\0", wire.Client("mx", b"6", 25, "2001:db8::7")),
        (b"mx\0L\0\0/run/x\0", wire.Client("mx", b"L", 0, "/run/x")),
        (b"localhost\0U", wire.Client("localhost", b"U", 0, "")),
        (b"localhost\0U\0", wire.Client("localhost", b"U", 0, "")),
        (b"\xff\0U", wire.Client("\udcff", b"U", 0, "")),
        (b"", None),
        (b"mx", None),
        (b"mx\0", None),
        (b"mx\0X\0\x191\0", None),
        (b"mx\x004\0", None),
    ],
)
def test_clients(payload: bytes, want: wire.Client | None) -> None:
    assert outcome(lambda: wire.parse_connect(payload)) == (want or ProtocolError)


# -- replies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        (wire.CONTINUE, Answer("continue")),
        (wire.ACCEPT, Answer("accept")),
        (wire.REJECT, Answer("reject")),
        (wire.TEMPFAIL, Answer("tempfail")),
        (wire.DISCARD, Answer("discard")),
        (wire.SKIP, Answer("skip")),
        (wire.PROGRESS + wire.ACCEPT, Answer("accept")),
        (wire.reply_code("550 5.7.1 no"), Answer("reject", "550 5.7.1 no")),
        (wire.reply_code("451 4.3.0 later"), Answer("tempfail", "451 4.3.0 later")),
        (wire.reply_code("552 no enhanced code"), Answer("reject", "552 no enhanced code")),
        (wire.reply_code("550 5.7.1 100% of it"), Answer("reject", "550 5.7.1 100% of it")),
        (wire.reply_code("550 5.7.1 a\nb\nc"), Answer("reject", "550 5.7.1 a\n550 5.7.1 b\n550 5.7.1 c")),
        (wire.add_header(b"X-A", b" b") + wire.ACCEPT, Answer("accept", "", (("add-header", "X-A", " b"),))),
        (wire.delete_recipient(b"<A@b>") + wire.ACCEPT, Answer("accept", "", (("delete-recipient", "<A@b>"),))),
        (wire.quarantine("virus, spam") + wire.ACCEPT, Answer("accept", "", (("quarantine", "virus, spam"),))),
    ],
)
def test_replies_are_read_by_an_mta_as_they_were_meant(octets: bytes, want: Answer) -> None:
    for size in (1, 2, 3, 5, len(octets)):
        talk = Talk()
        answers = [answer for piece in cut(octets, size) if (answer := talk.feed(piece))]
        assert answers == [want]


@given(
    st.sampled_from(["550 5.7.1 ", "451 4.3.0 ", "552 "]),
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=480), min_size=1, max_size=5),
)
def test_reply_texts_come_back_as_they_were(code: str, lines: list[str]) -> None:
    answer = Talk().feed(wire.reply_code(code + "\n".join(lines)))
    assert answer is not None
    prefix = code if answer.text.startswith(code) else code[:4]
    assert [line.removeprefix(prefix) for line in answer.text.split("\n")] == lines


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        (wire.insert_header(1, b"X", b" y"), b"i\0\0\0\1X\0 y\0"),
        (wire.change_header(2, b"X", b""), b"m\0\0\0\2X\0\0"),
        (wire.add_recipient(b"<a@b>"), b"+<a@b>\0"),
        (wire.add_recipient(b"<a@b>", b"NOTIFY=NEVER"), b"2<a@b>\0NOTIFY=NEVER\0"),
        (wire.change_sender(b"<a@b>"), b"e<a@b>\0"),
        (wire.change_sender(b"<a@b>", b"SIZE=1"), b"e<a@b>\0SIZE=1\0"),
        (wire.replace_body(b"x\0y"), b"bx\0y"),
        (wire.CONNECTION_FAILED, b"f"),
    ],
)
def test_frames_of_changes(octets: bytes, want: bytes) -> None:
    assert octets == struct.pack(">I", len(want)) + want


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "250 2.0.0 fine",
        "354 go on",
        "550",
        "550-5.7.1 x",
        "550 4.7.1 another class",
        "450 5.7.1 another class",
        "550 5.7.1 " + "x" * 481,
        "550 5.7.1 Tiếng Việt",
        "550 5.7.1 bell \a",
        "550 5.7.1 a\rb",
        "550 5.7.1 a\n" + "b" * 481,
        "550 5.7.1 NUL \0",
    ],
)
def test_unfit_replies_are_refused(reply: str) -> None:
    with pytest.raises(ValueError, match=r"reply|class"):
        wire.reply_code(reply)


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.add_header(b"X\0", b"y"),
        lambda: wire.delete_recipient(b"<a\0@b>"),
        lambda: wire.quarantine("a\0b"),
        lambda: wire.replace_body(b"x" * 65_536),
    ],
)
def test_unfit_changes_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(ValueError, match=r"NUL|octets"):
        make()


@pytest.mark.parametrize("bit", [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80])
def test_only_agreed_changes_are_sent(bit: int) -> None:
    changes = {
        0x01: wire.add_header(b"X", b"y"),
        0x02: wire.replace_body(b"x"),
        0x04: wire.add_recipient(b"<a@b>"),
        0x08: wire.delete_recipient(b"<a@b>"),
        0x10: wire.change_header(1, b"X", b"y"),
        0x20: wire.quarantine("x"),
        0x40: wire.change_sender(b"<a@b>"),
        0x80: wire.add_recipient(b"<a@b>", b"SIZE=1"),
    }
    assert wire.modifications_allowed(changes.values(), wire.Actions(bit)) == [changes[bit]]


# -- the door -------------------------------------------------------------------------------------


async def test_a_connection_is_waited_for_from_the_moment_it_is_accepted() -> None:
    """A stop that falls between accept and connection_made must neither overlook it nor leave it open."""
    connection = door()
    assert connection.listener.connections == {connection}
    connection.close()
    assert MemoryMta(connection).transport.closed


GOOD = frame(MAIL, b"<a@example.com>\0") + frame(RCPT, b"<b@hanam.gov.vn>\0")
LONG = struct.pack(">I", 1 << 31)


def door() -> MilterConnection:
    """Return a connection of a gate that has a scanner to wait for."""
    gate = make_gate(settings_of(AttachmentSize()), scans=[])
    return MilterConnection(Listener("test", (), lambda: gate, is_unix=True))


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(frame(b"X"), id="unknown command"),
        pytest.param(OFFER, id="negotiation twice"),
        pytest.param(frame(DATA), id="DATA first"),
        pytest.param(frame(CONNECT), id="CONNECT empty"),
        pytest.param(frame(CONNECT, b"x\0Z\0\0a\0"), id="CONNECT of another family"),
        pytest.param(frame(MAIL), id="MAIL empty"),
        pytest.param(frame(MAIL, b"<a@b>"), id="MAIL without NUL"),
        pytest.param(frame(MAIL, b"<>\0") + frame(RCPT), id="RCPT empty"),
        pytest.param(GOOD + frame(HEADER, b"x") + frame(EOH), id="header without NUL"),
        pytest.param(GOOD + frame(HEADER, b"x\0y") + frame(EOH) + frame(BODY, b"z"), id="header cut short"),
        pytest.param(GOOD + frame(HEADER) + frame(EOM), id="header empty"),
        pytest.param(GOOD + frame(EOM) + frame(MAIL, b"<>\0"), id="MAIL before the answer, one read"),
        pytest.param(GOOD + frame(EOM) + frame(BODY, b"x"), id="BODY after the end"),
        pytest.param(b"\0\0\0\0\0", id="empty frame"),
        pytest.param(frame(MACRO), id="macros of nothing"),
        pytest.param(LONG + b"L", id="2 GiB"),
        pytest.param(GOOD + frame(UNKNOWN, b"x\0") + frame(MAIL, b"<>\0"), id="MAIL twice"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
async def test_a_broken_peer_costs_its_connection_and_one_line(octets: bytes, size: int) -> None:
    with capture_logs() as lines:
        mta = MemoryMta(door(), size)
        await mta.negotiate()
        mta.transport.feed(octets, size)
        assert mta.transport.closed
    assert [line["event"] for line in lines] == ["protocol error"]
    assert lines[0]["reason"]


@pytest.mark.parametrize("offer", [b"", b"\0" * 12, struct.pack(">III", 1, 0, 0)])
async def test_a_bad_offer_costs_its_connection_and_one_line(offer: bytes) -> None:
    with capture_logs() as lines:
        mta = MemoryMta(door())
        mta.transport.feed(frame(OPTNEG, offer))
        assert (mta.transport.closed, mta.transport.written) == (True, b"")
    assert [line["event"] for line in lines] == ["protocol error"]


@pytest.mark.parametrize("size", [1, 16, 1 << 20])
async def test_a_mail_that_comes_in_one_read_keeps_its_headers(size: int) -> None:
    notes = Notes()
    gate = make_gate(settings_of(Virus()), notes, scans=[])
    mta = MemoryMta(MilterConnection(Listener("test", (), lambda: gate, is_unix=True)), size)
    await mta.negotiate()
    for number in (b"1", b"2"):
        for stage, payload in (
            (MAIL, b"<a@b>\0"),
            (RCPT, b"<c@d>\0"),
            (DATA, b""),
            (HEADER, b"N\0 " + number + b"\0"),
        ):
            assert await mta.ask(stage, payload) is None, "nothing is asked at these stages"
        assert await mta.ask(EOM) == Answer("accept")
        await mta.ask(ABORT)
    assert notes.scanned == [b"N: 1\r\n\r\n", b"N: 2\r\n\r\n"]


async def test_a_greeting_in_the_middle_of_a_mail_ends_the_mail() -> None:
    notes = Notes()
    gate = make_gate(settings_of(Virus()), notes, scans=[])
    mta = MemoryMta(MilterConnection(Listener("test", (), lambda: gate, is_unix=True)))
    await mta.negotiate()
    for stage, payload in ((MAIL, b"<a@b>\0"), (RCPT, b"<c@d>\0"), (HELO, b"x\0"), (ABORT, b""), (MAIL, b"<e@f>\0")):
        await mta.ask(stage, payload)
    await mta.ask(RCPT, b"<g@h>\0")
    with capture_logs() as lines:
        assert await mta.ask(EOM) == Answer("accept")
    assert [(line["event"], line["mail_from"], line["rcpts"]) for line in lines] == [("mail", "e@f", 1)]


FRAMES = st.tuples(
    st.sampled_from([bytes((code,)) for code in wire.NAMES] + [b"X"]),
    st.sampled_from([b"", b"\0", b"x\0", b"<a@b>\0", b"A\0b\0", b"x\0U", b"x\x004\0\x191.2.3.4\0", b"Li\x001\0"])
    | st.binary(max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAMES, max_size=12), st.sampled_from([1, 4, 1 << 20]))
def test_no_sequence_of_frames_is_an_error_of_ours(frames: list[tuple[bytes, bytes]], size: int) -> None:
    async def talk() -> tuple[bool, bytes]:
        mta = MemoryMta(door(), size)
        await mta.negotiate()
        for command, payload in frames:
            mta.transport.feed(frame(command, payload), size)
            await asyncio.sleep(0)
        for _ in range(5):  # what was begun comes to its end
            await asyncio.sleep(0)
        return mta.transport.closed, mta.transport.written

    with capture_logs() as lines:
        closed, written = asyncio.run(talk())
    broken = [line for line in lines if line["event"] == "protocol error"]
    quits = any(command == QUIT for command, _ in frames)
    assert [line for line in lines if line["event"] not in ("protocol error", "mail")] == []
    assert len(broken) <= 1
    assert closed == bool(broken) or quits
    assert written[4:5] in {b"", *DECISIVE}


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
@pytest.mark.parametrize(("actions", "steps"), [(0x1FF, 0x1FFFFF), (0x3F, 0x7F), (0, 0), (0x1FF, 0)])
async def test_a_mail_passes_whatever_is_offered(version: int, actions: int, steps: int) -> None:
    mta = MemoryMta(door(), offer=Offer(version, actions, steps))
    await mta.negotiate()
    assert mta.talk.version == version
    answers = [
        await mta.ask(stage, payload)
        for stage, payload in (
            (CONNECT, client_payload("mx.example.com", "203.0.113.7")),
            (HELO, b"mx.example.com\0"),
            (MAIL, b"<a@example.com>\0"),
            (RCPT, b"<b@hanam.gov.vn>\0"),
            (DATA, b""),
            (HEADER, b"Subject\0x\0"),
            (EOH, b""),
            (BODY, b"x\r\n"),
        )
    ]
    assert {answer.kind for answer in answers if answer} <= {"continue"}
    end = await mta.ask(EOM)
    assert end == Answer("accept")


async def test_at_rcpt_the_mta_waits_only_while_a_mailbox_is_revoked() -> None:
    """What is revoked while a connection lasts is refused at the end of its mails, and at RCPT on the next one."""
    services = make_gate(settings_of(MailboxState())).services
    revoked = make_gate(settings_of(MailboxState()), revoked=["c@hanam.gov.vn"]).services
    gate = make_gate(settings_of(MailboxState()))
    listener = Listener("test", (), lambda: gate, is_unix=True)

    async def begin() -> tuple[MemoryMta, Answer | None]:
        mta = MemoryMta(MilterConnection(listener))
        await mta.negotiate()
        await mta.ask(MAIL, b"<a@b>\0")
        return mta, await mta.ask(RCPT, b"<c@hanam.gov.vn>\0")

    early, answer = await begin()
    assert answer is None
    assert await early.ask(EOM) == Answer("accept")
    gate = gate.with_services(replace(services, states=revoked.states))
    await early.ask(ABORT)
    await early.ask(MAIL, b"<a@b>\0")
    assert await early.ask(RCPT, b"<c@hanam.gov.vn>\0") is None
    late = await early.ask(EOM)
    assert late is not None
    assert late.code == "550 5.2.1"
    _, at_rcpt = await begin()
    assert at_rcpt is not None
    assert at_rcpt.code == "550 5.2.1"
