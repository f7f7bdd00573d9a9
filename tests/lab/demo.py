"""The demonstration: a whole mail system on this machine, and one mail for each thing that Mailgate does.

`python -m tests.lab.demo` stays up until Ctrl-C, so that a visitor can try more; with `--once` it ends by
itself.  The exit status is 1 when a reply was not the wanted one, or a server did not start.
"""

import argparse
import contextlib
import io
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.clamd import EICAR, Clamd
from tests.lab.daemon import ServerError
from tests.lab.dns import NameServer
from tests.lab.mailgate import Mailgate
from tests.lab.mails import (
    LIMIT_BYTES,
    OFFICE,
    OFFICER,
    OUTSIDER,
    letter,
    letter_with,
    words,
    zipped,
)
from tests.lab.ports import free_port
from tests.lab.rspamd import GTUBE, Rspamd
from tests.lab.smtp_client import Outcome
from tests.lab.system import MailSystem, lock, mail_system, revoke
from tests.lab.waiting import wait_until

LOCKED = "khoa@hanam.gov.vn"
REVOKED = "thuhoi@hanam.gov.vn"
HOP = "hop@hanam.gov.vn"
ALIAS = "vanthu@hanam.gov.vn"  # an alias that sends everything on to GMAIL
GMAIL = "hop.hanam@gmail.com"

LISTS = Path(__file__).parents[2] / "config" / "lists"

GMAIL_FIELDS = (f"X-Forwarded-To: {OFFICER}", f"X-Forwarded-For: {GMAIL} {OFFICER}")

OFFER = """Khuyến mãi cuối năm: giảm giá 50% tất cả máy in, mua 1 tặng 1.
Chỉ còn 990.000đ, 1.290.000đ và 2.490.000đ. Đặt hàng ngay, gọi hotline 0226 3 999 999.
"""


def document(text: str) -> bytes:
    """Return a Word document of one paragraph."""
    body = f'<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", body)
    return made.getvalue()


Door = Callable[[MailSystem, str, Sequence[str], bytes], Outcome]


def outside(system: MailSystem, sender: str, rcpts: Sequence[str], data: bytes) -> Outcome:
    """Send as a server on the Internet, to the MX."""
    return system.receive(sender, rcpts, data)


def inside(system: MailSystem, sender: str, rcpts: Sequence[str], data: bytes) -> Outcome:
    """Send as an official who has logged in, through the submission door."""
    return system.submit(sender, rcpts, data)


@dataclass(frozen=True, slots=True)
class Stop:
    """One mail of the tour: what it shows, the wanted reply's codes, and the mail."""

    shows: str
    wanted: str
    door: Door
    sender: str
    recipient: str
    data: Callable[[], bytes]


