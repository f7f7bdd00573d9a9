"""What a mail store shows its readers is what is looked into: Dovecot's BODYSTRUCTURE against the walk.

Where Dovecot shows a part that the walk has not, the mail is one that is held: its structure is ambiguous, or a limit
was met.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.lab.dovecot import Part, parts_shown
from tests.lab.hostile import hostile_mails
from tests.lab.structures import structures
from tests.test_odd_mails import FOLDER

from mailgate.mime.transfer import IDENTITY, decode
from mailgate.mime.walker import Leaf, Walker
from mailgate.model import Content
from mailgate.wire.smtp import split_header

GENERATED = 3_000
_LINE_BREAK = (
    2  # octets by which a part's size may differ: the line break before a delimiter, in an unfinished header
)


def as_stored(message: bytes) -> bytes:
    """Return a mail as Postfix stores it, with CRLF: a line that is no field ends its own header, by a blank line."""
    octets = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    fields, start = split_header(octets)
    if not fields:
        return b"Subject: x\r\n\r\n" + octets
    return octets[:start].rstrip(b"\r\n") + b"\r\n\r\n" + octets[start:]


def walked(octets: bytes) -> tuple[Sequence[Leaf], Content]:
    fields, start = split_header(octets)
    walker = Walker(exact=True)
    walker.begin([(name.lower(), value) for name, value in fields], start)
    walker.feed(octets, start, len(octets))
    return walker.leaves, walker.finish()


def parts_seen(leaves: Sequence[Leaf], octets: bytes, depth: int = 0) -> Iterator[tuple[bool, int]]:
    """Yield (is it a mail, its size) of each leaf, and of those of a leaf that is a mail: it is read as one."""
    for leaf in leaves:
        start, stop = leaf.span
        is_mail = leaf.type.startswith("message/")
        yield is_mail, stop - start
        if is_mail and depth < 8:
            for inner in {octets[start:stop], decode(leaf.encoding, (octets[start:stop],))}:
                walker = Walker(exact=True)
                walker.begin_attached()
                walker.feed(inner, 0, len(inner))
                walker.finish()
                yield from parts_seen(walker.leaves, inner, depth + 1)


def unseen(octets: bytes, shown: Sequence[Part]) -> list[Part]:
    """Return what is shown of a mail and was not seen in it."""
    leaves, _ = walked(octets)
    seen = Counter(parts_seen(leaves, octets))
    missing = []
    for part in shown:
        is_mail = part.type.startswith("message/")
        if not part.octets or part.type == "message/global" or (is_mail and part.encoding in IDENTITY):
            continue  # its parts are read
        key = (is_mail, part.octets)
        if seen[key]:
            seen[key] -= 1
        elif not any(
            seen[kind, part.octets + more] for kind in (True, False) for more in (-_LINE_BREAK, 0, _LINE_BREAK)
        ) and not (is_mail and any(kind and size > part.octets for kind, size in seen)):
            missing.append(part)
    return missing


def assert_all_is_seen(messages: Sequence[bytes], most_held: int) -> None:
    stored = [as_stored(message) for message in messages]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        shown = parts_shown([octets.replace(b"\r\n", b"\n") for octets in stored], Path(folder))
    assert sum(map(len, shown)) > len(messages)
    held = 0
    for octets, parts in zip(stored, shown, strict=True):
        _, content = walked(octets)
        if content.ambiguities() or content.exceeded:
            held += 1
            continue
        assert unseen(octets, parts) == [], octets.decode("latin-1")
    assert held <= most_held


def test_generated_structures() -> None:
    assert_all_is_seen(list(structures(GENERATED, 2026)), GENERATED // 3)


def test_hostile_mails() -> None:
    assert_all_is_seen([each.message for each in hostile_mails(300)], 150)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the collection of odd mails is not beside the repository")
def test_odd_mails() -> None:
    mails = [path.read_bytes() for path in sorted(FOLDER.rglob("*.eml"))]
    assert len(mails) > 600
    assert_all_is_seen(mails, 10)


PROGRAM = b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nMZ\r\n"
TYPED = b"Content-Type: multipart/mixed; boundary="


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(TYPED + b"b\x01\r\n\r\n--b\r\n" + PROGRAM + b"--b--\r\n", id="a control behind a boundary"),
        pytest.param(TYPED + b"\x02b\r\n\r\n--b\r\n" + PROGRAM + b"--b--\r\n", id="a control before one"),
        pytest.param(TYPED + b"b\rX\r\n\r\n--b\r\n" + PROGRAM + b"--b--\r\n", id="a bare CR in one"),
        pytest.param(b"Content-Type: multipart /mixed; boundary=b\r\n\r\n--b\r\n" + PROGRAM, id="a blank"),
        pytest.param(b"Content-Type: multipart(c)/\r\n mixed; boundary=b\r\n\r\n--b\r\n" + PROGRAM, id="a comment"),
        pytest.param(
            b'Content-Type: multipart/mixed; x=("); boundary=b; y=(")\r\n\r\n--b\r\n' + PROGRAM,
            id="quotes in comments",
        ),
        pytest.param(b"Content-Type: message /rfc822\r\n\r\nSubjec x\r\n" + PROGRAM, id="a blank in a mail's type"),
        pytest.param(TYPED + b"b\r\n\r\n--b\r\nno field\r\n" + PROGRAM + b"--b--\r\n", id="a line that is no field"),
        pytest.param(TYPED + b"b\r\n\r\n--b\r\nFrom me today\r\n" + PROGRAM + b"--b--\r\n", id="From"),
        pytest.param(
            TYPED + b"b\r\n\r\n--b\r\nContent Type: a/b\r\n" + PROGRAM + b"--b--\r\n", id="a blank in a name"
        ),
        pytest.param(TYPED + b"b\r\n\r\n--b\r\n:\r\n: x\r\n\xff\r\n" + PROGRAM + b"--b--\r\n", id="no name"),
        pytest.param(TYPED + b"b\r\n\r\n--b x\r\n" + PROGRAM + b"--b--\r\n", id="words behind the boundary"),
        pytest.param(TYPED + b"b\r\n\r\n--b_9\r\n" + PROGRAM + b"--b--\r\n", id="a longer boundary"),
        pytest.param(TYPED + b"b\r\n\r\n--b\x00\r\n" + PROGRAM + b"--b--\r\n", id="NUL"),
        pytest.param(TYPED + b'""\r\n\r\n--\r\n' + PROGRAM + b"----\r\n", id="an empty boundary"),
        pytest.param(
            TYPED + b"b:c\r\n\r\n--b\r\n" + PROGRAM + b"--b:c--\r\n", id="a boundary that ends at a special"
        ),
        pytest.param(TYPED + b"b junk\r\n\r\n--b\r\n" + PROGRAM + b"--b--\r\n", id="a boundary with words behind it"),
        pytest.param(TYPED + b'"b" junk\r\n\r\n--b\r\n' + PROGRAM + b"--b--\r\n", id="words behind a quoted one"),
        pytest.param(TYPED + b"x" * 90 + b"\r\n\r\n--" + b"x" * 80 + b"\r\n" + PROGRAM, id="80 octets of a boundary"),
        pytest.param(
            TYPED + b"b\r\nContent-Type: text/plain\r\n\r\n--b\r\n" + PROGRAM + b"--b--\r\n", id="a second type"
        ),
        pytest.param(
            b"Content-Type: text/plain\r\n" + TYPED + b"b\r\n\r\n--b\r\n" + PROGRAM, id="a second type is first"
        ),
        pytest.param(
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + PROGRAM,
            id="a mail as it stands",
        ),
    ],
)
def test_a_program_that_a_program_finds_is_seen(octets: bytes) -> None:
    leaves, content = walked(b"From: a@example.com\r\n" + octets)
    assert [leaf for leaf in leaves if leaf.name == "a.exe" and leaf.is_attachment] or content.ambiguities()
