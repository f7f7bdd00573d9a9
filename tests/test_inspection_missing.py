"""What inspection lacks is said, at the start and by `doctor`; where nobody can look, mail follows on_error."""

import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.lab.mailgate import Config, Mailgate
from tests.lab.mails import OFFICER, OUTSIDER, letter, letter_with
from tests.lab.postfix import Postfix
from tests.lab.sink import Sink
from tests.lab.system import MailSystem

from mailgate.documents import archives, content, macros

# The paragraph does not end: only a parser in a process of its own reads it.
HTML = letter("Content-Type: text/html; charset=utf-8", text="<p>Kính gửi<p>\n").replace(
    b"Content-Type: text/plain; charset=utf-8\r\n", b""
)
NO_PYTHON = "/nowhere/python"

# Run in the place of Python: it has no optional library.
WITHOUT_LIBRARIES = f"""#!{sys.executable}
import runpy, sys
sys.modules["libarchive"] = sys.modules["oletools"] = None
sys.argv = sys.argv[sys.argv.index("-m") + 1 :]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


class OtherPython(Mailgate):
    """A Mailgate that takes `python` for its own interpreter, as one does whose Python was removed or replaced."""

    def __init__(self, config: Config, python: Path | str) -> None:
        super().__init__(config)
        self._command = self.folder / "mailgate"
        self._command.write_text(
            f"#!{sys.executable}\nimport sys\nfrom mailgate.cli.main import main\nsys.executable = {str(python)!r}\n"
            "sys.exit(main())\n"
        )
        self._command.chmod(0o755)


@contextmanager
def system_with(python: Path | str, **inspection: str) -> Iterator[MailSystem]:
    """Run a system whose Mailgate has this Python; inspection: keys of the section."""
    config = {"inspection": inspection, "workers": {"count": 1}}
    with (
        Sink() as sink,
        OtherPython(config, python) as mailgate,
        Postfix(deliver_to=sink.port, smtpd_milters=mailgate.milter) as postfix,
    ):
        yield MailSystem(postfix, mailgate, sink)


def diagnoses(mailgate: Mailgate) -> tuple[int, list[dict[str, Any]]]:
    """Return doctor's exit status, and what it says of inspection."""
    done = mailgate.run("doctor", "--format", "json")
    return done.returncode, [row for row in json.loads(done.stdout) if row["name"] == "inspection"]


@pytest.mark.parametrize(
    ("inspection", "action", "status"),
    [
        ({}, "tempfail", "451 4.7.1"),
        ({"on_error": "accept"}, "accept", "250 2.0.0"),
        ({"on_error": "quarantine"}, "quarantine", "250 2.0.0"),
    ],
    ids=["default", "accept", "quarantine"],
)
def test_without_workers_mail_follows_on_error(inspection: dict[str, str], action: str, status: str) -> None:
    with system_with(NO_PYTHON, **inspection) as system:
        told = system.mailgate.wait_event("inspection is not whole")
        assert told["lacks"].startswith("nothing is inspected: ")
        assert NO_PYTHON in told["lacks"]
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0", "short text needs no worker"
        assert system.receive(OUTSIDER, [OFFICER], HTML).status == status
        findings = system.mailgate.incidents()[-1]["findings"]
        assert {"state-secret", "dangerous-attachment", "uninspectable"} <= {finding["rule"] for finding in findings}
        secret = next(finding for finding in findings if finding["rule"] == "state-secret")
        assert (secret["action"], secret["evidence"][0]["kind"]) == (action, "missing")
        held = [mail["queue_name"] for mail in system.postfix.queue()]
        assert held.count("hold") == (1 if action == "quarantine" else 0)
        status_of_doctor, (found,) = diagnoses(system.mailgate)
        assert (status_of_doctor, found["ok"], found["required"]) == (1, False, True)
        assert found["detail"].endswith("every mail with more than plain text follows [inspection] on_error")


def test_what_workers_lack_is_said_and_its_files_are_told_uninspected(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(WITHOUT_LIBRARIES)
    python.chmod(0o755)
    want = ["libarchive (Debian: libarchive13) is missing", "oletools (pip: mailgate[macros]) is missing"]
    with system_with(python) as system:
        system.mailgate.wait_event("inspection is not whole")
        assert system.receive(OUTSIDER, [OFFICER], HTML).status == "250 2.0.0"
        said = [line["lacks"] for line in system.mailgate.log() if line["event"] == "inspection is not whole"]
        assert [lack.partition(":")[0] for lack in said] == [text.partition(":")[0] for text in want]
        mail = letter_with(gzip.compress(b"x"), name="tep.gz")
        assert system.receive(OUTSIDER, [OFFICER], mail).status == "250 2.0.0"
        assert system.sink.wait(2)[1].header("X-Mailgate-Uninspected") == b"unsupported"
        _, found = diagnoses(system.mailgate)
        assert [(row["ok"], row["required"]) for row in found] == [(True, True), (False, False), (False, False)]
        assert all(row["detail"].startswith(text) for row, text in zip(found[1:], want, strict=True))


@pytest.mark.parametrize(
    ("module", "library", "want"),
    [
        (archives, "ffi", "libarchive (Debian: libarchive13)"),
        (macros, "VBA_Parser", "oletools (pip: mailgate[macros])"),
    ],
    ids=["libarchive", "oletools"],
)
def test_what_is_missing_names_its_package(
    monkeypatch: pytest.MonkeyPatch, module: object, library: str, want: str
) -> None:
    assert content.missing() == []
    monkeypatch.setattr(module, library, None)
    assert [text.partition(" is missing")[0] for text in content.missing()] == [want]
