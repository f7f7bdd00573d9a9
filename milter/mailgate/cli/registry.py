"""mailgate mailboxes import, export and check-address: the registry, and addresses by clause 5."""

import os
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import orjson
import typer

from ..identity.spelling import domain_of
from ..ledger.store import Store
from ..mailboxes.addresses import Explanation, explain
from ..mailboxes.logins import dovecot_deny, ldif, zmprov
from ..mailboxes.registry import FILE_LIMIT_BYTES, Problem, read_csv, write_csv
from ..model import MailboxKind, MailboxState, MailboxStatus, Registration
from ..tables import Format, render
from .common import (
    AddressArgument,
    ConfigOption,
    FormatOption,
    Misused,
    Refused,
    needed,
    now,
    official_mailbox,
    read_settings,
    with_store,
)

_WARNINGS_SHOWN = 100  # of a file: the others are more of the same


# -- in ------------------------------------------------------------------------------------------


def import_csv(
    file: Annotated[str, typer.Argument(metavar="FILE.csv", help="- reads standard input.")],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Import the good lines though others are bad.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong with the file.")] = False,
    config: ConfigOption = None,
) -> None:
    """Put mailboxes into the registry: columns address,kind,name,unit,created,password_changed.

    All lines or none. A mailbox that is there already is replaced; one that the file does not name stays.
    """
    settings = read_settings(config)
    registrations, problems = read_csv(_octets(file), settings.identity(), now().date())
    bad = _report(file, problems)
    if bad and (not registrations or not skip_bad):
        rest = ", or import the rest with --skip-bad" if registrations else ""
        raise Refused(f"{file}: nothing was imported; bad lines: {bad}: mend them{rest}")

    async def work(store: Store) -> None:
        await store.register(registrations)

    if not dry_run and registrations:
        with_store(settings, work)
    skipped = f", skipped {bad}" if bad else ""
    print(f"{file}: {'would have ' if dry_run else ''}imported {len(registrations)}{skipped}")


def _octets(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1)
        with open(file, "rb") as stream:
            return stream.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise Misused(f"{file}: {error.strerror}") from error


def _report(file: str, problems: Iterable[Problem]) -> int:
    """Name each problem on standard error, and return how many are no warnings."""
    bad = warnings = 0
    for problem in problems:
        where = f"{file}:{problem.line}" if problem.line else file
        if not problem.is_warning:
            bad += 1
            print(f"{where}: {problem.reason}", file=sys.stderr)
            continue
        warnings += 1
        if warnings <= _WARNINGS_SHOWN:
            print(f"{where}: warning: {problem.reason}", file=sys.stderr)
    if warnings > _WARNINGS_SHOWN:
        print(f"{file}: warning: {warnings - _WARNINGS_SHOWN} more warnings are not shown", file=sys.stderr)
    return bad


# -- out -----------------------------------------------------------------------------------------


class Export(StrEnum):
    """What the registry and the states are written as."""

    CSV = "csv"
    JSON = "json"
    ZMPROV = "zmprov"
    DOVECOT = "dovecot-passwd-file"
    LDIF = "ldif"


