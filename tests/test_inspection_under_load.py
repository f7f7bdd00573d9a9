"""Inspection workers that are killed, that stand still, that lose what they are born of: all under load, in Postfix.

No mail is lost, none passes uninspected, and one that a worker fell with delays no other.
"""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.lab.documents import docx
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICER, OUTSIDER, base64_part, letter, multipart
from tests.lab.processes import alive, children, session_members
from tests.lab.smtp_client import Outcome
from tests.lab.system import MailSystem, mail_system
from tests.lab.traffic import Sent, Traffic
from tests.lab.waiting import wait_until

PER_SECOND = 30.0
STRIKES = 6
WORKERS = 2
WALL_S = 2.0
DEADLINE_S = 10.0  # so long after a reload the old limits' workers end
NUMBER = "X-Number"
LOOKED_INTO = 3  # the number of a mail that a worker looks into, and that arrives
CONFIG = {
    "workers": {"count": WORKERS, "deadline_s": DEADLINE_S},
    "lists": {"path": str(Path(__file__).parents[1] / "config" / "lists")},
    "rules": {"sending-rate": {"mode": "off"}},
}


def is_secret(number: int) -> bool:
    """Tell whether the mail of this number bears a mark and goes out."""
    return number % 10 == 0


def mail_of(system: MailSystem, number: int) -> Outcome:
    """Send a mail: one in ten is secret and goes out, of the others a third each has a new docx, is HTML, is text."""
    field = f"{NUMBER}: {number}"
    if is_secret(number):
        return system.submit(OFFICER, [OUTSIDER], with_docx(field, "TỐI MẬT", f"Số: {number}/BC", author=OFFICER))
    if number % 3 == 0:
        return system.receive(OUTSIDER, [OFFICER], with_docx(field, f"Báo cáo tháng số {number}"))
    if number % 3 == 1:
        head = f"From: {OUTSIDER}\r\nTo: {OFFICER}\r\n{field}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        return system.receive(OUTSIDER, [OFFICER], f"{head}<p>Kính gửi</p><p>Báo cáo {number}</p>\r\n".encode())
    return system.receive(OUTSIDER, [OFFICER], letter(field))


def with_docx(field: str, *lines: str, author: str = OUTSIDER) -> bytes:
    """Return a mail with a document of these lines."""
    mail = multipart(base64_part(docx(*lines), 'name="bao-cao.docx"'), fields=(field,))
    return mail.replace(f"<{OUTSIDER}>".encode(), f"<{author}>".encode(), 1)


def nurseries(mailgate: Mailgate) -> list[int]:
    """Return the processes that inspection workers are born of."""
    return [nursery for worker in mailgate.workers() for nursery in children(worker)]


def inspectors(mailgate: Mailgate) -> list[int]:
    """Return the inspection workers."""
    return [process for nursery in nurseries(mailgate) for process in children(nursery)]


@contextmanager
def inspecting(**section: object) -> Iterator[MailSystem]:
    """Run a system whose inspection workers are at work; section: keys of [inspection]."""
    with mail_system({**CONFIG, "inspection": {"wall_s": WALL_S, **section}}) as system:
        warming = 0

        def is_warm() -> bool:
            nonlocal warming
            assert mail_of(system, LOOKED_INTO).status == "250 2.0.0"
            warming += 1
            born_of = nurseries(system.mailgate)
            return len(born_of) == WORKERS and all(map(children, born_of))

        wait_until(is_warm, 30, "an inspection worker of each daemon worker")
        system.sink.wait(warming)
        system.sink.clear()
        yield system


@contextmanager
def load(system: MailSystem) -> Iterator[Traffic]:
    """Send mails."""
    with Traffic(lambda number: mail_of(system, number), PER_SECOND) as traffic:
        traffic.wait(30)
        yield traffic


def held(system: MailSystem) -> set[str]:
    """Return the queue ids of the mails that are held."""
    return {mail["queue_id"] for mail in system.postfix.queue() if mail["queue_name"] == "hold"}


def accounted(system: MailSystem, sent: Collection[Sent]) -> Mapping[str, int]:
    """Return what became of the mails; each is delivered, held or answered otherwise, and no secret is delivered."""
    accepted = [one.queue_id for one in sent if one.queue_id]
    wait_until(
        lambda: len(system.sink.mails()) + len(held(system)) >= len(accepted), 20, "all mails to arrive or be held"
    )
    delivered = Counter(int(mail.header(NUMBER) or b"-1") for mail in system.sink.mails())
    in_hold = held(system)
    became: Counter[str] = Counter()
    for one in sent:
        places = [delivered[one.number] == 1, one.queue_id in in_hold, not one.queue_id]
        assert places.count(True) == 1, (one, places)
        kind = ("delivered", "held", one.reply[:9])[places.index(True)]
        became[f"secret {kind}" if is_secret(one.number) else kind] += 1
    assert sum(delivered.values()) == became["delivered"]
    assert became["secret delivered"] == 0
    return became


