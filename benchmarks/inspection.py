"""What looking into a mail adds to it: `python -m benchmarks.inspection [--runs N]`.

The time from a mail that is spooled and walked to its inspection, by the daemon's own Inspector with real worker
processes, one mail after the other; and the processor time of both. Each mail has octets of its own, so that nothing
is known of it; then the same mails come once more, and what was found in a file is taken from the cache; of bodies
nothing is kept. What could not be looked into raises an error: a figure is of a whole look.

- 4 KB text: read at once, without a worker;
- 60 KB text, 60 KB HTML: the longest letters that one writes by hand;
- 2 MB docx: 40 pages of text, and pictures;
- 10 MB PDF: 100 pages of text, and pictures;
- 20 MiB zip: 250 docx with a page of text and a picture, 250 text files of two pages.
"""

import argparse
import io
import os
import random
import statistics
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import uvloop
from benchmarks.machine import describe
from benchmarks.servers import tree_cpu_ns
from tests.lab import documents as made
from tests.lab.mails import letter, letter_with
from tests.lab.processes import children

from mailgate.doors.offline import split_message
from mailgate.doors.transaction import header_octets
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Pool
from mailgate.mime.walker import Leaf, Walker, WalkLimits
from mailgate.model import Mail, Session
from mailgate.spool import Spool

