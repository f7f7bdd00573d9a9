"""For any mailbox, and any spelling of it, the verdict and the counted events are the same."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.gates import Notes, make_gate, settings_of

from mailgate.config import OrganizationSection, RewritingSection
from mailgate.doors.milter import resolution_of
from mailgate.doors.offline import Case, judge_case
from mailgate.doors.transaction import Transaction
from mailgate.identity.identity import Identity
from mailgate.model import Mode, Session
from mailgate_rules.auto_forward import Stanza as AutoForward
from mailgate_rules.mailbox_state import Stanza as MailboxState
from mailgate_rules.sender_identity import Stanza as SenderIdentity
from mailgate_rules.sending_rate import Stanza as SendingRate

OURS, OLD, MARKED = "hanam.gov.vn", "hn.gov.vn", "hàm.gov.vn"
SECTIONS = {
    "organization": OrganizationSection(
        domains=[OURS, OLD, MARKED],
        internal_networks=["127.0.0.0/8", "10.0.0.0/8"],
        merged_domains={OLD: OURS, MARKED: OURS},
    ),
    "rewriting": RewritingSection(mydestination=[OURS, OLD, MARKED]),
}
RULES = (AutoForward(), MailboxState(), SenderIdentity(), SendingRate())

locals_ = st.from_regex(r"[a-z]{2,8}(\.[a-z]{2,4})?", fullmatch=True)
gaps = st.sampled_from(["", "", "", " ", "(x)", " (a (b) \\) c) ", "\t"])


@st.composite
def spellings(draw: st.DrawFn, local: str) -> str:
    """Return one of the many ways to write a mailbox that has the alias `alias.LOCAL`, in three domains."""
    name = draw(st.sampled_from(["", "alias."])) + local + draw(st.sampled_from(["", "", "+tag", "+a+b", "+"]))
    letters = [letter.upper() if draw(st.booleans()) else letter for letter in name]
    form = draw(st.sampled_from(["plain", "plain", "escaped", "quoted", "quoted and escaped"]))
    at = draw(st.integers(0, len(local) - 1))
    if "escaped" in form and letters[at] != ".":
        letters[at] = "\\" + letters[at]
    name = "".join(letters)
    if "quoted" in form:
        name = f'"{name}"'
    domain = draw(st.sampled_from([OURS, OLD, MARKED, "xn--hm-jia.gov.vn"]))
    domain = "".join(letter.upper() if draw(st.booleans()) else letter for letter in domain)
    domain += draw(st.sampled_from(["", "."]))
    around, inside = draw(gaps), draw(gaps)
    joined = draw(st.sampled_from(["at", "at", "at", "percent", "bang", "alone", "twice", "route"]))
    if joined == "alone":
        return f"{around}{name}{inside}"
    if joined == "percent":
        return f"{name}{inside}%{domain}"
    if joined == "bang":
        return f"{domain}!{name}{around}"
    if joined == "twice":
        return f"{name}%{domain}@{OURS}"
    whole = f"{around}{name}{inside}@{around}{domain}"
    return f"@relay.example,@b.example:{whole}" if joined == "route" else whole


@st.composite
def mailboxes(draw: st.DrawFn) -> tuple[str, str]:
    """Return a mailbox's local part, and a spelling of it."""
    local = draw(locals_)
    return local, draw(spellings(local))


def identity_of(local: str) -> Identity:
    made = settings_of(**SECTIONS)
    return made.identity({f"alias.{local}@{OURS}": (f"{local}@{OURS}",)})


@given(mailboxes())
@settings(max_examples=300, deadline=None)
def test_every_spelling_is_the_mailbox(mailbox: tuple[str, str]) -> None:
    local, spelling = mailbox
    identity = identity_of(local)
    typed = identity.typed(f"<{spelling}>".encode())
    assert identity.account(typed) == f"{local}@{OURS}"
    assert identity.mailboxes(typed) == (f"{local}@{OURS}",)
    assert identity.account(identity.account(typed)) == identity.account(typed), "an account is its own"


SCENES: dict[str, dict[str, Any]] = {
    "receives": {"rcpts": ["@"]},
    "receives, revoked": {"rcpts": ["@"], "revoked": True},
    "receives, locked": {"rcpts": ["@"], "locked": True},
    "receives beside another": {"rcpts": ["stttt@hanam.gov.vn", "@"], "revoked": True},
    "receives a forward": {"rcpts": ["@"], "fields": "X-Forwarded-To: {0}\r\nX-Forwarded-For: a@gmail.com {0}\r\n"},
    "sends by our networks": {"mail_from": "@", "client_ip": "10.1.1.5"},
    "sends by our networks, locked": {"mail_from": "@", "client_ip": "10.1.1.5", "locked": True},
    "is claimed by an outsider": {"mail_from": "@"},
    "sends, logged in": {"mail_from": "@", "auth": "{0}", "fields": "From: {0}\r\n"},
    "sends, logged in as it is spelled": {"mail_from": "{0}", "auth": "@", "fields": "From: {0}\r\n"},
    "sends, logged in and locked": {"mail_from": "{0}", "auth": "@", "locked": True},
    "forwards": {"mail_from": "{0}", "auth": "@", "fields": "From: {0}\r\nAuto-Submitted: auto-forwarded\r\n"},
}


