"""State secrets (3.3, 4.1): a mark of secrecy in a subject, a text, a document or a file's name.

The system is connected to the Internet, so that no secret may be in it at all. A mark is evidence, no proof: a mail
that would leave the state's mailboxes is held, and the officer sees the alert; one that stays within is recorded. It
is never refused by default, since a bounce would carry the text on. A secret that is not marked, an image of a stamp,
and what is encrypted are not seen here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.model import Action, Evidence, File, Grade, Inspection, Level, Mail, Mark, MarkForm, Text, TextKind
from mailgate.rule import Example, Hit, RuleStanza

_LEVELS = {Level.TOP_SECRET: "Tuyet mat (A)", Level.SECRET: "Toi mat (B)", Level.CONFIDENTIAL: "Mat (C)"}
_SHOWN = 20  # marks of one mail that are recorded: a document may have one on each page


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.state-secret].

    action: for a mail that leaves the state's mailboxes (3.3, 4.5) with a mark that is good to hold it for. within:
    for one that stays among them, or comes in. review: for a mark that somebody should look at ("tài liệu mật" in a
    sentence), wherever the mail goes.
    """

    NAME = "state-secret"
    CLAUSE = "QD27/2023 3.3, 4.1"
    REPLY = "550 5.7.1 Mail bears a mark of state secrecy\nThu co dau chi do mat (khoan 3 Dieu 3 QD 27/2023)"
    NEEDS = "inspection"

    action: Action = Action.QUARANTINE
    within: Action = Action.ACCEPT
    review: Action = Action.ACCEPT

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report the marks of each grade."""
        if mail.inspection is None:
            return ()
        found = [(text, mark) for text in mail.inspection.texts if text.marks for mark in text.marks]
        return self._hits(mail, found) if found else ()

    def _hits(self, mail: Mail, found: list[tuple[Text, Mark]]) -> Iterable[Hit]:
        leaves = bool(mail.leaving())
        holding = [(text, mark) for text, mark in found if mark.grade is Grade.HOLD]
        others = [(text, mark) for text, mark in found if mark.grade is not Grade.HOLD]
        direction = "out" if leaves else "within" if mail.is_ours else "in"
        mailboxes = mail.official_ends()
        if holding:
            yield Hit(
                _evidence(holding), direction=direction, action=None if leaves else self.within, mailboxes=mailboxes
            )
        if others:
            is_open = all(mark.grade is Grade.DECLASSIFIED for _, mark in others)
            action = Action.ACCEPT if is_open else self.review
            yield Hit(_evidence(others), direction=direction, action=action, mailboxes=mailboxes)


def _evidence(found: list[tuple[Text, Mark]]) -> tuple[Evidence, ...]:
    """Return where marks stand, never what stands around them."""
    pieces = [Evidence(f"mark in {text.kind}", text.place, _what(mark)) for text, mark in found[:_SHOWN]]
    if len(found) > _SHOWN:
        pieces.append(Evidence("mark", "further ones", str(len(found) - _SHOWN)))
    return tuple(pieces)


def _what(mark: Mark) -> str:
    level = _LEVELS[mark.level] if mark.level else "Giai mat (declassified)"
    return f"{level}, {mark.form}, line {mark.line}, to {mark.grade}"


_MAILBOX = "ptp.bl@hanam.gov.vn"
_OUT = "lan@example.com"


def _text(place: str, kind: TextKind, grade: Grade, level: Level | None = Level.SECRET) -> Inspection:
    mark = Mark(level, grade, MarkForm.STAMP, 1, 0)
    return Inspection((Text(place, kind, "tối mật", (mark,)),), (File(place, place),))


def _example(title: str, wants: Action, inspection: Inspection | None, to: str, **others: object) -> Example:
    facts: tuple[tuple[str, object], ...] = () if inspection is None else (("inspection", inspection),)
    values: dict[str, object] = {"login": _MAILBOX, "sender": _MAILBOX, "facts": facts, **others}
    return Example(title, wants, recipients=(to,), **values)  # type: ignore[arg-type]


def _said(subject: str, body: str) -> dict[str, object]:
    return {"message": f"Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()}


_HELD = _text("bao-cao.docx", TextKind.DOCUMENT, Grade.HOLD)

EXAMPLES = (
    _example("a stamp in a text that leaves", Action.QUARANTINE, None, _OUT, **_said("Bao cao", "MẬT\r\nSố: 5/BC")),
    _example("in its subject", Action.QUARANTINE, None, _OUT, **_said("[TUYỆT MẬT] Báo cáo", "Kính gửi")),
    _example("in an attached document", Action.QUARANTINE, _HELD, _OUT),
    _example("the same within the state's mailboxes", Action.ACCEPT, _HELD, "b@moha.gov.vn", finds=True),
    _example(
        "the same within, where that is held",
        Action.QUARANTINE,
        _HELD,
        "b@moha.gov.vn",
        keys=(("within", "quarantine"),),
    ),
    _example("the same from outside", Action.ACCEPT, _HELD, _MAILBOX, login="", sender="a@example.com", finds=True),
    _example(
        "words that only have mat in them",
        Action.ACCEPT,
        None,
        _OUT,
        **_said("Đổi mật khẩu", "Luật Bảo vệ bí mật nhà nước.\r\nBẢO MẬT\r\nMật ong, bí thư"),
    ),
    _example("a word to be looked at", Action.ACCEPT, None, _OUT, finds=True, **_said("x", "Gửi tài liệu mật ạ.")),
    _example(
        "the same, where that is held",
        Action.QUARANTINE,
        None,
        _OUT,
        keys=(("review", "quarantine"),),
        **_said("x", "Gửi tài liệu mật ạ."),
    ),
    _example("secrecy that ended", Action.ACCEPT, None, _OUT, finds=True, **_said("x", "GIẢI MẬT\r\nSố 5")),
    _example("refused where configured", Action.REJECT, _HELD, _OUT, keys=(("action", "reject"),)),
    _example(
        "nobody could look inside",
        Action.TEMPFAIL,
        None,
        _OUT,
        facts=(("missing", {"inspection": "the workers did not start"}),),
    ),
)
