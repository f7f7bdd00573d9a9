"""Received lines: which of them our own hosts wrote, under which queue id, and for whom a mail was then."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailgate.identity.spelling import mailbox_of
from mailgate.text.received import _parsed, passages_in, received_for, stamp_of

OURS = frozenset({"mx.hanam.gov.vn", "mx2.hanam.gov.vn"})


@pytest.mark.parametrize(
    ("value", "want"),
    [
        # as Postfix' smtpd, pickup and local write them
        (
            b" from mail.example.com (mail.example.com [203.0.113.7])\n\tby mx.hanam.gov.vn (Postfix) with ESMTP id "
            b"4Cw3Jx2yZz\n\tfor <ptp.bl@hanam.gov.vn>; Tue, 24 Nov 2026 08:00:00 +0700 (+07)",
            "4Cw3Jx2yZz",
        ),
        (
            b" from [10.1.1.5] (unknown [10.1.1.5])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 "
            b"bits))\n\t(No client certificate requested)\n\tby mx.hanam.gov.vn (Postfix) with ESMTPSA id 3A9B21F0C4;"
            b" Tue, 24 Nov 2026",
            "3A9B21F0C4",
        ),
        (b" by mx.hanam.gov.vn (Postfix, from userid 1000)\n\tid 5D1C21F0C9; Tue, 24 Nov 2026", "5D1C21F0C9"),
        (b" by mx.hanam.gov.vn (Postfix)\n\tid 5D1C21F0CA; Tue, 24 Nov 2026", "5D1C21F0CA"),
        (b" from a by mx.hanam.gov.vn with ESMTP id 5D1C21F0CC for <a@b>; Tue", "5D1C21F0CC"),
        (b" by MX2.Hanam.gov.vn. (Postfix/Debian)\r\n\tid 5D1C21F0CB; Tue", "5D1C21F0CB"),
        # a HELO name that forges a passage stands before the host's own
        (
            b" from x by mx.hanam.gov.vn (Postfix) with ESMTP id FORGED01 (c [203.0.113.7])\n\tby mx.hanam.gov.vn"
            b" (Postfix) with ESMTP id 4Cw3Jx2yZz; Tue",
            "4Cw3Jx2yZz",
        ),
        # others' lines, and lines of ours that are no passage
        (b" from a by mx.elsewhere.example (Postfix) with ESMTP id 4Cw3Jx2yZz; Tue", None),
        (b" from a by mx.hanam.gov.vn.evil.example (Postfix) with ESMTP id 4Cw3Jx2yZz; Tue", None),
        (
            b" from mx.hanam.gov.vn ([127.0.0.1])\n\tby mx.hanam.gov.vn with LMTP\n\tid sOZ3DwAA (x <a@b>)",
            None,
        ),
        (b" from a by mx.hanam.gov.vn (Postfix) with ESMTP id ab-cd; Tue", None),
        (b" from a by mx.hanam.gov.vn (Postfix) with ESMTP; Tue", None),
        (b"", None),
        (b" by " * 2_000, None),
        (b" by mx.hanam.gov.vn (" + b"x" * 9_000 + b") id 4Cw3Jx2yZz", None),
    ],
)
def test_passages(value: bytes, want: str | None) -> None:
    found = passages_in([value], OURS)
    assert [queue_id for _, queue_id in found] == ([want] if want else [])


def test_the_newest_comes_first() -> None:
    lines = [
        b" by mx2.hanam.gov.vn (Postfix) id BBBB1",
        b" by x.example (Postfix) id CCCC1",
        b" by mx.hanam.gov.vn (P) id AAAA1",
    ]
    assert passages_in(lines, OURS) == [("mx2.hanam.gov.vn", "BBBB1"), ("mx.hanam.gov.vn", "AAAA1")]


@pytest.mark.parametrize(
    ("value", "hosts", "want"),
    [
        (b" from a by mx.hanam.gov.vn (Postfix) id 1 for <A@hanam.gov.vn>; Tue", None, "a@hanam.gov.vn"),
        (b" from a by mx.hanam.gov.vn (Postfix) id 1 for <A@hanam.gov.vn>; Tue", OURS, "a@hanam.gov.vn"),
        (b" from a by mx.elsewhere.example id 1 for <A@hanam.gov.vn>; Tue", OURS, ""),
        (b" from x (for <b@hanam.gov.vn>) by mx.hanam.gov.vn id 1; Tue", OURS, ""),
    ],
)
def test_received_for(value: bytes, hosts: frozenset[str] | None, want: str) -> None:
    assert received_for(value, hosts) == want


# What other MTAs write: the value → (host, protocol, id, path of `for`)
LINES: dict[str, tuple[bytes, tuple[bytes, bytes, bytes, bytes]]] = {
    "Postfix, folded, TLS, a login": (
        b" from client.example (client.example [203.0.113.7])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
        b"(256/256 bits)\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n"
        b'\t(Client CN "a by b id C1234", Issuer "x" (verified OK))\n\t(Authenticated sender: a@b)\n'
        b"\tby mx.hanam.gov.vn (Postfix) with ESMTPSA id 4Cw3Jx2yZz\n\tfor <a@b.example>; Tue, 24 Nov 2026 08:00:00"
        b" +0700 (+07)",
        (b"mx.hanam.gov.vn", b"ESMTPSA", b"4Cw3Jx2yZz", b"<a@b.example>"),
    ),
    "Postfix, a HELO name that it has neutered": (
        b" from a?by?mx.hanam.gov.vn?id?FORGED1?? (unknown [203.0.113.7])\n\tby mx.hanam.gov.vn (Postfix) with SMTP"
        b" id 4Cw3Jx2yZz\n\tfor <a@b.example>; Tue",
        (b"mx.hanam.gov.vn", b"SMTP", b"4Cw3Jx2yZz", b"<a@b.example>"),
    ),
    **{
        f"Postfix, a HELO name {name!r}": (
            f" from {name} (x [203.0.113.7])\n\tby mx.hanam.gov.vn (Postfix) with SMTP id 4Cw3Jx2yZz; Tue".encode(),
            (b"mx.hanam.gov.vn", b"SMTP", b"4Cw3Jx2yZz", b""),
        )
        for name in ("from", "by", "BY", "via", "with", "id", "for", "[1.2.3.4]", "[x", "x]", "a,by,c", "\x0bby\x0cx")
    },
    "Postfix, a recipient that looks like a line": (
        b" from x (x [203.0.113.7]) by mx.hanam.gov.vn (Postfix) with SMTP id 4Cw3Jx2yZz\n\tfor "
        b'<"v+x by mx.hanam.gov.vn (P) with ESMTP id FORGED1; y"@b.example>; Tue',
        (
            *(b"mx.hanam.gov.vn", b"SMTP", b"4Cw3Jx2yZz"),
            b'<"v+x by mx.hanam.gov.vn (P) with ESMTP id FORGED1; y"@b.example>',
        ),
    ),
    "Exim": (
        b" from [192.0.2.1] (helo=mail.example.com)\n\tby mx.example.net with esmtps (TLS1.3) tls TLS_AES_256_GCM"
        b"\n\t(Exim 4.96)\n\t(envelope-from <x@example.com>)\n\tid 1rAbCd-000abc-1x\n\tfor a@b.example;\n\tTue, 24",
        (b"mx.example.net", b"esmtps", b"1rAbCd-000abc-1x", b"a@b.example"),
    ),
    "Exim, a recipient in quotes": (
        b' from x by mx.example.net with esmtp (Exim 4.96) id 1rAbCd-000abc-1x for "a by b id C"@b.example; Tue',
        (b"mx.example.net", b"esmtp", b"1rAbCd-000abc-1x", b'"a by b id C"@b.example'),
    ),
    "sendmail": (
        b" from x.example (x.example [192.0.2.1])\n\tby mx.example.net (8.15.2/8.15.2) with ESMTP id abc123; Tue, 24",
        (b"mx.example.net", b"ESMTP", b"abc123", b""),
    ),
    "sendmail, for": (
        b" from x (localhost [127.0.0.1]) by mx.example.net (8.17.1/8.17.1/Submit) id 3AO10abc012345 for a@b.example;"
        b" Tue",
        (b"mx.example.net", b"", b"3AO10abc012345", b"a@b.example"),
    ),
    "Exchange": (
        b" from A.example (10.0.0.1) by B.example (10.0.0.2) with Microsoft SMTP Server\r\n (version=TLS1_2,"
        b" cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.1; Tue, 24 Nov 2026",
        (b"B.example", b"Microsoft", b"15.20.1", b""),
    ),
    "Exchange, over frontend transport": (
        b" from A.example ([fe80::1%14]) by B.example ([fe80::1%14]) with mapi id 15.20.1;\r\n Tue",
        (b"B.example", b"mapi", b"15.20.1", b""),
    ),
    "Gmail, from a program": (
        b" by 2002:a05:6402:35c6:b0:54b with SMTP id z6csp1; Tue, 24 Nov 2026 08:00:00 -0800 (PST)",
        (b"2002:a05:6402:35c6:b0:54b", b"SMTP", b"z6csp1", b""),
    ),
    "Gmail": (
        b" from mail-sor-f41.google.com (mail-sor-f41. [209.85.220.41])\n        by mx.google.com with SMTPS"
        b" id f5-20sor0.0.2026\n        for <a@b.example>\n        (Google Transport Security);\n        Tue, 24 Nov",
        (b"mx.google.com", b"SMTPS", b"f5-20sor0.0.2026", b"<a@b.example>"),
    ),
    "qmail, of its own": (b" (qmail 123 invoked by uid 1); 24 Nov 2026 01:00:00 -0000", (b"", b"", b"", b"")),
    "qmail": (
        b" from unknown (HELO x) (192.0.2.1)\n  by mx.example.net with SMTP; 24 Nov 2026 01:00:00 -0000",
        (b"mx.example.net", b"SMTP", b"", b""),
    ),
    "fetchmail": (
        b" from pop.example.com [192.0.2.1]\n\tby host with POP3 (fetchmail-6.4)\n\tfor <a@localhost> (single-drop);"
        b" Tue",
        (b"host", b"POP3", b"", b"<a@localhost>"),
    ),
    "Dovecot's LMTP": (
        b" from mx.hanam.gov.vn ([127.0.0.1])\n\tby mx.hanam.gov.vn with LMTP\n\tid sOZ3DwAA (envelope-from <a@b>)"
        b"\n\tfor <a@b.example>; Tue",
        (b"mx.hanam.gov.vn", b"LMTP", b"sOZ3DwAA", b"<a@b.example>"),
    ),
    "no name, and a comment": (
        b" from (x [192.0.2.1]) by mx.example.net (Postfix) with ESMTP id ABCDEF1; Tue",
        (b"mx.example.net", b"ESMTP", b"ABCDEF1", b""),
    ),
    "folded anyhow": (
        b"\r\n from\r\n\tx\r\n by\ty\r\n\t(z)\r\n id\r\n\tABCDEF1\r\n for\r\n <a@b>\r\n ;\r\n Tue",
        (b"y", b"", b"ABCDEF1", b"<a@b>"),
    ),
    "comments without blanks": (
        b"from x(c)by y(d)with ESMTP(e)id ABCDEF1(f)for<a@b>(g);Tue(h)",
        (b"y", b"ESMTP", b"ABCDEF1", b"<a@b>"),
    ),
    "comments of four levels, a quoted pair, a quote": (
        b' from x (a(b(c(d))e)\\) " (f) by q id FORGED1) by y (\\() id ABCDEF1; Tue',
        (b"y", b"", b"ABCDEF1", b""),
    ),
    "a date that looks like a line": (
        b" from x by y id ABCDEF1; by mx.hanam.gov.vn id FORGED1; Tue",
        (b"mx.hanam.gov.vn", b"", b"FORGED1", b""),
    ),
    "what follows the last semicolon is a date": (
        b" from x by y id ABCDEF1; by mx.hanam.gov.vn id FORGED1 for <a@b>",
        (b"y", b"", b"ABCDEF1", b""),
    ),
    "a comment that is not closed": (b" from x by y id ABCDEF1 (for <a@b>; Tue", (b"y", b"", b"ABCDEF1", b"")),
    "a quote that is not closed": (b' from x by y id ABCDEF1 for "a by b id C@d; Tue', (b"y", b"", b"ABCDEF1", b"")),
    "angle brackets that are not closed": (b" from x by y id ABCDEF1 for <a@b; Tue", (b"y", b"", b"ABCDEF1", b"")),
    "angle brackets within": (b" from x by y id ABCDEF1 for <a<b@c>; Tue", (b"y", b"", b"ABCDEF1", b"")),
    "a domain literal that holds anything": (
        b" from x by y id ABCDEF1 for <a@[b> by q id FORGED1]>; Tue",
        (b"y", b"", b"ABCDEF1", b"<a@[b> by q id FORGED1]>"),
    ),
    "a domain literal that is not closed": (
        b" from x by y id ABCDEF1 for <a@[b>; Tue",
        (b"y", b"", b"ABCDEF1", b"<a@[b>"),
    ),
    "a clause that is there twice": (b" from x by y id ABCDEF1 id FORGED1; Tue", (b"y", b"", b"ABCDEF1", b"")),
    "a clause without a value": (b" from x by y with id ABCDEF1; Tue", (b"y", b"", b"ABCDEF1", b"")),
    "nothing": (b"", (b"", b"", b"", b"")),
    "from alone": (b" from", (b"", b"", b"", b"")),
    "a recipient of 2,000 letters": (
        b" from x by y id ABCDEF1 for <" + b"a" * 2_000 + b"@b>; Tue",
        (b"y", b"", b"ABCDEF1", b"<" + b"a" * 2_000 + b"@b>"),
    ),
}


@pytest.mark.parametrize(("value", "want"), LINES.values(), ids=LINES)
def test_lines_of_many_writers(value: bytes, want: tuple[bytes, bytes, bytes, bytes]) -> None:
    assert stamp_of(value) == want
    assert _parsed(value) == want
    assert received_for(value) == (mailbox_of(want[3]) if b"@" in want[3] else "")


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b" from x by y id 1 for <root>; Tue", ""),
        (b" from x by y id 1 For\t<A@B.example>; Tue", "a@b.example"),
        (b" from x id 1 for <a@b.example>; Tue", ""),
        (b" from x (for <a@b.example>) by y id 1; Tue", ""),
        (b" from x by y (envelope-from <q@r>) id 1 for <a@b.example>; Tue", "a@b.example"),
        (b' from x by y id 1 for <"for <q@r> "@b.example>; Tue', '"for <q@r> "@b.example'),
        (b' from x by y id 1 for <"a\\"> by z for <q@r"@b.example>; Tue', '"a\\"> by z for <q@r"@b.example'),
    ],
)
def test_for_whom_a_mail_was(value: bytes, want: str) -> None:
    assert received_for(value) == want


# -- lines that are made by the grammar ------------------------------------------------------------

# What a sender would write to be taken for a host of ours.
HOSTILE = st.lists(
    st.sampled_from(
        (
            *("from", "by", "via", "with", "id", "for", "mx.hanam.gov.vn", "ABCDEF1", "4Cw3Jx2yZz", "ESMTP", "LMTP"),
            *(" ", " ", " ", "\t", "(", ")", "<", ">", "[", "]", ";", ":", ",", "@", ".", '"', "\\", "a", "ạ"),
        )
    ),
    max_size=25,
).map("".join)
NEUTERED = re.compile(r"[ <>()\\\";:@\t]")
HELO = HOSTILE.map(lambda text: NEUTERED.sub("?", text) or "x")  # as Postfix' smtpd does
FOLDS = st.sampled_from((" ", "\t", "\n\t", "\r\n ", " \n\t "))
HOSTS = st.sampled_from(("mx.hanam.gov.vn", "mx2.hanam.gov.vn", "mx.elsewhere.example"))
IDS = st.from_regex(r"[0-9A-Z]{6,12}", fullmatch=True)


def quoted(local: str) -> str:
    """Return a local part as Postfix writes one that is no dot-string (quote_822_local)."""
    return '"' + re.sub(r'([\\"])', r"\\\1", local) + '"'


def comment(text: str) -> str:
    """Return a comment whose text is nobody's word: each parenthesis and backslash is quoted."""
    return "(" + re.sub(r"([()\\])", r"\\\1", text) + ")"


