"""The web door: is it alive, is it ready and what is not, what has it counted in all its processes."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.lab.clamd import EICAR, Clamd
from tests.lab.daemon import Daemon
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICER, OUTSIDER, letter, letter_with
from tests.lab.mta import Letter, Mta
from tests.lab.redis import Redis
from tests.lab.rspamd import Rspamd
from tests.lab.system import mail_system
from tests.lab.waiting import wait_until

WORKERS = 2


def get(mailgate: Mailgate, path: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with urllib.request.urlopen(mailgate.http_url + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def get_json(mailgate: Mailgate, path: str) -> tuple[int, Any]:
    """Return the status and the object of a page."""
    status, text = get(mailgate, path)
    return status, json.loads(text)


Sample = tuple[str, tuple[tuple[str, str], ...]]


def metrics(mailgate: Mailgate) -> Mapping[Sample, float]:
    """Return every sample of /metrics by its name and its labels."""
    status, text = get(mailgate, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def mails(action: str, rule: str = "none") -> Sample:
    """Return the name of a counter of verdicts."""
    return "mailgate_mails_total", (("action", action), ("rule", rule))


# -- health ----------------------------------------------------------------------------------------


def test_a_daemon_with_all_its_services_is_ready(clamd: Clamd, rspamd: Rspamd) -> None:
    config = {"clamav": {"address": clamd.unix_address}, "spam": {"url": rspamd.url}}
    with Mailgate(config) as mailgate:
        # The workers show that they live each half second: the first time may still be to come.
        wait_until(lambda: get(mailgate, "/healthz")[0] == 200, 5, "the workers to show that they live")
        wait_until(lambda: get_json(mailgate, "/healthz")[1]["workers"] == WORKERS, 5, "all of them")
        status, body = get_json(mailgate, "/readyz")
        assert (status, body["ready"]) == (200, True)
        assert {name: found["ok"] for name, found in body["dependencies"].items()} == dict.fromkeys(
            ("store", "incidents", "clamd", "rspamd"), True
        )
        assert get(mailgate, "/nothing")[0] == 404


@contextmanager
def without(server: Daemon) -> Iterator[None]:
    """Stop a server for as long as the block lasts."""
    server.stop()
    yield
    server.start()


def test_what_is_down_is_named() -> None:
    with Clamd() as clamd, Rspamd() as rspamd, Redis() as redis:
        config = {
            "clamav": {"address": clamd.unix_address},
            "spam": {"url": rspamd.url},
            "store": {"url": redis.url},
        }
        with Mailgate(config) as mailgate:
            wait_until(lambda: get(mailgate, "/readyz")[0] == 200, 5, "the daemon to be ready")
            servers: tuple[tuple[str, Daemon, int], ...] = (
                ("clamd", clamd, 503),
                ("rspamd", rspamd, 200),  # mail passes without it: on_error is accept
                ("store", redis, 503),
            )
            for name, server, wanted in servers:
                with without(server):
                    status, body = get_json(mailgate, "/readyz")
                    assert (status, body["ready"]) == (wanted, wanted == 200), name
                    assert [other for other, found in body["dependencies"].items() if not found["ok"]] == [name]
                    assert body["dependencies"][name]["required"] == (wanted == 503)
                    assert body["dependencies"][name]["detail"]
                    assert get(mailgate, "/healthz")[0] == 200
                assert get(mailgate, "/readyz")[0] == 200, f"{name} is back"
            incidents = mailgate.folder / "incidents"
            incidents.rename(incidents.with_name("kept"))
            incidents.write_text("a file where the folder should be")
            status, body = get_json(mailgate, "/readyz")
            assert (status, body["dependencies"]["incidents"]["ok"]) == (503, False)


def test_a_hanging_service_does_not_hang_the_answer() -> None:
    with Clamd() as clamd, Mailgate({"clamav": {"address": clamd.unix_address}}) as mailgate:
        wait_until(lambda: get(mailgate, "/readyz")[0] == 200, 5, "the daemon to be ready")
        clamd.freeze()
        status, body = get_json(mailgate, "/readyz")
        clamd.thaw()
        assert (status, body["dependencies"]["clamd"]["ok"]) == (503, False)
        assert "no answer within" in body["dependencies"]["clamd"]["detail"]


# -- metrics ---------------------------------------------------------------------------------------


@pytest.fixture
def mailgate() -> Iterator[Mailgate]:
    """A daemon of two workers."""
    with Mailgate({"workers": {"count": WORKERS}}) as running:
        yield running


def test_metrics_count_across_workers(mailgate: Mailgate) -> None:
    """One worker at a time is made to stand still, so that the other takes all mail."""
    workers = mailgate.workers()[:WORKERS]
    counts = (3, 4)
    for still, count in zip(workers, counts, strict=True):
        os.kill(still, signal.SIGSTOP)
        for _ in range(count):
            with Mta(mailgate.milter) as mta:
                assert mta.deliver(Letter()).action == "accept"
        os.kill(still, signal.SIGCONT)
    seen = metrics(mailgate)
    assert seen[mails("accept")] == sum(counts)
    assert seen["mailgate_connections_total", ()] == sum(counts)
    assert seen["mailgate_seconds_count", (("stage", "mail"),)] == sum(counts)
    assert seen["mailgate_events_total", ()] == sum(counts)
    wait_until(
        lambda: metrics(mailgate)["mailgate_open_connections", ()] == 0, 5, "the connections to be seen closed"
    )


def test_a_worker_that_dies_takes_no_count_with_it(mailgate: Mailgate) -> None:
    with Mta(mailgate.milter) as mta:
        mta.deliver(Letter())
    before = mailgate.workers()[:WORKERS]
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: metrics(mailgate)["mailgate_worker_restarts_total", ()] == WORKERS, 5, "two restarts")
    wait_until(lambda: metrics(mailgate)["mailgate_open_connections", ()] == 0, 5, "the new workers' gauges")
    assert metrics(mailgate)[mails("accept")] == 1


def test_verdicts_are_counted_by_rule(clamd: Clamd) -> None:
    with mail_system({"clamav": {"address": clamd.unix_address}}) as system:
        system.receive(OUTSIDER, [OFFICER], letter_with(EICAR))
        system.receive(OUTSIDER, [OFFICER], letter(f"X-Forwarded-For: a@gmail.com {OFFICER}"))
        system.receive(OUTSIDER, [OFFICER], letter())
        seen = metrics(system.mailgate)
    assert seen[mails("reject", "virus")] == 1
    assert seen[mails("reject", "auto-forward")] == 1
    assert seen[mails("accept")] == 1
    assert seen["mailgate_findings_total", (("mode", "enforce"), ("rule", "virus"))] == 1
    assert seen["mailgate_findings_total", (("mode", "enforce"), ("rule", "spam"))] == 0, "told though it is 0"
    assert seen["mailgate_seconds_count", (("stage", "clamd"),)] == 3
