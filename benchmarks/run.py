"""Compare Mailgate with its peers: `make bench`, or `python -m benchmarks.run [--quick] [--only PART ...]`.

Peers: Mailgate with all native rules, its ledger and its incident log; Mailgate with all rules off; a
filter that does nothing on pymilter; the same in C on libmilter. Measured:

- daily: text alone and beside HTML, over a Unix socket, connections reused and one a mail;
- milter: 3 sizes of mail, Unix and TCP sockets, connections reused and one a mail, 20 at a time; server and
  load generator each on a CPU of its own. That spares the threads of pymilter their fight over the
  interpreter lock across CPUs, so small mails are measured on any CPU as well;
- idle: memory with many connections that have negotiated and say no more;
- memory: what joining and remembering mails cost (clause 4.5): the CPU time of Mailgate less that of one that
  remembers nothing, by the same milter load, of inbound mail and of outgoing mail;
- postfix, as root only: mails/s of a real Postfix, and their ratio to the same Postfix without a milter;
- egress, as root only: mail that leaves through a real Postfix and passes Mailgate once more on its way.

Peers take turns in rounds, so that whatever else the machine does hits all of them; a figure is the median
of its rounds, a ratio the median of the rounds' ratios. A run's CPU time includes what the server does in
the SETTLE_S after it (group commits). The outcome is results.json and results.html.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import CONNECTIONS, hold_idle
from benchmarks.machine import describe
from benchmarks.mails import DAILY, SIZES
from benchmarks.report import page
from benchmarks.results import (
    Cell,
    Door,
    Egress,
    Figures,
    Idle,
    Memory,
    Ratio,
    Results,
    median,
    median_difference,
    median_ratio,
)
from benchmarks.servers import FORGETFUL_PEER, FULL_PEER, NULL_FILTER, PEERS, Peer, Server
from benchmarks.through_egress import FORGETFUL, MILTER, NO_MAILGATE, wirings
from benchmarks.through_postfix import doors, mails_a_second

HERE = Path(__file__).parent
PARTS = ("daily", "milter", "idle", "memory", "postfix", "egress")
TRANSPORTS = ("unix", "tcp")
HABITS = ("reused", "one a mail")
REFERENCES = ("libmilter-c", "pymilter")
NO_MILTER = "no milter"
POSTFIX_PEERS = ("mailgate-full", "libmilter-c")
DIRECTIONS = ("inbound", "outgoing")
SETTLE_S = 1.0  # four times the ledger's 250 ms of group commit
LOAD_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Extent:
    """How long and how often to measure."""

    rounds: int
    seconds: float  # of load, a round
    idle_connections: tuple[int, ...]
    postfix_mails: dict[str, int]  # a round, by size
    egress_mails: dict[str, int]


FULL = Extent(5, 1.0, (0, 500, 2000), {"4 KB": 4000, "60 KB": 2000}, {"4 KB": 1500, "60 KB": 700})
QUICK = Extent(1, 0.1, (0, 50, 200), {"4 KB": 200, "60 KB": 100}, {"4 KB": 100, "60 KB": 100})


@dataclass(frozen=True, slots=True)
class Cpus:
    """The CPU of the servers and that of the load generator; None leaves it to the kernel."""

    server: int | None
    generator: int | None


ANY_CPUS = Cpus(None, None)


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description="compare Mailgate with its peers")
    parser.add_argument("--quick", action="store_true", help="only prove that the benchmark works")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="DIR")
    options = parser.parse_args()
    extent = QUICK if options.quick else FULL
    peers = [peer for peer in PEERS if peer.name in options.peers]
    parts = set(options.only) - (set() if os.geteuid() == 0 else {"postfix", "egress"})
    cpus = choose_cpus()

    machine = describe()
    build()
    raise_descriptor_limit()
    results = Results(
        machine=machine,
        settings={
            "rounds": str(extent.rounds),
            "seconds a round": str(extent.seconds),
            "connections at a time": str(CONNECTIONS),
            "CPUs, where pinned": f"server {cpus.server}, load {cpus.generator}",
        },
        milter=[
            *(measure_milters(peers, "unix", DAILY, extent, cpus) if "daily" in parts else []),
            *(measure_sizes(peers, extent, cpus) if "milter" in parts else []),
        ],
        idle=[measure_idle(peer, extent.idle_connections) for peer in peers] if "idle" in parts else [],
        memory=measure_memory(extent, cpus) if "memory" in parts else [],
        postfix=list(measure_postfix(peers, extent)) if "postfix" in parts else [],
        egress=list(measure_egress(extent)) if "egress" in parts else [],
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(results.to_json())
    (options.out / "results.html").write_text(page(results))
    print(f"\n{options.out}/results.json\n{options.out}/results.html")


def measure_sizes(peers: Sequence[Peer], extent: Extent, cpus: Cpus) -> Iterator[Cell]:
    """Measure the three sizes over both transports, and small ones on any CPU."""
    yield from measure_milters(peers, "unix", SIZES, extent, cpus)
    yield from measure_milters(peers, "tcp", SIZES, extent, cpus)
    yield from measure_milters(peers, "unix", ("4 KB",), extent, ANY_CPUS)


def build() -> None:
    """Compile the C filter."""
    NULL_FILTER.parent.mkdir(exist_ok=True)
    source = str(HERE / "null_filter.c")
    subprocess.run(["cc", "-O2", "-o", str(NULL_FILTER), source, "-lmilter", "-lpthread"], check=True)


def choose_cpus() -> Cpus:
    """Take the first two CPUs that we may use, where there are two."""
    usable = sorted(os.sched_getaffinity(0))
    return Cpus(usable[0], usable[1]) if len(usable) > 1 else ANY_CPUS


def raise_descriptor_limit() -> None:
    """Let this process and the servers that it starts hold thousands of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure_milters(
    peers: Sequence[Peer], transport: str, sizes: Iterable[str], extent: Extent, cpus: Cpus
) -> Iterator[Cell]:
    """Measure all peers over one transport, small mails first: what malloc keeps shows in later peaks."""
    print(
        f"\n{'milter protocol':<44}{'mails/s':>9}{'CPU µs':>9}{'p50 ms':>9}{'p99 ms':>9}{'peak MB':>9}"
        + f"{'load busy':>11}"
        + "".join(f"{'CPU / ' + name:>18}" for name in REFERENCES)
    )
    with ExitStack() as stack:
        with running_on(cpus.server):
            servers = [stack.enter_context(Server(peer, transport)) for peer in peers]
        for size in sizes:
            for habit in HABITS:
                rounds = [
                    {server.name: measure(server, size, habit, extent.seconds, cpus) for server in servers}
                    for _ in range(extent.rounds)
                ]
                for server in servers:
                    own, ratios = summarize(server.name, rounds)
                    cell = Cell(size, transport, habit, cpus != ANY_CPUS, server.name, median(own), ratios, own)
                    print(line_of(cell), flush=True)
                    yield cell