COMMENTS = st.recursive(HOSTILE.map(comment), lambda inner: inner.map(lambda text: f"(x {text} y)"), max_leaves=6)


@st.composite
def made_lines(draw: st.DrawFn) -> tuple[bytes, tuple[str, str, str]]:
    """Make a Received line as Postfix does, with comments anywhere, and return it with its host, id and `for`."""
    host, identity, helo = draw(HOSTS), draw(IDS), draw(st.none() | HELO)
    path = draw(st.just("") | HOSTILE.map(lambda local: f"<{quoted(local)}@hanam.gov.vn>"))
    notes = st.lists(COMMENTS, max_size=2)
    tokens = ["from", helo, "(x [203.0.113.7])", *draw(notes)] if helo else []
    tokens += ["by", host, "(Postfix)", *draw(notes)]
    tokens += ["with", "ESMTPS", *draw(notes)] if draw(st.booleans()) else []
    tokens += ["id", identity, *draw(notes)]
    tokens += ["for", path, *draw(notes)] if path else []
    line = "".join(draw(FOLDS) + token for token in tokens)
    return f"{line}; Tue, 24 Nov 2026 08:00:00 +0700 (+07)".encode(), (host, identity, path)


@given(made_lines())
def test_a_line_reads_as_it_was_made(made: tuple[bytes, tuple[str, str, str]]) -> None:
    line, (host, identity, path) = made
    stamp = stamp_of(line)
    assert (stamp.by, stamp.id, stamp.path) == (host.encode(), identity.encode(), path.encode())
    assert _parsed(line) == stamp
    assert passages_in([line], OURS) == ([(host, identity)] if host in OURS else [])
    assert received_for(line) == (mailbox_of(path.encode()) if path else "")


