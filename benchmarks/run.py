"""Compare Mailgate with its peers: `make bench`, or `python -m benchmarks.run [--quick] [--out DIR]`.

Peers: Mailgate with all native rules, its ledger and its incident log; Mailgate with all rules off; a
filter that does nothing on pymilter; the same in C on libmilter. Measured:

- milter: 3 sizes of mail, Unix and TCP sockets, connections reused and one a mail, 20 at a time; server and
  load generator each on a CPU of its own. That spares the threads of pymilter their fight over the
  interpreter lock across CPUs, so small mails are measured on any CPU as well;
- idle: memory with many connections that have negotiated and say no more;
- postfix, as root only: mails/s of a real Postfix, and their ratio to the same Postfix without a milter.

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
from benchmarks.mails import SIZES
from benchmarks.report import page
from benchmarks.results import Cell, Door, Figures, Idle, Ratio, Results, median, median_ratio
from benchmarks.servers import NULL_FILTER, PEERS, Peer, Server
from benchmarks.through_postfix import doors, mails_a_second

HERE = Path(__file__).parent
TRANSPORTS = ("unix", "tcp")
HABITS = ("reused", "one a mail")
REFERENCES = ("libmilter-c", "pymilter")
NO_MILTER = "no milter"
POSTFIX_PEERS = ("mailgate-full", "libmilter-c")
SETTLE_S = 1.0  # four times the ledger's 250 ms of group commit
LOAD_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Extent:
    """How long and how often to measure."""

    rounds: int
    seconds: float  # of load, a round
    idle_connections: tuple[int, ...]
    postfix_mails: dict[str, int]  # a round, by size


FULL = Extent(5, 1.0, (0, 500, 2000), {"4 KB": 4000, "60 KB": 2000})
QUICK = Extent(1, 0.1, (0, 50, 200), {"4 KB": 200, "60 KB": 100})


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
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="DIR")
    options = parser.parse_args()
    extent = QUICK if options.quick else FULL
    peers = [peer for peer in PEERS if peer.name in options.peers]
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
            *measure_milters(peers, "unix", SIZES, extent, cpus),
            *measure_milters(peers, "tcp", SIZES, extent, cpus),
            *measure_milters(peers, "unix", ("4 KB",), extent, ANY_CPUS),
        ],
        idle=[measure_idle(peer, extent.idle_connections) for peer in peers],
        postfix=list(measure_postfix(peers, extent)) if os.geteuid() == 0 else [],
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(results.to_json())
    (options.out / "results.html").write_text(page(results))
    print(f"\n{options.out}/results.json\n{options.out}/results.html")


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


def measure(server: Server, size: str, habit: str, seconds: float, cpus: Cpus) -> Figures:
    """Put one server under load once, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", server.address]
    command += ["--size", size, "--seconds", str(seconds)]
    command += ["--one-a-mail"] if habit == "one a mail" else []
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