def measure(server: Server, size: str, habit: str, seconds: float, cpus: Cpus, direction: str = "inbound") -> Figures:
    """Put one server under load once, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", server.address]
    command += ["--size", size, "--seconds", str(seconds)]
    command += ["--one-a-mail"] if habit == "one a mail" else []
    command += ["--outgoing"] if direction == "outgoing" else []
    server.forget_peak()
    before_ns = server.cpu_ns()
    with running_on(cpus.generator):
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=HERE.parent, timeout=LOAD_TIMEOUT_S, check=False
        )
    time.sleep(SETTLE_S)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}, {size}, {habit}: {done.stdout or done.stderr}")
    result = json.loads(done.stdout)
    return Figures(
        rate=result["rate"],
        cpu_us=(server.cpu_ns() - before_ns) / 1e3 / result["mails"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        peak_mb=server.peak_kb() / 1024,
        generator_busy=result["generator_busy"],
    )


def summarize(peer: str, rounds: Sequence[dict[str, Figures]]) -> tuple[list[Figures], dict[str, Ratio]]:
    """Pick one peer's figures out of the rounds, and compare them with the references' of the same rounds."""
    ratios = {
        other: Ratio(
            rate=median_ratio((figures[peer].rate, figures[other].rate) for figures in rounds),
            cpu=median_ratio((figures[peer].cpu_us, figures[other].cpu_us) for figures in rounds),
        )
        for other in REFERENCES
        if other in rounds[0]
    }
    return [figures[peer] for figures in rounds], ratios


def line_of(cell: Cell) -> str:
    """Write a cell as a line of the printed table."""
    figures = cell.median
    return (
        f"{f'{cell.size}, {cell.transport}, {cell.connections}':<28}{cell.peer:<16}{figures.rate:>9,.0f}"
        f"{figures.cpu_us:>9,.1f}{figures.p50_ms:>9.2f}{figures.p99_ms:>9.2f}{figures.peak_mb:>9.1f}"
        f"{figures.generator_busy:>11.2f}" + "".join(f"{ratio.cpu:>18.2f}" for ratio in cell.ratio_to.values())
    )


def measure_idle(peer: Peer, numbers: Sequence[int]) -> Idle:
    """Read a fresh server's memory while it holds more and more idle connections."""
    resident_kb: dict[int, int] = {}
    with Server(peer, "unix") as server, ExitStack() as links:
        held = 0
        for number in numbers:
            for link in hold_idle(server.address, number - held):
                links.enter_context(link)
            held = number
            time.sleep(SETTLE_S)
            resident_kb[number] = server.resident_kb()
    first, last = numbers[0], numbers[-1]
    kb_each = (resident_kb[last] - resident_kb[first]) / (last - first)
    figures = Idle(peer.name, {str(n): round(kb / 1024, 1) for n, kb in resident_kb.items()}, round(kb_each, 2))
    print(f"idle  {peer.name:<16}{figures.resident_mb} MB, {kb_each:.1f} KB each", flush=True)
    return figures


