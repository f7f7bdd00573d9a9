"""Forwards in Sieve scripts (RFC 5228): redirect, with or without :copy (RFC 3894), and notify mailto: (RFC 5436).

sievelib says whether it understands a script; its lexer gives the redirects and their lines, so that a script with
an extension that it does not know is listed as not audited, and what is plainly a redirect in it all the same.
"""

import re
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from sievelib import commands
from sievelib.parser import Lexer, ParseError, Parser

from ..sources import Unread
from .edges import Edge, Harvest, addresses_of, canonical

_COMMENTS = ("hash_comment", "bracket_comment")
_STRINGS = ("string", "multiline")
# Tags of redirect and notify whose next word is not the address.
_WITH_VALUE = (":from", ":message", ":importance", ":options", ":id", ":notify", ":ret", ":bymode", ":list")
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Script:
    """A Sieve script, whose it is, and where it stands: `line` is that of its first line in `file`."""

    text: str
    source: str
    kind: str
    file: str
    line: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    line: int


def harvest_script(script: Script) -> Harvest:
    """Return a script's forwards; one that sievelib does not understand is named, with what was found in it."""
    harvest = Harvest()
    tokens, flaw = _tokens(script.text)
    if flaw is None:
        flaw = _flaw(script.text)
    if flaw is not None:
        line, reason = flaw
        harvest.unread.append(Unread(script.file, script.line + line - 1, f"Sieve script not understood: {reason}"))
    constants = _constants(tokens)
    words = {_unquoted(token) for token in tokens if token.kind in _STRINGS}
    for command in _commands(tokens, ("redirect", "notify")):
        is_redirect = command[0].value.lower() == "redirect"
        kind = script.kind if is_redirect else f"{script.kind}-notify"
        line = script.line + command[0].line - 1
        for target in _redirected(command) if is_redirect else _notified(command):
            harvest.edges.append(_edge(script, _decoded(target, words, constants), kind, line))
    return harvest


def is_complete(text: str) -> bool:
    """Tell whether a text ends outside strings and blocks, as a whole script does."""
    tokens, flaw = _tokens(text)
    depth = sum((t.kind == "left_cbracket") - (t.kind == "right_cbracket") for t in tokens)
    return flaw is None and depth == 0 and (not tokens or tokens[-1].kind in ("semicolon", "right_cbracket"))


def _edge(script: Script, target: str, kind: str, line: int) -> Edge:
    note = script.note
    known = "${" not in target
    if not known:
        note = "; ".join(filter(None, [f"target not known: {target}", note]))
    return Edge(script.source, canonical(target) if known else "", kind, script.file, line, note)


def _tokens(text: str) -> tuple[list[_Token], tuple[int, str] | None]:
    """Return the tokens up to the first that is none, and the line and reason of that one."""
    lexer = Lexer(Parser.lrules)
    data = text.encode("utf-8", "surrogateescape")
    tokens, line, counted = [], 1, 0
    try:
        for kind, value in lexer.scan(data):
            line += data.count(b"\n", counted, lexer.pos)
            counted = lexer.pos
            name = kind.decode() if isinstance(kind, bytes) else str(kind)
            if name not in _COMMENTS:
                tokens.append(_Token(name, value.decode("utf-8", "surrogateescape"), line))
    except ParseError as error:
        return tokens, (lexer.curlineno(), error.msg)
    return tokens, None


# What no argument of an action is.
_ENDS = ("semicolon", "left_cbracket", "right_cbracket", "identifier")


def _commands(tokens: Sequence[_Token], names: Sequence[str]) -> Iterator[list[_Token]]:
    """Yield each command of these names with its arguments, up to its semicolon."""
    for at, token in enumerate(tokens):
        if token.kind == "identifier" and token.value.lower() in names:
            end = at + 1
            while end < len(tokens) and tokens[end].kind not in _ENDS:
                end += 1
            yield list(tokens[at:end])


def _positional(command: Sequence[_Token]) -> list[str]:
    """Return the strings of a command that no tag takes for itself."""
    found = []
    skip = False
    in_list = False
    for token in command[1:]:
        if token.kind == "tag":
            skip = token.value.lower() in _WITH_VALUE
            continue
        if token.kind == "left_bracket":
            in_list = True
        if token.kind in _STRINGS and not skip:
            found.append(_unquoted(token))
        if token.kind == "right_bracket":
            in_list = False
        skip = skip and in_list
    return found


def _redirected(command: Sequence[_Token]) -> list[str]:
    """Return the address of a redirect, "${...}" where a list that is kept elsewhere has it (RFC 6134)."""
    listed = any(token.kind == "tag" and token.value.lower() == ":list" for token in command)
    if listed:
        return ["${" + " ".join(token.value for token in command[1:]) + "}"]
    return _positional(command)[-1:]


def _notified(command: Sequence[_Token]) -> list[str]:
    """Return the addresses of mailto: URIs (RFC 5436), of the older `:method "mailto"`, and of Zimbra's form."""
    strings = [_unquoted(token) for token in command[1:] if token.kind in _STRINGS]
    uris = [text for text in strings if text.lower().startswith("mailto:")]
    if uris:
        return [address for uri in uris for address in _mailto(uri)]
    if "mailto" in (text.lower() for text in strings):
        return [text for text in strings if "@" in text]
    return [text for text in _positional(command)[:1] if "@" in text and ":" not in text]


