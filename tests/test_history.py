"""What is remembered of mails and known again of their copies, on SQLite and on a real Redis."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from tests.lab.redis import Redis

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.ledger.fresh import Fresh
from mailgate.ledger.history import History
from mailgate.ledger.journal import Journal, read
from mailgate.ledger.opening import open_store
from mailgate.ledger.sqlite import SqliteStore
from mailgate.ledger.store import MOST_OF_ONE, Batch, Store, StoreError
from mailgate.mailboxes.states import StateFollower
from mailgate.model import Envelope, Exemption, Mail, Memory, Session, Verdict

DAY_S = 86_400.0
NOW = 1_795_000_000.0
HOST = "mx.hanam.gov.vn"
OFFICER, OFFICE = "ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn"
AUTHOR, OUTSIDE, OTHER = "lan@example.com", "lan@gmail.com", "nam@gmail.com"
ORGANIZATION = Organization(
    frozenset({"hanam.gov.vn"}), hostnames=frozenset({HOST}), state_domains=frozenset({"gov.vn"})
)


def mail(
    *recipients: str,
    hook: str = "mx",
    client: str = "203.0.113.7",
    sender: str = AUTHOR,
    login: str = "",
    queue_id: str = "",
    message_id: str = "<1@example.com>",
    received: tuple[str, ...] = (),
    digest: bytes = b"what is in it",
) -> Mail:
    """Return a mail; `received` are queue ids of Received lines of ours, newest first."""
    envelope = Envelope(sender.encode(), sender, (), {r: (r.encode(),) for r in recipients}, login)
    headers = [
        (b"Received", f" from a (b [203.0.113.7])\n\tby {HOST} (Postfix) with ESMTP id {i}; Tue".encode())
        for i in received
    ]
    if message_id:
        headers.append((b"Message-ID", f" {message_id}".encode()))
    made = Mail(Identity(ORGANIZATION), Session(hook, client, mta=HOST), envelope, headers)
    made.queue_id = queue_id
    made.digest = digest
    return made


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, redis_server: Redis) -> AsyncIterator[Store]:
    redis_server.ask("FLUSHALL")
    opened = open_store(redis_server.url if request.param == "redis" else "sqlite:mailgate.db", tmp_path)
    yield opened
    await opened.close()


class Site:
    """One machine before a store: what it takes in is in the store at once, unless `late`."""

    def __init__(self, store: Store, fresh: Fresh | None = None, late_s: float = 0) -> None:
        self.store = store
        self.history = History(store, fresh or Fresh(), 14 * DAY_S, late_s=late_s)

    async def take_in(self, taken: Mail, at: float = NOW, late: bool = False) -> None:
        await self.history.load()
        traces = self.history.traces(taken, Verdict(), at)
        if not late:
            await self.store.commit(Batch(traces))

    async def ask(self, copy: Mail, at: float = NOW + 1) -> Mail:
        """Ask of a mail's past, by both ways where the store answers at once."""
        await self.history.load()
        at_once = self.history.ask_at_once(copy, at)
        said = copy.passages, copy.memory
        await self.history.ask(copy, at)
        assert not at_once or said == (copy.passages, copy.memory)
        return copy


async def test_a_copy_is_joined_by_its_queue_id(store: Store) -> None:
    site = Site(store)
    await site.take_in(mail(OFFICER, queue_id="AAAA1", message_id="<x@y>"))
    copy = await site.ask(mail(OUTSIDE, hook="egress", received=("CCCC1", "AAAA1"), message_id="<other@y>"))
    (passage,) = copy.passages
    assert (passage.queue_id, passage.mailboxes) == ("AAAA1", (OFFICER,))
    assert (passage.addressed, passage.is_same) == (frozenset(), False)
    assert copy.memory == Memory()


async def test_a_submitted_mail_is_known_as_addressed(store: Store) -> None:
    site = Site(store)
    sent = mail(OFFICE, OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, queue_id="BBBB1")
    assert not site.history.settles(sent)
    await site.ask(sent)
    await site.take_in(sent)
    leaving = await site.ask(mail(OUTSIDE, OTHER, hook="egress", sender=OFFICER, received=("BBBB1",)))
    (passage,) = leaving.passages
    assert passage.addressed == {OUTSIDE}
    assert (passage.is_same, passage.was_asked, passage.login) == (True, True, OFFICER)
    assert passage.is_unchanged
    memory = leaving.memory
    assert memory == Memory((OFFICE,), was_submitted=True, is_submitter=False, addressed=frozenset({OUTSIDE}))
    again = await site.ask(mail(OTHER, hook="submission", login=OFFICER, sender=OFFICER))
    assert again.memory is not None
    assert again.memory.is_submitter


