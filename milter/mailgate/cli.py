"""The command `mailgate`: what administrators and officers type. Names are fixed; see the README.

Exit status: 0 done; 1 the answer is no; 2 the call was wrong. An error is one line on standard error that says
what to do.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from . import __version__, logs
from .config import TIME_ZONE, ConfigError, Settings, load
from .incidents.log import IncidentLog
from .incidents.search import Query, search
from .ledger.journal import counted
from .ledger.store import Store, StoreError, open_store
from .model import MailboxState, domain_of, mailbox_of
from .tables import Format, render

_CATCH_UP_S = 1.0  # the daemon commits four times a second

DEFAULT_CONFIG = Path("/etc/mailgate/mailgate.toml")

app = typer.Typer(
    name="mailgate",
    help="Mail-flow policy milter for an official mail system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Validate or print the configuration.", no_args_is_help=True)
mailboxes_app = typer.Typer(help="States of official mailboxes.", no_args_is_help=True)
incidents_app = typer.Typer(help="The security incident log.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(mailboxes_app, name="mailboxes")
app.add_typer(incidents_app, name="incidents")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help=f"Configuration file; default {DEFAULT_CONFIG} where it exists.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="table, json or csv")]


class Refused(Exception):
    """The answer is no: one line, exit status 1."""


class Misused(Exception):
    """The call was wrong: one line, exit status 2."""


def main() -> None:
    """Run the command line; the console script."""
    try:
        status = app(standalone_mode=False)
    except Misused as error:
        status = _say(str(error), 2)
    except (Refused, StoreError) as error:
        status = _say(str(error), 1)
    except ConfigError as error:
        for problem in error.problems:
            status = _say(problem, 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        status = 0
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        # A wrong option or argument: typer's own classes know their message and status.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        status = _say(message(), getattr(error, "exit_code", 2)) if message() else 2
    sys.exit(status if isinstance(status, int) else 0)


def _say(text: str, status: int) -> int:
    print("mailgate: " + " ".join(text.split()), file=sys.stderr)
    return status


def _settings(config: Path | None) -> Settings:
    return load(_config_path(config))


def _config_path(config: Path | None) -> Path | None:
    return config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)


def _now() -> datetime:
    return datetime.now(ZoneInfo(TIME_ZONE))


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"mailgate {__version__}")
        raise typer.Exit


# -- the daemon ------------------------------------------------------------------------------------


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the daemon: every door that the configuration opens, until SIGTERM."""
    from .daemon import serve as run

    raise typer.Exit(run(_config_path(config)))


@app.command()
def doctor(config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """Try every dependency for real and say what to mend; exit 1 when something required is broken."""
    from .doctor import Diagnosis, examine, failed

    settings = _settings(config)
    logs.configure("error", "json", sys.stderr.buffer)
    found: list[Diagnosis] = []

    async def run() -> None:
        async for diagnosis in examine(settings):
            found.append(diagnosis)
            if style is Format.TABLE:
                mark = "ok  " if diagnosis.ok else "FAIL" if diagnosis.required else "warn"
                print(f"{mark}  {diagnosis.name}: {diagnosis.detail}", flush=True)

    asyncio.run(run())
    if style is not Format.TABLE:
        print(render([asdict(diagnosis) for diagnosis in found], ("name", "ok", "required", "detail"), style))
    raise typer.Exit(1 if failed(found) else 0)


# -- configuration ---------------------------------------------------------------------------------

FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]")]


@config_app.command("check")
def config_check(file: FileArgument = None) -> None:
    """Validate a configuration; each error with its key and line."""
    _settings(file)
    print(f"{_config_path(file) or 'defaults'}: valid")


@config_app.command("show")
def config_show(file: FileArgument = None) -> None:
    """Print the effective configuration as JSON, with secrets masked."""
    shown = _settings(file).masked()
    print(orjson.dumps(shown, option=orjson.OPT_INDENT_2, default=str).decode())


# -- one mail --------------------------------------------------------------------------------------


