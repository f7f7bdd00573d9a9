"""More mail from one login than a person sends: the mailbox may be taken over, or used for spam (4.3, 4.6, 7.2b).

Counted for each login by sliding windows (model.Sending): all that it hands over at the hook `submission`, whatever
became of it. A deferred mail that is sent again counts again, and goes out of each window as it slides: a queue that
tries again at intervals like Postfix's (5 minutes and more) gets a window's worth through each time, and a program
that tries without a pause keeps itself out, which is what the limit is for.

A burst is deferred, no more. The limits of an hour and of a day, and of client networks, are deferred too, and speak
for a lock under 7.2b: it is proposed, or done where `lock` says so. A mail for more recipients than a burst may have
is refused: a deferral would never end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailgate.identity.spelling import mailbox_of
from mailgate.model import LOCK, Action, Evidence, Mail, Sending
from mailgate.rule import Example, Hit, RuleStanza

_LOCK_CLAUSE = "7.2b"


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.sending-rate].

    burst: within 5 minutes. networks: client networks (/24, or /48 of IPv6) of one login within an hour. A limit is
    the last number that passes. unit_factor: how many times as much a unit's mailbox may. exempt: logins that no
    limit holds for. lock: whether a mailbox beyond the limits of an hour, a day or networks is locked at once (7.2b).
    """

    NAME = "sending-rate"
    CLAUSE = "QD27/2023 4.3, 4.6, 7.2b"
    REPLY = "550 5.7.1 Sending limit exceeded\nVuot gioi han gui thu (khoan 3, 6 Dieu 4 QD 27/2023)"
    NEEDS = "sending"

    action: Action = Action.TEMPFAIL
    burst_mails: int = 30
    burst_recipients: int = 500
    hour_mails: int = 100
    hour_recipients: int = 1_000
    day_mails: int = 500
    day_recipients: int = 3_000
    networks: int = 5
    unit_factor: float = 3.0
    exempt: tuple[str, ...] = ()
    lock: bool = False

    def __post_init__(self) -> None:
        """Put the exempt logins into the form that compares; raises ValueError for one that is no address."""
        exempt = tuple(mailbox_of(login.encode()) for login in self.exempt)
        if not all("@" in login for login in exempt):
            raise ValueError("exempt: write addresses, such as cong@hanam.gov.vn")
        object.__setattr__(self, "exempt", exempt)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge what the login handed over of late."""
        if mail.sending is None or any(mail.identity.is_same(mail.account, login) for login in self.exempt):
            return ()
        return self._look(mail, mail.sending)

    def _look(self, mail: Mail, sending: Sending) -> Iterator[Hit]:
        account = mail.account
        factor = self.unit_factor if account in mail.units else 1.0
        login = Evidence("login", "auth_authen", account)
        recipients, most = len(mail.envelope.recipients), int(self.burst_recipients * factor)
        if recipients > most:
            yield Hit(
                (login, Evidence("rate", "recipients of one mail", f"{recipients}, limit {most}")),
                action=Action.REJECT,
                reply=f"550 5.7.1 Mail to {recipients} recipients exceeds the limit of {most}\n"
                f"Thu gui {recipients} nguoi nhan vuot gioi han {most}",
                mailboxes=(account,),
            )
            return
        over = list(_over(self._limits(sending), factor))
        if not over:
            return
        pieces = [login, *(piece for piece, _ in over)]
        if any(is_sustained for _, is_sustained in over) and mail.organization.is_official(account):
            if self.lock:
                pieces.append(Evidence(LOCK, _LOCK_CLAUSE, account))
            else:
                pieces.append(Evidence("proposal", f"{LOCK} {_LOCK_CLAUSE}", account, hard=False))
        yield Hit(tuple(pieces), reply=self._reply(), mailboxes=(account,))

    def _reply(self) -> str:
        if self.reply or self.action is not Action.TEMPFAIL:
            return self.reply
        return (
            "450 4.7.1 Sending too much, try again later\n"
            "Gui qua nhieu thu, vui long gui lai sau (khoan 3, 6 Dieu 4 QD 27/2023)"
        )

    def _limits(self, sending: Sending) -> Iterator[tuple[str, int, int, bool]]:
        """Yield each limit: what it counts, how many there are, how many may be, whether it speaks for a lock."""
        yield "mails in 5 minutes", sending.burst_mails, self.burst_mails, False
        yield "recipients in 5 minutes", sending.burst_recipients, self.burst_recipients, False
        yield "mails in an hour", sending.hour_mails, self.hour_mails, True
        yield "recipients in an hour", sending.hour_recipients, self.hour_recipients, True
        yield "mails in a day", sending.day_mails, self.day_mails, True
        yield "recipients in a day", sending.day_recipients, self.day_recipients, True
        yield "client networks in an hour", sending.networks, self.networks, True


def _over(limits: Iterable[tuple[str, int, int, bool]], factor: float) -> Iterator[tuple[Evidence, bool]]:
    for name, count, limit, is_sustained in limits:
        most = int(limit * factor)
        if count > most:
            yield Evidence("rate", name, f"{count}, limit {most}"), is_sustained


_MAILBOX = "ptp.bl@hanam.gov.vn"
_UNIT = "stttt@hanam.gov.vn"


def _example(title: str, wants: Action, login: str = _MAILBOX, **counts: object) -> Example:
    others: dict[str, object] = {"recipients": ("lan@example.com",)}
    others |= {name: counts.pop(name) for name in ("keys", "recipients", "hook") if name in counts}
    facts = (("sending", Sending(**counts)), ("units", frozenset({_UNIT})))  # type: ignore[arg-type]
    return Example(title, wants, login=login, sender=login, facts=facts, **others)  # type: ignore[arg-type]


def _keys(**keys: object) -> tuple[tuple[str, object], ...]:
    return tuple(keys.items())


EXAMPLES = (
    _example("an official's ordinary day", Action.ACCEPT, burst_mails=2, hour_mails=9, day_mails=40, networks=2),
    _example("a burst of just the limit", Action.ACCEPT, burst_mails=30, hour_mails=30, day_mails=30),
    _example("one more", Action.TEMPFAIL, burst_mails=31, hour_mails=31, day_mails=31),
    _example("few mails to many", Action.TEMPFAIL, burst_mails=3, burst_recipients=501),
    _example("all mails of an hour", Action.ACCEPT, hour_mails=100, hour_recipients=1_000),
    _example("one mail more in an hour", Action.TEMPFAIL, hour_mails=101),
    _example("one recipient more in an hour", Action.TEMPFAIL, hour_recipients=1_001),
    _example("all mails of a day", Action.ACCEPT, day_mails=500, day_recipients=3_000),
    _example("one mail more in a day", Action.TEMPFAIL, day_mails=501),
    _example("one recipient more in a day", Action.TEMPFAIL, day_recipients=3_001),
    _example("from five networks", Action.ACCEPT, networks=5),
    _example("from six networks", Action.TEMPFAIL, networks=6),
    _example("six networks, to be locked", Action.TEMPFAIL, networks=6, keys=_keys(lock=True)),
    _example("a unit's mailbox sends three times as much", Action.ACCEPT, _UNIT, burst_mails=90, day_mails=1_500),
    _example("and no more", Action.TEMPFAIL, _UNIT, burst_mails=91),
    _example("an exempt login", Action.ACCEPT, day_mails=9_999, keys=_keys(exempt=["PTP.BL@hanam.gov.vn"])),
    _example(
        "an exempt login's sub-address",
        Action.ACCEPT,
        "ptp.bl+a@hanam.gov.vn",
        day_mails=9_999,
        keys=_keys(exempt=[_MAILBOX]),
    ),
    _example("another login is exempt", Action.TEMPFAIL, day_mails=501, keys=_keys(exempt=[_UNIT])),
    _example(
        "one mail to more than a burst may have",
        Action.REJECT,
        burst_recipients=3,
        recipients=("a@example.com", "b@example.com", "c@example.com"),
        keys=_keys(burst_recipients=2),
    ),
    _example("refused where configured", Action.REJECT, burst_mails=31, keys=_keys(action="reject")),
    _example("its own limit", Action.TEMPFAIL, burst_mails=3, keys=_keys(burst_mails=2)),
    _example("not at egress, where nobody is logged in", Action.ACCEPT, "", burst_mails=31, hook="egress"),
    Example(
        "the store is away: mail goes on by default",
        Action.ACCEPT,
        login=_MAILBOX,
        sender=_MAILBOX,
        facts=(("missing", {"sending": "x"}),),
        finds=True,
    ),
    Example(
        "the store is away: deferred where configured",
        Action.TEMPFAIL,
        login=_MAILBOX,
        sender=_MAILBOX,
        facts=(("missing", {"sending": "x"}),),
        keys=_keys(on_missing="tempfail"),
    ),
)
