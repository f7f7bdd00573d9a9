"""What an address means, worked out here and by a real Postfix: 20,000 that people, and attackers, may write."""

import random
from collections import Counter
from collections.abc import Mapping

import pytest
from tests.lab.postfix import Postfix
from tests.lab.recorder import Recorder
from tests.lab.smtp_client import SmtpClient

from mailgate.identity.rewriting import Rewriting, is_clear
from mailgate.identity.spelling import mailbox_of

OURS = "hanam.gov.vn"
ADDRESSES = 10_000
NOBODY = ("mailer-daemon@", '""@')
RECIPIENTS = 900  # of one mail

WORDS = (
    *("thuhoi", "Khoa", "ptp.bl", "a", "lan", "owner-x", "a+b", "x=y", "nguyễn", "d'a", "a/b", "a&b", "0", "user{1}"),
    *("~t", "a*b", "$x", "prvs=0a1b2c3d4e=lan", "srs0=ab12=xy=example.com=lan"),
)
DOMAINS = (
    *(
        OURS,
        OURS,
        OURS,
        "HaNam.gov.vn",
        "hanam.gov.vn.",
        "gmail.com",
        "localhost",
        "mx.hanam.gov.vn",
        "hanam",
        "thư.vn",
    ),
    *("xn--th-nma.vn", "[127.0.0.1]", "[203.0.113.9]", "a . b.vn", "virtual.vn", "x..y", "b.vn.", "(c)hanam.gov.vn"),
    *("hanam(c).gov.vn", "hanam.gov.vn(c)", "gm\\ail.com", '"gmail".com', ""),
)
IN_QUOTES = (
    *(
        "a",
        "b",
        " ",
        "@",
        "%",
        "!",
        "(",
        ")",
        ",",
        ";",
        ":",
        ".",
        "\\\\",
        '\\"',
        "<",
        ">",
        "[",
        "]",
        OURS,
        "lan",
        "|",
    ),
)


def quoted(chance: random.Random) -> str:
    return '"' + "".join(chance.choices(IN_QUOTES, k=chance.randrange(6))) + '"'


def local_part(chance: random.Random) -> str:
    word, other = chance.choice(WORDS), chance.choice(WORDS)
    at = chance.randrange(len(word))
    forms = (
        *([word] * 9),
        *([quoted(chance)] * 3),
        word + chance.choice([".", " . ", "..", " ", "(x)", "\\."]) + other,
        word[:at] + "\\" + word[at:],
        word + chance.choice([" ", "(x)", " (a(b)c) ", "()"]),
        f"{quoted(chance)}.{word}",
    )
    return chance.choice(forms)


def address(chance: random.Random) -> str:
    local, domain, other = local_part(chance), chance.choice(DOMAINS), chance.choice(DOMAINS)
    forms = (
        *([f"{local}@{domain}"] * 8),
        *([local] * 2),
        *([f"{local}%{domain}"] * 2),
        *([f"{domain}!{local}"] * 2),
        f"{local}%{domain}@{other}",
        f"{domain}!{local}@{other}",
        f"@{domain}{chance.choice([',@b.vn', ''])}:{local}@{other}",
        f"{local}@{domain}@{other}",
        "".join(chance.choices('ab@%!.:,;()<>[]"\\ ', k=chance.randrange(1, 12))),
    )
    return chance.choice(forms)


@pytest.mark.parametrize(
    ("main_cf", "rewriting"),
    [
        pytest.param(
            {"mydestination": f"{OURS}, localhost, mx.hanam.gov.vn", "virtual_mailbox_domains": "virtual.vn"},
            Rewriting(OURS, mydestination=frozenset({OURS, "localhost", "mx.hanam.gov.vn", "[127.0.0.1]"})),
            id="local(8) delivers",
        ),
        pytest.param(
            {
                "mydestination": "",
                "virtual_mailbox_domains": f"virtual.vn, {OURS}",
                "append_dot_mydomain": "yes",
                "mydomain": "gov.vn",
            },
            Rewriting(OURS, "gov.vn", frozenset({"[127.0.0.1]"}), append_dot_mydomain=True),
            id="virtual(8) delivers",
        ),
        pytest.param(
            {"mydestination": OURS, "allow_percent_hack": "no", "swap_bangpath": "no"},
            Rewriting(
                OURS, mydestination=frozenset({OURS, "[127.0.0.1]"}), allow_percent_hack=False, swap_bangpath=False
            ),
            id="no hacks",
        ),
    ],
)
def test_addresses_mean_what_they_mean_to_postfix(main_cf: Mapping[str, str], rewriting: Rewriting) -> None:
    chance = random.Random(20261130)
    settings = {
        "myorigin": OURS,
        "append_dot_mydomain": "no",
        "allow_percent_hack": "yes",
        "swap_bangpath": "yes",
        "allow_untrusted_routing": "yes",
        "virtual_transport": "discard:",
        "local_transport": "discard:",
        "local_recipient_maps": "",
        "smtpd_reject_unlisted_recipient": "no",
        "smtpd_recipient_restrictions": "permit_mynetworks,reject",
        "smtpd_relay_restrictions": "permit_mynetworks,reject",
        "smtpd_hard_error_limit": "1000000",
        "smtpd_soft_error_limit": "1000000",
        "smtpd_error_sleep_time": "0",
        **main_cf,
    }
    with (
        Recorder() as recorder,
        Postfix(smtpd_milters=recorder.milter, domains=(), main_cf=settings) as postfix,
        SmtpClient(postfix.smtp_port) as client,
    ):
        client.ehlo()
        refused = 0
        for number in range(ADDRESSES):
            if number % RECIPIENTS == 0:
                client.command("RSET")
                client.mail("a@example.com", "SMTPUTF8")
            refused += not client.rcpt(address(chance)).startswith("250")
    assert len(recorder.recipients) == ADDRESSES - refused > ADDRESSES * 3 // 4
    differing = []
    verdicts: Counter[str] = Counter()
    for path, said in recorder.recipients:
        theirs, ours = mailbox_of(said["rcpt_addr"].encode()), rewriting.mailbox(path)
        if theirs == ours or (theirs.startswith(NOBODY) and ours.startswith(NOBODY)):
            verdicts["equal"] += 1
        elif not is_clear(ours):  # it is refused: brackets, commas and quotes that are left open, or no local part
            verdicts["refused here"] += 1
            assert any(letter in path[1:-1] for letter in b'"()[],;:<>') or theirs.startswith(
                ("mailer-daemon@", '""@')
            )
        else:
            differing.append((path.decode(), theirs, ours))
    assert differing == []
    assert verdicts["refused here"] < len(recorder.recipients) // 25, verdicts
