"""One instance of Postfix, read through `postconf`; lookups in its tables through `postmap`.

The values are those that Postfix works with, defaults and `$name` expanded. Places, FILE and line, are found in
the text of main.cf and master.cf, which postconf does not tell.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..sources import TABLE_LIMIT_BYTES, UnreadError, read_source, text_of
from .lists import logical_lines

_TIMEOUT_S = 60.0  # a look-up in an LDAP that is away takes 10 s (ldap_table(5), timeout)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class PostfixError(Exception):
    """Postfix is not here or cannot be asked; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file and a line in it, 0 where the line is not known."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Service:
    """One service of master.cf; `options` are its `-o name=value`, in effect for it alone."""

    name: str
    type: str
    chroot: bool
    command: str
    options: Mapping[str, str]
    place: Place

    @property
    def key(self) -> str:
        """The service as `postconf -P` and `-F` name it."""
        return f"{self.name}/{self.type}"


@dataclass(frozen=True)
class Instance:
    """A Postfix whose configuration was read; `parameters` holds every main.cf parameter, defaults included."""

    config_dir: Path
    parameters: Mapping[str, str]
    explicit: frozenset[str]
    services: tuple[Service, ...]
    map_types: frozenset[str]
    _lines: dict[str, int] = field(default_factory=dict, repr=False)

    def get(self, name: str, service: Service | None = None) -> str:
        """Return what a parameter is for a service, "" where this Postfix does not know it."""
        if service is not None and name in service.options:
            return service.options[name]
        return self.parameters.get(name, "")

    @property
    def main_cf(self) -> str:
        """The path of main.cf."""
        return str(self.config_dir / "main.cf")

    @cached_property
    def queue_directory(self) -> str:
        """The folder that is the root of services in a chroot."""
        return self.get("queue_directory").rstrip("/")

    def place(self, name: str, service: Service | None = None) -> Place:
        """Return where a parameter is set, for a service or for all."""
        if service is not None and name in service.options:
            return service.place
        return Place(self.main_cf, self._lines.get(name, 0))

    def named(self, name: str, kind: str) -> Service | None:
        """Return the service of a name and a type, such as "unix" or "inet"."""
        return next((service for service in self.services if (service.name, service.type) == (name, kind)), None)

    def postmap(self, *arguments: str, stdin: str | None = None, program: str = "postmap") -> str:
        """Run postmap, which only looks up; raises PostfixError with what it said."""
        return _run(program, self.config_dir, arguments, stdin)


def read_instance(config_dir: Path | None = None) -> Instance:
    """Read a Postfix, None for the system's own. Raises PostfixError."""
    if not has_postfix():
        raise PostfixError("postconf is not on this machine: run this where Postfix is")
    if config_dir is None:
        config_dir = Path(_run("postconf", None, ["-h", "config_directory"]).strip())
    if not (config_dir / "main.cf").exists():
        raise PostfixError(f"{config_dir}/main.cf: no such file: name Postfix's folder with --config-dir")
    parameters = _assignments(_run("postconf", config_dir, ["-x"]))
    # Parameters whose name holds a transport's are known to -n alone.
    explicit = _assignments(_run("postconf", config_dir, ["-n", "-x"]))
    parameters.update(explicit)
    return Instance(
        config_dir,
        parameters,
        frozenset(explicit),
        tuple(_services(config_dir, parameters.get("compatibility_level", ""))),
        frozenset(_run("postconf", config_dir, ["-m"]).split()),
        _parameter_lines(config_dir / "main.cf"),
    )


def has_postfix() -> bool:
    """Tell whether this machine has a Postfix to ask."""
    return shutil.which("postconf", path=PATH) is not None


def _run(program: str, config_dir: Path | None, arguments: Sequence[str], stdin: str | None = None) -> str:
    found = shutil.which(program, path=PATH)
    if found is None:
        raise PostfixError(f"{program} is not on this machine: run this where Postfix is")
    where = ["-c", str(config_dir)] if config_dir else []
    try:
        done = subprocess.run(
            [found, *where, *arguments],
            input=(stdin or "").encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostfixError(f"{program}: {error}") from error
    said = done.stderr.decode("utf-8", "replace")
    # postmap says 1 for a key that is not there, and nothing more.
    if done.returncode and ("fatal:" in said or "error:" in said or program == "postconf"):
        last = next((line for line in reversed(said.splitlines()) if "warning: " not in line), said.strip())
        raise PostfixError(last or f"{program} exited with {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _assignments(output: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in output.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _services(config_dir: Path, compatibility_level: str) -> list[Service]:
    options: dict[str, dict[str, str]] = {}
    for key, value in _assignments(_run("postconf", config_dir, ["-P", "-x"])).items():
        service, _, name = key.rpartition("/")
        options.setdefault(service, {})[name] = value
    lines = _service_lines(config_dir / "master.cf")
    found = []
    # smtp       inet  n       -       y       -       -       smtpd -o ...
    for line in _run("postconf", config_dir, ["-M"]).splitlines():
        name, kind, _private, _unprivileged, chroot, _wakeup, _limit, command, *_ = line.split()
        place = Place(str(config_dir / "master.cf"), lines.get(f"{name}/{kind}", 0))
        # "-" was yes before compatibility level 1, which Postfix 3.0 brought.
        in_chroot = chroot == "y" or (chroot == "-" and compatibility_level in ("", "0"))
        found.append(Service(name, kind, in_chroot, command, options.get(f"{name}/{kind}", {}), place))
    return found


def _parameter_lines(path: Path) -> dict[str, int]:
    """Return the line of each parameter; of one that is set twice, the last, which counts."""
    found = {}
    for number, line in _lines_of(path):
        found[line.partition("=")[0].strip()] = number
    return found


def _service_lines(path: Path) -> dict[str, int]:
    found = {}
    for number, line in _lines_of(path):
        found["/".join(line.split()[:2])] = number
    return found


def _lines_of(path: Path) -> list[tuple[int, str]]:
    try:
        return list(logical_lines(text_of(read_source(path, TABLE_LIMIT_BYTES))))
    except UnreadError:
        return []  # postconf has read it already, and would have said so
