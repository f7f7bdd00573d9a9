"""What Postfix makes of an address before it delivers: trivial-rewrite(8), by the settings of main.cf.

Where the MTA says itself what it made of an address ({mail_addr}, {rcpt_addr}), that is judged. Elsewhere (a content
filter, another MTA) the same is worked out here, from ADDRESS_REWRITING_README and postconf(5): `user` becomes
user@myorigin, `user%domain` and `domain!user` become user@domain, `user@host` becomes user@host.mydomain, and what is
routed through a domain of our own goes where its local part says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .spelling import (
    ATOM,
    LITERAL,
    LONGEST,
    ORDINARY,
    QUOTED,
    UNCLOSED,
    Token,
    canonical_domain,
    domain_of,
    first,
    joined,
    last,
    scan,
    tokens_of,
    written,
)

_MOST_HOPS = 20  # of one address through our own domains


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The settings of main.cf by which addresses are completed and resolved, each under its name there (postconf(5)).

    mydestination: the domains whose mail local(8) takes, all of which have the same mailboxes.
    """

    myorigin: str
    mydomain: str = ""
    mydestination: frozenset[str] = frozenset()
    append_at_myorigin: bool = True
    append_dot_mydomain: bool = False
    allow_percent_hack: bool = True
    swap_bangpath: bool = True
    resolve_dequoted_address: bool = True

    def mailbox(self, path: bytes) -> str:
        """Return the mailbox that a path as it was typed leads to, "" for the null path; see `is_clear`."""
        if ordinary := ORDINARY.fullmatch(path):  # whole, and without a route
            return ordinary[1].decode("ascii").lower()
        text = path.decode("utf-8", "surrogateescape")
        tokens = tokens_of(text) if len(path) <= LONGEST else [(UNCLOSED, "")]
        if _is_address(tokens):
            tokens = self._resolved(self._rewritten(_quoted_again(tokens)))
        return written(tokens) if _is_address(tokens) else _without_domain(text)

    def _rewritten(self, tokens: list[Token]) -> list[Token]:
        """Complete an address, as rewrite.c does."""
        if not tokens or tokens == [(QUOTED, "")] or tokens == [_AT]:
            return []
        if tokens[0] == _AT and _COLON in tokens[:-1]:
            tokens = tokens[tokens.index(_COLON) + 1 :]
        at = last(tokens, "@")
        if at < 0:
            bang = first(tokens, "!") if self.swap_bangpath else -1
            percent = last(tokens, "%") if self.allow_percent_hack else -1
            if bang >= 0:
                tokens, at = [*tokens[bang + 1 :], _AT, *tokens[:bang]], len(tokens) - bang - 1
            elif percent >= 0:
                tokens, at = [*tokens[:percent], _AT, *tokens[percent + 1 :]], percent
            elif self.append_at_myorigin:
                tokens, at = [*tokens, _AT, *scan(self.myorigin)], len(tokens)
        if (
            self.append_dot_mydomain
            and self.mydomain
            and 0 <= at < len(tokens) - 1
            and tokens[at + 1][0] != LITERAL
            and first(tokens[at + 1 :], ".") < 0
        ):
            tokens = [*tokens, _DOT, *scan(self.mydomain)]
        if len(tokens) > 1 and tokens[-1] == _DOT and tokens[-2] not in (_DOT, _AT):
            tokens = tokens[:-1]
        return tokens

    def _resolved(self, tokens: list[Token]) -> list[Token]:
        """Follow a route through domains of our own, as resolve.c does: their mail goes where the local part says."""
        home: Sequence[Token] = ()
        is_ours = False
        for _ in range(_MOST_HOPS):
            while tokens and tokens[-1] == _AT:
                tokens = tokens[:-1]
                is_ours = True
            at = last(tokens, "@")
            if at >= 0:
                if canonical_domain(joined(tokens[at + 1 :])) not in self.mydestination:
                    return tokens
                home, tokens = tokens[at:], tokens[:at]
            elif not home and not is_ours:
                return tokens
            if not tokens or tokens == [(QUOTED, "")]:
                return [(ATOM, "mailer-daemon"), *home]
            if not self._is_routed(tokens):
                opened = self._opened(tokens[0][1]) if len(tokens) == 1 and tokens[0][0] == QUOTED else []
                if not opened:
                    return [*tokens, *home]
                tokens = opened
            tokens = self._rewritten(tokens)
        return []

    def _opened(self, quoted: str) -> list[Token]:
        """Return the route in a quoted local part, none where there is none, or none is to be looked for."""
        if not self.resolve_dequoted_address:
            return []
        before, found, after = quoted.rpartition("@")
        if not found and self.allow_percent_hack:
            before, found, after = quoted.rpartition("%")
        if found:
            return scan(f"{_quoted(before)}@{after}")
        return scan(quoted) if self.swap_bangpath and "!" in quoted else []

    def _is_routed(self, tokens: Sequence[Token]) -> bool:
        return (
            last(tokens, "@") >= 0
            or (self.swap_bangpath and last(tokens, "!") >= 0)
            or (self.allow_percent_hack and last(tokens, "%") >= 0)
        )


def _quoted_again(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens of an address as smtpd(8) hands it to trivial-rewrite(8).

    It takes all quotes off, and puts the whole local part, all before the last `@`, into quotes where it needs them
    (quote_822_local.c).
    """
    text = joined(tokens)
    if text.startswith("@") and ":" in text:  # what was in quotes is taken for a source route now
        text = text.partition(":")[2]
    local, at, domain = text.rpartition("@")
    if not at:
        local, domain = domain, ""
    return scan(f"{_quoted(local)}{at}{domain}")


def _quoted(local: str) -> str:
    """Return a local part in quotes where it is no row of words with dots between."""
    return local if _DOT_STRING.fullmatch(local) else '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'


def _is_address(tokens: Sequence[Token]) -> bool:
    """Tell whether nothing is unclosed, nor separates addresses: what Postfix makes of that, nobody meant."""
    return all(kind not in _NO_ADDRESS for kind, _ in tokens)


def _without_domain(text: str) -> str:
    """Return what leads to no mailbox as it may be shown: no part of it is a domain."""
    return text.strip("<>").replace("@", " at ").lower()


_DOT_STRING = re.compile(r"""[^.\s()<>@,;:\\"\[\]\x00-\x1f\x7f]+(?:\.[^.\s()<>@,;:\\"\[\]\x00-\x1f\x7f]+)*""")
_NO_ADDRESS = frozenset((UNCLOSED, *",;:<>)]"))
_AT, _DOT, _COLON = ("@", "@"), (".", "."), (":", ":")


def is_clear(mailbox: str) -> bool:
    """Tell whether a mailbox has a local part and a domain that could be one, and nothing that steers a program.

    >>> is_clear("ptp.bl@hanam.gov.vn"), is_clear("ptp.bl"), is_clear("@hanam.gov.vn"), is_clear("a@b c")
    (True, False, False, False)
    """
    local = mailbox.rpartition("@")[0]
    domain = domain_of(mailbox)
    if not local or local == '""' or not domain or not mailbox.isprintable():
        return False
    if domain.startswith("["):
        return domain.endswith("]")
    return not any(letter in _NEVER_IN_DOMAINS for letter in domain) and ".." not in domain and domain[0] != "."


_NEVER_IN_DOMAINS = frozenset(' \t"(),:;<>@[]\\%!|/')
