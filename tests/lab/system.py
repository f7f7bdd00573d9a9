"""The whole of it: Postfix before a Mailgate, and a sink behind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.daemon import ServerError
from tests.lab.mailgate import Config, Mailgate
from tests.lab.postfix import Postfix, shipped_settings
from tests.lab.sink import Sink
from tests.lab.smtp_client import Outcome, send


@dataclass(frozen=True, slots=True)
class MailSystem:
    """A running mail system: what `postfix` takes, `mailgate` judges; what it accepts lands in `sink`."""

    postfix: Postfix
    mailgate: Mailgate
    sink: Sink

    def receive(
        self,
        mail_from: str,
        rcpts: Sequence[str],
        data: bytes,
        client_addr: str = "203.0.113.7",
        client_name: str | None = "mail.example.com",
    ) -> Outcome:
        """Send a mail to the MX as a client outside."""
        return send(self.postfix.smtp_port, mail_from, rcpts, data, client_addr, client_name)

    def submit(self, mail_from: str, rcpts: Sequence[str], data: bytes, login: str | None = None) -> Outcome:
        """Send a mail through the submission door, logged in as its sender unless `login` says otherwise."""
        return send(self.postfix.submission_port, mail_from, rcpts, data, login=login or mail_from)


@contextmanager
def mail_system(
    config: Config, *, egress: bool = False, orders: Sequence[Sequence[str]] = (), **postfix: Any
) -> Iterator[MailSystem]:
    """Run a mail system: `config` is Mailgate's, `postfix` are further arguments of Postfix.

    `orders` are commands of mailgate, such as `lock` returns, that are run before the daemon.  With `egress`,
    mail that leaves passes Mailgate once more, at the hook where forwarded copies show.  Both of Postfix's doors
    ask Mailgate's first milter, as config/postfix/main.cf.mailgate has it.
    """
    with Sink() as sink, ordered(Mailgate(config), orders) as mailgate:
        shipped = shipped_settings()["smtpd_milters"]
        milters = shipped.replace("unix:/run/mailgate/milter.sock", mailgate.milter)
        arguments: dict[str, Any] = {
            "smtpd_milters": milters,
            "submission_milters": milters,
            "egress_milters": milters if egress else None,
            "deliver_to": sink.port,
            **postfix,
        }
        with Postfix(**arguments) as server:
            yield MailSystem(server, mailgate, sink)


def ordered(mailgate: Mailgate, orders: Sequence[Sequence[str]]) -> Mailgate:
    """Run commands under a daemon's configuration and return the daemon; each of them must succeed."""
    for order in orders:
        done = mailgate.run(*order)
        if done.returncode != 0:
            raise ServerError(f"mailgate {' '.join(order)} exited with {done.returncode}: {done.stderr}")
    return mailgate


def lock(mailbox: str) -> Sequence[str]:
    """Return the command that locks a mailbox."""
    return ("mailboxes", "lock", mailbox, "--clause", "7.2b", "--reason", "lộ mật khẩu", "--document", "12/QĐ-STTTT")


def revoke(mailbox: str) -> Sequence[str]:
    """Return the command that revokes a mailbox."""
    return ("mailboxes", "revoke", mailbox, "--clause", "6.2a", "--document", "13/QĐ-STTTT")