async def test_memory_gathers_deliveries_of_one_message_id(store: Store) -> None:
    site = Site(store)
    await site.take_in(mail(OFFICER, queue_id="AAAA1"))
    await site.take_in(mail(OFFICE, f"{OFFICER.replace('@', '+x@')}", queue_id="AAAA2"))
    copy = await site.ask(mail(OUTSIDE, hook="egress"))
    assert copy.memory is not None
    assert set(copy.memory.mailboxes) == {OFFICER, OFFICE}, "sub-addresses are their mailbox"


@pytest.mark.parametrize(("days", "known"), [(13.9, True), (14.1, False)])
async def test_traces_end(store: Store, days: float, known: bool) -> None:
    site = Site(store)
    await site.take_in(mail(OFFICER, queue_id="AAAA1"))
    site.history = History(store, Fresh(), 14 * DAY_S, late_s=0)  # another machine: nothing fresh
    copy = await site.ask(mail(OUTSIDE, hook="egress", received=("AAAA1",)), NOW + days * DAY_S)
    assert bool(copy.passages) is known
    assert copy.memory is not None
    assert bool(copy.memory.mailboxes) is known


async def test_a_queue_id_that_is_used_again_is_the_newest(store: Store) -> None:
    site = Site(store)
    await site.take_in(mail(OFFICER, queue_id="AAAA1"), NOW - DAY_S)
    await site.take_in(mail(OFFICE, queue_id="AAAA1", message_id="<2@example.com>"), NOW)
    copy = await site.ask(mail(OUTSIDE, hook="egress", received=("AAAA1",)))
    assert [passage.mailboxes for passage in copy.passages] == [(OFFICE,)]


async def test_what_is_refused_is_not_remembered(store: Store) -> None:
    site = Site(store)
    await site.history.load()
    traces = site.history.traces(
        mail(OFFICER, OFFICE, queue_id="AAAA1"), Verdict(recipient_replies={OFFICE: "550"}), NOW
    )
    await store.commit(Batch(traces))
    copy = await site.ask(mail(OUTSIDE, hook="egress", received=("AAAA1",)))
    assert [passage.mailboxes for passage in copy.passages] == [(OFFICER,)]
    assert site.history.traces(mail(OUTSIDE, hook="egress", queue_id="DDDD1"), Verdict(), NOW) == []
    assert site.history.traces(mail("a@example.com", queue_id="EEEE1"), Verdict(), NOW) == [], "none of ours in it"


async def test_a_message_id_that_is_repeated_for_ever_makes_no_look_up_long(store: Store) -> None:
    site = Site(store)
    await site.history.load()
    for start in range(0, 2 * MOST_OF_ONE, 100):
        mails = [mail(OFFICER, queue_id=f"AAAA{number}") for number in range(start, start + 100)]
        await store.commit(Batch([trace for one in mails for trace in site.history.traces(one, Verdict(), NOW)]))
    (key,) = {trace.message_key for trace in site.history.traces(mails[0], Verdict(), NOW)}
    assert len(await store.recall([key])) <= MOST_OF_ONE
    copy = await site.ask(mail(OUTSIDE, hook="egress"))
    assert copy.memory is not None
    assert copy.memory.mailboxes == (OFFICER,)


async def test_another_machine_s_trace_is_waited_for(store: Store) -> None:
    """The group commit of the node that took a mail in may be behind the copy that another node is shown."""
    first, second = Site(store), Site(store, late_s=0.2)
    taken = mail(OFFICER, queue_id="AAAA1")
    await first.history.load()
    traces = first.history.traces(taken, Verdict(), NOW)
    asked = asyncio.create_task(second.ask(mail(OUTSIDE, hook="egress", received=("AAAA1",))))
    await asyncio.sleep(0)
    await store.commit(Batch(traces))
    assert [passage.queue_id for passage in (await asked).passages] == ["AAAA1"]


