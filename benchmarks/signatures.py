"""What the proof of a signature adds to a mail: `python -m benchmarks.signatures [--runs N]`.

The time from a mail that is spooled to its proof, by the daemon's own Prover with real worker processes, the key in
its cache, one mail after the other; and the processor time of both. Beside it what dkimpy takes for the same mail, as
it stands, in this process. The bodies: text of letters with runs of blanks in each line, and base64.
"""

import argparse
import base64
import contextlib
import os
import random
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import dkim
import uvloop
from benchmarks.machine import describe
from tests.lab.dns import NameServer
from tests.lab.processes import children

from mailgate.doors.offline import split_message
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Pool
from mailgate.model import Envelope, Mail, Session
from mailgate.probes.proofs import Prover
from mailgate.spool import Spool

RUNS = 20
DOMAIN = "hanam.gov.vn"
_DATA = Path(__file__).parents[1] / "tests" / "data"
_LINE = b"Kinh gui cac don vi, \t tai lieu  kem theo, xin y kien truoc ngay 30. \r\n"
_HEAD = b"From: Lan <lan@hanam.gov.vn>\r\nSubject: Bao cao\r\nMessage-ID: <1@hanam.gov.vn>\r\n\r\n"


def kinds() -> Mapping[str, bytes]:
    """Return a signed mail of each kind."""
    octets = random.Random(2026).randbytes(14_000_000)
    bodies = {f"{name} text": _LINE * (size // len(_LINE)) for name, size in _SIZES.items()}
    bodies["20 MB base64"] = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return {name: _signed(_HEAD + body) for name, body in bodies.items()}


_SIZES = {"4 KB": 4_000, "1 MB": 1_000_000, "20 MB": 20_000_000, "31 MB": 31_457_280}


def _signed(message: bytes) -> bytes:
    key = (_DATA / "dkim-test-key.pem").read_bytes()
    field: bytes = dkim.sign(message, b"s1", DOMAIN.encode(), key, canonicalize=(b"relaxed", b"relaxed"))
    return field + message


def _cpu_ns(nursery: int) -> int:
    """Return the processor time of the nursery and of the workers that were born of it and are gone."""
    fields = Path(f"/proc/{nursery}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))  # utime to cstime, proc(5)


def _by_dkimpy(message: bytes, record: bytes) -> float:
    started = time.process_time()
    if not dkim.DKIM(message).verify(dnsfunc=lambda *_, **__: record):
        raise RuntimeError("dkimpy does not verify it")
    return (time.process_time() - started) * 1_000


async def run(runs: int) -> None:
    """Measure each kind, and print a table."""
    print(", ".join(f"{name} {value}" for name, value in describe().items()))
    print(f"{runs} mails each; load average at the start {os.getloadavg()[0]:.1f}\n")
    print(f"{'mail':14}{''.join(f'{title:>12}' for title in ('p50 ms', 'daemon ms', 'workers ms', 'dkimpy ms'))}")
    record = f"v=DKIM1; k=rsa; p={(_DATA / 'dkim-test-key.pub').read_text().strip()}"
    limits = InspectionLimits()
    pool = Pool(limits)
    with NameServer({(f"s1._domainkey.{DOMAIN}", "TXT"): [f'"{record}"']}) as server:
        prover = Prover(5.0, [server.address], pool, (DOMAIN,), limits.cpu_s)
        try:
            await pool.start()
            (nursery,) = children(os.getpid())
            for name, message in kinds().items():
                mail = Mail(
                    Identity(Organization(frozenset({DOMAIN}))),
                    Session("mx", "203.0.113.7"),
                    Envelope(b"<a@example.com>", "a@example.com"),
                    split_message(message)[0],
                )
                latencies = []
                with contextlib.closing(Spool()) as raw:
                    raw.write(message)
                    own, others = time.process_time_ns(), _cpu_ns(nursery)
                    for _ in range(runs):
                        started = time.perf_counter()
                        if await prover.prove(mail, {DOMAIN}, raw) != {DOMAIN: "dkim"}:
                            raise RuntimeError(f"{name}: not proven")
                        latencies.append((time.perf_counter() - started) * 1_000)
                    own, others = time.process_time_ns() - own, _cpu_ns(nursery) - others
                figures = (statistics.median(latencies), own / runs / 1e6, others / runs / 1e6)
                shown = (*figures, _by_dkimpy(message, record.encode()))
                print(f"{name:14}{''.join(f'{value:12.2f}' for value in shown)}", flush=True)
        finally:
            await pool.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signatures", description="What a proof adds.")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"mails of each kind (default {RUNS})")
    uvloop.run(run(parser.parse_args().runs))


if __name__ == "__main__":
    main()
