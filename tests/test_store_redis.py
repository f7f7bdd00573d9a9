"""A Redis as a site sets it up: users, TLS, versions, eviction; and the move there from the embedded store."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICE, OFFICER
from tests.lab.redis import Redis, RedisCluster
from tests.lab.system import lock, ordered, revoke
from tests.test_ledger import AFTER_ALL, NOON, all_days, received, registered, sent

from mailgate.ledger.moving import contents_of
from mailgate.ledger.opening import open_store
from mailgate.ledger.store import Activity, Batch, Counts, Mails, Observed, StoreError
from mailgate.model import Beat, Exemption, MailClass, Trace

RIGHTS = "~mailgate:* +@all -@admin -@dangerous +info"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Redis]:
    """A Redis whose default user is off."""
    with Redis() as redis:
        for rule in (
            f"mailgate on >geheim {RIGHTS}",
            f"reader on >geheim {RIGHTS} -@write",
            f"noscript on >geheim {RIGHTS} -@scripting",
            "elsewhere on >geheim ~other:* +@all",
        ):
            assert redis.ask(f"ACL SETUSER {rule}") == "+OK"
        redis.ask("ACL SETUSER default on >root")
        yield redis


@pytest.mark.parametrize(
    ("user", "wants"),
    [
        ("mailgate:geheim", []),
        ("mailgate:falsch", ["USER:PASSWORD"]),
        ("reader:geheim", ["SET: ", "EVAL: ", "ACL SETUSER"]),
        ("noscript:geheim", ["EVAL: ", "ACL SETUSER"]),
        ("elsewhere:geheim", ["ACL SETUSER"]),
    ],
)
def test_doctor_names_the_right_that_is_missing(guarded: Redis, user: str, wants: list[str]) -> None:
    with Redis() as other, Mailgate({"store": {"url": other.url}}) as mailgate:
        mailgate.configure({"store": {"url": f"redis://{user}@127.0.0.1:{guarded.port}/0"}})
        done = mailgate.run("doctor")
    text = done.stdout + done.stderr
    assert [want for want in wants if want not in text] == [], text
    assert ("FAIL" in text) == bool(wants), text
    assert "geheim" not in text


def test_doctor_names_a_server_that_evicts() -> None:
    evicting = "maxmemory 100mb\nmaxmemory-policy allkeys-lru\n"
    with Redis(settings=evicting) as redis, Mailgate({"store": {"url": redis.url}}) as mailgate:
        text = mailgate.run("doctor").stdout
    assert "maxmemory-policy noeviction" in text


def test_doctor_names_a_server_that_lacks_a_command() -> None:
    with Redis(settings='rename-command EVAL ""\n') as redis, Mailgate({"store": {"url": redis.url}}) as mailgate:
        text = mailgate.run("doctor").stdout
    assert "FAIL" in text
    assert "Redis 6.2 or later" in text


async def test_a_user_with_the_rights_that_are_named_can_do_all(guarded: Redis, tmp_path: Path) -> None:
    store = open_store(f"redis://mailgate:geheim@127.0.0.1:{guarded.port}/0", tmp_path)
    await store.commit(Batch([sent(), Beat(NOON)], "run-a", 1, "mail1"))
    assert await store.complaints() == []
    assert (await store.activity(OFFICER)).sent == 1
    await store.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of 127.0.0.1, its key, and itself as its authority."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


async def test_tls(certificates: Path, tmp_path: Path) -> None:
    pair = f"tls-cert-file {certificates}/cert.pem\ntls-key-file {certificates}/key.pem\n"
    with Redis(settings=f"{pair}tls-ca-cert-file {certificates}/cert.pem\ntls-auth-clients no\n") as redis:
        redis.ask(f"CONFIG SET tls-port {redis.tls_port}")
        url = f"rediss://127.0.0.1:{redis.tls_port}/0"
        store = open_store(f"{url}?ssl_ca_certs={certificates}/cert.pem", tmp_path)
        await store.commit(Batch([sent()], "run-a", 1))
        assert (await store.activity(OFFICER)).sent == 1
        await store.close()
        stranger = open_store(url, tmp_path)
        with pytest.raises(StoreError, match="ssl_ca_certs"):
            await stranger.states_version()
        await stranger.close()


# -- the move ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["redis", "cluster"])
async def test_an_embedded_site_moves_whole(
    kind: str, redis_server: Redis, redis_cluster: RedisCluster, tmp_path: Path
) -> None:
    redis_server.ask("FLUSHALL")
    redis_cluster.flush()
    url = redis_server.url if kind == "redis" else redis_cluster.url
    orders = [lock(OFFICER), revoke(OFFICE), ("mailboxes", "restore", OFFICER, "--document", "14/QĐ")]
    mailgate = ordered(Mailgate({}), orders)
    try:
        source = open_store("sqlite:mailgate.db", mailgate.folder)
        events = [sent(f"nhan{n}@hanam.gov.vn", NOON + n * 3_600.0) for n in range(2_500)]
        events += [received(OFFICER, NOON + n, kind) for n, kind in enumerate(MailClass)]
        events += [sent(OFFICER, NOON + n, kind=kind) for n, kind in enumerate(MailClass)]
        events.append(sent("scan@hanam.gov.vn", kind=MailClass.AUTOMATIC))
        await source.commit(
            Batch([*events, Trace(17, 18, b"[1]", NOON + 9_000_000), Beat(NOON)], "run-a", 5, "mail1")
        )
        await source.register([registered(OFFICE, kind="unit"), registered()])
        await source.add_exemption(Exemption("auto-forward", OFFICER, "", NOON, "1/CV"))
        wanted, days = await contents_of(source), await all_days(source)
        # Whoever was restored is idle since then: by the real clock, which the events' times know nothing of.
        idle = [await source.idle(Counts.HUMAN, before) for before in (NOON + 3_600, AFTER_ALL)]
        secret = await source.secret()
        await source.close()
        done = mailgate.run("store", "move", "--to", url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("2503 mailboxes, 1 traces, 3 states, 2 registrations, 1 exemptions")
        again = mailgate.run("store", "move", "--to", url)
        assert (again.returncode, "mailboxes already" in again.stderr) == (1, True)
    finally:
        mailgate.close()
    target = open_store(url, tmp_path)
    assert await contents_of(target) == wanted
    assert await all_days(target) == days
    assert await target.secret() == secret
    assert await target.recall([17, 18]) == [(17, b"[1]"), (18, b"[1]")]
    assert await target.observed() == [Observed("mail1", NOON, NOON)]
    await target.commit(Batch([sent()], "run-a", 5))
    assert await contents_of(target) == wanted, "the last batch was counted before"
    assert [await target.idle(Counts.HUMAN, before) for before in (NOON + 3_600, AFTER_ALL)] == idle
    assert "nhan0@hanam.gov.vn" in {one.mailbox for one in idle[0]}
    assert OFFICER in {one.mailbox for one in idle[1]}
    await target.close()


async def test_what_version_0_1_kept_is_taken_over(redis_server: Redis, tmp_path: Path) -> None:
    redis_server.ask("FLUSHALL")
    state = '{"address":"%s","status":"%s","clause":"7.2b","reason":"r","document":"1/QD","at":"2026-11-2%d"}'
    first, second = state % (OFFICER, "locked", 0), state % (OFFICE, "locked", 1)
    last = state % (OFFICER, "active", 2)
    for command in (
        f"HSET mailgate:states {OFFICER} '{last}' {OFFICE} '{second}'",
        f"RPUSH mailgate:history:{{{OFFICER}}} '{first}' '{last}'",
        f"RPUSH mailgate:history:{{{OFFICE}}} '{second}'",
        "SET mailgate:states:version 3",
        "SET mailgate:secret 0123456789abcdef0123456789abcdef",
        f"SADD mailgate:mailboxes {OFFICER}",
        f"HSET mailgate:activity:{{{OFFICER}}} sent 3 sent_octets 30 sent_first 100.5 sent_last 200.5 "
        "received 4 received_octets 40 received_first 90.5 received_last 190.5",
    ):
        assert not redis_server.ask(command).startswith("-")
    store = open_store(redis_server.url, tmp_path)
    assert [one.status for one in (await store.states()).values()] == ["active", "locked"]
    assert [(one.address, one.status) for one in await store.changes()] == [
        (OFFICER, "locked"),
        (OFFICE, "locked"),
        (OFFICER, "active"),
    ]
    assert await store.states_version() == 3
    assert await store.secret() == b"0123456789abcdef0123456789abcdef"
    human, by_people = {MailClass.HUMAN: Mails(4, 190)}, {MailClass.HUMAN: Mails(3, 200)}
    assert await store.activity(OFFICER) == Activity(OFFICER, 3, 4, 30, 40, 100, 200, 190, "", human, by_people)
    assert [one.mailbox for one in await store.idle(Counts.HUMAN, 201)] == [OFFICER]
    assert redis_server.ask("EXISTS mailgate:states mailgate:mailboxes mailgate:secret") == ":0"
    await store.close()
