"""The command line as administrators type it, and what they read of it."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAILGATE = Path(sys.executable).with_name("mailgate")
# Without services: clamd and rspamd are others' tests.
ALONE = '[clamav]\naddress = ""\n[spam]\nurl = ""\n'

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def runner(folder: Path) -> Run:
    """Return a function that runs a command in a folder, where mailgate.toml is `config`."""

    def run(*arguments: str, config: str = ALONE, stdin: str | None = None, **environment: str) -> Done:
        (folder / "mailgate.toml").write_text(config)
        known = any(option in arguments for option in ("--config", "config", "--version"))
        return subprocess.run(
            [MAILGATE, *arguments, *([] if known else ["--config", "mailgate.toml"])],
            cwd=folder,
            env=os.environ | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run


def shown(done: Done) -> Any:
    """Return the JSON that a command printed."""
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def table(done: Done) -> list[dict[str, str]]:
    """Return the rows of a CSV that a command printed."""
    assert (done.returncode, done.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(done.stdout)))


def one_line(done: Done) -> str:
    """Return the only line on standard error."""
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mailgate: ")
    return line