def _mailto(uri: str) -> list[str]:
    path, _, query = uri[len("mailto:") :].partition("?")
    fields = {name.lower(): values for name, values in parse_qs(query).items()}
    listed = [unquote(path), *(value for name in ("to", "cc", "bcc") for value in fields.get(name, ()))]
    return [address for text in listed for address in addresses_of(text)]


def _unquoted(token: _Token) -> str:
    if token.kind == "multiline":
        lines = token.value.replace("\r\n", "\n").split("\n")[1:-1]
        return "\n".join(line.removeprefix(".") if line.startswith("..") else line for line in lines).strip()
    return re.sub(r"\\(.)", r"\1", token.value[1:-1], flags=re.DOTALL)


def _constants(tokens: Sequence[_Token]) -> dict[str, str]:
    """Return the variables (RFC 5229) that are set once, and to a plain text."""
    found: dict[str, list[str]] = {}
    for command in _commands(tokens, ("set",)):
        strings = [_unquoted(token) for token in command[1:] if token.kind in _STRINGS]
        if len(strings) == 2:
            plain = len(command) == 3 and "${" not in strings[1]
            found.setdefault(strings[0].lower(), []).append(strings[1] if plain else "${")
    return {name: values[0] for name, values in found.items() if len(values) == 1 and values[0] != "${"}


def _decoded(text: str, words: Collection[str], constants: dict[str, str]) -> str:
    """Put in what ${...} stands for, where the script says so (in its `words`) and it can be told."""
    if "encoded-character" in words:  # RFC 5228 section 2.4.2.4
        text = re.sub(r"(?i)\$\{(hex|unicode):\s*([0-9a-f\s]+)\}", _character, text)
    if "variables" not in words:
        return text
    return re.sub(r"\$\{(\w+)\}", lambda match: constants.get(match[1].lower(), match[0]), text)


def _character(match: re.Match[str]) -> str:
    try:
        codes = [int(code, 16) for code in match[2].split()]
        return bytes(codes).decode("utf-8") if match[1].lower() == "hex" else "".join(map(chr, codes))
    except (ValueError, OverflowError):
        return match[0]


# -- what sievelib does not know -------------------------------------------------------------------


def _flaw(text: str) -> tuple[int, str] | None:
    """Return line and reason of what sievelib does not understand, None where it understands the whole."""
    parser = Parser()
    with _lock:  # sievelib's commands are one table for all
        _teach()
        try:
            understood = parser.parse(_ZIMBRA_NOTIFY.sub(_same_lines, text).encode("utf-8", "surrogateescape"))
        except Exception as error:  # an odd script breaks it in ways of its own
            return 1, f"{type(error).__name__}: {error}"
    if understood:
        return None if is_complete(text) else (text.rstrip().count("\n") + 1, "ends in the middle of a command")
    line, _, _ = parser.error_pos
    return line, str(parser.error).partition(": ")[2].removeprefix("parsing error: ")


# notify "ADDRESS" "SUBJECT" "BODY" ...; where the standard has one string.
_ZIMBRA_NOTIFY = re.compile(r'\bnotify\s+"[^":\s]*@[^"\s]*"\s+"(?:[^"\\]|\\.)*"[^;]{0,4000};')


def _same_lines(match: re.Match[str]) -> str:
    return "keep;" + "\n" * match[0].count("\n")


_STRING = {"type": ["string"], "required": True}
_STRING_OR_LIST = {"type": ["string", "stringlist"], "required": True}
_TEST_TAGS = [commands.comparator, commands.match_type]


def _command(name: str, base: type, extension: str | None, *arguments: dict[str, object]) -> type:
    members = {"extension": extension, "args_definition": list(arguments)}
    return type(f"{name.capitalize()}Command", (base,), members)


def _teach() -> None:
    """Add commands that Dovecot and Zimbra have and sievelib does not."""
    if hasattr(commands, "ErejectCommand"):
        return
    action, test, control = commands.ActionCommand, commands.TestCommand, commands.ControlCommand
    name, value = {"name": "name", **_STRING}, {"name": "value", **_STRING_OR_LIST}
    scope = {"name": "scope", "type": ["tag"], "values": [":personal", ":global"], "required": False}
    commands.add_commands(
        [
            _command("ereject", action, "ereject", {"name": "text", **_STRING}),  # RFC 5429
            _command("return", control, "include"),  # RFC 6609
            _command("global", control, "include", value),
            _command("include", control, "include", scope, name),
            _command("addheader", action, "editheader", name, value),  # RFC 5293
            _command("deleteheader", action, "editheader", *_TEST_TAGS, name),
            _command("string", test, "variables", *_TEST_TAGS, {"name": "source", **_STRING_OR_LIST}, value),
            _command("mailboxexists", test, "mailbox", value),  # RFC 5490
            type("Disabled_ifCommand", (commands.IfCommand,), {}),  # a rule that is turned off; listed all the same
            _command("tag", action, None, name),  # Zimbra: zimbra-docs, soap.txt and its own Sieve extensions
            _command("flag", action, None, name),
            _command("log", action, None, name),
        ]
    )
