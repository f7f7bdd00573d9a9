"""Fixtures of the private servers in tests.lab.

A server that is not installed fails the tests that need it and is told by its Debian package's name;
nothing is skipped.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.lab.clamd import Clamd
from tests.lab.commands import Run, runner
from tests.lab.libmilter import Libmilter
from tests.lab.mailgate import Config
from tests.lab.redis import Redis, RedisCluster
from tests.lab.rspamd import Rspamd
from tests.lab.system import MailSystem, mail_system

from mailgate.ledger.opening import open_store
from mailgate.ledger.store import Store

MailSystemFactory = Callable[..., MailSystem]


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """A clamd that finds the EICAR test text; a test that stops, freezes or limits one makes its own."""
    with Clamd() as server:
        yield server


@pytest.fixture(scope="session")
def rspamd() -> Iterator[Rspamd]:
    """An rspamd that knows the GTUBE test text."""
    with Rspamd() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis shared by all tests: each uses a key prefix or database of its own, or FLUSHALL first."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters, shared as redis_server is."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "redis", "cluster"])
async def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Store]]:
    """A function that opens the same, at first empty store, as several workers do."""
    url = "sqlite:mailgate.db"
    if request.param == "redis":
        server: Redis = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        url = server.url
    elif request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        url = cluster.url
    opened: list[Store] = []

    def make() -> Store:
        opened.append(open_store(url, tmp_path))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
def store(make_store: Callable[[], Store]) -> Store:
    """An empty store."""
    return make_store()


@pytest.fixture(scope="session")
def libmilter() -> Iterator[Libmilter]:
    """The libmilter door, whose gate a test sets."""
    with Libmilter() as server:
        yield server


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs a command in a folder of its own, where mailgate.toml is `config`."""
    return runner(tmp_path)


@pytest.fixture
def make_mail_system() -> Iterator[MailSystemFactory]:
    """A function that starts a Postfix, its Mailgate and a sink, all stopped at the end of the test.

    Its arguments are those of tests.lab.system.mail_system.
    """
    with ExitStack() as running:

        def make(config: Config, **arguments: Any) -> MailSystem:
            return running.enter_context(mail_system(config, **arguments))

        yield make
