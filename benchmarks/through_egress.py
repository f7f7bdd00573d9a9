"""What it costs a real Postfix to show every mail that leaves once more: both egress wirings, beside none.

Mail of an official to a mailbox outside goes from smtp-source through a private Postfix, its queue on a tmpfs, to
smtp-sink. Each variant is a Postfix of its own:

- "no Mailgate": smtpd, queue, smtp;
- "second smtpd, no milter": default_transport hands each mail to a second smtpd, and content_filter sends it on, as
  config/postfix has it: what the hop itself costs;
- "milter": the same with Mailgate as a milter of both, hooks mx and egress, all native rules, no clamd and no rspamd;
- "milter, remembers nothing": with [forwarding] keep_days = 0; what is between the two is join and memory;
- "SMTP door": a milter of the first smtpd, and default_transport leads to Mailgate's SMTP door, hook egress, with
  XFORWARD. Its next hop is an smtpd again, for a site that has no relay host needs Postfix to find each recipient's
  host, and to keep what that does not take; with a relay host as next hop there would be one queue less.

smtp-source opens a session for each mail and makes a Message-ID for each: its process id, descriptor and count. (Of
the sample mail it could send only copies with one Message-ID: so a mail here is four header fields and a body of X.)
The time is from its start until the last mail is in the sink. What goes wrong anywhere raises an error: a mail that
smtp-source could not hand over, one that is not in the sink, and, by Mailgate's log, any mail that was not accepted
exactly once at each of the two hooks.
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import CONNECTIONS
from benchmarks.mails import OUTSIDER, RECIPIENT
from benchmarks.results import EgressRound
from benchmarks.servers import MAILGATE_ENVIRONMENT, tree_cpu_ns
from benchmarks.through_postfix import DRAIN_TIMEOUT_S, SOURCE_TIMEOUT_S, TMPFS, is_queued
from tests.lab.daemon import Daemon, find_program
from tests.lab.mailgate import Mailgate
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix, shipped_settings
from tests.lab.waiting import wait_until

NO_MAILGATE = "no Mailgate"
NO_MILTER = "second smtpd, no milter"
MILTER = "milter"
FORGETFUL = "milter, remembers nothing"
SMTP_DOOR = "SMTP door"

SHIPPED_SOCKET = "unix:/run/mailgate/milter.sock"
COUNTERS_BYTES = 200  # "sess=1500 quit=1500 mesg=1500\r", several times over

# As config/mailgate.toml has it, above [smtp] next_hop: the way to the door, and the way back.
DOOR_SERVICES = """\
mailgate unix - - n - 20 smtp
  -o smtp_send_xforward_command=yes
  -o disable_mime_output_conversion=yes
  -o smtp_line_length_limit=0
127.0.0.1:{port} inet n - n - - smtpd
  -o content_filter=smtp:[127.0.0.1]:{sink_port}
  -o smtpd_milters=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_address_mappings
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=permit_mynetworks,reject
  -o smtpd_relay_restrictions=permit_mynetworks,reject
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_client_connection_count_limit=0
  -o smtpd_error_sleep_time=0
