"""Which dangerous attachments a site lets through, until when, and what it is told of a wrong entry."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from mailgate.config import ConfigError, load
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Action, Danger, Envelope, File, Inspection, Mail, Session
from mailgate_rules.dangerous_attachment import Stanza

SHA256 = "ab" * 32


def action_at(moment: str, sender: str, entry: dict[str, str]) -> Action | None:
    """Return what follows on a mail with a program, where this entry is allowed."""
    stanza: Stanza = TypeAdapter(Stanza).validate_python({"allowed": [entry]})
    at = datetime.fromisoformat(moment).astimezone(UTC).timestamp() if moment else 0.0
    file = File("a.exe", "a.exe", "exe", sha256=SHA256, dangers=((Danger.PROGRAM, "exe"),))
    mail = Mail(
        Identity(Organization(domains=frozenset({"hanam.gov.vn"}))),
        Session(),
        Envelope(sender=sender),
        inspection=Inspection(files=(file,)),
    )
    mail.at = at
    (hit,) = stanza.at_end(mail)
    return hit.action


@pytest.mark.parametrize(
    ("moment", "sender", "entry", "wants"),
    [
        ("2027-01-31T23:59:59+07:00", "a@example.com", {"sha256": SHA256}, Action.ACCEPT),
        ("2027-02-01T00:00:00+07:00", "a@example.com", {"sha256": SHA256}, Action.REJECT),
        ("", "a@example.com", {"sha256": SHA256}, Action.ACCEPT),
        ("2027-01-01T00:00:00+07:00", "a@example.com", {"sha256": SHA256.upper()}, Action.ACCEPT),
        ("2027-01-01T00:00:00+07:00", "a@example.com", {"sha256": "0" * 64}, Action.REJECT),
        ("2027-01-01T00:00:00+07:00", "a@example.com", {"sender": "A@Example.com"}, Action.ACCEPT),
        ("2027-01-01T00:00:00+07:00", "a@example.com", {"sender": "b@example.com"}, Action.REJECT),
        ("2027-01-01T00:00:00+07:00", "a@mx.example.com", {"sender": "example.com"}, Action.ACCEPT),
        ("2027-01-01T00:00:00+07:00", "a@example.com.vn", {"sender": "example.com"}, Action.REJECT),
        ("2027-01-01T00:00:00+07:00", "", {"sender": "example.com"}, Action.REJECT),
    ],
)
def test_allowances(moment: str, sender: str, entry: dict[str, str], wants: Action) -> None:
    assert action_at(moment, sender, {"until": "2027-01-31", **entry}) == wants


@pytest.mark.parametrize(
    ("entry", "wants"),
    [
        ("{until = 2027-01-31}", "allowed.0: name either a sender or a sha256"),
        (
            f'{{sender = "a.vn", sha256 = "{SHA256}", until = 2027-01-31}}',
            "allowed.0: name either a sender or a sha256",
        ),
        ('{sha256 = "abc", until = 2027-01-31}', "allowed.0: a sha256 has 64 hexadecimal digits"),
        ('{sender = "ketoan", until = 2027-01-31}', "allowed.0: a sender is an address"),
        ('{sender = "a.vn"}', "allowed.0.until: "),
        ('{sender = "a.vn", until = "mai"}', "allowed.0.until: "),
        ('{sender = "a.vn", until = 2027-01-31, who = "x"}', "allowed.0.who: unknown key"),
    ],
)
def test_a_wrong_entry_is_named(entry: str, wants: str, tmp_path: Path) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(f"[rules.dangerous-attachment]\nallowed = [{entry}]\n")
    with pytest.raises(ConfigError) as error:
        load(file, {})
    assert f"mailgate.toml:2: rules.dangerous-attachment.{wants}" in "\n".join(error.value.problems)


def test_many_files_are_one_finding() -> None:
    files = tuple(File(f"a.zip > {number}.exe", f"{number}.exe") for number in range(500))
    mail = Mail(Identity(Organization(domains=frozenset())), Session(), inspection=Inspection(files=files))
    (hit,) = Stanza().at_end(mail)
    assert len(hit.evidence) == 21
    assert hit.evidence[-1].value == "480"
    assert hit.headers == ((b"X-Mailgate-Attachment", b"extension: exe"),)
