"""Mails that hide a file from who looks for it, as they were seen in the field: each with who shows it, and what is
wanted: blocked, noticed, or blocked by its name."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import documents as made
from tests.lab.clamd import EICAR, Clamd
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.mails import base64_part, multipart

from mailgate.config import load, parse_endpoint
from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action
from mailgate.probes.clamd import Scanner
from mailgate_rules.uninspectable import Stanza as Uninspectable
from mailgate_rules.virus import Stanza as Virus

FOLDER = Path(__file__).parent / "boxes"
CASES = [json.loads(line) for line in (FOLDER / "cases.jsonl").read_text().splitlines()]
_BLOCKED = (Action.REJECT, Action.QUARANTINE)
_RULES = ("virus", "dangerous-attachment", "uninspectable")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_what_is_wanted_is_seen(case: dict[str, str], clamd: Clamd) -> None:
    settings = load(FOLDER.parents[1] / "config" / "mailgate.toml", {})
    spam = settings.spam.model_copy(update={"url": ""})
    scanner = Scanner(parse_endpoint(clamd.unix_address), 20.0, 4, None)
    gate = make_gate(settings.model_copy(update={"spam": spam}), Notes(), scanner=scanner)
    mail = Case(
        (FOLDER / f"{case['id']}.eml").read_bytes(),
        client_ip="203.0.113.7",
        mail_from="lan@example.com",
        rcpts=("ptp.bl@hanam.gov.vn",),
        queue_id="4Cw3Jx",
    )
    answer = await judge_case(gate, mail)
    found = {finding.rule: finding.action for finding in answer.findings if finding.rule in _RULES}
    print(f"{case['id']}: wanted {case['want']}, seen {answer.verdict.action}: {found}")
    if case["want"] == "noticed":
        assert found
    else:
        assert answer.verdict.action in _BLOCKED
    if case["want"] == "name":
        assert found["dangerous-attachment"] is Action.REJECT


_DIGITS = base64.b64encode(EICAR).decode()
_LETTER = made.zipped({"a.txt": "x"})
_SCRIPT = f"<script>u=atob('{_DIGITS}');saveAs(new Blob([u]),'a')</script>"


@pytest.fixture(scope="module")
def strict_clamd() -> Iterator[Clamd]:
    """A clamd that finds the test text at the start of a file alone."""
    with Clamd(anywhere=False) as server:
        yield server


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (made.tnef(made.tnef_file("a.bin", EICAR)), "winmail.dat"),
        (made.tnef(made.tnef_file("m", b"", made.mapi({(0x3701, 0x102): EICAR}))), "winmail.dat"),
        (made.notebook(EICAR), "a.one"),
        (f"BEGIN:VCALENDAR\r\nATTACH;ENCODING=BASE64;FILENAME=a:{_DIGITS}\r\nEND:VCALENDAR\r\n".encode(), "a.ics"),
        (f"<html>{_SCRIPT}</html>".encode(), "a.html"),
        (f"<html><a download=a href='data:x/y;base64,{_DIGITS}'>x</a></html>".encode(), "a.html"),
        (made.zipped({"a.bin": EICAR}) + _LETTER, "a.zip"),
        (b"\xff\xd8\xff\xe0" + bytes(99) + made.zipped({"a.bin": EICAR}) + bytes(70_000), "a.zip"),
    ],
)
async def test_the_scanner_is_given_what_is_in_it(octets: bytes, name: str, strict_clamd: Clamd) -> None:
    scanner = Scanner(parse_endpoint(strict_clamd.unix_address), 20.0, 4, None)
    gate = make_gate(settings_of(Virus(), Uninspectable()), Notes(), scanner=scanner)
    mail = Case(
        multipart(base64_part(octets, f'name="{name}"')),
        client_ip="203.0.113.7",
        mail_from="lan@example.com",
        rcpts=("ptp.bl@hanam.gov.vn",),
    )
    assert (await judge_case(gate, mail)).verdict.action is Action.REJECT
