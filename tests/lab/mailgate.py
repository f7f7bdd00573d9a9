"""A private Mailgate: the installed command, run as an administrator runs it, with a test's configuration."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.daemon import Daemon, ServerError
from tests.lab.ports import free_port
from tests.lab.processes import children
from tests.lab.waiting import wait_until

Config = Mapping[str, Any]
Line = dict[str, Any]


class Mailgate(Daemon):
    """`mailgate serve` on a Unix socket, with a web door on a loopback port.

    `config` is mailgate.toml as a dict of tables; what it does not say of the doors is filled in, and clamd
    and rspamd are off unless it names them.  `environment` may override keys, as MAILGATE_SECTION__KEY.
    """

    stop_timeout_s = 45.0  # above the daemon's own grace of 30 s

    def __init__(
        self, config: Config, *, environment: Mapping[str, str] | None = None, parent: Path = Path("/tmp")
    ) -> None:
        self._command = Path(sys.executable).with_name("mailgate")
        if not self._command.exists():
            raise ServerError(f"{self._command} is not installed: make setup")
        super().__init__("mailgate", parent)
        self.environment.update(environment or {})
        self._defaults = {
            "listen": {"milter": [f"unix:{self.folder}/milter.sock"], "http": f"127.0.0.1:{free_port()}"},
            "workers": {"count": 2},
            "clamav": {"address": ""},
            "spam": {"url": ""},
        }
        self.file = self.folder / "mailgate.toml"
        self._lines_before_start = 0
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Write another mailgate.toml with the same doors, for the next `reload` or start."""
        self.config = _merged(self._defaults, config)
        self.file.write_text(_toml(self.config))

    @property
    def milter(self) -> str:
        """The first milter door, as mailgate.toml and Postfix write it: unix:/PATH or inet:HOST:PORT."""
        door: str = self.config["listen"]["milter"][0]
        return door

    @property
    def smtp_port(self) -> int:
        """The port of the first SMTP door, where the configuration has one."""
        return int(self.config["listen"]["smtp"][0].rpartition(":")[2])

    @property
    def http_url(self) -> str:
        """The web door, without a slash at its end."""
        return f"http://{self.config['listen']['http']}"

    def command(self) -> list[str]:
        return [str(self._command), "serve", "--config", str(self.file)]

    def ready(self) -> bool:
        if not any(line.get("event") == "ready" for line in self.log()[self._lines_before_start :]):
            return False
        for door in self.config["listen"]["milter"]:
            if door.startswith("unix:"):
                Path(door.removeprefix("unix:")).chmod(0o777)  # Postfix's user must reach it
        return True

    def start(self) -> None:
        self._lines_before_start = len(self.log())
        super().start()

    def log(self) -> list[Line]:
        """Return the structured lines of the daemon's log so far; log_text has the others too."""
        lines = []
        for text in self.log_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(text))
        return [line for line in lines if isinstance(line, dict)]

    def wait_event(self, event: str, after: int = 0, timeout_s: float = 10.0) -> Line:
        """Wait for a log line whose event has `event` in it, past the first `after` lines, and return it."""
        lines = wait_until(
            lambda: [line for line in self.log()[after:] if event in str(line.get("event"))],
            timeout_s,
            f"an event {event!r} in mailgate's log",
        )
        return lines[0]

    def reload(self) -> Line:
        """Make the daemon read mailgate.toml again (SIGHUP); return the log line that tells how it went."""
        before = len(self.log())
        os.kill(self.pid, signal.SIGHUP)
        return self.wait_event("reload", after=before)

    def workers(self) -> list[int]:
        """Return the process ids of the supervisor's children."""
        return children(self.pid)

    def received(self) -> dict[str, int]:
        """Return how many mails each mailbox has received, by the ledger."""
        rows = json.loads(self.run("mailboxes", "list", "--format", "json").stdout or "[]")
        return {row["address"]: row.get("received", 0) for row in rows}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run another command, such as run("mailboxes", "list"), under the same configuration."""
        # `config check` and `config show` take the file as it is, all others as an option.
        file = [str(self.file)] if arguments[0] == "config" else ["--config", str(self.file)]
        return subprocess.run(
            [str(self._command), *arguments, *file],
            input=stdin,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def incidents(self) -> list[Line]:
        """Return the lines of the incident log so far, in order."""
        folder = self.folder / self.config.get("incidents", {}).get("path", "incidents")
        files: Sequence[Path] = sorted(folder.rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def _merged(below: Config, above: Config) -> dict[str, Any]:
    """Return `above` laid over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _toml(table: Config, path: str = "") -> str:
    """Return a table as TOML: JSON's strings, numbers, booleans and arrays of them are TOML's too."""
    values, tables = [], []
    for key, value in table.items():
        name = f"{path}.{json.dumps(key)}" if path else json.dumps(key)
        if isinstance(value, dict):
            tables.append(f"\n[{name}]\n{_toml(value, name)}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables.extend(f"\n[[{name}]]\n{_toml(item, name)}" for item in value)
        else:
            values.append(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(values + tables)
