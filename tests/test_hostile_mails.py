"""Hundreds of hostile mails: none breaks anything, none takes more than its share, and no virus hides from clamd."""

import base64
import contextlib
import email
import email.message
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.lab.clamd import EICAR, Clamd
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.hostile import hostile_mails
from tests.lab.processes import children, peak_rss_bytes

from mailgate.config import Settings, load, parse_endpoint
from mailgate.doors.offline import Case, judge_case
from mailgate.gate import Gate
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.pool import Pool
from mailgate.model import Action
from mailgate.probes.clamd import Scanner
from mailgate_rules.uninspectable import Stanza as Uninspectable
from mailgate_rules.virus import Stanza as Virus

MOST_CPU_S = 2.0  # of this process and the workers together
MOST_BYTES = 256 << 20
LARGE_BYTES, MOST_LARGE = 100_000, 5  # of each trick: a mail of ten thousand parts takes clamd over a second
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[1]


class Watched(Pool):
    """A pool whose workers' processor time and memory are known, also of those that ended."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.inspection_limits())
        self.most_bytes = 0

    def cpu_s(self) -> float:
        """Return what the nursery and all its workers took, as the kernel counts it: the living and the buried."""
        assert self._nursery is not None
        total = 0.0
        for process in (self._nursery.pid, *children(self._nursery.pid)):
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                own, buried = fields[11:13], fields[13:15] if process == self._nursery.pid else ()
                total += sum(map(int, (*own, *buried))) * _TICK_S
        return total

    def _part_with(self, worker: Any) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):  # it has ended by itself
            self.most_bytes = max(self.most_bytes, peak_rss_bytes(worker.process))
        super()._part_with(worker)


@contextlib.asynccontextmanager
async def hostile_gate() -> AsyncIterator[tuple[Gate, Watched]]:
    settings = load(ROOT / "config" / "mailgate.toml", {})
    settings = settings.model_copy(
        update={
            "clamav": settings.clamav.model_copy(update={"address": ""}),
            "spam": settings.spam.model_copy(update={"url": ""}),
        }
    )
    pool = Watched(settings)
    gate = make_gate(settings, Notes(), looks=Inspector(pool, settings.inspection_limits()))
    await gate.start()
    try:
        yield gate, pool
    finally:
        await gate.close()
        await pool.close()


def case(message: bytes) -> Case:
    return Case(
        message, client_ip="203.0.113.7", mail_from="a@example.com", rcpts=("ptp.bl@hanam.gov.vn",), queue_id="4Cw3Jx"
    )


async def test_none_breaks_anything_or_takes_more_than_its_share() -> None:
    costs: list[tuple[float, str]] = []
    actions: dict[str, int] = {}
    async with hostile_gate() as (gate, pool):
        for mail in hostile_mails():
            before = time.process_time() + pool.cpu_s()
            answer = await judge_case(gate, case(mail.message))
            costs.append((time.process_time() + pool.cpu_s() - before, mail.trick))
            actions[answer.verdict.action] = actions.get(answer.verdict.action, 0) + 1
            assert "4.3.0" not in answer.verdict.reply, mail.trick
        most_bytes = pool.most_bytes
    costs.sort(reverse=True)
    print(f"{len(costs)} hostile mails: {actions}; slowest {costs[:5]}; a worker's memory {most_bytes >> 20} MiB")
    assert costs[0][0] <= MOST_CPU_S
    assert most_bytes <= MOST_BYTES


def shown(message: bytes) -> Iterator[bytes]:
    """Yield the files that Python's mail program shows; it is one of many, and reads as leniently as they do."""
    with contextlib.suppress(RecursionError):
        for part in email.message_from_bytes(message).walk():
            if not part.is_multipart():
                with contextlib.suppress(ValueError, LookupError):
                    octets = part.get_payload(decode=True)
                    if isinstance(octets, bytes):
                        yield octets


async def test_a_test_text_among_two_thousand_parts_is_seen_in_time(clamd: Clamd) -> None:
    """Each of the parts is another, so that none is left out, and the structure is in doubt."""
    gate = make_gate(
        settings_of(Virus()), Notes(), scanner=Scanner(parse_endpoint(clamd.unix_address), 20.0, 4, None)
    )
    parts = [b"\r\n%d\r\n" % number for number in range(1_900)]
    parts[1_000] = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(EICAR).replace(b"\n", b"\r\n")
    body = b"".join(b"--b1 \r\n" + part for part in parts) + b"--b1--\r\n"
    answer = await judge_case(gate, case(b"Content-Type: multipart/mixed; boundary=b1\r\n\r\n" + body))
    assert answer.verdict.action is Action.REJECT


async def test_clamd_sees_the_test_text_wherever_a_mail_program_would(clamd: Clamd) -> None:
    """A mail that is nested deeper than is looked is held instead."""
    gate = make_gate(
        settings_of(Virus(), Uninspectable()),
        Notes(),
        scanner=Scanner(parse_endpoint(clamd.unix_address), 20.0, 4, None),
    )
    large: Counter[str] = Counter()
    infected = []
    for mail in hostile_mails(400):
        large[mail.trick] += len(mail.message) > LARGE_BYTES
        if large[mail.trick] <= MOST_LARGE and any(octets.strip() == EICAR for octets in shown(mail.message)):
            infected.append(mail)
    passed: set[str] = set()
    for mail in infected:
        answer = await judge_case(gate, case(mail.message))
        is_held = answer.verdict.action is Action.QUARANTINE and any(
            defect.startswith("more than") for defect in answer.defects
        )
        if answer.verdict.action is not Action.REJECT and not is_held:
            passed.add(mail.trick)
    print(f"a mail program shows the test text in {len(infected)} of the hostile mails")
    assert len(infected) > 110
    assert passed == set()