def export(
    style: Annotated[
        Export,
        typer.Option("--format", help="csv and json: the registry; the others: states, for what holds logins."),
    ] = Export.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Written whole, then put in place.")
    ] = None,
    base: Annotated[str, typer.Option("--base", metavar="DN", help="ldif: what the accounts are below.")] = "",
    rdn: Annotated[str, typer.Option("--rdn", help="ldif: mail=ADDRESS, or uid=LOCAL-PART.")] = "mail",
    locked: Annotated[
        str, typer.Option("--locked", metavar="'NAME: VALUE'", help="ldif: the attribute that forbids a login.")
    ] = "pwdAccountLockedTime: 000001010000Z",
    must_change: Annotated[
        str, typer.Option("--must-change", metavar="'NAME: VALUE'", help="ldif: that asks for a new password; or ''.")
    ] = "pwdReset: TRUE",
    config: ConfigOption = None,
) -> None:
    """Write the registry, or the effect of states for the systems that hold the logins.

    csv reads back as the same registry (mailboxes import). zmprov is for Zimbra: `zmprov -f FILE`; ldif for a
    directory: `ldapmodify -f FILE`; dovecot-passwd-file for Dovecot 2.3: a passdb with deny = yes before all others.
    """
    settings = read_settings(config)

    async def work(store: Store) -> tuple[list[Registration], dict[str, MailboxState]]:
        needs_registry = style in (Export.CSV, Export.JSON)
        return await store.registrations() if needs_registry else [], await store.states()

    if style is Export.LDIF:
        needed("--base", base)
    registry, states = with_store(settings, work)
    in_order = [states[address] for address in sorted(states)]
    lines: Iterable[str] = ()
    if style is Export.JSON:
        rows = [_json_row(each, states.get(each.address)) for each in registry]
        lines = [orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()]
    elif style is Export.ZMPROV:
        lines = zmprov(in_order)
    elif style is Export.DOVECOT:
        lines = dovecot_deny(in_order)
    elif style is Export.LDIF:
        try:
            lines = list(ldif(in_order, base, rdn, locked, must_change))
        except ValueError as error:
            raise Misused(f"--locked or --must-change: {error}") from error

    def write(out: TextIO) -> None:
        if style is Export.CSV:
            write_csv(registry, out)
        else:
            out.writelines(f"{line}\n" for line in lines)

    if output is None:
        write(sys.stdout)
        return
    try:
        _put(output, write)
    except OSError as error:
        raise Refused(f"--output {output}: {error.strerror}") from error


def _put(output: Path, write: Callable[[TextIO], None]) -> None:
    """Write a file, then put it in place: who reads it, such as Dovecot at a login, finds the old or the new whole.

    It keeps the mode and owner of the old one. A device or a pipe is written to as it is.
    """
    old = output.stat() if output.exists() else None
    if old is not None and not stat.S_ISREG(old.st_mode):
        with output.open("w", encoding="utf-8", newline="") as out:
            write(out)
        return
    place = output.resolve()
    new = place.with_name(f".{place.name}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as out:
            write(out)
            if old is not None:
                os.fchmod(out.fileno(), stat.S_IMODE(old.st_mode))
                os.fchown(out.fileno(), old.st_uid, old.st_gid)
            out.flush()
            os.fsync(out.fileno())
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)


def _json_row(registration: Registration, state: MailboxState | None) -> dict[str, Any]:
    return asdict(registration) | {
        "status": state.status if state else MailboxStatus.ACTIVE,
        "must_change_password": bool(state and state.must_change_password),
    }


# -- clause 5 ------------------------------------------------------------------------------------


def check_address(
    address: AddressArgument,
    name: Annotated[
        str, typer.Option("--name", help="Whose it is to be: a person, or a unit with those above.")
    ] = "",
    unit: Annotated[str, typer.Option("--unit", help="The person's unit, or the unit above.")] = "",
    kind: Annotated[MailboxKind | None, typer.Option("--kind", help="The kind in the registry.")] = None,
    config: ConfigOption = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """Say which forms of clause 5 an address fits, or why none (exit 1); with --name, whether it is that name's."""
    settings = read_settings(config)
    if "@" not in address:
        official_mailbox(settings, address)  # says that it is no address
    found = explain(address, settings.identity(), kind, name, unit)
    print(_shown(found, style))
    raise typer.Exit(0 if found.forms else 1)


def _shown(found: Explanation, style: Format) -> str:
    forms = [
        {"clause": form.clause, "kind": form.kind.value, "english": form.english, "vietnamese": form.vietnamese}
        for form in found.forms
    ]
    if style is Format.CSV:
        return render(forms, ("clause", "kind", "english", "vietnamese"), style)
    if style is Format.JSON:
        domain = domain_of(found.address)
        shown = {
            "address": found.address,
            "fits": bool(forms),
            "ambiguous": found.is_ambiguous,
            "forms": forms,
            "wanted": [
                {"address": f"{made.local}@{domain}", "clause": made.form.clause, "how": made.how}
                for made in found.wanted
            ],
            "reasons": found.reasons,
            "notes": found.notes,
        }
        return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
    lines = [f"{found.address}: {'fits' if forms else 'fits no form of clause 5'}"]
    lines += [f"  {form['clause']} {form['kind']}: {form['english']} ({form['vietnamese']})" for form in forms]
    lines += [f"  {text}" for text in (*found.reasons, *found.notes)]
    return "\n".join(lines)
