"""Attachments that harm who opens them (clause 4.2), by their names and by their content.

The name decides what a double click does, the content what happens then; either is enough. Who needs such files gets
an allowance: for one file by its SHA-256, or for a sender, until a day. The sender of an envelope can be forged, so
that an allowance by the sender is the weaker one; what it lets through is recorded all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

from mailgate.mime.transfer import IDENTITY
from mailgate.model import Action, Danger, Evidence, File, Header, Inspection, Mail
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag
from mailgate.text.file_names import HOSTILE, PROGRAMS, extension_of, read_name

_REFUSED = (
    *(Danger.PROGRAM, Danger.SCRIPT, Danger.SHORTCUT, Danger.DISK_IMAGE, Danger.NOTEBOOK, Danger.HELP),
    *(Danger.DISGUISED, Danger.MACRO_SHELL, Danger.MACRO_DOWNLOAD, Danger.REMOTE_TEMPLATE, Danger.DYNAMIC_DATA),
    *(Danger.EMBEDDED_PROGRAM, Danger.BOMB),
)
# Workbooks that greet their user are daily life, so a macro that runs by itself is held, not refused; that there are
# macros, scripts in the forms of a PDF, or links to workbooks on a file server, is said in a header. So with pages: a
# report with charts saves pictures.
_ACTIONS: Mapping[Danger, Action] = {
    **dict.fromkeys(_REFUSED, Action.REJECT),
    **dict.fromkeys((Danger.MACRO_AUTORUN, Danger.HTML_SMUGGLING, Danger.ACTIVE_IMAGE), Action.QUARANTINE),
    **dict.fromkeys((Danger.MACRO, Danger.ACTIVE_PDF, Danger.ACTIVE_PAGE, Danger.LINKED_WORKBOOK), Action.ACCEPT),
}
_HERE = timezone(timedelta(hours=7))  # Indochina time, without summer time since 1975: where the days of `until` end
_STRENGTH = tuple(Action)  # weakest first
# An attached mail by its type and its content; one in a winmail.dat is another such file.
_MAILS = frozenset({("message/rfc822", "eml"), ("message/global", "eml"), ("application/ms-tnef", "tnef")})
# Webmail saves an attached mail by the name that it has; these are opened also where fields of a mail stand before.
_LENIENT = frozenset(
    {
        *("bat", "cmd", "hta", "jse", "ps1", "pyw", "url", "vbe", "vbs", "wsf", "wsh"),
        *("dmg", "img", "iso", "jar", "pyz", "pyzw", "vhd"),  # known by their end, or by what is far behind
    }
)
_MOST = 20  # files that a finding names; an archive may hold thousands


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """A file that is let through: by its sha256, or by the sender of the envelope (an address, or a domain with those
    below it), until the end of a day."""

    sender: str = ""
    sha256: str = ""
    until: date
    reason: str = ""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not changed

    def __post_init__(self) -> None:
        """Raise ValueError where it names nothing, or both."""
        if bool(self.sender) == bool(self.sha256):
            raise ValueError("name either a sender or a sha256")
        digits = self.sha256.lower()
        if digits and (len(digits) != 64 or digits.strip("0123456789abcdef")):
            raise ValueError("a sha256 has 64 hexadecimal digits: take what `sha256sum FILE` prints")
        if self.sender and ("." not in self.sender or self.sender.startswith("@")):
            raise ValueError("a sender is an address (a@example.com) or a domain (example.com)")

    def covers(self, mail: Mail, file: File) -> bool:
        """Tell whether it lets this file of this mail through."""
        end = datetime.combine(self.until, datetime.min.time(), _HERE) + timedelta(days=1)
        if mail.at >= end.timestamp():
            return False
        if self.sha256:
            return file.sha256 == self.sha256.lower()
        sender, wanted = mail.envelope.sender, self.sender.lower()
        if "@" in wanted:
            return sender == wanted
        domain = sender.rpartition("@")[2]
        return domain == wanted or domain.endswith(f".{wanted}")


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.dangerous-attachment].

    actions: danger → action; one that is not named has its default. extensions: of names that are refused. allowed:
    files that are let through. header: the name of the header that is added to a mail with a finding; "" adds none.
    """

    NAME = "dangerous-attachment"
    CLAUSE = "QD27/2023 4.2"
    REPLY = "550 5.7.1 Dangerous attachment\nTep gui kem nguy hiem (khoan 2 Dieu 4 QD 27/2023)"
    NEEDS = "inspection"

    actions: Mapping[Danger, Action] = field(default_factory=lambda: dict(_ACTIONS))
    extensions: tuple[str, ...] = tuple(sorted(PROGRAMS))
    allowed: tuple[Allowance, ...] = ()
    header: str = "X-Mailgate-Attachment"

    def __post_init__(self) -> None:
        """Raise ValueError for what is no header's name."""
        check_tag(self.header)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report the dangerous files, those together on which the same follows."""
        files = [*(mail.inspection.files if mail.inspection else ()), *_attached_mails(mail)]
        found: dict[Action, list[tuple[File, tuple[str, ...]]]] = {}
        for file in files:
            judged = list(dict.fromkeys((*self._by_name(file), *self._by_content(file))))
            if not judged:
                continue
            action = max((each for each, _ in judged), key=_STRENGTH.index)
            texts = tuple(text for _, text in judged)
            if any(allowance.covers(mail, file) for allowance in self.allowed):
                action, texts = Action.ACCEPT, (*texts, "allowed by the configuration")
            found.setdefault(action, []).append((file, texts))
        for action, dangerous in found.items():
            evidence = [
                Evidence("attachment", file.place, text) for file, texts in dangerous[:_MOST] for text in texts
            ]
            if len(dangerous) > _MOST:
                evidence.append(Evidence("attachment", "more", str(len(dangerous) - _MOST)))
            yield Hit(tuple(evidence), action=action, headers=self._headers(dangerous))

    def _by_name(self, file: File) -> Iterable[tuple[Action, str]]:
        """Judge a file by each name that a program may give it; of several one is enough."""
        names: Iterable[str] = (file.name, *file.names)
        if (file.declared, file.type) in _MAILS:
            names = map(_saved_as, names)
        for number, reading in enumerate(map(read_name, names)):
            which = " (another reading)" if number else ""
            refused = [extension for extension in reading.extensions if extension in self.extensions]
            for extension in refused:
                yield self.action, f"extension: {extension[:32]}{which}"
            for trick in reading.tricks:
                if trick in HOSTILE or refused:
                    yield self.action, f"name: {trick}{which}"

    def _by_content(self, file: File) -> Iterable[tuple[Action, str]]:
        for danger, detail in file.dangers:
            yield self.actions.get(danger, _ACTIONS[danger]), f"{danger}: {detail}"

    def _headers(self, dangerous: Sequence[tuple[File, tuple[str, ...]]]) -> tuple[Header, ...]:
        return tag(self.header, "; ".join(dict.fromkeys(text for _, texts in dangerous for text in texts)))


def _attached_mails(mail: Mail) -> Iterable[File]:
    """Yield attached mails as the files that they are saved as: what is inside each is looked into part by part.

    One that is encoded may be any file (RFC 2046 section 5.2.1 allows no encoding): its name counts as of any other.
    """
    for attachment in mail.content.attachments:
        if attachment.type.startswith("message/") and attachment.name:
            kind = "eml" if attachment.encoding in IDENTITY or attachment.type == "message/global" else ""
            yield File(attachment.name, attachment.name, kind, attachment.type, names=attachment.names)


def _saved_as(name: str) -> str:
    """Return the name that mail programs save an attached mail by: it is its subject, and no colon is left in it."""
    return name if extension_of(name) in _LENIENT else f"{name.replace(':', ' ')}.eml"


def _with(*dangers: tuple[Danger, str], name: str = "a.docx", sha256: str = "") -> tuple[tuple[str, object], ...]:
    return (("inspection", Inspection(files=(File(name, name, sha256=sha256, dangers=dangers),))),)


def _named(name: str, *names: str) -> tuple[tuple[str, object], ...]:
    return (("inspection", Inspection(files=(File(name, name, names=names),))),)


_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

EXAMPLES = (
    Example("a program", Action.REJECT, facts=_with((Danger.PROGRAM, "exe"), name="a")),
    Example("a program by its name alone", Action.REJECT, facts=_with(name="bao-cao.pdf.exe")),
    Example("a program with dots behind its name", Action.REJECT, facts=_with(name="a.exe ...")),
    Example("a name whose direction turns", Action.REJECT, facts=_with(name="thongbao\u202efdp.docx")),
    Example("a document", Action.ACCEPT, facts=_with()),
    Example("a program by the name that another program reads", Action.REJECT, facts=_named("a.txt", "a.vbs")),
    Example("two names of a document", Action.ACCEPT, facts=_named("Bao cao.docx", "Báo cáo.docx")),
    Example("dots in the name of a document", Action.ACCEPT, facts=_with(name="12.QD-UBND.v1.2.pdf")),
    Example("macros are recorded", Action.ACCEPT, facts=_with((Danger.MACRO, "VBA")), finds=True),
    Example(
        "a workbook that takes values from another one",
        Action.ACCEPT,
        facts=_with((Danger.LINKED_WORKBOOK, "externalLinkPath"), name="a.xlsx"),
        finds=True,
    ),
    Example(
        "macros that run by themselves are held",
        Action.QUARANTINE,
        facts=_with((Danger.MACRO, "VBA"), (Danger.MACRO_AUTORUN, "VBA")),
    ),
    Example("macros that start programs", Action.REJECT, facts=_with((Danger.MACRO_SHELL, "VBA"))),
    Example(
        "macros are refused where configured",
        Action.REJECT,
        facts=_with((Danger.MACRO, "VBA")),
        keys=(("actions", {"macro": "reject"}),),
    ),
    Example(
        "an extension that is not refused where configured",
        Action.ACCEPT,
        facts=_with(name="a.py"),
        keys=(("extensions", ["exe"]),),
    ),
    Example(
        "a file that is allowed",
        Action.ACCEPT,
        facts=_with((Danger.PROGRAM, "exe"), name="a.exe", sha256=_SHA256),
        keys=(("allowed", [{"sha256": _SHA256, "until": "2027-01-31"}]),),
        finds=True,
    ),
    Example(
        "another file is not",
        Action.REJECT,
        facts=_with((Danger.PROGRAM, "exe"), name="a.exe", sha256="0" * 64),
        keys=(("allowed", [{"sha256": _SHA256, "until": "2027-01-31"}]),),
    ),
    Example(
        "a sender who is allowed",
        Action.ACCEPT,
        sender="ketoan@vendor.example.com",
        facts=_with((Danger.PROGRAM, "exe"), name="a.exe"),
        keys=(("allowed", [{"sender": "example.com", "until": "2099-01-31"}]),),
        finds=True,
    ),
    Example(
        "a domain that only ends so",
        Action.REJECT,
        sender="ketoan@notexample.com",
        facts=_with((Danger.PROGRAM, "exe"), name="a.exe"),
        keys=(("allowed", [{"sender": "example.com", "until": "2099-01-31"}]),),
    ),
    Example(
        "nobody could look, and the site takes the risk",
        Action.ACCEPT,
        facts=(("missing", {"inspection": "no worker"}),),
        keys=(("on_missing", "accept"),),
        finds=True,
    ),
)
