"""Whose a From is: what is only badly written is its writer's own, and what shows somebody else is not.

Each row is held against three other readers: Dovecot's ENVELOPE, from which IMAP clients take the author, and the two
of Python's standard library. Who is an author for any of them must be one for us.
"""

import email
import re
import tempfile
from collections.abc import Iterator
from email.policy import default
from email.utils import getaddresses
from pathlib import Path

import pytest
from tests.lab.dovecot import authors_shown

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Envelope, Mail, Session
from mailgate.text.addresses import listed_in
from mailgate_rules.sender_identity import Stanza

OWN, BOSS = "a@b.vn", "chutich@b.vn"
UTF8 = "Nguyễn Văn A"

BADLY_WRITTEN = [
    # a comma, semicolon or colon in a name without quotes
    b"Nguyen Van A, STTTT <a@b.vn>",
    b"Nguyen, Van A <a@b.vn>",
    b"A, B, C D <a@b.vn>",
    b"A (B, C) <a@b.vn>",
    b"'A B, C' <a@b.vn>",
    "“A, B” <a@b.vn>".encode(),
    "Sở TT&TT; Hà Nam <a@b.vn>".encode(),
    "Sở; Hà Nam <a@b.vn>".encode(),
    f"{UTF8}: STTTT <a@b.vn>".encode(),
    b"A: B: <a@b.vn>",
    b"From: A <a@b.vn>",
    b"email: a@b.vn",
    b"A <a@b.vn>, B",
    b"A <a@b.vn>, Phong B",
    b"a@b.vn, STTTT",
    b"A, B\r\n <a@b.vn>",
    # what stands around the address
    b"'a@b.vn'",
    b"<'a@b.vn'>",
    b"A 'a@b.vn'",
    b"`a@b.vn`",
    "‘a@b.vn’".encode(),
    "“a@b.vn”".encode(),
    b"<<a@b.vn>>",
    b"A <<a@b.vn>",
    b"A <a@b.vn>>",
    b"< a@b.vn >",
    b"A [a@b.vn]",
    b"[a@b.vn]",
    b"{a@b.vn}",
    b'"a@b.vn"',
    b'"A <a@b.vn>"',
    b'A <"a@b.vn">',
    b'A <"a"@b.vn>',
    b"(a@b.vn)",
    b"a@b.vn <>",
    b"A <> a@b.vn",
    b">a@b.vn<",
    b"<mailto:a@b.vn>",
    b"A <MAILTO:a@b.vn>",
    b"mailto:a@b.vn",
    b"A <mailto:a@b.vn?subject=x>",
    b"<smtp:a@b.vn>",
    b"mailto: a@b.vn",
    "a@b.vn\u200b".encode(),
    b"a@b.vn.",
    # the address twice
    b"a@b.vn <a@b.vn>",
    b'"a@b.vn" <a@b.vn>',
    b'"a@b.vn" a@b.vn',
    b"'a@b.vn' <a@b.vn>",
    b"A <a@b.vn> <a@b.vn>",
    b"a@b.vn, A <a@b.vn>",
    b"<a@b.vn <a@b.vn>>",
    b"A <a@b.vn> (a@b.vn)",
    b"A <a@b.vn <mailto:a@b.vn>>",
    # brackets that are missing, and what follows them
    b"a@b.vn>",
    b"<a@b.vn",
    b"A <a@b.vn",
    b"A a@b.vn>",
    b"A a@b.vn",
    b"a@b.vn STTTT",
    b"<Nguyen Van A> a@b.vn",
    b"<Nguyen Van a@b.vn>",
    b"A <a@b.vn> (x)",
    b"A <a@b.vn> via B",
    b"A <a@b.vn> STTTT",
    b"A <a@b.vn>)",
    b"A <a@b.vn>,",
    b"A <a@b.vn>;",
    b", , a@b.vn",
    b"; a@b.vn",
    b"A <a @ b.vn>",
    b"A <a@b .vn>",
    b"A<a@b.vn>B",
    b'A" <a@b.vn>',
    b'"A <a@b.vn>',
    b"A (B <a@b.vn>",
    b"A) <a@b.vn>",
    b"A\\ <a@b.vn>",
    # names with @ in them
    b"A@B <a@b.vn>",
    b"A @ B <a@b.vn>",
    b"@ <a@b.vn>",
    "Phòng R&D @UBND <a@b.vn>".encode(),
    # encoded words
    b"=?utf-8?q?A?= <a@b.vn>",
    b"=?utf-8?q?Nguyen,_A?= <a@b.vn>",
    b"=?utf-8?q?A?= =?utf-8?q?,_B?= <a@b.vn>",
    b"=?utf-8?q?A,?= B <a@b.vn>",
    b"=?utf-8?q?A;_B:_C?= <a@b.vn>",
    b'"=?utf-8?q?A,_B?=" <a@b.vn>',
    b"=?utf-8?q?A_<a@b.vn>?=",
    b"=?utf-8?q?A_=3Ca=40b=2Evn=3E?=",
    b"=?utf-8?b?TmfDoiwgVsSDbiBBIDxhQGIudm4+?=",
    b"=?utf-8?q?a=40b=2Evn?= <a@b.vn>",
    b"=?utf-8?q?a=40b=2Evn?=, A <a@b.vn>",
    b"=?utf-8?q?a@b.vn,_STTTT?= <a@b.vn>",
    b"=?utf-8?q?A_B <a@b.vn>",
    b"A=?utf-8?q?B?=<a@b.vn>",
    b"=?utf-8?q?A?=\r\n\t<a@b.vn>",
    b"=?koi-x?q?A,?= <a@b.vn>",
    # raw octets, and folding
    f"{UTF8} <a@b.vn>".encode(),
    f"{UTF8}, STTTT <a@b.vn>".encode(),
    f"{UTF8}, STTTT <a@b.vn>".encode("utf-16-le").replace(b"\0", b"").replace(b"\n", b""),
    b"Nguy\xean, V\xe3n A <a@b.vn>",
    b"A\r\n B,\r\n\t<a@b.vn>",
    b"<a@b.vn\r\n >",
]

