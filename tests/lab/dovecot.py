"""A private Dovecot: LMTP with Sieve, whose redirects go out by SMTP or by sendmail, SASL, and ENVELOPE."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.daemon import Daemon, find_program

PASSWORD = "mat-khau-1"

CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
protocols = lmtp
ssl = no
listen = 127.0.0.1
hostname = store.hanam.gov.vn
recipient_delimiter = +
mail_location = maildir:{folder}/mail/%n
first_valid_uid = 1
auth_mechanisms = plain
auth_failure_delay = 0
{denied}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/home/%n allow_all_users=yes
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = sieve
  postmaster_address = postmaster@hanam.gov.vn
}}
plugin {{
  sieve = file:{folder}/sieve/%n.sieve
  sieve_extensions = +editheader +enotify
}}
{redirects}
"""


class Dovecot(Daemon):
    """Dovecot with a mailbox for every name, and a Sieve script for those in `scripts`; needs root.

    Redirects and replies go to submission_port, an SMTP server on loopback, or to `sendmail`, a program. The
    login password of every mailbox is PASSWORD; `denied` is a passwd-file of those who may not log in.
    `as_etc_postfix`, set before the start, is what its programs see as /etc/postfix.
    """

    def __init__(
        self,
        scripts: Mapping[str, str],
        *,
        submission_port: int = 0,
        sendmail: Path | None = None,
        denied: str = "",
        parent: Path = Path("/tmp"),
    ) -> None:
        self._dovecot = find_program("dovecot", "dovecot-core")
        super().__init__("dovecot", parent)
        self.as_etc_postfix: Path | None = None
        for name in ("mail", "home", "sieve"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o777)
        redirects = (
            f"submission_host = 127.0.0.1:{submission_port}" if submission_port else f"sendmail_path = {sendmail}"
        )
        self._config = self.folder / "dovecot.conf"
        deny = ""
        if denied:
            (self.folder / "denied").write_text(denied)
            deny = f"passdb {{\n  driver = passwd-file\n  deny = yes\n  args = {self.folder}/denied\n}}"
        self._config.write_text(
            CONFIG.format(folder=self.folder, password=PASSWORD, redirects=redirects, denied=deny)
        )
        for name, script in scripts.items():
            path = self.scripts / f"{name}.sieve"
            path.write_text(script)
            subprocess.run(
                [find_program("sievec", "dovecot-sieve"), "-c", self._config, path], check=True, capture_output=True
            )

    @property
    def scripts(self) -> Path:
        """The folder of each mailbox's NAME.sieve."""
        return self.folder / "sieve"

    @property
    def lmtp(self) -> str:
        """Its LMTP door, as Postfix writes a transport."""
        return f"lmtp:unix:{self.folder}/lmtp"

    @property
    def sasl_path(self) -> str:
        """Its authentication socket, as Postfix's smtpd_sasl_path."""
        return f"{self.folder}/auth"

    def command(self) -> list[str]:
        return in_namespace([self._dovecot, "-F", "-c", str(self._config)], self.as_etc_postfix)

    def may_log_in(self, login: str) -> bool:
        """Tell whether PASSWORD opens a mailbox."""
        doveadm = find_program("doveadm", "dovecot-core")
        arguments = [doveadm, "-c", str(self._config), "auth", "test", login, PASSWORD]
        return subprocess.run(arguments, check=False, capture_output=True).returncode == 0

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(1)
            trial.connect(f"{self.folder}/lmtp")
            return trial.recv(4) == b"220 "
        return False

    def close(self) -> None:
        super().close()
        unmounted()

    def delivered(self, name: str) -> list[bytes]:
        """Return the mails in a mailbox, oldest first."""
        files = sorted((self.folder / "mail" / name).glob("new/*"), key=os.path.getmtime)
        return [file.read_bytes() for file in files]


ETC_POSTFIX = Path("/etc/postfix")
_IS_A_MOUNT = os.path.ismount(ETC_POSTFIX)  # somebody else's


def in_namespace(command: list[str], etc_postfix: Path | None) -> list[str]:
    """Return the command that runs this one where /etc/postfix is another folder, for it and its children alone.

    A program that is not root may use no other configuration than that of /etc/postfix (postdrop(1)).
    """
    if etc_postfix is None:
        return command
    # In a chroot, / is no mount point and cannot be made private: what is mounted may then show outside.
    mount = 'mount --make-rprivate / 2>/dev/null; mount --bind "$0" /etc/postfix && exec "$@"'
    unshare = [find_program("unshare", "util-linux"), "--mount", "--propagation", "unchanged"]
    return [*unshare, "/bin/sh", "-c", mount, str(etc_postfix), *command]


def unmounted() -> None:
    """Take away from /etc/postfix what a namespace in a chroot may have left there."""
    while os.path.ismount(ETC_POSTFIX) and not _IS_A_MOUNT:
        subprocess.run([find_program("umount", "mount"), "--lazy", ETC_POSTFIX], check=True)