def judged(scene: dict[str, Any], local: str, spelling: str) -> tuple[Any, ...]:
    """Return all that is said, found and counted of a scene's mail, where `@` is the spelling."""
    mailbox = f"{local}@{OURS}"

    def put(text: str) -> str:
        return spelling if text == "@" else text.replace("{0}", mailbox)

    notes = Notes()
    gate = make_gate(
        settings_of(*RULES, **SECTIONS),
        notes,
        locked=[mailbox] if scene.get("locked") else [],
        revoked=[mailbox] if scene.get("revoked") else [],
        proofs={},
        aliases={f"alias.{mailbox}": (mailbox,)},
    )
    fields = put(scene.get("fields", "From: a@example.com\r\n"))
    case = Case(
        f"{fields}Message-ID: <1@a>\r\nSubject: x\r\n\r\nx\r\n".encode(),
        client_ip=scene.get("client_ip", "203.0.113.7"),
        auth=put(scene.get("auth", "")),
        mail_from=put(scene.get("mail_from", "a@gmail.com")),
        rcpts=tuple(put(recipient) for recipient in scene.get("rcpts", ["lan@gmail.com"])),
    )
    answer = asyncio.run(judge_case(gate, case))
    hard = sorted(
        (finding.rule, finding.action, finding.direction, finding.mailboxes)
        for finding in answer.findings
        if finding.mode is not Mode.MONITOR
    )
    counted = sorted((event.kind, event.mailbox, event.mail_class) for event in notes.events)
    replies = sorted(reply.partition(" (case")[0] for reply in answer.rcpt_replies.values())
    return answer.verdict.action, answer.verdict.reply.partition(" (case")[0], replies, hard, counted


@given(mailboxes(), st.sampled_from(sorted(SCENES)))
@settings(max_examples=80, deadline=None)
def test_every_spelling_has_one_verdict_and_one_count(mailbox: tuple[str, str], scene: str) -> None:
    local, spelling = mailbox
    assert judged(SCENES[scene], local, spelling) == judged(SCENES[scene], local, f"{local}@{OURS}")


def test_the_scenes_differ() -> None:
    """What is the same for all spellings is not the same for all scenes: the property is none of nothing."""
    found = {name: judged(scene, "ptp.bl", f"ptp.bl@{OURS}")[:2] for name, scene in SCENES.items()}
    assert {str(action) for action, _ in found.values()} == {"accept", "reject"}
    assert len(set(found.values())) == 5, found


@pytest.mark.parametrize(
    ("said", "mailer", "path", "wanted"),
    [
        ("thuhoi@hanam.gov.vn", "relay", "<hanam.gov.vn!thuhoi>", f"thuhoi@{OURS}"),
        ('"a b"@hanam.gov.vn', "relay", '<"a b"@hanam.gov.vn>', f'"a b"@{OURS}'),
        ("thuhoi@hàm.gov.vn", "relay", "<thuhoi@hàm.gov.vn>", "thuhoi@xn--hm-jia.gov.vn"),
        ("thuhoi@mx1.lan", "local", "<thuhoi@mx1.lan>", f"thuhoi@{OURS}"),
        ("lan@mx1.lan", "smtp", "<lan@mx1.lan>", "lan@mx1.lan"),
        ("thuhoi", "local", f"<thuhoi@{OURS}>", f"thuhoi@{OURS}"),  # as Sendmail says it
        ("thuhoi", "local", "<thuhoi>", f"thuhoi@{OURS}"),
        ("", "", f"<thuhoi%{OURS}>", f"thuhoi@{OURS}"),
        ("", "", "<>", ""),
        ("5.1.1 no such user", "error", f"<thuhoi@{OURS}>", f"thuhoi@{OURS}"),
    ],
)
def test_what_an_mta_says_of_an_address(said: str, mailer: str, path: str, wanted: str) -> None:
    transaction = Transaction(make_gate(settings_of(**SECTIONS)), Session("mx", "203.0.113.7"))
    resolution = resolution_of({"rcpt_addr": said, "rcpt_mailer": mailer})
    assert transaction.mailbox_of(path.encode(), *resolution) == wanted
