"""Mail with a mark of secrecy that would leave: held, shown without its text, released unchanged, and held once."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab.documents import docx
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, base64_part, letter, multipart
from tests.lab.ports import free_port
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

# Words of the body, the document and a header field: none may stand anywhere but in the mail.
BODY, DOCUMENT, COMMENTS = "nội dung riêng", "phương án tác chiến", "đề án nhân sự"
WORDS = ("riêng", "phương án", "tác chiến", "nhân sự", "TỐI MẬT")


@pytest.fixture(scope="module", params=[False, True], ids=["without egress", "egress"])
def system(request: pytest.FixtureRequest) -> Iterator[MailSystem]:
    """A system that lets mail out at once, and one that judges it once more where it leaves."""
    with mail_system(hooked(), egress=request.param) as running:
        yield running


def hooked() -> dict[str, Any]:
    """Return a configuration that tells the hooks apart, as config/mailgate.toml has it."""
    milter = f"inet:127.0.0.1:{free_port()}"
    hooks = [
        {"name": name, "listener": milter, "daemon_name": name.upper()} for name in ("mx", "submission", "egress")
    ]
    return {"listen": {"milter": [milter]}, "hook": hooks}


def secret(where: str, author: str = OFFICER) -> bytes:
    """Return a mail whose mark stands in its text or in a document."""
    comments = f"Comments: {COMMENTS}"
    if where == "text":
        return letter(comments, text=f"TỐI MẬT\nSố: 5/BC\n{BODY}\n", author=author)
    document = base64_part(docx("TỐI MẬT", "Số: 5/BC", DOCUMENT), 'name="bao-cao.docx"')
    return multipart(document, fields=(comments,)).replace(f"<{OUTSIDER}>".encode(), f"<{author}>".encode(), 1)


def listed(system: MailSystem) -> list[dict[str, object]]:
    """Return what `quarantine list` says."""
    done = system.mailgate.run("quarantine", "list", "--format", "json", "--config-dir", str(system.postfix.config))
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("where", ["text", "document"])
def test_a_secret_is_held_shown_and_released(system: MailSystem, where: str) -> None:
    system.sink.clear()
    incidents = len(system.mailgate.incidents())
    data = secret(where)
    place = ("--config-dir", str(system.postfix.config))
    assert system.submit(OFFICER, [OUTSIDER], data).status == "250 2.0.0"
    (row,) = wait_until(lambda: listed(system), 5, "the mail to be held")
    assert (row["rules"], row["hook"], row["rcpts"]) == (["state-secret"], "submission", [OUTSIDER])

    shown = system.mailgate.run("quarantine", "show", str(row["case"]), *place)
    assert shown.returncode == 0
    assert "state-secret" in shown.stdout
    assert not [word for word in (BODY, DOCUMENT) if word in shown.stdout], "never the text"
    assert system.sink.mails() == []

    released = system.mailgate.run("quarantine", "release", str(row["case"]), "--reason", "được duyệt", *place)
    assert released.returncode == 0, released.stderr
    (mail,) = system.sink.wait(1)
    assert mail.recipients == (OUTSIDER,)
    assert mail.data.endswith(data), "unchanged, below the trace fields"
    assert listed(system) == [], "and not held again"
    kinds = [incident["kind"] for incident in system.mailgate.incidents()[incidents:]]
    assert kinds == ["quarantine", "release"]


def test_no_log_and_no_store_holds_a_word_of_the_mail(system: MailSystem) -> None:
    for where in ("text", "document"):
        assert system.submit(OFFICE, [OUTSIDER], secret(where, OFFICE)).status == "250 2.0.0"
    wait_until(lambda: [row["mail_from"] for row in listed(system)].count(OFFICE) == 2, 5, "both to be held")
    files = [file for file in system.mailgate.folder.rglob("*") if file.is_file()]
    assert {".jsonl", ".log", ".db"} <= {file.suffix for file in files}
    texts = {file.name: _read(file.read_text(errors="replace")) for file in files}
    assert OFFICE in "".join(texts.values()), "else the words would prove nothing"
    assert [(name, word) for name, text in texts.items() for word in WORDS if word.lower() in text] == []


def _read(text: str) -> str:
    """Return text in lower case, JSON's escapes read."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text).lower()


def test_a_copy_that_an_alias_sends_out_is_held_although_the_mail_came_in() -> None:
    """It was judged when it came in, but for its official recipient alone."""
    alias = {"virtual_alias_maps": f"inline:{{ {{ {OFFICER} = lan@gmail.com }} }}"}
    config = {**hooked(), "rules": {"auto-forward": {"mode": "off"}}}
    with mail_system(config, egress=True, main_cf=alias) as system:
        assert system.receive(OUTSIDER, [OFFICER], secret("document", OUTSIDER)).status == "250 2.0.0"
        (row,) = wait_until(lambda: listed(system), 5, "the copy to be held")
        assert (row["hook"], row["rules"], row["rcpts"]) == ("egress", ["state-secret"], ["lan@gmail.com"])
        place = ("--config-dir", str(system.postfix.config))
        released = system.mailgate.run("quarantine", "release", str(row["case"]), "--reason", "được duyệt", *place)
        assert released.returncode == 0, released.stderr
        assert system.sink.wait(1)[0].recipients == ("lan@gmail.com",)
        first = system.mailgate.incidents()[0]
        assert (first["hook"], first["action"], first["findings"][0]["direction"]) == ("mx", "accept", "in")