RUNS = 100
PAGE = 2_000  # letters of a page of an official letter
_WORDS = """
báo cáo kết quả thực hiện kế hoạch tháng đơn vị ủy ban nhân dân tỉnh công tác chuyển đổi số liệu tổng hợp ý kiến gửi
trước ngày cán bộ công chức phối hợp triển khai nhiệm vụ kinh phí dự án xã huyện phòng sở theo quy định
""".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one kind of mail: latencies in ms, processor time a mail in ms of the daemon and of its workers, and how
    many mails were read without a worker."""

    p50: float
    p99: float
    daemon: float
    workers: float
    at_once: int


# -- the mails -------------------------------------------------------------------------------------------


def _text(chance: random.Random, letters: int) -> str:
    """Return lines of words, some 80 letters each."""
    lines, size = [], 0
    while size < letters:
        lines.append(" ".join(chance.choices(_WORDS, k=18)))
        size += len(lines[-1]) + 1
    return "\n".join(lines)[:letters]


def _picture(chance: random.Random, octets: int) -> bytes:
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0" + chance.randbytes(octets).replace(b"\xff", b"\xfe") + b"\xff\xd9"


def _docx(chance: random.Random, letters: int, picture: int) -> bytes:
    lines = map(escape, _text(chance, letters).split("\n"))
    return made.docx(*lines, parts={"word/media/image1.jpeg": _picture(chance, picture)})


def _pdf(chance: random.Random) -> bytes:
    pages = [_text(chance, PAGE) for _ in range(100)]
    head = "/Type/XObject/Subtype/Image/Width 800/Height 600/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode"
    pictures = [made.stream(_picture(chance, 390_000), head, compress=False) for _ in range(25)]
    return made.pdf(*pages, objects=pictures)


def _zip(chance: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(250):
            archive.writestr(f"ho-so/van-ban-{number}.docx", _docx(chance, PAGE, 81_000))
            archive.writestr(f"ho-so/ghi-chu-{number}.txt", _text(chance, 2 * PAGE))
    return out.getvalue()


def _of_text(octets: int) -> Callable[[int], bytes]:
    text = _text(random.Random(octets), octets * 3 // 4)  # a letter has 1.3 octets
    return lambda number: letter(text=f"Thư số {number}\n{text}\n")


def _of_html(octets: int) -> Callable[[int], bytes]:
    lines = _text(random.Random(octets), octets // 2).split("\n")
    shown = "".join(f'<p class="MsoNormal"><span style="font-size:13pt">{line}</span></p>\n' for line in lines)

    def make(number: int) -> bytes:
        plain = letter(text=f"<html><body><p>Thư số {number}</p>{shown}</body></html>")
        return plain.replace(b"Content-Type: text/plain", b"Content-Type: text/html")

    return make


def _of_file(file: bytes, name: str) -> Callable[[int], bytes]:
    """Return what makes a mail with a file of its own: a zip has a comment at its end, a PDF too."""

    def make(number: int) -> bytes:
        if file.startswith(b"PK"):
            comment = b"%d" % number
            octets = file[:-2] + len(comment).to_bytes(2, "little") + comment  # APPNOTE 4.3.16
        else:
            octets = file + b"%% %d\n" % number
        return letter_with(octets, name=name)

    return make


def kinds() -> Mapping[str, Callable[[int], bytes]]:
    """Return what makes the mails of each kind, by their number."""
    chance = random.Random(2026)
    return {
        "4 KB text": _of_text(4_000),
        "60 KB text": _of_text(60_000),
        "60 KB HTML": _of_html(60_000),
        "2 MB docx": _of_file(_docx(chance, 40 * PAGE, 1_950_000), "bao-cao.docx"),
        "10 MB PDF": _of_file(_pdf(chance), "bao-cao.pdf"),
        "20 MiB zip": _of_file(_zip(chance), "ho-so.zip"),
    }


# -- measured --------------------------------------------------------------------------------------------


def _taken(message: bytes) -> tuple[Mail, Spool, Sequence[Leaf]]:
    """Return a mail as a door has it once it is whole: spooled and walked."""
    fields, body = split_message(message)
    mail = Mail(Identity(Organization(frozenset({"hanam.gov.vn"}))), Session())
    content_fields = mail.take_headers(fields)
    head = header_octets(fields) + b"\r\n"
    raw = Spool()
    raw.write(head)
    raw.write(body)
    walker = Walker(WalkLimits())
    mail.content = walker.content
    walker.begin(content_fields, len(head))
    walker.feed(body, 0, len(body))
    walker.finish()
    return mail, raw, walker.leaves


async def measure(inspector: Inspector, make: Callable[[int], bytes], numbers: Sequence[int]) -> Figures:
    """Have the mails of these numbers inspected; raises RuntimeError where one was not looked into whole."""
    (nursery,) = children(os.getpid())
    latencies, at_once, daemon_ns, workers_ns = [], 0, 0, tree_cpu_ns(nursery)
    for number in numbers:
        mail, raw, leaves = _taken(make(number))
        own, started = time.process_time_ns(), time.perf_counter()
        found = inspector.at_once(mail, raw, leaves)
        at_once += found is not None
        if found is None:
            found = await inspector.inspect(mail, raw, leaves)
        latencies.append((time.perf_counter() - started) * 1_000)
        daemon_ns += time.process_time_ns() - own
        raw.close()
        if found.uninspected or not found.texts:
            raise RuntimeError(f"mail {number}: {len(found.texts)} texts, {found.uninspected[:3]}")
    workers_ns = tree_cpu_ns(nursery) - workers_ns
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    mails = len(numbers)
    return Figures(cuts[49], cuts[98], daemon_ns / mails / 1e6, workers_ns / mails / 1e6, at_once)


async def run(runs: int) -> None:
    """Measure each kind, and print a table as it comes."""
    print(", ".join(f"{name} {value}" for name, value in describe().items()))
    print(f"{runs} mails each; load average at the start {os.getloadavg()[0]:.1f}\n")
    titles = ("p50 ms", "p99 ms", "daemon ms", "workers ms", "at once", "load")
    print(f"{'mail':12}{'':7}{''.join(f'{title:>11}' for title in titles)}")
    for name, make in kinds().items():
        limits = InspectionLimits(cache_bytes=1 << 30)
        pool = Pool(limits)
        inspector = Inspector(pool, limits)
        try:
            await inspector.start()
            await measure(inspector, make, range(-5, 0))  # the first ones find a worker that has read nothing yet
            for cache in ("fresh", "known"):
                figures = await measure(inspector, make, range(runs))
                shown = (figures.p50, figures.p99, figures.daemon, figures.workers)
                print(f"{name:12}{cache:7}{''.join(f'{value:11.2f}' for value in shown)}", end="")
                print(f"{figures.at_once:11}{os.getloadavg()[0]:11.1f}", flush=True)
        finally:
            await inspector.close()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description="What inspection adds.")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"mails of each kind (default {RUNS})")
    asked = parser.parse_args()
    if asked.runs < 2:
        parser.error("--runs: two or more, since a percentile lies between two")
    uvloop.run(run(asked.runs))


if __name__ == "__main__":
    main()
