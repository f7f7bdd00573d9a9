"""What Mailgate had Postfix hold, and nothing else in the hold queue: found, shown, released, deleted.

The incident log knows the queue id of every mail that was held; Postfix may use an id again, so the sender and
the time must fit too. Postfix's own programs do the rest: postqueue, postcat, postsuper.
"""

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from .identity.spelling import mailbox_of
from .incidents.log import IncidentLog
from .incidents.record import new_case
from .model import Action, legal_text

_EARLIEST_S, _LATEST_S = 5.0, 7_200.0
"""A queue file is made when DATA begins; its verdict comes within milter_content_timeout, 2 hours at the most."""


class PostfixError(Exception):
    """A program of Postfix is missing or refused; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Held:
    """One held mail: its incident, and what Postfix's queue says of it; `arrived` is Unix seconds."""

    incident: dict[str, Any]
    queue_id: str
    sender: str
    recipients: tuple[str, ...]
    octets: int
    arrived: float


@dataclass(frozen=True, slots=True)
class Postfix:
    """The Postfix whose queue it is; config_dir None is the system's own."""

    config_dir: Path | None = None

    def held(self, log: IncidentLog) -> list[Held]:
        """Return the mails that Mailgate had this Postfix hold and that are still held, oldest first."""
        queue = [mail for mail in self._queue() if mail["queue_name"] == "hold"]
        wanted = {mail["queue_id"] for mail in queue}
        incidents: dict[str, list[dict[str, Any]]] = {}
        for record in log.records() if wanted else ():
            if record.get("queue_id") in wanted and record.get("action") == Action.QUARANTINE:
                incidents.setdefault(record["queue_id"], []).append(record)
        found = (_held(mail, incidents.get(mail["queue_id"], ())) for mail in queue)
        return sorted((held for held in found if held is not None), key=lambda held: held.arrived)

    def text(self, held: Held) -> str:
        """Return a held mail's envelope and header, as postcat prints them; never its body."""
        return self._run("postcat", "-e", "-h", "-q", held.queue_id).decode("utf-8", "replace")

    def release(self, held: Held) -> None:
        """Let a mail go on, at once."""
        self._run("postsuper", "-H", held.queue_id)
        self._run("postqueue", "-i", held.queue_id)

    def delete(self, held: Held) -> None:
        """Delete a mail; nobody is told."""
        self._run("postsuper", "-d", held.queue_id)

    def _queue(self) -> list[dict[str, Any]]:
        lines = self._run("postqueue", "-j").splitlines()
        return [orjson.loads(legal_text(line.decode("utf-8", "surrogateescape"))) for line in lines]  # as records are

    def _run(self, program: str, *arguments: str) -> bytes:
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")
        if path is None:
            raise PostfixError(f"{program} is not installed: run this where Postfix is")
        place = ["-c", str(self.config_dir)] if self.config_dir else []
        done = subprocess.run([path, *place, *arguments], capture_output=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
            raise PostfixError(f"{program}: {reason[0]}: run this as root, where Postfix runs")
        return done.stdout


def _held(mail: dict[str, Any], incidents: Iterable[dict[str, Any]]) -> Held | None:
    """Return a queue file with its incident, None where none speaks of this very mail."""
    arrived = float(mail["arrival_time"])
    sender = mailbox_of(mail["sender"].encode()) if mail["sender"] != "MAILER-DAEMON" else ""
    for incident in incidents:
        judged = datetime.fromisoformat(incident["time"]).timestamp()
        if incident["mail_from"] == sender and -_EARLIEST_S <= judged - arrived <= _LATEST_S:
            recipients = tuple(recipient["address"] for recipient in mail["recipients"])
            return Held(incident, mail["queue_id"], sender, recipients, mail["message_size"], arrived)
    return None


def chosen(held: Sequence[Held], names: Sequence[str]) -> Iterator[Held]:
    """Yield the mails of these queue ids or case numbers; raises KeyError with the first that is not held by us."""
    for name in names:
        matching = [mail for mail in held if name in (mail.queue_id, mail.incident["case"])]
        if not matching:
            raise KeyError(name)
        yield from matching


def deed_record(held: Held, kind: str, by: str, reason: str, now: datetime) -> dict[str, Any]:
    """Return the incident of a release or a deletion: of which case's mail, by whom, why."""
    incident = held.incident
    return {
        "time": now.isoformat(timespec="milliseconds"),
        "case": new_case(now),
        "kind": kind,
        "of_case": incident["case"],
        "by": by,
        "reason": reason,
        **{name: incident[name] for name in ("node", "hook", "queue_id", "mail_from", "rcpts", "message_id")},
        "findings": [],
    }
