"""Received lines: which of them our own hosts wrote, under which queue id, and for whom a mail was then."""

import pytest

from mailgate.text.received import passages_in, received_for

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
        (b" by mx.hanam.gov.vn (" + b"x" * 5_000 + b") id 4Cw3Jx2yZz", None),
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
