"""What an account's attributes forward to: Zimbra's own, and those that mail servers share in LDAP.

Sources: Zimbra's zimbra-attrs.xml; the LDAP schemas of Sun's messaging server (mgrpRFC822MailMember,
mailForwardingAddress), laser (mailRoutingAddress) and qmail-ldap, whose `maildrop` Postfix' LDAP_README uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..identity.organization import Organization
from .edges import Edge, Harvest, addresses_of
from .sieve import Script, harvest_script


@dataclass(frozen=True, slots=True)
class Attribute:
    """One value of an account, with its line."""

    name: str
    value: str
    line: int


_FORWARDS = {
    "zimbraprefmailforwardingaddress": "zimbra-preference",
    "zimbramailforwardingaddress": "zimbra-forwarding",
    "zimbraprefcalendarforwardinvitesto": "zimbra-calendar",
    "mailforwardingaddress": "ldap-forwarding",
    "mailroutingaddress": "ldap-routing",
    "mgrprfc822mailmember": "ldap-member",
    "rfc822mailmember": "ldap-member",
    "maildrop": "ldap-maildrop",
}
_SCRIPTS = {
    "zimbramailsievescript": "zimbra-sieve",
    "zimbramailoutgoingsievescript": "zimbra-outgoing-sieve",
    "zimbramailadminsievescriptbefore": "zimbra-sieve",
    "zimbramailadminsievescriptafter": "zimbra-sieve",
}


def forwards_of(mailboxes: Sequence[str], attributes: Sequence[Attribute], file: str) -> Harvest:
    """Return the forwards of an account whose mailboxes are known."""
    harvest = Harvest()
    disabled = any(a.name.lower() == "zimbrafeaturemailforwardingenabled" and a.value == "FALSE" for a in attributes)
    for attribute in attributes:
        name = attribute.name.lower()
        for mailbox in mailboxes:
            if name in _FORWARDS:
                turned_off = disabled and name == "zimbraprefmailforwardingaddress"
                note = "zimbraFeatureMailForwardingEnabled is FALSE" if turned_off else ""
                for target in addresses_of(attribute.value.replace(";", ",")):
                    if "@" in target:
                        kind = _FORWARDS[name]
                        harvest.edges.append(Edge(mailbox, target, kind, file, attribute.line, note))
            elif name in _SCRIPTS and attribute.value.strip():
                script = Script(attribute.value, mailbox, _SCRIPTS[name], file, attribute.line)
                harvest.add(harvest_script(script))
    harvest.unread = list(dict.fromkeys(harvest.unread))
    return harvest


def official_of(names: Sequence[str], organization: Organization) -> list[str]:
    """Return the mailbox that stands for an account: its first name of ours, else its first name."""
    official = [name for name in names if organization.is_official(name)]
    return (official or list(names))[:1]