async def test_workers_of_one_machine_know_at_once(store: Store) -> None:
    fresh = Fresh()
    one, other = Site(store, fresh), Site(store, fresh)
    sent = mail(OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, queue_id="BBBB1")
    await one.ask(sent)
    await one.take_in(sent, late=True)
    await other.history.load()
    leaving = mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",))
    assert other.history.settles(leaving), "nothing need be asked of the store"
    assert leaving.passages[0].addressed == {OUTSIDE}
    for unlike in (
        mail(OTHER, hook="egress", sender=OFFICER, received=("BBBB1",)),
        mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB2",)),
        mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",), message_id="<2@example.com>"),
        mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",), digest=b"something else"),
        mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",), digest=b""),
        mail(OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, received=("BBBB1",)),
    ):
        assert not other.history.settles(unlike)
    assert other.history.settles(mail(OFFICER)), "what does not leave need not be asked for"


async def test_a_mail_that_was_not_asked_for_proves_nothing(store: Store) -> None:
    """While the store was away nobody looked whether the mail itself was a copy."""
    fresh = Fresh()
    site = Site(store, fresh)
    await site.take_in(mail(OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, queue_id="BBBB1"))
    assert not site.history.settles(mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",)))


# What was in the mail when it was taken in, what is in the one that leaves, is it known to be the same?
CONTENTS = {
    "the same": (b"one", b"one", True),
    "another": (b"one", b"two", False),
    "unknown then": (b"", b"one", False),
    "unknown now": (b"one", b"", False),
    "never known": (b"", b"", False),
}


@pytest.mark.parametrize(("then", "now", "is_unchanged"), CONTENTS.values(), ids=CONTENTS)
async def test_a_mail_is_known_by_its_content(store: Store, then: bytes, now: bytes, is_unchanged: bool) -> None:
    site = Site(store)
    await site.take_in(mail(OUTSIDE, hook="submission", login=OFFICER, queue_id="BBBB1", digest=then))
    (passage,) = (await site.ask(mail(OUTSIDE, hook="egress", received=("BBBB1",), digest=now))).passages
    assert passage.is_unchanged is is_unchanged
    assert (passage.addressed, passage.is_same) == (frozenset({OUTSIDE}), True)


# How values were written, what follows "tokens" → (whether they are read, whether the content is known)
FORMS: dict[str, tuple[list[object], bool, bool]] = {
    "before contents were known": ([], True, False),
    "before authors were known": (["own"], True, True),
    "now": (["own", "author"], True, True),
    "a content that is no text": ([17], False, False),
    "more than is known here": (["own", "author", "more"], False, False),
}


@pytest.mark.parametrize(("more", "is_read", "is_unchanged"), FORMS.values(), ids=FORMS)
async def test_values_of_other_versions(store: Store, more: list[object], is_read: bool, is_unchanged: bool) -> None:
    site = Site(store)
    sent = mail(OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, queue_id="BBBB1")
    await site.history.load()
    (trace,) = site.history.traces(sent, Verdict(), NOW)
    *fields, content, author = orjson.loads(trace.value)
    own = {"own": content, "author": author}
    written = orjson.dumps(fields + [own.get(item, item) if isinstance(item, str) else item for item in more])
    await store.commit(Batch([trace._replace(value=written)]))
    site.history = History(store, Fresh(), 14 * DAY_S, late_s=0)  # another machine: nothing fresh
    copy = await site.ask(mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",)))
    assert [(passage.addressed, passage.is_unchanged) for passage in copy.passages] == (
        [(frozenset({OUTSIDE}), is_unchanged)] if is_read else []
    )


async def test_an_embedded_store_answers_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    site, is_embedded = Site(store, late_s=0.2), isinstance(store, SqliteStore)
    copy = mail(OUTSIDE, hook="egress", received=("AAAA1",))
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: 1.0)  # however busy this machine is
        assert not site.history.ask_at_once(copy, NOW), "the site's key is not there yet"
        await site.history.load()
        assert not site.history.ask_at_once(copy, NOW), "its trace may be late"
        assert (copy.passages, copy.memory) == ((), None)
        await site.take_in(mail(OFFICER, queue_id="AAAA1"))
        assert site.history.ask_at_once(copy, NOW) is is_embedded
        assert [passage.mailboxes for passage in copy.passages] == [(OFFICER,)] * is_embedded
        assert site.history.ask_at_once(mail(OUTSIDE, message_id=""), NOW) is is_embedded
        assert store.recall_at_once((), 1) == ([] if is_embedded else None)
    if is_embedded:
        clock = iter((1.0, 1.5, 1.6, 10.0, 12.0, 12.1)).__next__  # half a second of waiting for the disk
        monkeypatch.setattr(time, "perf_counter", lambda: clock())
        assert [store.recall_at_once((), 1) for _ in range(3)] == [[], None, None], "the loop does not wait again"
        assert store.recall_at_once((), 1) == []


async def test_a_store_that_cannot_be_read_at_once_is_asked_in_its_thread(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mailgate.db")
    assert store.recall_at_once((), 1) is None, "it is not open yet"
    await store.secret()
    with contextlib.closing(sqlite3.connect(tmp_path / "mailgate.db")) as other:
        other.execute("DROP TABLE trace")
    assert store.recall_at_once((), 1) is None
    with pytest.raises(StoreError):
        await store.recall([1])
    await store.close()
    assert store.recall_at_once((), 1) is None


async def test_the_site_s_key_is_one_and_outlives_the_store(store: Store, tmp_path: Path) -> None:
    assert await store.secret() == await store.secret()
    kept = tmp_path / "history.key"
    await History(store, Fresh(), DAY_S, kept).load()
    assert kept.read_bytes() == await store.secret()
    assert kept.stat().st_mode & 0o077 == 0

    class Away:
        is_shared = True

        async def secret(self) -> bytes:
            raise StoreError("away")

        async def recall(self, keys: object) -> list[tuple[int, bytes]]:
            raise StoreError("away")

        def recall_at_once(self, queue_keys: object, message_key: int) -> None:
            return None

    later = History(Away(), Fresh(), DAY_S, kept)
    await later.load()
    assert later.known
    with pytest.raises(StoreError):
        await later.ask(mail(OUTSIDE, hook="egress"), NOW)
    with pytest.raises(StoreError):
        await History(Away(), Fresh(), DAY_S, tmp_path / "none").load()


async def test_no_mail_is_taken_before_the_site_s_key_is_known(store: Store) -> None:
    """A mail that was taken in without being remembered would have copies that nobody knows."""
    away = True

    async def load() -> None:
        if away:
            raise StoreError("away")

    follower = StateFollower(store, lambda error: None, load)
    with pytest.raises(StoreError):
        await follower.load()
    assert follower.states is None, "and mail is deferred"
    away = False
    await follower.load()
    assert follower.states == {}


async def test_traces_go_through_the_journal(tmp_path: Path, store: Store) -> None:
    site = Site(store)
    await site.history.load()
    traces = site.history.traces(
        mail(OFFICER, OUTSIDE, queue_id="AAAA1", login=OFFICER, hook="submission"), Verdict(), NOW
    )
    journal = Journal(tmp_path, "activity-0")
    journal.append(traces)
    path = journal.roll()
    assert path is not None
    assert [batch.noted for batch in read(path)] == [traces]


async def test_claims_and_exemptions(store: Store) -> None:
    assert [await store.once("a", 60, time.time()) for _ in range(3)] == [True, False, False]
    await store.unclaim("a")
    assert await store.once("a", 60, time.time())
    assert await store.once("b", 60, time.time())
    version = await store.states_version()
    entry = Exemption("auto-forward", OFFICER, OUTSIDE, NOW, "15/QD", "thu", "Giam doc", added=NOW)
    first = await store.add_exemption(entry)
    second = await store.add_exemption(entry)
    assert await store.states_version() != version
    assert (first, second) == (replace(entry, number=1), replace(entry, number=2))
    assert await store.exemptions() == [first, second]
    version = await store.states_version()
    assert [await store.remove_exemption(1) for _ in range(2)] == [True, False]
    assert await store.states_version() != version
    assert await store.exemptions() == [second]
    assert (await store.add_exemption(entry)).number == 3, "a number is given once"


LARGEST = 512 - 22  # of a slot, behind its head
SLOTS = 65_536


def test_the_shared_page_is_right_or_silent() -> None:
    fresh = Fresh()
    assert fresh.get(5) is None
    fresh.put(5, b"value")
    assert fresh.get(5) == b"value"
    fresh.put(5 + SLOTS, b"other")  # the same slot
    assert (fresh.get(5), fresh.get(5 + SLOTS)) == (None, b"other")
    fresh.put(-7, b"x" * LARGEST)
    assert fresh.get(-7) == b"x" * LARGEST
    fresh.put(9, b"x" * (LARGEST + 1))
    assert fresh.get(9) is None
    # Another writer was in the middle of the same slot.
    fresh.put(11, b"abcdef")
    fresh._page[11 * 512 + 23] ^= 1
    assert fresh.get(11) is None


@pytest.mark.parametrize(
    ("puts", "after_s", "may_lack"),
    [
        ([], 0, False),
        ([(6, b"neighbour")], 0, False),
        ([(5 + SLOTS, b"took the slot")], 0.9, True),
        ([(5 + SLOTS, b"took the slot")], 1.1, False),
        ([(5, b"x" * (LARGEST + 1))], 0.9, True),
        ([(5, b"x" * (LARGEST + 1))], 1.1, False),
        ([(5, b"mine"), (5 + SLOTS, b"took the slot")], 0.9, True),
    ],
)
def test_the_shared_page_says_when_it_may_lack_a_value(
    puts: list[tuple[int, bytes]], after_s: float, may_lack: bool
) -> None:
    clock = [100.0]
    fresh = Fresh(lambda: clock[0])
    assert fresh.may_lack(5, 1.0), "an earlier daemon's journals may not be counted yet"
    clock[0] += 60
    for key, value in puts:
        fresh.put(key, value)
    clock[0] += after_s
    assert fresh.may_lack(5, 1.0) is may_lack


def test_a_slot_that_is_being_written_may_lack_any_value() -> None:
    clock = [100.0]
    fresh = Fresh(lambda: clock[0])
    fresh.put(5, b"abcdef")
    clock[0] += 60
    assert not fresh.may_lack(5, 1.0)
    fresh._page[5 * 512 + 23] ^= 1
    assert fresh.may_lack(5, 1.0)


# Egress is shown a mail whose Received line has a queue id of ours; does it wait for the trace of it?
WAITS = {
    "an id that was never remembered": ([], True),
    "the id of another mail": ([mail(OFFICER, queue_id="BBBB1")], True),
    "many recipients: no room in the page": (
        [mail(OFFICER, *(f"a{number}@example.com" for number in range(60)), queue_id="AAAA1")],
        False,
    ),
}


@pytest.mark.parametrize(("taken", "at_once_if_embedded"), WAITS.values(), ids=WAITS)
async def test_nobody_waits_for_a_trace_that_cannot_come(
    store: Store, taken: list[Mail], at_once_if_embedded: bool
) -> None:
    clock = [100.0]
    fresh = Fresh(lambda: clock[0])
    clock[0] += 60
    site = Site(store, fresh, late_s=0.2)
    for one in taken:
        await site.take_in(one, late=True)
    await site.history.load()
    copy = mail(OUTSIDE, hook="egress", received=("AAAA1",), message_id="<other@y>")
    started = time.monotonic()
    if not site.history.ask_at_once(copy, NOW + 1):
        await site.history.ask(copy, NOW + 1)
    waited = time.monotonic() - started >= 0.2
    assert waited is (store.is_shared or not at_once_if_embedded)
    assert (copy.passages, copy.memory) == ([], Memory())


@pytest.mark.parametrize(
    ("leaving", "settles"),
    [
        (mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1",)), True),
        (mail(OUTSIDE, hook="egress", sender=OFFICER, received=("BBBB1", "CCCC1")), False),
        (mail(OTHER, hook="egress", sender=OFFICER, received=("BBBB1",)), False),
        (mail(OUTSIDE, hook="egress", sender=OFFICER), False),
    ],
    ids=["to whom it was addressed", "a passage that nobody knows", "to somebody else", "without a passage"],
)
async def test_what_this_machine_remembers_settles_it_while_the_store_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, leaving: Mail, settles: bool
) -> None:
    site = Site(store)
    sent = mail(OUTSIDE, hook="submission", login=OFFICER, sender=OFFICER, queue_id="BBBB1")
    await site.ask(sent)
    await site.take_in(sent, late=True)

    async def away(keys: object) -> list[tuple[int, bytes]]:
        raise StoreError("away")

    monkeypatch.setattr(store, "recall", away)
    if settles:
        await site.history.ask(leaving, NOW + 1)
        assert [passage.addressed for passage in leaving.passages] == [{OUTSIDE}]
    else:
        with pytest.raises(StoreError):
            await site.history.ask(leaving, NOW + 1)
        assert (leaving.passages, leaving.memory) == ((), None)


def test_the_shared_page_with_two_writers() -> None:
    """Two processes write the same slot without a lock: a reader sees one's value, the other's, or none."""
    import os

    fresh = Fresh()
    values = {number: bytes([number]) * 400 for number in (1, 2)}
    children = []
    for number, value in values.items():
        pid = os.fork()
        if pid == 0:
            for _ in range(20_000):
                fresh.put(3, value)
            os._exit(0 if number else 1)
        children.append(pid)
    seen: set[bytes | None] = set()
    while children:
        seen.add(fresh.get(3))
        children = [pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0]
    assert seen <= {None, *values.values()}
    assert seen & set(values.values())