ENVELOPES = """\
mail_location = maildir:{folder}/mail
log_path = /dev/stderr
ssl = no
first_valid_uid = 1
"""
_ROW = re.compile(rb"^(\d+)\t", re.MULTILINE)
_ITEM = re.compile(
    rb'\s*(?:(?P<open>\()|(?P<close>\))|"(?P<text>(?:\\.|[^"\\])*)"|\{(?P<size>\d+)\}\r?\n|(?P<atom>[^\s()"]+))'
)


def authors_shown(fields: Sequence[bytes], folder: Path) -> list[list[str]]:
    """Return the addresses that IMAP's ENVELOPE (RFC 9051 section 7.5.2) gives of each From; needs root.

    folder: an empty one that everybody may enter.
    """
    messages = [b"From: " + field + b"\nSubject: x\n\nx\n" for field in fields]
    return [_authors(envelope) for envelope in _fetched("imap.envelope", messages, folder)]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that a mail program is shown: its type, the names of files in its parameters (octets as they stand),
    transfer encoding, and how many octets its body has as they are encoded."""

    type: str
    names: tuple[bytes, ...]
    encoding: str
    octets: int


def parts_shown(messages: Sequence[bytes], folder: Path) -> list[list[Part]]:
    """Return the leaves of IMAP's BODYSTRUCTURE (RFC 9051 section 7.5.2) of each message; needs root. Those of
    attached mails too, and these mails themselves; of one that says it is encoded, itself alone.

    folder: an empty one that everybody may enter. messages: with LF, as a mail store holds them.
    """
    return [list(_leaves(structure)) for structure in _fetched("imap.bodystructure", messages, folder)]


_IDENTITY = (b"", b"7bit", b"8bit", b"binary")


def _leaves(structure: Sequence[Any]) -> Iterator[Part]:
    if not structure or isinstance(structure[0], list):
        for each in structure:
            if isinstance(each, list) and each and isinstance(each[0], list | bytes) and _is_body(each):
                yield from _leaves(each)
            elif not isinstance(each, list):
                return
        return
    main, sub, parameters, _, _, encoding, octets, *rest = structure
    names = [value for name, value in _pairs(parameters) if name.startswith(b"name")]
    for each in rest:
        # The disposition alone is a word and its parameters.
        if isinstance(each, list) and len(each) == 2 and isinstance(each[0], bytes):
            names += [value for name, value in _pairs(each[1]) if name.startswith(b"filename")]
    kind = b"/".join((main, sub)).lower().decode("utf-8", "replace")
    yield Part(kind, tuple(names), (encoding or b"").lower().decode("utf-8", "replace"), int(octets))
    if (
        kind == "message/rfc822"
        and len(rest) > 1
        and isinstance(rest[1], list)
        and (encoding or b"").lower() in _IDENTITY
    ):
        yield from _leaves(rest[1])


def _is_body(value: Sequence[Any]) -> bool:
    return isinstance(value[0], list) or len(value) > 6


def _pairs(parameters: Sequence[bytes] | None) -> list[tuple[bytes, bytes]]:
    flat = parameters or []
    return [(name.lower(), value) for name, value in zip(flat[::2], flat[1::2], strict=False)]


def _fetched(item: str, messages: Sequence[bytes], folder: Path) -> list[list[Any]]:
    """Return what Dovecot's fetch gives of each message, as nested lists of octets; None for NIL."""
    for name in ("new", "cur", "tmp"):
        (folder / "mail" / name).mkdir(parents=True)
    for number, message in enumerate(messages):
        (folder / "mail" / "cur" / f"{1_000_000 + number}.M{number}P1.h:2,S").write_bytes(message)
    (folder / "dovecot.conf").write_text(ENVELOPES.format(folder=folder))
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "mail", "mail")
    doveadm = find_program("doveadm", "dovecot-core")
    as_mail = [find_program("setpriv", "util-linux"), "--reuid=mail", "--regid=mail", "--clear-groups"]
    command = [*as_mail, doveadm, "-c", str(folder / "dovecot.conf"), "-f", "tab", "fetch", f"uid {item}"]
    answer = subprocess.run(
        [*command, "mailbox", "INBOX"],
        env={"USER": "mail", "HOME": str(folder), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
    )
    parts = _ROW.split(answer.stdout)
    rows = {int(uid): row for uid, row in zip(parts[1::2], parts[2::2], strict=True)}
    return [_nested(rows[number]) for number in range(1, len(messages) + 1)]


def _nested(octets: bytes) -> list[Any]:
    """Read an IMAP answer."""
    top: list[Any] = []
    stack, at = [top], 0
    while match := _ITEM.match(octets, at):
        at = match.end()
        if match["open"]:
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif match["close"]:
            stack.pop()
        elif match["size"]:
            stack[-1].append(octets[at : at + int(match["size"])])
            at += int(match["size"])
        elif match["text"] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", match["text"]))
        else:
            stack[-1].append(None if match["atom"] == b"NIL" else match["atom"])
    return top


def _authors(envelope: Sequence[Any]) -> list[str]:
    """Return the addresses of the third item of an envelope, its From."""
    return [
        b"@".join((local, domain)).decode("utf-8", "replace")
        for _, _, local, domain in envelope[2] or ()
        if local and domain
    ]
