"""The effect of mailbox states on logins, written for the systems that hold them; Mailgate holds none.

A locked mailbox (7.1) has no login and still receives; a revoked one (6.2) has neither; after a restoration whoever
logs in first must change the password (7.3c). Written is every mailbox that ever had a state: applied twice it
changes nothing more, and what never had one is left alone.
"""

import base64
import re
from collections.abc import Iterable, Iterator

from ..model import MailboxState, MailboxStatus

_ZIMBRA = {
    MailboxStatus.ACTIVE: "active",
    MailboxStatus.LOCKED: "locked",  # no login; mail is delivered
    MailboxStatus.REVOKED: "closed",  # neither; mail is returned
}


def zmprov(states: Iterable[MailboxState]) -> Iterator[str]:
    """Yield lines for Zimbra: `zmprov -f FILE`, run as its user."""
    for state in states:
        must_change = " zimbraPasswordMustChange TRUE" if _must_change(state) else ""
        yield f"ma {_zmprov_word(state.address)} zimbraAccountStatus {_ZIMBRA[state.status]}{must_change}"


def _zmprov_word(word: str) -> str:
    """Quote as zmprov reads lines (StringUtil.parseLine): a backslash escapes a quote and itself."""
    if re.fullmatch(r"[\w.@+=-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dovecot_deny(states: Iterable[MailboxState]) -> Iterator[str]:
    """Yield lines of a passwd-file for Dovecot 2.3: the mailboxes that nobody may log in to.

    Tried with 2.3.19: a user whom a `deny` passdb knows is refused, whatever else stands in his line, and LMTP still
    delivers. Without `deny` the same file would refuse nobody.
    """
    yield from (
        "# Mailboxes that nobody may log in to. In Dovecot 2.3, before every other passdb:",
        "#   passdb {",
        "#     driver = passwd-file",
        "#     deny = yes",
        "#     args = THIS-FILE",
        "#   }",
    )
    for state in states:
        if state.status is MailboxStatus.ACTIVE:
            continue
        if re.search(r"[:\s]|^#", state.address):
            # Nor could he log in: auth_username_chars has no colon and no #.
            yield f"# left out, since a passwd-file cannot name it: {state.address!r}"
        else:
            yield state.address


def ldif(
    states: Iterable[MailboxState],
    base: str,
    rdn: str = "mail",
    locked: str = "pwdAccountLockedTime: 000001010000Z",
    must_change: str = "pwdReset: TRUE",
) -> Iterator[str]:
    """Yield LDIF (RFC 2849) for a directory: `ldapmodify -f FILE`, bound as one who may write these attributes.

    An entry is `rdn`=ADDRESS below base, or uid=LOCAL-PART. locked, must_change: an attribute and its value;
    an empty must_change writes none. The defaults are OpenLDAP's ppolicy overlay, whose policy needs pwdLockout and
    pwdMustChange TRUE. Raises ValueError for what is no NAME: VALUE.
    """
    yield "version: 1"
    lock_name, lock_value = _attribute(locked)
    for state in states:
        name = state.address.rpartition("@")[0] if rdn.lower() == "uid" else state.address
        yield ""
        yield _ldif_line("dn", f"{rdn}={_dn_value(name)},{base}")
        yield "changetype: modify"
        yield f"replace: {lock_name}"  # with no value: removed where it is (RFC 4511 section 4.6)
        if state.status is not MailboxStatus.ACTIVE:
            yield _ldif_line(lock_name, lock_value)
        yield "-"
        if must_change and _must_change(state):
            change_name, change_value = _attribute(must_change)
            yield f"replace: {change_name}"
            yield _ldif_line(change_name, change_value)
            yield "-"


def _must_change(state: MailboxState) -> bool:
    return state.status is MailboxStatus.ACTIVE and state.must_change_password


def _attribute(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9-]*): *(\S.*)", text)
    if not match:
        raise ValueError(f"{text!r} is no attribute with its value: write NAME: VALUE")
    return match[1], match[2]


def _dn_value(text: str) -> str:
    """Escape a value of a distinguished name (RFC 4514 section 2.4)."""
    escaped = re.sub(r'[\\,+"<>;=]', r"\\\g<0>", text)
    return re.sub(r"^[# ]|\A | \Z", r"\\\g<0>", escaped)


def _ldif_line(name: str, value: str) -> str:
    """Return `name: value`, in base64 where RFC 2849 has it so (SAFE-STRING)."""
    if re.fullmatch(r"[\x01-\x09\x0b\x0c\x0e-\x7f]*", value) and not re.match(r"[ :<]", value) and value[-1:] != " ":
        return f"{name}: {value}"
    return f"{name}:: {base64.b64encode(value.encode('utf-8', 'surrogateescape')).decode()}"