TOUR = (
    Stop(
        "a clean mail with an attachment",
        "250 2.0.0",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter_with(document("Báo cáo tháng 11"), name="báo cáo.docx"),
    ),
    Stop("a clean mail from an official", "250 2.0.0", inside, OFFICER, OUTSIDER, lambda: letter(author=OFFICER)),
    Stop("an official as another", "550 5.7.1", inside, OFFICER, OUTSIDER, lambda: letter(author=OFFICE)),
    Stop(
        "an outsider as an official, unproven", "550 5.7.1", outside, OUTSIDER, OFFICE, lambda: letter(author=OFFICER)
    ),
    Stop(
        "forward out: a mail program's rule",
        "550 5.7.1",
        inside,
        OFFICER,
        GMAIL,
        lambda: letter("Auto-Submitted: auto-forwarded", author=OFFICER),
    ),
    Stop(
        "forward out: Sieve's redirect",
        "550 5.7.1",
        inside,
        HOP,
        GMAIL,
        lambda: letter(f"X-Sieve-Redirected-From: {HOP}", author=HOP),
    ),
    Stop(
        "forward in: Gmail's envelope",
        "550 5.7.1",
        outside,
        "hop.hanam+caf_=ptp.bl=hanam.gov.vn@gmail.com",
        OFFICER,
        letter,
    ),
    Stop("forward in: Gmail's header", "550 5.7.1", outside, OUTSIDER, OFFICER, lambda: letter(*GMAIL_FIELDS)),
    Stop(
        "a redirect between two state bodies",
        "250 2.0.0",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter("X-Sieve-Redirected-From: vp@ninhbinh.gov.vn"),
    ),
    Stop(
        "an attachment of exactly 20 MiB",
        "250 2.0.0",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter_with(bytes(LIMIT_BYTES)),
    ),
    Stop(
        "an attachment of 20 MiB and 1 byte",
        "552 5.3.4",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter_with(bytes(LIMIT_BYTES + 1)),
    ),
    Stop("the EICAR test virus", "550 5.7.1", outside, OUTSIDER, OFFICER, lambda: letter_with(EICAR)),
    Stop(
        "the same in a zip in a zip",
        "550 5.7.1",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter_with(zipped(EICAR, times=2)),
    ),
    Stop(
        "a program that calls itself a document",
        "550 5.7.1",
        outside,
        OUTSIDER,
        OFFICER,
        lambda: letter_with(b"MZ" + bytes(500), name="báo cáo.pdf.exe"),
    ),
    Stop(
        "a secret in a document that leaves: held",
        "250 2.0.0",
        inside,
        OFFICER,
        OUTSIDER,
        lambda: letter_with(document("TỐI MẬT"), name="công văn.docx", author=OFFICER),
    ),
    Stop(
        "words that only have mật in them",
        "250 2.0.0",
        inside,
        OFFICER,
        OUTSIDER,
        lambda: letter(text="Đề nghị đổi mật khẩu; Luật Bảo vệ bí mật nhà nước.\n", author=OFFICER),
    ),
    Stop(
        "an official's advertising without its label",
        "550 5.7.1",
        inside,
        OFFICER,
        OUTSIDER,
        lambda: letter(f"Subject: {words('Khuyến mãi cuối năm, giảm giá 50%')}", text=OFFER, author=OFFICER),
    ),
    Stop("the GTUBE test spam", "550 5.7.1", outside, OUTSIDER, OFFICER, lambda: letter(text=f"{GTUBE}\n")),
    Stop("mail from a locked mailbox", "550 5.7.1", inside, LOCKED, OUTSIDER, lambda: letter(author=LOCKED)),
    Stop("mail to a locked mailbox", "250 2.0.0", outside, OUTSIDER, LOCKED, letter),
    Stop("mail to a revoked mailbox", "550 5.2.1", outside, OUTSIDER, REVOKED, letter),
    Stop("mail to an alias that forwards", "250 2.0.0", outside, OUTSIDER, ALIAS, letter),
    Stop("mail between two officials", "250 2.0.0", inside, OFFICER, OFFICE, lambda: letter(author=OFFICER)),
)


