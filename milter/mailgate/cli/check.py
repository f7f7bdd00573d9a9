"""mailgate check: judge messages as the daemon would, without it."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from .. import logs
from ..config import Settings
from .common import ConfigOption, Misused, read_settings, say


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
    from ..doors import offline

    if (file is None) == (batch is None):
        raise Misused("check: name one message file (or - for standard input), or --batch CASES.jsonl")
    settings = read_settings(config)
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
    from ..doors.offline import judge_case
    from ..scratch import Bench

    async with Bench(settings, record) as bench:
        return await judge_case(bench.gate_at(case.at), case)


def _read_lines(batch: Path) -> list[bytes]:
    try:
        return batch.read_bytes().splitlines()
    except OSError as error:
        raise Misused(f"check: --batch {batch}: {error.strerror}") from error


async def _check_batch(settings: Settings, batch: Path, lines: list[bytes], record: bool) -> int:
    """Judge each line; a line that cannot be judged is answered with its error, and makes the status 1."""
    from ..doors.offline import CaseError, judge_case, read_case
    from ..scratch import Bench

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
                status = say(f"{batch}:{number}: {error}", 1)
                known = fields.get("id") if isinstance(fields, dict) else None
                answer = {"id": known, "error": f"{batch.name}:{number}: {error}"}
            else:
                answer = (await judge_case(bench.gate_at(case.at), case)).as_json()
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
            sys.stdout.buffer.flush()
    return status


def _explain_parts(answer: Any) -> None:
    """Say how the mail was read: its parts, the files in each, and what could not be seen."""
    files, blocked = answer.inspection.files, answer.inspection.uninspected
    print("parts as they were read:")
    for number, leaf in enumerate(answer.leaves, 1):
        place = leaf.name or f"part {number}"
        encoding = leaf.encoding or "7bit"
        print(f"  part {number}: {leaf.type}, {encoding}, {leaf.span[1] - leaf.span[0]} octets  {leaf.name}".rstrip())
        for file in files:
            if file.place == place or file.place.startswith(f"{place} > "):
                dangers = "".join(f"; {danger}: {detail}" for danger, detail in file.dangers)
                print(f"      {file.place}: {file.type or 'unknown'}, {file.size} octets{dangers}")
    for each in blocked:
        print(f"  not seen: {each.place}: {each.obstacle}{f': {each.detail}' if each.detail else ''}")


def _explain(settings: Settings, answer: Any) -> None:
    print(f"verdict: {answer.verdict.action} (at {answer.verdict.stage})")
    for line in answer.verdict.reply.splitlines():
        print(f"  {line}")
    for recipient, reply in answer.rcpt_replies.items():
        print(f"recipient {recipient}: {reply.splitlines()[0]}")
    for name, value in answer.verdict.headers:
        print(f"header added: {name.decode()}: {value.decode('ascii', 'replace')}")
    for recipient, kind in answer.classes.items():
        print(f"to {recipient}: {kind}")
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
            if finding.explained:
                print(f"      {finding.explained}")
            for piece in finding.evidence:
                strength = "" if piece.hard else " (soft)"
                print(f"      {piece.kind} {piece.name}: {piece.value}{strength}")
    print(f"attachments: {len(answer.attachments)}, {answer.attachment_bytes} bytes together")
    for file in answer.attachments:
        print(f"  {file.size:>10}  {file.type}  {file.name}".rstrip())
    if answer.defects:
        print(f"structure: {', '.join(answer.defects)}")
    _explain_parts(answer)
    print(f"judged in {answer.elapsed_ms:.1f} ms")