"""


class SmtpSink(Daemon):
    """Postfix's smtp-sink on a loopback port: takes all mail, keeps none, and counts."""

    def __init__(self) -> None:
        super().__init__("smtp-sink")
        self.port = free_port()

    def command(self) -> list[str]:
        sink = find_program("smtp-sink", "postfix")
        return [sink, "-c", "-u", "nobody", f"127.0.0.1:{self.port}", str(10 * CONNECTIONS)]

    def ready(self) -> bool:
        # A port that cannot be bound again is being listened on; a connection would be a session that is counted.
        return f":{self.port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()

    def mails(self) -> int:
        """Return how many mails have come: the last of the counters that it writes behind one another."""
        with self.output.open("rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - COUNTERS_BYTES))
            _, found, rest = output.read().rpartition(b"\r")[0].rpartition(b"mesg=")
        return int(rest) if found else 0


@dataclass(frozen=True, slots=True)
class Variant:
    """One wiring that runs; mailgate is None where there is none."""

    name: str
    postfix: Postfix
    sink: SmtpSink
    mailgate: Mailgate | None

    def measure(self, octets: int, mails: int, settle_s: float) -> EgressRound:
        """Send mails with bodies of so many octets, and see them through; settle_s: for what comes after the last."""
        wanted = self.sink.mails() + mails
        lines = len(self.mailgate.log()) if self.mailgate else 0
        mailgate_ns, machine_s = self._mailgate_ns(), busy_s()
        started = time.perf_counter()
        subprocess.run(
            [
                *(find_program("smtp-source", "postfix"), "-s", str(CONNECTIONS), "-m", str(mails)),
                *("-l", str(octets), "-M", "pc.hanam.gov.vn", "-f", RECIPIENT.decode(), "-t", OUTSIDER.decode()),
                f"inet:127.0.0.1:{self.postfix.smtp_port}",
            ],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=SOURCE_TIMEOUT_S,
        )
        wait_until(lambda: self.sink.mails() >= wanted, DRAIN_TIMEOUT_S, f"{mails} mails in the sink: {self.name}")
        seconds = time.perf_counter() - started
        wait_until(lambda: not is_queued(self.postfix), DRAIN_TIMEOUT_S, f"the queue to drain: {self.name}")
        time.sleep(settle_s)
        figures = EgressRound(
            rate=round(mails / seconds, 1),
            mailgate_us=round((self._mailgate_ns() - mailgate_ns) / 1e3 / mails, 1),
            machine_us=round((busy_s() - machine_s) * 1e6 / mails, 1),
        )
        self._check(lines, mails, wanted)
        return figures

    def _mailgate_ns(self) -> int:
        return tree_cpu_ns(self.mailgate.pid) if self.mailgate else 0

    def _check(self, lines: int, mails: int, in_sink: int) -> None:
        """Raise an error unless each mail came once, and was accepted once at either hook."""
        if self.sink.mails() != in_sink:
            raise RuntimeError(f"{self.name}: {self.sink.mails()} mails in the sink, {in_sink} were sent")
        if self.mailgate is None:
            return
        verdicts = Counter(
            (line["hook"], line["action"]) for line in self.mailgate.log()[lines:] if line.get("event") == "mail"
        )
        if verdicts != {("mx", "accept"): mails, ("egress", "accept"): mails}:
            raise RuntimeError(f"{self.name}: {mails} mails were sent, and Mailgate's verdicts are {dict(verdicts)}")


@contextmanager
def wirings() -> Iterator[list[Variant]]:
    """Run all variants, until the `with` block ends."""
    with ExitStack() as running:
        sinks = {
            name: running.enter_context(SmtpSink()) for name in (NO_MAILGATE, NO_MILTER, MILTER, FORGETFUL, SMTP_DOOR)
        }
        yield [
            _run(running, NO_MAILGATE, sinks, None, {}),
            _run(running, NO_MILTER, sinks, None, {"egress_milters": ""}),
            _with_milters(running, MILTER, sinks, {}),
            _with_milters(running, FORGETFUL, sinks, {"forwarding": {"keep_days": 0}}),
            _with_door(running, sinks),
        ]


def _run(
    running: ExitStack, name: str, sinks: Mapping[str, SmtpSink], mailgate: Mailgate | None, wiring: Mapping[str, Any]
) -> Variant:
    """Start a variant's Postfix, behind its Mailgate."""
    sink = sinks[name]
    if mailgate is not None:
        running.enter_context(mailgate)
    main_cf = {"egress_destination_recipient_limit": "1", **wiring.get("main_cf", {})}
    postfix = Postfix(**{"deliver_to": sink.port, **wiring, "main_cf": main_cf, "parent": TMPFS})
    return Variant(name, running.enter_context(postfix), sink, mailgate)


def _with_milters(
    running: ExitStack, name: str, sinks: Mapping[str, SmtpSink], sections: Mapping[str, Any]
) -> Variant:
    mailgate = _mailgate()
    hooks = [
        {"name": "mx", "listener": mailgate.milter, "daemon_name": "MX"},
        {"name": "egress", "listener": mailgate.milter, "daemon_name": "EGRESS"},
    ]
    mailgate.configure({"workers": {"count": 1}, "hook": hooks, **sections})
    milters = shipped_settings()["smtpd_milters"].replace(SHIPPED_SOCKET, mailgate.milter)
    return _run(running, name, sinks, mailgate, {"smtpd_milters": milters, "egress_milters": milters})


def _with_door(running: ExitStack, sinks: Mapping[str, SmtpSink]) -> Variant:
    mailgate = _mailgate()
    door_port, back_port = free_port(), free_port()
    door = f"inet:127.0.0.1:{door_port}"
    hooks = [{"name": "mx", "listener": mailgate.milter}, {"name": "egress", "listener": door}]
    mailgate.configure(
        {
            "workers": {"count": 1},
            "listen": {"smtp": [door]},
            "smtp": {"next_hop": f"inet:127.0.0.1:{back_port}"},
            "hook": hooks,
        }
    )
    services = DOOR_SERVICES.format(port=back_port, sink_port=sinks[SMTP_DOOR].port)
    wiring = {
        "smtpd_milters": shipped_settings()["smtpd_milters"].replace(SHIPPED_SOCKET, mailgate.milter),
        "main_cf": {
            "default_transport": f"mailgate:[127.0.0.1]:{door_port}",
            "mailgate_destination_recipient_limit": "1",
        },
        "master_cf": services.splitlines(),
    }
    return _run(running, SMTP_DOOR, sinks, mailgate, wiring)


def _mailgate() -> Mailgate:
    """Make a Mailgate, still to be configured, with the environment that systemd gives it."""
    return Mailgate({}, environment=dict(setting.split("=", 1) for setting in MAILGATE_ENVIRONMENT))


def busy_s() -> float:
    """Return for how long this machine's CPUs have worked since it started, added up (/proc/stat, in ticks)."""
    # cpu user nice system idle iowait irq softirq steal …
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