def report(title: str, traffic: Traffic, became: Mapping[str, int]) -> None:
    """Say what was measured."""
    shown = ", ".join(f"{kind} {count}" for kind, count in sorted(became.items()))
    times = ", ".join(f"p{100 * share:g} {traffic.percentile(share):.3f} s" for share in (0.5, 0.95, 0.99, 1))
    print(f"\n{title}: {len(traffic.sent)} mails: {shown}; {times}; longest gap {traffic.longest_gap():.3f} s")


# -- workers that fall -----------------------------------------------------------------------------


def strike(system: MailSystem, traffic: Traffic, number: signal.Signals) -> int:
    """Send a signal to an inspection worker of each daemon worker, again and again; return to how many.

    The next is struck once a mail has met with the one before, and has had its other try: what becomes of a mail that
    meets two of them is another matter.
    """
    chance = random.Random(1)
    struck = 0
    while struck < STRIKES:
        victims = []
        for born_of in nurseries(system.mailgate):
            wait_until(partial(children, born_of), 10, "a worker")
            with contextlib.suppress(ProcessLookupError, IndexError):  # it has done its job
                victim = chance.choice(children(born_of))
                os.kill(victim, number)
                victims.append(victim)
        struck += len(victims)
        for victim in victims:
            wait_until(partial(is_gone, victim), 10, "a mail to meet with a worker that was struck")
        traffic.wait(int(PER_SECOND / 3))
    return struck


def is_gone(process: int) -> bool:
    """Tell whether a process has ended."""
    return not alive(process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_workers_that_fall_lose_nothing_and_delay_nobody(number: signal.Signals) -> None:
    # One stands still in each daemon worker while wall_s passes: others must be left to work.
    with inspecting(workers=8) as system:
        with load(system) as traffic:
            struck = strike(system, traffic, number)
        became = accounted(system, traffic.sent)
        report(f"{struck} inspection workers sent {number.name}", traffic, became)
    assert not [one.reply for one in traffic.sent if not one.queue_id], "a worker that falls defers no mail"
    assert became["held"] == 0, "nor is a mail held for it: it has another try"
    assert traffic.longest_gap() < 1.0
    # A mail that a worker fell with waits for it, and once; no other does.
    assert len([one for one in traffic.sent if one.seconds > 1.0]) <= struck
    assert traffic.percentile(1) < WALL_S + 1


def test_without_what_workers_are_born_of_mail_waits_or_is_deferred_and_none_passes() -> None:
    kills = 6
    with inspecting() as system:
        with load(system) as traffic:
            for turn in range(kills):
                victim = nurseries(system.mailgate)[turn % WORKERS]
                os.kill(victim, signal.SIGKILL)
                traffic.wait(int(2 * PER_SECOND))
                wait_until(partial(is_replaced, system.mailgate, victim), 20, "another nursery")
        became = accounted(system, traffic.sent)
        report(f"{kills} nurseries killed", traffic, became)
    assert {one.reply[:9] for one in traffic.sent if not one.queue_id} <= {"451 4.7.1"}
    assert traffic.longest_gap() < 1.0
    # Another loads its libraries in half a second, and who needs it waits for so long.
    assert traffic.percentile(0.5) < 0.5


def is_replaced(mailgate: Mailgate, victim: int) -> bool:
    """Tell whether a nursery is gone and there is another in its place."""
    found = nurseries(mailgate)
    return victim not in found and len(found) == WORKERS


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_no_inspection_process_outlives_its_daemon(number: signal.Signals) -> None:
    with inspecting() as system, load(system):
        wait_until(lambda: len(inspectors(system.mailgate)) >= WORKERS, 10, "a worker of each daemon worker")
        processes = [*nurseries(system.mailgate), *inspectors(system.mailgate)]
        started = time.monotonic()
        ended = system.mailgate.kill() if number is signal.SIGKILL else system.mailgate.stop()
        assert ended == (-9 if number is signal.SIGKILL else 0)
        wait_until(lambda: not any(map(alive, processes)), 2, "every inspection process to end")
        wait_until(lambda: not session_members(system.mailgate.pid), 2, "every process to end")
        print(f"\n{number.name}: {len(processes)} inspection processes gone after {time.monotonic() - started:.2f} s")


def test_reloads_under_load_keep_the_workers_while_their_limits_hold() -> None:
    reloads = 20
    with inspecting() as system:
        before = nurseries(system.mailgate)
        with load(system) as traffic:
            for _ in range(reloads):
                assert system.mailgate.reload()["event"] == "reloaded"
                traffic.wait(int(0.3 * PER_SECOND))
        assert nurseries(system.mailgate) == before
        report(f"{reloads} reloads", traffic, accounted(system, traffic.sent))
        assert not [one.reply for one in traffic.sent if not one.queue_id]
        assert not [line for line in system.mailgate.log() if line["level"] in ("error", "critical")]
        system.mailgate.configure({**CONFIG, "inspection": {"wall_s": WALL_S + 1}})
        system.mailgate.reload()
        wait_until(lambda: not set(before) & set(living_nurseries(system)), 2 * DEADLINE_S, "others")


def living_nurseries(system: MailSystem) -> list[int]:
    """Return the nurseries while mail comes in."""
    assert mail_of(system, LOOKED_INTO).status == "250 2.0.0"
    return nurseries(system.mailgate)