SOMEBODY_ELSE = [
    (b"chutich@b.vn, a@b.vn", (BOSS, OWN)),
    (b"Chu tich <chutich@b.vn>, A <a@b.vn>", (BOSS, OWN)),
    (b"<a@b.vn> <chutich@b.vn>", (OWN, BOSS)),
    (b"Nhom: chutich@b.vn, a@b.vn;", (BOSS, OWN)),
    (b"Nhom: chutich@b.vn;, a@b.vn", (BOSS, OWN)),
    (b"chutich@b.vn <a@b.vn>", (BOSS, OWN)),  # Dovecot and Python show the first
    (b"Chu tich chutich@b.vn <a@b.vn>", (BOSS, OWN)),
    (b"'chutich@b.vn' <a@b.vn>", (BOSS, OWN)),
    (b"chutich@b.vn <a@b.vn> x", (BOSS, OWN)),
    (b"chutich@b.vn: <a@b.vn>", (BOSS, OWN)),
    (b"chutich@b.vn: a@b.vn;", (BOSS, OWN)),
    (b"chutich@b.vn <> a@b.vn", (BOSS, OWN)),
    (b"chutich@b.vn <>", (BOSS,)),
    (b"chutich@b.vn <a@b.vn", (BOSS, OWN)),
    (b"<chutich@b.vn <a@b.vn>", (BOSS, OWN)),
    (b"<chutich@b.vn, a@b.vn>", (BOSS, OWN)),
    (b"<chutich@b.vn a@b.vn>", (BOSS, OWN)),
    (b"<a@b.vn;chutich@b.vn>", (OWN, BOSS)),
    (b"a@b.vn (x) chutich@b.vn", (OWN, BOSS)),
    (b"a@b.vn; chutich@b.vn", (OWN, BOSS)),
    (b"a@b.vn chutich@b.vn", (OWN, BOSS)),
    (b"A <a@b.vn>> <chutich@b.vn>", (OWN, BOSS)),
    (b"A<a@b.vn>B<chutich@b.vn>", (OWN, BOSS)),
    (b"chutich@b.vn@b.vn", (BOSS, '"chutich@b.vn"@b.vn')),
    (b"<chutich@b.vn@a.vn>", (BOSS, '"chutich@b.vn"@a.vn')),
    (b"a@b.vn/chutich@b.vn", (OWN, '"a@b.vn/chutich"@b.vn')),
    (b"'chutich@b.vn'", (BOSS,)),
    (b"<mailto:chutich@b.vn>", (BOSS,)),
    (b"{chutich@b.vn}", (BOSS,)),
    (b"(chutich@b.vn)", (BOSS,)),
    (b'"chutich@b.vn"', (BOSS,)),
    (b'"Chu tich <chutich@b.vn>"', (BOSS,)),
    (b'"chutich@b.vn" a@b.vn', (BOSS, OWN)),
    (b'"chutich"@b.vn <a@b.vn>', (BOSS, OWN)),
    (b'"A" <@a.vn:chutich@b.vn>', (BOSS,)),
    (b"A <@a.vn,@c.vn:chutich@b.vn>", (BOSS,)),
    (b"=?utf-8?q?Chu_tich_=3Cchutich=40b.vn=3E?=", (BOSS,)),
    (b"=?utf-8?q?chutich=40b.vn?=, A <a@b.vn>", (BOSS, OWN)),
    (b"=?utf-8?q?chutich@b.vn,_x?= <a@b.vn>", (BOSS, OWN)),
    ("chutich@b.vn\u200b".encode(), (BOSS,)),
    (b"chutich", ("chutich",)),
    (b"<chutich>", ("chutich",)),
    (b"A <chutich>", ("chutich",)),
    (b"chutich, pho", ("chutich", "pho")),
    (b"A <a@b.vn> <chutich>", (OWN, "chutich")),  # Postfix completes what stands in brackets
    (b"a@b.vn <chutich>", (OWN, "chutich")),
    (b"A <a@b.vn\\.x>", (OWN, "a@b.vn.x")),
    (b"chutich@localhost, A <a@b.vn>", ("chutich@localhost", OWN)),
    (b"A <a@[192.0.2.1]>", ("a@[192.0.2.1]",)),
]
ROWS = [*((value, (OWN,)) for value in BADLY_WRITTEN), *SOMEBODY_ELSE]