@given(
    st.lists(
        st.one_of(HOSTILE, st.sampled_from((" from x", " by y", " id ABCDEF1", " for <a@b>", "; Tue"))), max_size=8
    )
)
@example([" from x by y id ABCDEF1", " for <a@[b>"])
@example([" from x by y (\\) id ABCDEF1"])
def test_what_is_read_in_one_go_reads_the_same_by_token(pieces: list[str]) -> None:
    line = "".join(pieces).encode()
    assert stamp_of(line) == _parsed(line)


HOSTILE_LINES = {
    "parentheses": b"(",
    "comments": b"()",
    "nested comments": b"((()))",
    "half a comment": b"(()",
    "clauses": b"by a ",
    "quotes": b'"" ',
    "words of quotes": b'a""',
    "quotes not closed": b' a"',
    "angle brackets": b"<>",
    "angle brackets not closed": b"<a@b ",
    "literals": b"<@[a]",
    "literals not closed": b"<@[",
    "semicolons": b";",
    "quoted pairs": b"(\\(",
    "words": b"a ",
    "blanks": b" ",
    "names and comments": b" from x (a)",
}


@pytest.mark.parametrize("piece", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
def test_no_line_takes_long(piece: bytes) -> None:
    """8,192 octets of anything take no longer than a few hundred real lines: nothing is looked at again and again."""

    def seconds(octets: int) -> float:
        line = b" from x " + (piece * octets)[:octets]
        taken = []
        for _ in range(5):
            started = time.thread_time()
            stamp_of(line)
            taken.append(time.thread_time() - started)
        return min(taken)

    assert seconds(8_192) < max(0.002, 4 * seconds(4_096)), "linear"
    assert seconds(1_000_000) < 0.05, "and no more than so many octets are read"