@app.command()
def check(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE.eml]", help="The message; - is standard input.")
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    batch: Annotated[Path | None, typer.Option("--batch", metavar="CASES.jsonl", help="Judge many cases.")] = None,
    client_ip: Annotated[str, typer.Option()] = "127.0.0.1",
    client_name: Annotated[str, typer.Option()] = "",
    helo: Annotated[str, typer.Option()] = "",
    auth: Annotated[str, typer.Option(metavar="USER")] = "",
    mail_from: Annotated[str, typer.Option("--from", metavar="ADDR")] = "",
    rcpts: Annotated[list[str] | None, typer.Option("--rcpt", metavar="ADDR")] = None,
    hook: Annotated[str, typer.Option(metavar="NAME")] = "",
    at: Annotated[str, typer.Option(metavar="TIME", help="ISO 8601; default now.")] = "",
    record: Annotated[
        bool, typer.Option("--record", help="Write history and incidents as the daemon would.")
    ] = False,
) -> None:
    """Judge one message exactly as the daemon would, and explain the verdict rule by rule."""
    from .doors import offline

    if (file is None) == (batch is None):
        raise Misused("check: name one message file (or - for standard input), or --batch CASES.jsonl")
    settings = _settings(config)
    logs.configure("error", "json", sys.stderr.buffer)
    try:
        if batch is not None:
            raise typer.Exit(asyncio.run(_check_batch(settings, batch, _read_lines(batch), record)))
        assert file is not None
        if hook and hook not in offline.HOOKS:
            raise Misused(f"check: --hook {hook}: there are {', '.join(offline.HOOKS)}")
        message = sys.stdin.buffer.read() if file == "-" else offline.read_message(file, Path())
        case = offline.Case(
            message,
            "" if file == "-" else file,
            offline.read_client_ip(client_ip),
            client_name,
            helo,
            auth,
            hook,
            "",
            mail_from,
            (),
            tuple(rcpts or ()),
            offline.read_time(at) if at else None,
        )
    except offline.CaseError as error:
        raise Misused(f"check: {error}") from error
    answer = asyncio.run(_check_one(settings, case, record))
    if as_json:
        print(orjson.dumps(answer.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _explain(settings, answer)


async def _check_one(settings: Settings, case: Any, record: bool) -> Any:
    from .doors.offline import judge_case
    from .scratch import Bench

    async with Bench(settings, record) as bench:
        return await judge_case(bench.gate_at(case.at), case)


def _read_lines(batch: Path) -> list[bytes]:
    try:
        return batch.read_bytes().splitlines()
    except OSError as error:
        raise Misused(f"check: --batch {batch}: {error.strerror}") from error


async def _check_batch(settings: Settings, batch: Path, lines: list[bytes], record: bool) -> int:
    """Judge each line; a line that cannot be judged is answered with its error, and makes the status 1."""
    from .doors.offline import CaseError, judge_case, read_case
    from .scratch import Bench

    status = 0
    async with Bench(settings, record) as bench:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            fields: Any = {}
            try:
                fields = orjson.loads(line)
                case = read_case(fields, batch.parent)
            except (orjson.JSONDecodeError, CaseError) as error:
                status = _say(f"{batch}:{number}: {error}", 1)
                known = fields.get("id") if isinstance(fields, dict) else None
                answer = {"id": known, "error": f"{batch.name}:{number}: {error}"}
            else:
                answer = (await judge_case(bench.gate_at(case.at), case)).as_json()
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
            sys.stdout.buffer.flush()
    return status


def _explain(settings: Settings, answer: Any) -> None:
    print(f"verdict: {answer.verdict.action} (at {answer.verdict.stage})")
    for line in answer.verdict.reply.splitlines():
        print(f"  {line}")
    for recipient, reply in answer.rcpt_replies.items():
        print(f"recipient {recipient}: {reply.splitlines()[0]}")
    for name, value in answer.verdict.headers:
        print(f"header added: {name.decode()}: {value.decode('ascii', 'replace')}")
    print("rules:")
    for name, stanza in settings.rules.items():
        findings = [finding for finding in answer.findings if finding.rule == name]
        if not findings:
            print(f"  {name} ({stanza.CLAUSE}): {'off' if stanza.mode == 'off' else 'nothing found'}")
        for finding in findings:
            direction = f", {finding.direction}" if finding.direction else ""
            recipient = f" for {finding.recipient}" if finding.recipient else ""
            exempt = f", exempt by {finding.exemption}" if finding.exemption else ""
            print(f"  {name} ({finding.clause}): {finding.action}{recipient} [{finding.mode}{direction}{exempt}]")
            for piece in finding.evidence:
                strength = "" if piece.hard else " (soft)"
                print(f"      {piece.kind} {piece.name}: {piece.value}{strength}")
    print(f"attachments: {len(answer.attachments)}, {answer.attachment_bytes} bytes together")
    for file in answer.attachments:
        print(f"  {file.size:>10}  {file.type}  {file.name}".rstrip())
    if answer.defects:
        print(f"structure: {', '.join(answer.defects)}")
    print(f"judged in {answer.elapsed_ms:.1f} ms")


# -- mailboxes -------------------------------------------------------------------------------------

AddressArgument = Annotated[str, typer.Argument(metavar="ADDR")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words.")]
DocumentOption = Annotated[str, typer.Option("--document", help="Number of the document that orders it.")]
_STATE_COLUMNS = ("address", "status", "clause", "reason", "document", "at")


def _with_store(settings: Settings, work: Callable[[Store], Any]) -> Any:
    async def run() -> Any:
        store = open_store(settings.store.url, settings.folder)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _official(settings: Settings, address: str) -> str:
    mailbox = mailbox_of(address.encode("utf-8", "surrogateescape"))
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", mailbox):
        raise Misused(f"{address!r} is no address: write LOCAL@DOMAIN, such as ptp.bl@hanam.gov.vn")
    organization = settings.resolved_organization()
    if not organization.is_official_domain(domain_of(mailbox)):
        raise Refused(f"{mailbox} is not of this system: its domains are {', '.join(sorted(organization.domains))}")
    return organization.account(mailbox)


def _change(config: Path | None, address: str, act: str, clause: str, reason: str, document: str) -> None:
    from .mailboxes.states import change

    settings = _settings(config)
    mailbox = _official(settings, address)

    async def work(store: Store) -> MailboxState:
        return await change(store, mailbox, act, _now(), clause, reason, document)

    try:
        state = _with_store(settings, work)
    except ValueError as error:
        raise Refused(str(error)) from error
    print(f"{state.address}: {state.status}")


def _needed(name: str, value: str) -> str:
    if not value.strip():
        raise Misused(f"{name} is needed and must not be empty")
    return value


@mailboxes_app.command("lock")
def mailboxes_lock(
    address: AddressArgument,
    clause: Annotated[str, typer.Option("--clause", help="The ground: 7.2a, 7.2b, 7.2c or 7.2d.")] = "",
    reason: ReasonOption = "",
    document: DocumentOption = "",
    config: ConfigOption = None,
) -> None:
    """Lock a mailbox (tạm khóa, 7.1): it sends nothing, and still receives."""
    if clause not in ("7.2a", "7.2b", "7.2c", "7.2d"):
        raise Misused(f"--clause {clause or '(empty)'}: write the ground for the lock: 7.2a, 7.2b, 7.2c or 7.2d")
    _change(config, address, "lock", clause, reason, document)


@mailboxes_app.command("restore")
def mailboxes_restore(
    address: AddressArgument, document: DocumentOption = "", reason: ReasonOption = "", config: ConfigOption = None
) -> None:
    """Make a locked or revoked mailbox active again (7.3)."""
    _change(config, address, "restore", "7.3", reason, _needed("--document", document))


@mailboxes_app.command("revoke")
def mailboxes_revoke(
    address: AddressArgument,
    document: DocumentOption = "",
    reason: ReasonOption = "",
    clause: Annotated[str, typer.Option("--clause", help="The ground: 6.2a, 6.2b or 6.2c.")] = "6.2",
    config: ConfigOption = None,
) -> None:
    """Revoke a mailbox (thu hồi, 6.2): it neither sends nor receives."""
    if clause not in ("6.2", "6.2a", "6.2b", "6.2c"):
        raise Misused(f"--clause {clause}: write 6.2a, 6.2b or 6.2c")
    _change(config, address, "revoke", clause, reason, _needed("--document", document))


@mailboxes_app.command("list")
def mailboxes_list(config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """List every mailbox that has a state or was seen in traffic, with its totals."""
    settings = _settings(config)

    async def work(store: Store) -> list[dict[str, Any]]:
        states = await store.states()
        totals = {activity.mailbox: activity for activity in await store.totals()}
        rows = []
        for address in sorted(states.keys() | totals.keys()):
            row: dict[str, Any] = {"address": address, "status": "active"}
            if address in states:
                row |= asdict(states[address])
            if address in totals:
                row |= {name: value for name, value in _activity_row(totals[address]).items() if name != "mailbox"}
            rows.append(row)
        return rows

    columns = ("address", "status", "clause", "document", "at", "sent", "received", "last_sent", "last_received")
    _catch_up(settings)
    print(render(_with_store(settings, work), columns, style))


@mailboxes_app.command("show")
def mailboxes_show(address: AddressArgument, config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """Show one mailbox: its state, its history, its totals."""
    settings = _settings(config)
    mailbox = _official(settings, address)

    async def work(store: Store) -> tuple[list[MailboxState], Any]:
        return await store.history(mailbox), await store.activity(mailbox)

    _catch_up(settings)
    history, activity = _with_store(settings, work)
    rows = [asdict(state) for state in history]
    status = history[-1].status if history else "active"
    totals = _activity_row(activity)
    if style is Format.JSON:
        shown = {"address": mailbox, "status": status, "history": rows, **totals}
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        return
    if style is Format.TABLE:
        print(f"{mailbox}: {status}; " + ", ".join(f"{k} {v}" for k, v in totals.items() if v and k != "mailbox"))
    if rows or style is Format.CSV:
        print(render(rows, _STATE_COLUMNS, style))


def _catch_up(settings: Settings) -> None:
    """Let the daemon count what it has answered before now, so that totals lack nothing."""
    folder = settings.journal_folder()
    if not counted(folder, _CATCH_UP_S):
        print(
            f"mailgate: the totals lack what is in {folder}/*.journal: see that daemon and store run",
            file=sys.stderr,
        )


def _activity_row(activity: Any) -> dict[str, Any]:
    row = asdict(activity)
    for name in ("first_sent", "last_sent", "last_received"):
        if row[name] is not None:
            row[name] = datetime.fromtimestamp(row[name], ZoneInfo(TIME_ZONE)).isoformat(timespec="seconds")
    return row


# -- incidents -------------------------------------------------------------------------------------

_INCIDENT_COLUMNS = ("time", "case", "kind", "action", "rules", "mail_from", "rcpts", "client_ip", "queue_id")


def _log(config: Path | None) -> IncidentLog:
    log = IncidentLog(_settings(config).incidents_folder())
    if not log.folder.is_dir():
        raise Refused(f"{log.folder}: there is no incident log yet; is this the daemon's configuration?")
    return log


def _rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        rules = sorted({finding["rule"] for finding in record.get("findings", ())})
        rows.append({**record, "rules": rules or [record["kind"]]})
    return rows


def _moment(name: str, text: str, days_on: int = 0) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misused(f"{name} {text}: write a date or time as 2026-11-24 or 2026-11-24T08:00:00+07:00") from error
    if len(text) == len("2026-11-24"):
        moment += timedelta(days=days_on)  # a day as the end includes that day
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(TIME_ZONE))


@incidents_app.command("search")
def incidents_search(
    config: ConfigOption = None,
    since: Annotated[str, typer.Option("--from", metavar="DATE", help="From this day or time on.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="DATE", help="To the end of this day, or this time.")] = "",
    mailbox: Annotated[str, typer.Option(metavar="ADDR")] = "",
    rule: Annotated[str, typer.Option()] = "",
    case: Annotated[str, typer.Option()] = "",
    text: Annotated[str, typer.Option(help="Anywhere in the record.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 1_000,
    style: FormatOption = Format.TABLE,
) -> None:
    """Find incidents by time, mailbox, rule, case number and text; the newest of them, oldest first."""
    query = Query(_moment("--from", since), _moment("--to", until, 1), mailbox, rule, case, text)
    found = list(search(_log(config), query))
    print(render(_rows(found[-limit:]), _INCIDENT_COLUMNS, style))


@incidents_app.command("show")
def incidents_show(case: Annotated[str, typer.Argument(metavar="CASE")], config: ConfigOption = None) -> None:
    """Print one incident whole, as JSON."""
    found = list(search(_log(config), Query(case=case)))
    if not found:
        raise Refused(f"there is no case {case}: see mailgate incidents search")
    for record in found:
        print(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode())


@incidents_app.command("tail")
def incidents_tail(
    config: ConfigOption = None,
    count: Annotated[int, typer.Option("-n", min=1)] = 10,
    follow: Annotated[bool, typer.Option("-f", help="Go on with new ones until Ctrl-C.")] = False,
    style: FormatOption = Format.TABLE,
) -> None:
    """Print the last incidents."""
    log = _log(config)
    records = list(log.records())
    print(render(_rows(records[-count:]), _INCIDENT_COLUMNS, style), flush=True)
    seen = len(records)
    while follow:
        time.sleep(1.0)
        records = list(log.records())
        for row in _rows(records[seen:]):
            print(render([row], _INCIDENT_COLUMNS, style).splitlines()[-1], flush=True)
        seen = len(records)


@incidents_app.command("verify")
def incidents_verify(config: ConfigOption = None) -> None:
    """Walk the hash chain and find the first changed, missing or reordered line."""
    result = _log(config).verify()
    for torn in result.torn:
        print(f"{torn.file}:{torn.line}: {torn.problem}; the chain goes on after it")
    if result.flaw is not None:
        raise Refused(f"{result.flaw.file}:{result.flaw.line}: {result.flaw.problem}: keep a copy and find out why")
    print(f"{result.lines} lines verify")
