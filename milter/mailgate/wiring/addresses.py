"""Whether Postfix and mailgate.toml mean the same mailbox by an address, and which unclear forms Postfix takes.

Postfix tells a milter what it made of each address; an SMTP door, logins and alias files go by [rewriting] and
[organization]. Where the two differ a rule is asked about another mailbox than the one that mail is delivered to.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..identity.spelling import canonical_domain
from ..postfix.instance import Instance
from ..postfix.lists import split_list
from .roads import Road

HACKS: Mapping[str, str] = {
    "allow_percent_hack": "user%domain is taken for user@domain",
    "swap_bangpath": "domain!user is taken for user@domain",
}
UNQUALIFIED: Mapping[str, tuple[str, str]] = {
    "smtpd_sender_restrictions": ("reject_non_fqdn_sender", "MAIL FROM:<chutich>"),
    "smtpd_recipient_restrictions": ("reject_non_fqdn_recipient", "RCPT TO:<chutich>"),
}
"""Lists of restrictions, what refuses an address without a whole domain in them, and such a one."""

_SWITCHES = ("append_at_myorigin", "append_dot_mydomain", "resolve_dequoted_address")
_REWRITING = (*_SWITCHES, "myorigin", "mydomain", "mydestination")
_ALIASES = {"canonical_maps": "", "recipient_canonical_maps": "", "virtual_alias_maps": "", "alias_maps": "alias:"}
"""Parameters whose tables make one address of another, and what stands before the name of such a file."""
_FILES = ("hash", "btree", "lmdb", "cdb", "dbm", "texthash")


def unclear_forms(instance: Instance) -> Iterator[Road]:
    """Note what Postfix takes for an address though nobody need write it so."""
    for name, form in HACKS.items():
        if instance.get(name) == "yes":
            yield Road(
                "address-forms",
                str(instance.place(name)),
                f"{name} is yes: {form}",
                "who is meant shows only once Postfix has rewritten it, and other filters judge what was typed",
                f"set {name} = no: nobody has mail to such addresses",
                is_note=True,
            )
    for name, (restriction, form) in UNQUALIFIED.items():
        if not refuses_unqualified(instance, restriction):
            yield Road(
                "address-forms",
                str(instance.place(name)),
                f"no {restriction}: {form} is completed with myorigin, from whoever it comes",
                "an outsider need not write a domain to be taken for one of ours",
                f"add {restriction} to {name}, behind what lets your own clients through",
                is_note=True,
            )


def refuses_unqualified(instance: Instance, restriction: str) -> bool:
    """Tell whether main.cf has a restriction in any of its lists."""
    lists = ("client", "helo", "sender", "relay", "recipient", "data")
    return any(restriction in split_list(instance.get(f"smtpd_{name}_restrictions")) for name in lists)


def settings_that_differ(
    instance: Instance, toml: Mapping[str, str], domains: frozenset[str], alias_files: frozenset[str]
) -> Iterator[Road]:
    """Note each setting of addresses that mailgate.toml has otherwise than main.cf.

    toml: [rewriting] and recipient_delimiter by main.cf's names, lists in order with blanks between. alias_files:
    their paths. domains: the official ones.
    """
    known = {
        "myorigin": _first_of_file(instance.get("myorigin")),
        "recipient_delimiter": "".join(sorted(instance.get("recipient_delimiter"))),
        **{name: instance.get(name) for name in _SWITCHES},
    }
    local = {canonical_domain(name) for name in split_list(instance.get("mydestination")) if _is_name(name)}
    if local & domains:  # else what local(8) delivers is none of ours
        known["mydestination"] = " ".join(sorted(local))
    if known["append_dot_mydomain"] == toml["append_dot_mydomain"] == "yes":
        known["mydomain"] = instance.get("mydomain")
    for name, value in known.items():
        if value and value != toml[name]:
            section, key = ("rewriting", name) if name in _REWRITING else ("organization", "subaddress_separators")
            yield Road(
                "address-settings",
                str(instance.place(name)),
                f"{name} is {value}; [{section}] {key} of mailgate.toml is {toml[name] or 'empty'}",
                "where Postfix does not say what it made of an address, another mailbox is judged than gets the mail",
                f"write the same as {key} under [{section}]",
                is_note=True,
            )
    for parameter, prefix in _ALIASES.items():
        if prefix and not local & domains:
            continue
        for spec in split_list(instance.get(parameter)):
            kind, _, path = spec.partition(":")
            if kind in _FILES and path not in alias_files and Path(path).exists():
                yield Road(
                    "address-settings",
                    str(instance.place(parameter)),
                    f"the aliases of {path} are not known to Mailgate",
                    "a locked or revoked mailbox is not known by its aliases there, and their mail counts for nobody",
                    f'add "{prefix}{path}" to [organization] alias_files',
                    is_note=True,
                )


def _first_of_file(value: str) -> str:
    """Return a parameter's value, or the first word of the file that it names, as Debian has /etc/mailname."""
    if not value.startswith("/"):
        return canonical_domain(value)
    try:
        words = Path(value).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return ""
    return canonical_domain(words[0]) if words else ""


def _is_name(item: str) -> bool:
    return ":" not in item and "/" not in item