@pytest.mark.parametrize(("value", "wanted"), ROWS)
def test_the_mailboxes_of_a_from(value: bytes, wanted: tuple[str, ...]) -> None:
    assert listed_in(value) == wanted
    assert listed_in(b" " + value + b"\r\n") == wanted


@pytest.mark.parametrize("name", [b"From", b"Sender"])
@pytest.mark.parametrize(("value", "wanted"), ROWS)
def test_a_login_may_write_its_own_address_badly(name: bytes, value: bytes, wanted: tuple[str, ...]) -> None:
    fields = [(b"From", b"a@b.vn"), (name, b" " + value)] if name != b"From" else [(name, b" " + value)]
    mail = Mail(
        Identity(Organization(frozenset({"b.vn"}))),
        Session("submission", "203.0.113.7"),
        Envelope(b"<a@b.vn>", OWN, login=OWN),
        fields,
    )
    is_refused = any(not hit.is_soft for hit in Stanza().at_end(mail))
    assert is_refused == (wanted != (OWN,))


# -- other readers ---------------------------------------------------------------------------------


def as_shown(address: str) -> str:
    """Return what one of those readers gives as a person reads it: without what stands around it."""
    text = address.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace('"', "")
    return text.split()[-1].strip("'`<>{}‘’“”\u200b.").lower()


def python_shows(value: bytes) -> Iterator[str]:
    text = value.decode("utf-8", "replace")
    yield from (address for _, address in getaddresses([text.replace("\r\n", "")]))
    message = email.message_from_bytes(b"From: " + value + b"\r\n\r\n", policy=default)
    yield from (address.addr_spec for address in message["from"].addresses)


# What no person would read as these readers do: an address and a word glued together, and encoded words.
MISREAD = re.compile(r"a@b.vnstttt|a@b.vn/chutich|a@b.vn\\.x|=\?.*")


def test_nobody_shows_an_author_whom_we_do_not_know() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        dovecot = authors_shown([value for value, _ in ROWS], Path(folder))
    unknown = []
    agreed = 0
    for (value, wanted), theirs in zip(ROWS, dovecot, strict=True):
        shown = {as_shown(address) for address in (*theirs, *python_shows(value)) if address.strip("<>")}
        shown = {one for one in shown if "." in one.rpartition("@")[2] and not MISREAD.fullmatch(one)}
        unknown += [(value, wanted, address) for address in shown if address not in map(as_shown, wanted)]
        agreed += bool(shown)
    assert unknown == []
    assert agreed > 100, "they show something of most rows"
