"""Sieve scripts on disk: those of a folder, or those that Dovecot's configuration names for each home."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from ..identity.organization import Organization
from ..identity.spelling import mailbox_of
from ..postfix.instance import PATH
from ..sources import SCRIPT_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .edges import Harvest
from .forward_files import Home
from .local_names import LocalNames
from .sieve import Script, harvest_script

ACTIVE = ".dovecot.sieve"
_SETTINGS = ("sieve", "sieve_dir", "sieve_global", "sieve_global_dir", "sieve_default", "sieve_before", "sieve_after")


def harvest_folders(folders: Sequence[Path], organization: Organization, local: LocalNames) -> Harvest:
    """Read each *.sieve and each active link below folders; the path tells whose a script is.

    It is the part that is an address, the part after one that is a domain of ours, or else the first folder
    below the one that was named. A script that lies directly in that one is every mailbox's, unless its own name
    is a mailbox. In place of a folder may stand what Dovecot's `sieve` is set to, such as /vmail/%d/%n.sieve: then
    its variables tell.
    """
    harvest = Harvest()
    for folder in folders:
        if "%" in str(folder):
            places = _named_by(str(folder))
            if not places:
                harvest.unread.append(Unread(str(folder), 0, "names no script and no folder"))
            domains = local.official or tuple(sorted(organization.domains))
            harvest.add(_named_scripts(places, domains))
            continue
        if not folder.is_dir():
            harvest.unread.append(Unread(str(folder), 0, "no such folder"))
            continue
        seen: set[tuple[str, str]] = set()
        for path in _scripts(folder, harvest):
            owners = _owners(path, folder, organization, local)
            harvest.add(_script_file(path, owners, seen))
    return harvest


def _scripts(folder: Path, harvest: Harvest) -> list[Path]:
    def failed(error: OSError) -> None:
        harvest.unread.append(Unread(str(error.filename), 0, error.strerror or str(error)))

    found = []
    visited = set()
    for top, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        real = os.path.realpath(top)
        if real in visited:  # a link to a folder above it
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        found += [Path(top, name) for name in sorted(names) if name.endswith(".sieve")]
    # Scripts before links to them: a link says which one is active, and adds nothing where that was read.
    return sorted(found, key=lambda path: (path.is_symlink(), path))


def _script_file(path: Path, owners: Iterable[str], seen: set[tuple[str, str]]) -> Harvest:
    real = os.path.realpath(path)
    new = [owner for owner in owners if (owner, real) not in seen]
    if not new:
        return Harvest()
    seen.update((owner, real) for owner in new)
    try:
        data = read_source(path, SCRIPT_LIMIT_BYTES)
    except UnreadError as error:
        return Harvest(unread=[error.unread])
    harvest = Harvest()
    for owner in new:
        harvest.add(harvest_script(Script(text_of(data), owner, "sieve", str(path))))
    harvest.unread = list(dict.fromkeys(harvest.unread))
    return harvest


def _owners(path: Path, folder: Path, organization: Organization, local: LocalNames) -> list[str]:
    parts = [*path.parent.parts, path.stem]
    for part in parts:
        if "@" in part and organization.is_official(mailbox_of(os.fsencode(part))):
            return [mailbox_of(os.fsencode(part))]
    for domain, name in pairwise(parts):
        if organization.is_official_domain(domain.lower()):
            return [mailbox_of(os.fsencode(f"{name}@{domain}"))]
    below = path.relative_to(folder).parts
    domains = local.official or tuple(sorted(organization.domains))
    if len(below) > 1:
        return [mailbox_of(os.fsencode(f"{below[0]}@{domain}")) for domain in domains]
    return [f"@{domain}" for domain in domains]


# -- Dovecot ---------------------------------------------------------------------------------------


def dovecot_settings() -> dict[str, str] | None:
    """Return Dovecot's settings of Sieve and of homes, None where there is no Dovecot to ask."""
    doveconf = shutil.which("doveconf", path=PATH)
    if doveconf is None:
        return None
    found = {}
    for name in (*(f"plugin/{name}" for name in _SETTINGS), "mail_home"):
        try:
            done = subprocess.run([doveconf, "-h", name], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode == 0 and done.stdout.strip():
            found[name.removeprefix("plugin/")] = done.stdout.strip()
    return found


def harvest_dovecot(
    settings: dict[str, str], homes: Sequence[Home], organization: Organization, local: LocalNames
) -> Harvest:
    """Read the scripts that Dovecot's settings name: each home's own, and those for every mailbox."""
    harvest = Harvest()
    everyone = [f"@{domain}" for domain in local.official or tuple(sorted(organization.domains))]
    seen: set[tuple[str, str]] = set()
    for name in ("sieve_before", "sieve_after", "sieve_global", "sieve_global_dir", "sieve_default"):
        path = settings.get(name, "")
        if path.startswith("/"):
            for script in _scripts(Path(path), harvest) if os.path.isdir(path) else [Path(path)]:
                if os.path.lexists(script):
                    harvest.add(_script_file(script, everyone, seen))
    homes = [*homes, *(Home(owner, path) for path, owner in _named_by(settings.get("mail_home", "")))]
    for home in homes:
        for place in _personal(settings, home):
            scripts = _scripts(place, harvest) if place.is_dir() else [place]
            for script in scripts:
                if os.path.lexists(script):
                    harvest.add(_script_file(script, [home.user], seen))
    for text in _places(settings):
        harvest.add(_named_scripts(_named_by(text), local.official or tuple(sorted(organization.domains))))
    return harvest


def _places(settings: dict[str, str]) -> list[str]:
    """Return where mailboxes have scripts: `sieve = file:~/sieve;active=~/.dovecot.sieve`, and sieve_dir."""
    texts = [text for name in ("sieve", "sieve_dir") for text in settings.get(name, "").split(";")]
    return [text.removeprefix("active=").removeprefix("file:") for text in texts]


def _personal(settings: dict[str, str], home: Home) -> list[Path]:
    """Return where a home's scripts are."""
    found = []
    for place in _places(settings):
        text = place.replace("%h", str(home.folder))
        if text.startswith("~/"):
            found.append(home.folder / text[2:])
        elif text.startswith("/") and "%" not in text:
            found.append(Path(text))
    return found


# Dovecot's variables of who it is: %u whole, %n without and %d with the domain alone; %Ln in lower case.
_VARIABLE = re.compile(r"%(?:L?(?P<letter>[und])|\{(?P<word>user|username|domain)\})")
_LETTERS = {"user": "u", "username": "n", "domain": "d"}


def _named_by(template: str) -> list[tuple[Path, str]]:
    """Return what is at a path with Dovecot's variables, such as /var/vmail/%d/%n, each with its mailbox or name."""
    kinds = [match["letter"] or _LETTERS[match["word"]] for match in _VARIABLE.finditer(template)]
    literals = _VARIABLE.sub("\0", template).split("\0")
    if not kinds or not template.startswith("/") or any("%" in literal for literal in literals):
        return []
    groups = ["([^/]+)" if kind == "u" else "([^/@]+)" for kind in kinds]
    pattern = re.compile(
        "".join(re.escape(text) + group for text, group in zip(literals, [*groups, ""], strict=True))
    )
    found = []
    for path in sorted(glob.glob("*".join(map(glob.escape, literals)))):
        match = pattern.fullmatch(path)
        pairs = set(zip(kinds, match.groups(), strict=True)) if match else set()
        values = dict(pairs)
        if not values or len(values) < len(pairs):  # /vmail/%n/%n.sieve, with two names
            continue
        owner = values.get("u") or "@".join(filter(None, (values.get("n"), values.get("d"))))
        found.append((Path(path), owner if "u" in values or "n" in values else f"@{owner}"))
    return found


def _named_scripts(places: Iterable[tuple[Path, str]], domains: Sequence[str]) -> Harvest:
    """Read scripts whose path tells whose they are; a name without a domain is a mailbox of each of these."""
    harvest = Harvest()
    seen: set[tuple[str, str]] = set()
    for path, owner in places:
        names = [owner] if "@" in owner else [f"{owner}@{domain}" for domain in domains]
        owners = [mailbox_of(os.fsencode(name)) if not name.startswith("@") else name for name in names]
        for script in _scripts(path, harvest) if path.is_dir() else [path]:
            harvest.add(_script_file(script, owners, seen))
    return harvest
