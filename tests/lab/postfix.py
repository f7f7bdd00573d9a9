"""A private Postfix: an MX and a submission door whose clients a test may invent through XCLIENT."""

import grp
import json
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.daemon import Daemon, ServerError, find_program
from tests.lab.dovecot import in_namespace, unmounted
from tests.lab.ports import free_port
from tests.lab.waiting import wait_until

SHIPPED_MAIN_CF = Path(__file__).parents[2] / "config" / "postfix" / "main.cf.mailgate"

# What `postfix start` would create, at a tenth of its time: (folder, mode, group).
POSTDROP = "postdrop"
QUEUE_FOLDERS = (
    *((name, 0o700, "root") for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold")),
    *((name, 0o700, "root") for name in ("incoming", "private", "saved", "trace")),
    ("maildrop", 0o1730, POSTDROP),
    ("public", 0o2710, POSTDROP),
)

# What Dovecot's login service says first.  The service `auth` says this and no more: without one, smtpd has
# no notion of an authenticated client, and XCLIENT LOGIN would be for nothing.
AUTH_GREETING = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nDONE\n"

MASTER_CF = """\
127.0.0.1:{smtp_port} inet n - n - - smtpd
  -o milter_macro_daemon_name=MX
127.0.0.1:{submission_port} inet n - n - - smtpd
  -o milter_macro_daemon_name=SUBMISSION
  -o {{ smtpd_milters = {submission_milters} }}
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path={sasl_path}
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp -o disable_mime_output_conversion=yes
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
auth unix - n n - - spawn user=nobody argv=/bin/sh -c {{ cat {config}/auth-greeting; exec cat >/dev/null }}
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


# As in config/postfix/master.cf.mailgate.
EGRESS = """\
egress unix - - n - - smtp
  -o disable_mime_output_conversion=yes
  -o smtp_line_length_limit=0
127.0.0.1:{port} inet n - n - - smtpd
  -o milter_macro_daemon_name=EGRESS
  -o {{ smtpd_milters = {milters} }}
  -o content_filter={next_hop}
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_address_mappings
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
"""


class Postfix(Daemon):
    """Postfix with a configuration, queue and log of its own; needs root.

    `smtp_port` is an MX that relays mail for `domains`, any local part; `submission_port` takes mail from
    authenticated clients only.  Both take XCLIENT from loopback (tests.lab.smtp_client sends it): ADDR, NAME,
    and LOGIN, which is {auth_authen}.  Each `*_milters` is a value of smtpd_milters.  Accepted mail goes by
    SMTP to `deliver_to`, a loopback port, or, without one, nowhere (discard).  With `egress_milters`, or "",
    mail that leaves for other domains passes once more through an smtpd at `egress_port`, whose name is EGRESS.
    `main_cf` adds or replaces main.cf settings; `master_cf` appends services.  `is_system` makes it the Postfix of
    the programs that it starts: sendmail works for users who are not root.  `parent` may name a folder on a tmpfs,
    for benchmarks.
    """

    def __init__(
        self,
        *,
        smtpd_milters: str = "",
        submission_milters: str = "",
        non_smtpd_milters: str = "",
        egress_milters: str | None = None,
        deliver_to: int | None = None,
        domains: Sequence[str] = ("hanam.gov.vn",),
        main_cf: Mapping[str, str] | None = None,
        master_cf: Sequence[str] = (),
        is_system: bool = False,
        parent: Path = Path("/tmp"),
    ) -> None:
        self.smtp_port = free_port()
        self.submission_port = free_port()
        self._master = find_program("master", "postfix")
        if os.geteuid() != 0:
            raise ServerError("a private Postfix needs root")
        super().__init__("postfix", parent)
        self.config = self.folder / "etc"
        self._is_system = is_system
        self.maillog = self.folder / "mail.log"
        next_hop = "discard:" if deliver_to is None else f"smtp:[127.0.0.1]:{deliver_to}"
        self.egress_port = free_port()
        settings = {
            **shipped_settings(),
            "compatibility_level": "3.6",
            "queue_directory": f"{self.folder}/queue",
            "data_directory": f"{self.folder}/data",
            "maillog_file": str(self.maillog),
            "maillog_file_prefixes": str(self.folder),
            "myhostname": "mx.hanam.gov.vn",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "all",
            "alias_maps": "",
            "alias_database": "",
            "relay_domains": ", ".join(domains),
            "default_transport": next_hop if egress_milters is None else f"egress:[127.0.0.1]:{self.egress_port}",
            "relay_transport": next_hop,
            "smtpd_milters": smtpd_milters,
            "non_smtpd_milters": non_smtpd_milters,
            # A test's client is whom it says it is, and as quick and as often as the test wants.
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_peername_lookup": "no",
            "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
            "local_header_rewrite_clients": "",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_error_sleep_time": "0s",
            "smtpd_soft_error_limit": "1000",
            "smtpd_hard_error_limit": "1000",
            "in_flow_delay": "0s",
            **(main_cf or {}),
        }
        self.config.mkdir()
        main = self.config / "main.cf"
        main.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        # Postfix waits until main.cf is two seconds old, lest it read what an editor has half written.
        os.utime(main, (0, 0))
        services = MASTER_CF.format(
            smtp_port=self.smtp_port,
            submission_port=self.submission_port,
            submission_milters=submission_milters,
            sasl_path=settings.get("smtpd_sasl_path", "private/auth"),
            config=self.config,
        )
        if egress_milters is not None:
            services += EGRESS.format(port=self.egress_port, milters=egress_milters, next_hop=next_hop)
        (self.config / "auth-greeting").write_text(AUTH_GREETING)
        (self.config / "master.cf").write_text(services + "".join(f"{line}\n" for line in master_cf))
        self._create_queue()

    def command(self) -> list[str]:
        command = [self._master, "-s", "-c", str(self.config)]
        return in_namespace(command, self.config if self._is_system else None)

    def ready(self) -> bool:
        # Said after the listening sockets are bound, and once more by each later start.
        return f"[{self.pid}]: daemon started" in self.log_text()

    def close(self) -> None:
        super().close()
        if self._is_system:
            unmounted()

    def log_text(self) -> str:
        """Return the mail log so far, and whatever Postfix said where it could not log."""
        return "".join(file.read_text(errors="replace") for file in (self.output, self.maillog) if file.exists())

    def queue(self) -> list[dict[str, Any]]:
        """Return the queue's mails as `postqueue -j` has them: queue_name, queue_id, sender, recipients…"""
        return [json.loads(line) for line in self._run("postqueue", "-j").splitlines()]

    def flush(self) -> None:
        """Try to deliver all deferred mail now."""
        self._run("postqueue", "-f")

    def release_all(self) -> None:
        """Let all mail go on that is held."""
        self._run("postsuper", "-H", "ALL")
        self.flush()

    def reload(self) -> None:
        """Make Postfix read its configuration again, and wait until it has."""
        before = self.log_text().count(f"[{self.pid}]: reload ")
        os.kill(self.pid, signal.SIGHUP)
        wait_until(
            lambda: self.log_text().count(f"[{self.pid}]: reload ") > before,
            timeout_s=5,
            what="Postfix to reload",
        )

    def build_aliases(self, file: Path) -> None:
        """Compile a file of aliases."""
        self._run("postalias", f"hash:{file}")

    def postconf(self, name: str) -> str:
        """Return the value of a main.cf parameter, as Postfix reads it."""
        return self._run("postconf", "-h", name).strip()

    def sendmail(self, data: bytes, sender: str, recipients: Sequence[str]) -> None:
        """Hand over a mail (lines end in LF) as local programs do: through pickup and non_smtpd_milters."""
        self._run("sendmail", "-G", "-i", "-f", sender, "--", *recipients, stdin=data)

    def _run(self, program: str, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            [find_program(program, "postfix"), *arguments],
            input=stdin,
            env={**os.environ, "MAIL_CONFIG": str(self.config)},
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"{program} exited with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def _create_queue(self) -> None:
        owner = pwd.getpwnam("postfix").pw_uid
        queue = self.folder / "queue"
        queue.mkdir()
        (queue / "pid").mkdir()
        for name, mode, group in QUEUE_FOLDERS:
            (queue / name).mkdir()
            os.chown(queue / name, owner, grp.getgrnam(group).gr_gid)
            (queue / name).chmod(mode)  # after chown, which clears the set-group-id bit
        (self.folder / "data").mkdir(mode=0o700)
        os.chown(self.folder / "data", owner, 0)


def shipped_settings() -> dict[str, str]:
    """Return the settings of config/postfix/main.cf.mailgate: tests run with what administrators copy."""
    settings: dict[str, str] = {}
    name = ""
    for line in SHIPPED_MAIN_CF.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            settings[name] += " " + line.strip()
        else:
            name, _, value = (part.strip() for part in line.partition("="))
            settings[name] = value
    return settings
