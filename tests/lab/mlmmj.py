"""Mailing lists by mlmmj: what local(8) gives it comes back by SMTP, one mail a member, with a sender for each."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.daemon import find_program

# What mlmmj-make-ml makes, as a list that it is given must have them.
FOLDERS = (
    *("incoming", "queue", "queue/discarded", "archive", "text", "subconf", "unsubconf", "bounce", "control"),
    *("moderation", "subscribers.d", "digesters.d", "requeue", "nomailsubs.d"),
)
TEXTS = Path("/usr/share/mlmmj/text.skel/en")


class Mlmmj:
    """Lists in a folder of their own, which the user that runs aliases' commands owns; use it in a `with` block.

    `aliases` are lines of aliases(5); `relay_to` says where lists send, before they get any mail.
    """

    def __init__(self, user: str = "nobody") -> None:
        self._receive = find_program("mlmmj-receive", "mlmmj")
        self._user = user
        self.folder = Path(tempfile.mkdtemp(prefix="mlmmj-", dir="/tmp"))
        self.aliases: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, address: str, members: Sequence[str], owner: str, *, members_only: bool = False) -> None:
        """Make a list; members_only: nobody else may write to it, and is told so."""
        name = address.partition("@")[0]
        home = self.folder / name
        home.mkdir()
        for folder in FOLDERS:
            (home / folder).mkdir()
        (home / "index").touch()
        for text in TEXTS.iterdir():
            shutil.copy(text, home / "text")
        for member in members:
            with (home / "subscribers.d" / member[0]).open("a") as file:
                file.write(f"{member}\n")
        control = home / "control"
        (control / "listaddress").write_text(f"{address}\n")
        (control / "owner").write_text(f"{owner}\n")
        headers = f"List-Id: <{address.replace('@', '.')}>\nList-Post: <mailto:{address}>\nPrecedence: list\n"
        (control / "customheaders").write_text(headers)
        if members_only:
            (control / "subonlypost").touch()
        self.aliases.append(f'{name}: "|{self._receive} -L {home}/"')

    def relay_to(self, port: int) -> None:
        """Have all lists send through this loopback port."""
        for home in self.folder.iterdir():
            (home / "control" / "relayhost").write_text("127.0.0.1\n")
            (home / "control" / "smtpport").write_text(f"{port}\n")
            (home / "control" / "smtphelo").write_text("lists.hanam.gov.vn\n")
        for path in (self.folder, *self.folder.rglob("*")):
            shutil.chown(path, self._user)