def measure_memory(extent: Extent, cpus: Cpus) -> list[Memory]:
    """Measure what joining and remembering cost, by Mailgate and a Mailgate that does neither."""
    with ExitStack() as stack:
        with running_on(cpus.server):
            servers = [stack.enter_context(Server(peer, "unix")) for peer in (FULL_PEER, FORGETFUL_PEER)]
        rounds = [
            {
                direction: [
                    measure(server, "4 KB", "reused", extent.seconds, cpus, direction).cpu_us for server in servers
                ]
                for direction in DIRECTIONS
            }
            for _ in range(extent.rounds)
        ]
    measured = []
    for direction in DIRECTIONS:
        remembering, forgetting = zip(*(figures[direction] for figures in rounds), strict=True)
        measured.append(
            Memory(
                direction,
                round(statistics.median(remembering), 1),
                round(statistics.median(forgetting), 1),
                median_difference(zip(remembering, forgetting, strict=True)),
                [round(more - less, 1) for more, less in zip(remembering, forgetting, strict=True)],
            )
        )
    costs = ", ".join(
        f"{memory.difference_us:+.1f} µs" + (" a mail" if memory is measured[0] else "") + f" {memory.direction}"
        for memory in measured
    )
    print(f"join and memory: {costs}", flush=True)
    return measured


def measure_postfix(peers: Sequence[Peer], extent: Extent) -> Iterator[Door]:
    """Measure a real Postfix without a milter and with each variant of one."""
    chosen = [peer for peer in peers if peer.name in POSTFIX_PEERS]
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(peer, transport)) for peer in chosen for transport in TRANSPORTS]
        milters = {f"{server.name}, {server.transport}": server.address for server in servers}
        postfix, ports = stack.enter_context(doors({NO_MILTER: "", **milters}))
        for size, mails in extent.postfix_mails.items():
            rounds = [
                {name: mails_a_second(postfix, port, SIZES[size], mails) for name, port in ports.items()}
                for _ in range(extent.rounds)
            ]
            for variant in ports:
                rates = [rate[variant] for rate in rounds]
                ratio = median_ratio((rate[variant], rate[NO_MILTER]) for rate in rounds)
                middle = statistics.median(rates)
                print(f"postfix  {size:<7}{variant:<24}{middle:>8,.0f} mails/s  {ratio:.2f}", flush=True)
                yield Door(size, variant, round(middle, 1), ratio, [round(rate, 1) for rate in rates])


def measure_egress(extent: Extent) -> Iterator[Egress]:
    """Measure a real Postfix whose outgoing mail passes Mailgate, by either wiring, and one where it does not."""
    with wirings() as variants:
        for size, mails in extent.egress_mails.items():
            rounds = [
                {variant.name: variant.measure(SIZES[size], mails, SETTLE_S) for variant in variants}
                for _ in range(extent.rounds)
            ]
            for variant in variants:
                own = [figures[variant.name] for figures in rounds]
                ratio = Ratio(
                    rate=median_ratio((figures[variant.name].rate, figures[NO_MAILGATE].rate) for figures in rounds),
                    cpu=median_ratio(
                        (figures[variant.name].machine_us, figures[NO_MAILGATE].machine_us) for figures in rounds
                    ),
                )
                egress = Egress(size, variant.name, median(own), ratio, own)
                print(egress_line_of(egress), flush=True)
                yield egress
            cost = median_difference(
                (figures[MILTER].mailgate_us, figures[FORGETFUL].mailgate_us) for figures in rounds
            )
            print(f"egress  {size:<7}join and memory: {cost:+.1f} µs a mail, both hooks together", flush=True)


def egress_line_of(egress: Egress) -> str:
    """Write a wiring's figures as a printed line."""
    figures, ratio = egress.median, egress.ratio_to_none
    return (
        f"egress  {egress.size:<7}{egress.variant:<28}{figures.rate:>8,.0f} mails/s  {ratio.rate:.2f}"
        f"{figures.mailgate_us:>9,.1f} µs Mailgate{figures.machine_us:>9,.0f} µs machine  {ratio.cpu:.2f}"
    )


@contextmanager
def running_on(cpu: int | None) -> Iterator[None]:
    """Pin this process for a while, for the sake of the processes that it then starts."""
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