def main() -> int:
    """Run the demonstration and return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="end after the tour")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    try:
        with ExitStack() as running:
            system = start(running)
            as_wanted = tour(system)
            as_wanted &= secret_is_held(system)
            as_wanted &= copy_is_held(system)
            show_books(system)
            if not once:
                show_around(system)
                signal.pause()
    except ServerError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    return 0 if as_wanted else 1


def start(running: ExitStack) -> MailSystem:
    """Start all servers, with two mailboxes that are not active."""
    say("starting clamd, which knows the EICAR test virus")
    clamd = running.enter_context(Clamd())
    say("starting rspamd, which knows the GTUBE test spam")
    rspamd = running.enter_context(Rspamd())
    milter = f"inet:127.0.0.1:{free_port()}"
    hooks = ("mx", "submission", "egress")
    config: dict[str, Any] = {
        "listen": {"milter": [milter]},
        "hook": [{"name": name, "listener": milter, "daemon_name": name.upper()} for name in hooks],
        "workers": {"count": 2},
        "clamav": {"address": clamd.unix_address},
        "spam": {"url": rspamd.url},
        "lists": {"path": str(LISTS)},
        "dns": {"servers": [running.enter_context(NameServer({})).address]},  # the tour asks nobody outside
    }
    say(f"starting Mailgate with 2 workers, and Postfix around it; {LOCKED} is locked, {REVOKED} revoked,")
    say(f"  and an alias makes a copy of each mail to {ALIAS} for {GMAIL}")
    alias = {"virtual_alias_maps": f"inline:{{ {{ {ALIAS} = {GMAIL} }} }}"}
    orders = (lock(LOCKED), revoke(REVOKED))
    return running.enter_context(mail_system(config, egress=True, orders=orders, main_cf=alias))


def tour(system: MailSystem) -> bool:
    """Send every mail of the tour, print wanted and seen replies, and tell whether all are as wanted."""
    shows_width = max(len(stop.shows) for stop in TOUR)
    print(f"\n    {'MAIL':<{shows_width}}  {'WANTED':<9}  SEEN")
    as_wanted = True
    for stop in TOUR:
        seen = stop.door(system, stop.sender, [stop.recipient], stop.data())
        fits = seen.status == stop.wanted
        as_wanted &= fits
        say(f"{'✓' if fits else '✗'}   {stop.shows:<{shows_width}}  {stop.wanted:<9}  {first_line(seen.final)}")
    return as_wanted


def held_for(system: MailSystem) -> list[str]:
    """Return whom the mails are for that Postfix holds."""
    queue = [mail for mail in system.postfix.queue() if mail["queue_name"] == "hold"]
    return [to["address"] for mail in queue for to in mail["recipients"]]


def secret_is_held(system: MailSystem) -> bool:
    """Tell whether the mail with the secret is held."""
    fits = OUTSIDER in held_for(system)
    say(f"{'✓' if fits else '✗'}   the secret that would have left is held; an officer releases it, or deletes it")
    return fits


def copy_is_held(system: MailSystem) -> bool:
    """Tell whether the copy that the alias made is held where it would have left, and nothing reached its target."""

    with contextlib.suppress(TimeoutError):
        wait_until(lambda: GMAIL in held_for(system), 10, "the alias' copy to be held")
    fits = GMAIL in held_for(system) and not [mail for mail in system.sink.mails() if GMAIL in mail.recipients]
    say(f"{'✓' if fits else '✗'}   the copy that the alias made is held at the egress hop; its author hears nothing")
    return fits


def show_books(system: MailSystem) -> None:
    """Print what Mailgate has counted, recorded and held, by its own commands."""
    postfix = ("--config-dir", str(system.postfix.config))
    for arguments in (
        ("mailboxes", "list"),
        ("incidents", "search"),
        ("incidents", "verify"),
        ("quarantine", "list", *postfix),
    ):
        done = system.mailgate.run(*arguments)
        print(f"\n$ mailgate {' '.join(arguments)}\n{done.stdout}{done.stderr}", end="", flush=True)


def show_around(system: MailSystem) -> None:
    """Tell where everything is, and what a visitor can try."""
    mailgate, postfix = system.mailgate, system.postfix
    command, config = mailgate.command()[0], f"--config {mailgate.file}"
    sample = mailgate.folder / "forwarded.eml"
    sample.write_bytes(letter(*GMAIL_FIELDS))
    print("\nEverything is up:")
    for what, where in (
        ("SMTP, as from outside", f"127.0.0.1:{postfix.smtp_port} (XCLIENT ADDR=… makes you another client)"),
        ("submission", f"127.0.0.1:{postfix.submission_port} (XCLIENT LOGIN=… logs you in)"),
        ("metrics and health", f"{mailgate.http_url}/metrics, /readyz, /healthz"),
        ("Mailgate's milter", mailgate.milter),
        ("its configuration", str(mailgate.file)),
        ("its log", str(mailgate.output)),
        ("its incident log", str(mailgate.folder / "incidents")),
        ("Postfix's log", str(postfix.maillog)),
    ):
        print(f"  {what:<22} {where}")
    print("\nTry, in another terminal:")
    for line in try_out(command, config, str(sample), mailgate):
        print(f"  {line}")
    print("\nCtrl-C ends it.", flush=True)


def try_out(command: str, config: str, sample: str, mailgate: Mailgate) -> Iterator[str]:
    """Yield command lines, each with what it shows."""
    yield f"{command} check {config} --client-ip 203.0.113.7 --from {OUTSIDER} --rcpt {OFFICER} {sample}"
    yield f"{command} mailboxes lock {OFFICE} --clause 7.2a --reason test --document 1 {config}"
    yield f"{command} mailboxes show {OFFICER} {config}"
    yield f"{command} incidents search --rule auto-forward {config}"
    yield f"{command} doctor {config}"
    yield f"curl -s {mailgate.http_url}/readyz"


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def first_line(reply: str) -> str:
    """Return a reply's first line, cut to what a terminal shows."""
    line = reply.partition("\n")[0]
    return line if len(line) < 80 else line[:79] + "…"


if __name__ == "__main__":
    sys.exit(main())
