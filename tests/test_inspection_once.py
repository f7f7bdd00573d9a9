"""A daemon worker has the same file looked into once: for all recipients of a mail, for all mails that bear it."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.lab.documents import docx
from tests.lab.mails import OFFICER, OUTSIDER, base64_part, multipart
from tests.lab.ports import free_port
from tests.lab.system import MailSystem, mail_system
from tests.test_http_door import metrics

CIRCULAR = base64_part(docx("Giấy mời họp", "Kính gửi các đơn vị"), 'name="giay-moi.docx"')
UNITS = [f"don-vi-{number}@hanam.gov.vn" for number in range(50)]


def counted(system: MailSystem) -> tuple[float, float]:
    """Return how many jobs workers were given, and how many files were known."""
    samples = metrics(system.mailgate)
    return samples["mailgate_inspection_jobs_total", ()], samples["mailgate_inspection_known_total", ()]


def test_a_circular_is_looked_into_once() -> None:
    with mail_system({"workers": {"count": 1}}) as system:
        assert system.receive(OUTSIDER, UNITS, multipart(CIRCULAR)).status == "250 2.0.0"
        assert counted(system) == (1, 0)
        for unit in UNITS:
            assert system.receive(OUTSIDER, [unit], multipart(CIRCULAR)).status == "250 2.0.0"
        assert counted(system) == (1, len(UNITS))


@pytest.mark.parametrize("workers", [1, 2])
def test_of_many_at_once_one_is_looked_into(workers: int) -> None:
    with mail_system({"workers": {"count": workers}}) as system, ThreadPoolExecutor(20) as senders:
        sent = senders.map(system.receive, itertools.repeat(OUTSIDER), [[unit] for unit in UNITS], map(new, UNITS))
        assert {outcome.status for outcome in sent} == {"250 2.0.0"}
        jobs, known = counted(system)
        assert 1 <= jobs <= workers
        assert jobs + known == len(UNITS)


def new(unit: str) -> bytes:
    """Return a mail of its own with the circular."""
    return multipart(CIRCULAR, fields=(f"X-Unit: {unit}",))


def test_another_file_or_another_name_is_looked_into() -> None:
    other = base64_part(docx("Giấy mời họp khác"), 'name="giay-moi.docx"')
    renamed = CIRCULAR.replace(b"giay-moi.docx", b"giay-moi.docx.exe")
    with mail_system({"workers": {"count": 1}}) as system:
        for part, status in ((CIRCULAR, "250 2.0.0"), (other, "250 2.0.0"), (renamed, "550 5.7.1")):
            assert system.receive(OUTSIDER, [OFFICER], multipart(part)).status == status
        assert counted(system) == (3, 0)


def test_what_leaves_is_not_looked_into_twice() -> None:
    milter = f"inet:127.0.0.1:{free_port()}"
    hooks = [{"name": name, "listener": milter, "daemon_name": name.upper()} for name in ("submission", "egress")]
    config = {"listen": {"milter": [milter]}, "hook": hooks, "workers": {"count": 1}}
    with mail_system(config, egress=True) as system:
        assert system.submit(OFFICER, [OUTSIDER], multipart(CIRCULAR, author=OFFICER)).status == "250 2.0.0"
        system.sink.wait(1)
        assert counted(system) == (1, 0)
