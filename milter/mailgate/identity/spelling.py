"""The spellings of one mailbox: comments, blanks, quotes, case, source routes, root dots, A-labels.

What is read here is what RFC 5322 section 3.4.1 and RFC 5321 section 4.1.2 allow, and what Postfix reads besides
(tok822_parse(3) in its sources): an address is a row of tokens, of which white space and comments are none, and
`%` and `!` are operators outside quotes. All results compare as text.
"""

import re
from collections.abc import Sequence

import idna

from ..caches import remembered

ATOM, QUOTED, LITERAL, UNCLOSED = "a", '"', "[", "?"
"""Kinds of tokens; an operator is its own kind: one of `@ . % ! : ; , < >`."""
Token = tuple[str, str]

_TOKEN = re.compile(
    r"""
      [ \t\r\n]+                                            # white space
    | (?P<comment>\()                                       # read by hand: comments nest
    | (?P<literal>\[(?:\\.|[^\]\\])*)(?P<bracket>\]?)
    | "(?P<quoted>(?:\\.|[^"\\])*)(?P<quote>"?)
    | (?P<operator>[@.%!:;,<>)\]|])
    | (?P<atom>(?:\\.|[^ \t\r\n"(),.:;<>@\[\]%!|\\])+|\\)
    """,
    re.VERBOSE | re.DOTALL,
)
ORDINARY = re.compile(rb"<?([A-Za-z0-9_+=/-]+(?:\.[A-Za-z0-9_+=/-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)>?")
_BARE_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\\x00-\x1f\x7f]+")


LONGEST = 1_000
"""Octets of a path that is read; RFC 5321 section 4.5.3.1.3 has 256. A longer one is nobody's, and stays as it is."""


@remembered("mailbox_of")
def mailbox_of(path: bytes) -> str:
    """Return the mailbox of an RFC 5321 path as text that compares: `local@domain`, lower-cased.

    Takes off the angle brackets, comments, blanks, a source route, quotes and backslashes that are not needed, and
    the root dot of the domain, and turns the domain into A-labels. The null path is "". An address without a domain
    is its local part alone. Octets that are not UTF-8 are kept by surrogateescape.
    """
    if ordinary := ORDINARY.fullmatch(path):
        return ordinary[1].decode("ascii").lower()
    text = path.decode("utf-8", "surrogateescape")
    return written(tokens_of(text)) if len(path) <= LONGEST else text.strip().lower()


def domain_of(mailbox: str) -> str:
    """Return the domain of a mailbox, "" for the null path."""
    return mailbox.rpartition("@")[2] if "@" in mailbox else ""


@remembered("canonical_domain")
def canonical_domain(domain: str) -> str:
    """Return a domain as it compares: A-labels, lower case, no root dot (UTS 46, as DNS sees it).

    A domain that has no A-label form is returned lower-cased as it stands: it equals no real one.
    """
    text = domain.strip().rstrip(".").lower()
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return text


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a path without its angle brackets and its source route; linear in its length."""
    tokens = scan(text)
    if ("<", "<") in tokens:  # before it stood a display name
        start = opened = tokens.index(("<", "<"))
        while opened < len(tokens) and tokens[opened] == ("<", "<"):  # <<a@b>>
            opened += 1
        del tokens[:opened]
        opened -= start
        if (">", ">") in tokens:
            end = tokens.index((">", ">"))
            is_whole = len(tokens) - end <= opened or ("<", "<") in tokens[end:]
            del tokens[end if is_whole else end + 1 :]
    if tokens[:1] == [("@", "@")] and (":", ":") in tokens[:-1]:  # a source route (RFC 5321 appendix C) is ignored
        del tokens[: tokens.index((":", ":")) + 1]
    return tokens


def scan(text: str) -> list[Token]:
    """Return the tokens of an address, quotes and backslashes taken off.

    A quote, a literal or a comment that is opened and never closed goes on to the end, and an UNCLOSED token follows.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:  # a lone octet that is in no class
            tokens.append((ATOM, text[at]))
            at += 1
            continue
        at = match.end()
        if match["comment"]:
            at = _end_of_comment(text, at)
            if at < 0:
                return [*tokens, (UNCLOSED, "(")]
        elif match["operator"]:
            tokens.append((match["operator"], match["operator"]))
        elif match["literal"] is not None:
            tokens.append((LITERAL, _unescaped(match["literal"]) + match["bracket"]))
            if not match["bracket"]:
                tokens.append((UNCLOSED, ""))
        elif match["quoted"] is not None:
            tokens.append((QUOTED, _unescaped(match["quoted"])))
            if not match["quote"]:
                tokens.append((UNCLOSED, ""))
        elif match["atom"] is not None:
            atom = "" if match["atom"] == "\\" else _unescaped(match["atom"])  # a backslash at the end quotes nothing
            tokens.append((ATOM if _BARE_LOCAL.fullmatch(atom) and not _OPERATORS.search(atom) else QUOTED, atom))
    return tokens


_OPERATORS = re.compile(r"[%!.|]")
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)


def _end_of_comment(text: str, at: int) -> int:
    """Return where a comment ends that was opened before `at`, -1 for nowhere."""
    depth = 1
    for match in _PARENTHESIS.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return -1


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def written(tokens: Sequence[Token]) -> str:
    """Write tokens as a mailbox that compares."""
    at = last(tokens, "@")
    if at < 0:
        return local_part(tokens)
    domain = joined(tokens[at + 1 :])
    return f"{local_part(tokens[:at])}@{canonical_domain(domain)}"


def local_part(tokens: Sequence[Token]) -> str:
    """Write tokens as a local part, in quotes where it needs them."""
    local = joined(tokens).lower()
    return quoted(local) if local else ('""' if tokens else "")


def unquoted(local: str) -> str:
    """Return what a local part says without its quotes.

    >>> unquoted('"a b"'), unquoted("a.b")
    ('a b', 'a.b')
    """
    return _unescaped(local[1:-1]) if local.startswith('"') else local


def quoted(local: str) -> str:
    """Return a local part in quotes where it needs them."""
    if _BARE_LOCAL.fullmatch(local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def base_of(local: str, separators: str) -> str:
    """Return a local part without its sub-address, as split_addr.c splits it: at the first separator.

    Names of the mail system's own are never split, nor owner-x and x-request where `-` separates. Quotes are not of
    the name: `"a+b c"` is `a` too.
    """
    bare = unquoted(local)
    ends = [at for separator in separators if (at := bare.find(separator)) >= 0]
    at = min(ends) if ends else 0
    if at <= 0 or bare in _NEVER_SPLIT:
        return local
    if "-" in separators and (bare.startswith("owner-") or bare.endswith("-request")):
        return local
    return quoted(bare[:at])


_NEVER_SPLIT = ("mailer-daemon", "postmaster", "double-bounce")


def joined(tokens: Sequence[Token]) -> str:
    """Write tokens one after the other, a blank between two words that nothing else parts, as Postfix does."""
    text = ""
    between = False
    for kind, value in tokens:
        is_word = kind in (ATOM, QUOTED, LITERAL)
        text += f" {value}" if is_word and between else ", " if kind == "," else value
        between = is_word
    return text


def last(tokens: Sequence[Token], kind: str) -> int:
    """Return where the last token of a kind stands, -1 for nowhere."""
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at][0] == kind:
            return at
    return -1


def first(tokens: Sequence[Token], kind: str) -> int:
    """Return where the first token of a kind stands, -1 for nowhere."""
    for at, token in enumerate(tokens):
        if token[0] == kind:
            return at
    return -1
