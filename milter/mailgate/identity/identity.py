"""Which mailbox an address means: what every rule, the ledger, notices and the commands ask.

Two questions are told apart. `account`: whose address this is, so that one mailbox has one state, one budget and one
From, however it is written. `mailboxes`: to whom mail for it is delivered, as virtual(5), aliases(5) and
recipient_delimiter of postconf(5) look it up: the full address first, then without its sub-address, and what a
domain has for all others (`@domain`) last.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .organization import Organization
from .rewriting import Rewriting, is_clear
from .spelling import base_of, mailbox_of

_NO_ALIASES: Mapping[str, tuple[str, ...]] = {}
_ROUTE = frozenset("%!@|")
_DEEPEST = 20  # aliases whose targets are sub-addresses of aliases


class Identity:
    """Who is meant, in one configuration; aliases and registered may change while it is asked.

    separators: the letters of recipient_delimiter. merged: official domain → the one whose mailboxes it has. aliases:
    as `aliases.Aliases` has them. registered: the mailboxes of the registry whose local part may hold a separator:
    they are no sub-addresses. login_domain: that of a login without one.
    """

    def __init__(
        self,
        organization: Organization,
        rewriting: Rewriting | None = None,
        separators: str = "+",
        merged: Mapping[str, str] | None = None,
        aliases: Mapping[str, tuple[str, ...]] | None = None,
        registered: AbstractSet[str] = frozenset(),
        login_domain: str = "",
    ) -> None:
        domains = organization.domains
        self.organization = organization
        self.rewriting = rewriting or Rewriting(min(domains, default=""))
        self.separators = separators
        self.aliases = _NO_ALIASES if aliases is None else aliases
        self.registered = registered
        self.login_domain = login_domain or self.rewriting.myorigin
        self._domains = domains
        local = self.rewriting.mydestination
        self._home = next(
            (name for name in (self.rewriting.myorigin, *sorted(local or domains)) if name in domains), ""
        )
        """The domain under which what local(8) delivers is known: all of mydestination has the same mailboxes."""
        self._same = {name: self._home for name in local if self._home in local and name != self._home}
        self._same |= merged or {}

    # -- which address it is -------------------------------------------------------------------

    def typed(self, path: bytes) -> str:
        """Return the mailbox that a path leads to as Postfix completes and resolves it, "" for the null path."""
        return self._of_local(self.rewriting.mailbox(path))

    def said(self, resolved: str, mailer: str = "") -> str:
        """Return the mailbox that the MTA itself made of a path ({mail_addr}, {rcpt_addr}).

        mailer: {rcpt_mailer}; what `local` takes is ours, whatever name or address of the host stands there.
        """
        return self._of_local(mailbox_of(resolved.encode("utf-8", "surrogateescape")), mailer == "local")

    def login(self, name: str) -> str:
        """Return the mailbox of a login, SASL's user name; "" for none."""
        if name and not any(sign in name for sign in "@%!"):
            name = f"{name}@{self.login_domain}"
        return self.typed(name.encode("utf-8", "surrogateescape"))

    # -- whose address it is -------------------------------------------------------------------

    def account(self, mailbox: str) -> str:
        """Return the mailbox whose address this is: the one behind an alias or a sub-address, in its own domain.

        An alias of several mailboxes is nobody's, and stays as it is; so does a mailbox that is not ours.
        """
        mailbox, known = self._looked_up(mailbox)
        if known is not None:
            return known[0] if len(known) == 1 else mailbox
        if self.aliases:
            local, _, domain = mailbox.rpartition("@")
            others = self.aliases.get(f"@{domain}")
            if others is not None and len(others) == 1 and others[0].startswith("@") and others[0][1:] != domain:
                return self.account(local + others[0])
        return mailbox

    def mailboxes(self, mailbox: str) -> tuple[str, ...]:
        """Return the mailboxes of ours to which mail for an address is delivered; itself where it is not ours."""
        mailbox, known = self._looked_up(mailbox)
        if known is not None:
            return known
        if self.aliases:
            local, _, domain = mailbox.rpartition("@")
            found: dict[str, None] = {}
            for other in self.aliases.get(f"@{domain}", ()):
                if not other.startswith("@"):
                    found[other] = None
                elif other[1:] != domain:
                    found |= dict.fromkeys(self.mailboxes(local + other))
            if found:
                return tuple(found)
        return (mailbox,)

    def owns(self, account: str, address: str) -> bool:
        """Tell whether a mailbox may write as an address: its own, or an alias that it is behind.

        What a domain has for all its other addresses gives nobody all of them.
        """
        mine, theirs = self.account(account), self.account(address)
        return theirs == mine or mine in self.owners(theirs)

    def is_mailbox(self, account: str) -> bool:
        """Tell whether an account is one mailbox's, and no alias of several."""
        return account in self.owners(account)

    def owners(self, account: str) -> tuple[str, ...]:
        """Return the mailboxes of an account: itself, or all that are behind an alias of several."""
        return self._known(account) or (account,)

    def is_clear(self, mailbox: str) -> bool:
        """Tell whether an address leads to one place: it has both its parts, and no route where it is ours."""
        if not is_clear(mailbox):
            return False
        local, _, domain = mailbox.rpartition("@")
        return domain not in self._domains or _ROUTE.isdisjoint(local)

    def is_same(self, one: str, other: str) -> bool:
        """Tell whether two addresses are one mailbox's."""
        return one == other or self.account(one) == self.account(other)

    def is_list(self, mailbox: str) -> bool:
        """Tell whether this is the address of a mailing list that this system hosts."""
        lists = self.organization.lists
        return bool(lists) and (mailbox in lists or self._looked_up(mailbox)[0] in lists)

    # -- inside --------------------------------------------------------------------------------

    def _of_local(self, mailbox: str, is_local: bool = False) -> str:
        """Return a mailbox that local(8) delivers under a domain of ours, whatever name of the host stands there."""
        local, _, domain = mailbox.rpartition("@")
        if not local or domain in self._domains or not self._home:
            return mailbox
        return f"{local}@{self._home}" if is_local or domain in self.rewriting.mydestination else mailbox

    def _looked_up(self, mailbox: str, depth: int = 0) -> tuple[str, tuple[str, ...] | None]:
        """Return an address in its own domain, and what stands for it: the full one, else without its sub-address.

        None where nothing does, with the address without its sub-address.
        """
        local, _, domain = mailbox.rpartition("@")
        if domain in self._same:
            domain = self._same[domain]
            mailbox = f"{local}@{domain}"
        if domain not in self._domains:
            return mailbox, (mailbox,)
        known = self._known(mailbox, depth)
        if known is None:
            base = base_of(local, self.separators)
            if base != local:
                mailbox = f"{base}@{domain}"
                known = self._known(mailbox, depth)
        return mailbox, known

    def _known(self, mailbox: str, depth: int = 0) -> tuple[str, ...] | None:
        """Return what stands for exactly this address, each a mailbox of its own; None where nothing does."""
        behind = self.aliases.get(mailbox)
        if behind is None:
            return (mailbox,) if mailbox in self.registered else None
        if depth >= _DEEPEST or not any(map(self._is_spelled, behind)):
            return behind
        found: dict[str, None] = {}
        for target in behind:
            name, known = (target, None) if target == mailbox else self._looked_up(target, depth + 1)
            found |= dict.fromkeys(known or (name,))
        return tuple(found)

    def _is_spelled(self, target: str) -> bool:
        """Tell whether an alias's target may be a sub-address, or of a merged domain."""
        is_merged = target.rpartition("@")[2] in self._same
        return is_merged or any(separator in target for separator in self.separators)
