"""Vietnamese text outside Unicode (3.4: TCVN 6909:2001 is Unicode): windows-1258, TCVN3 (ABC), VNI, VISCII, VPS.

Monitored and tagged by default: who reads such a mail sees other letters, and who wrote it does not know. Text in
Unicode passes in every form, composed or decomposed, and under whatever label.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Inspection, Mail, Text, TextKind
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag

_SHOWN = 20  # texts of one mail that are named: an archive may hold hundreds


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.charset].

    action: for a mail of ours; one that comes in is at most tagged. header: the name of the header that is added and
    names the charsets; "" adds none.
    """

    NAME = "charset"
    CLAUSE = "QD27/2023 3.4"
    REPLY = (
        "550 5.6.0 Vietnamese text is not in Unicode\nVan ban tieng Viet khong dung TCVN 6909:2001 (khoan 4 Dieu 3)"
    )
    NEEDS = "inspection"

    action: Action = Action.ACCEPT
    header: str = "X-Mailgate-Charset"

    def __post_init__(self) -> None:
        """Raise ValueError for what is no header's name."""
        check_tag(self.header)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report the texts that are in another charset."""
        if mail.inspection is None:
            return ()
        found = [text for text in mail.inspection.texts if text.charset]
        return (self._hit(mail, found),) if found else ()

    def _hit(self, mail: Mail, found: list[Text]) -> Hit:
        names = " ".join(sorted({text.charset for text in found}))
        pieces = [Evidence(f"charset of {text.kind}", text.place, _what(text)) for text in found[:_SHOWN]]
        if len(found) > _SHOWN:
            pieces.append(Evidence("charset", "further ones", str(len(found) - _SHOWN)))
        action = None if mail.is_ours else Action.ACCEPT
        return Hit(tuple(pieces), action=action, headers=tag(self.header, names), mailboxes=mail.official_ends())


def _what(text: Text) -> str:
    return f"{text.charset}, declared {text.declared}" if text.declared else f"{text.charset}, not declared"


def _body(text: str, encoding: str, label: str) -> bytes:
    return f"Subject: x\r\nContent-Type: text/plain; charset={label}\r\n\r\n".encode() + text.encode(encoding)


_TCVN3 = (
    bytes.fromhex("43e96e6720686f6820") + b"x\xb7 h\xe9i ch\xf1 ngh\xdca Vi\xd6t Nam, \xa7\xe9c l\xcbp - T\xf9 do\r\n"
)
_SENTENCE = "Công văn số 5 của Ủy ban nhân dân tỉnh Hà Nam\r\n"
_OURS = {"login": "ptp.bl@hanam.gov.vn", "sender": "ptp.bl@hanam.gov.vn", "recipients": ("lan@example.com",)}


def _inside(charset: str) -> tuple[tuple[str, object], ...]:
    return (("inspection", Inspection((Text("a.doc", TextKind.DOCUMENT, "công văn", (), charset, ""),))),)


EXAMPLES = (
    Example("UTF-8", Action.ACCEPT, _body(_SENTENCE, "utf-8", "utf-8")),
    Example("UTF-8 that is called Latin-1", Action.ACCEPT, _body(_SENTENCE, "utf-8", "iso-8859-1")),
    Example("French", Action.ACCEPT, _body("Le préfet à été élu, ça va bien\r\n", "latin-1", "iso-8859-1")),
    Example(
        "TCVN3 that is called Latin-1",
        Action.ACCEPT,
        _body("", "utf-8", "iso-8859-1") + _TCVN3,
        finds=True,
    ),
    Example("a document in TCVN3", Action.ACCEPT, facts=_inside("tcvn3"), finds=True),
    Example(
        "refused where configured, from ours",
        Action.REJECT,
        facts=_inside("vni"),
        keys=(("action", "reject"),),
        **_OURS,  # type: ignore[arg-type]
    ),
    Example("but never from others", Action.ACCEPT, facts=_inside("vni"), keys=(("action", "reject"),), finds=True),
    Example("without a header", Action.ACCEPT, facts=_inside("vps"), keys=(("header", ""),), finds=True),
)
