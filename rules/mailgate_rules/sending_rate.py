"""More mail from one login than a person sends: the mailbox may be taken over, or used for spam (4.3, 4.6, 7.2b).

Two things are counted of each login by sliding windows (model.Sending). What passed defers: a mail passes where less
than each limit passed before it, so that no limit is fed by what it refused. What came speaks for a lock under 7.2b,
which is proposed, or done where `lock` says so: different mails, however often each is tried, within an hour and a
day, and client networks. A burst alone speaks for nothing. A mail for more recipients than a limit has is refused: a
deferral would never end.

A mail that is deferred and comes again is the same one. From its second attempt on a place in the windows is kept for
it, in the order in which the mails came first: a younger mail takes only what is left, so that each goes at its first
attempt after its turn, whatever comes meanwhile. One that did not come again, or not within the longest time that
Postfix takes, keeps nobody waiting. A single mail, such as one to a colleague amid a mail merge, need not wait for
the line: a tenth of each limit, on top of it, is for mails that come at most three within two minutes (ledger.store);
it is counted apart, lest it take the line's turn.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields

from mailgate.identity.spelling import mailbox_of
from mailgate.model import LOCK, Action, Evidence, Mail, Sending, SendingLimits
from mailgate.rule import Example, Hit, RuleStanza

_LOCK_CLAUSE = "7.2b"
_LIMITS = tuple(limit.name for limit in fields(SendingLimits))


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.sending-rate].

    burst: within 5 minutes. networks: client networks (/24, or /48 of IPv6) of one login within an hour. A limit is
    the last number that passes. unit_factor: how many times as much a unit's mailbox may. exempt: logins that no
    limit holds for. lock: whether a mailbox is locked at once (7.2b) from which more different mails came than the
    limits of an hour or a day, or which is used from more networks.
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

    def limits(self, mail: Mail) -> SendingLimits | None:
        """Return the limits of this mail's login, None for one that is exempt."""
        account = mail.account
        if any(mail.identity.is_same(account, login) for login in self.exempt):
            return None
        factor = self.unit_factor if account in mail.units else 1.0
        return SendingLimits(*[int(getattr(self, name) * factor) for name in _LIMITS])

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge what the login handed over of late."""
        limits = self.limits(mail)
        if mail.sending is None or limits is None:
            return ()
        return self._look(mail, mail.sending, limits)

    def _look(self, mail: Mail, sending: Sending, limits: SendingLimits) -> Iterator[Hit]:
        account = mail.account
        login = Evidence("login", "auth_authen", account)
        recipients, most = len(mail.envelope.recipients), limits.most_recipients
        if recipients > most:
            yield Hit(
                (login, Evidence("rate", "recipients of one mail", f"{recipients}, limit {most}")),
                action=Action.REJECT,
                reply=f"550 5.7.1 Mail to {recipients} recipients exceeds the limit of {most}\n"
                f"Thu gui {recipients} nguoi nhan vuot gioi han {most}",
                mailboxes=(account,),
            )
            return
        if sending.passes:
            return
        over = list(_over(sending, limits, recipients))
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


_WINDOWS = tuple(
    f"{what} in {window}" for window in ("5 minutes", "an hour", "a day") for what in ("mails", "recipients")
)


def _over(sending: Sending, limits: SendingLimits, recipients: int) -> Iterator[tuple[Evidence, bool]]:
    """Yield why a mail with so many recipients does not pass, each with whether it speaks for a lock.

    That is each limit that is less than what came or, where it is not, that what passed leaves no room in.
    """
    came, own = astuple(sending), (1, recipients) * 3
    for name, count, passed, limit, more in zip(_WINDOWS, came, sending.passed, astuple(limits), own, strict=False):
        if count > limit:
            yield Evidence("rate", name, f"{count}, limit {limit}"), not name.endswith("5 minutes")
        elif passed + more > limit:
            yield Evidence("rate", f"{name} that passed", f"{passed}, limit {limit}"), False
    if sending.networks > limits.networks:
        yield Evidence("rate", "client networks in an hour", f"{sending.networks}, limit {limits.networks}"), True
    if sending.waiting:
        yield Evidence("rate", "older mails that come again", str(sending.waiting)), False


_MAILBOX = "ptp.bl@hanam.gov.vn"
_UNIT = "stttt@hanam.gov.vn"


def _example(title: str, wants: Action, login: str = _MAILBOX, **counts: object) -> Example:
    others: dict[str, object] = {"recipients": ("lan@example.com",)}
    others |= {name: counts.pop(name) for name in ("keys", "recipients", "hook") if name in counts}
    counts.setdefault("passes", wants is Action.ACCEPT)  # as a store with these limits says
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
    _example("what came is more, what passed is not", Action.ACCEPT, hour_mails=200, day_mails=200),
    _example(
        "what came is not more, what passed is enough",
        Action.TEMPFAIL,
        day_mails=200,
        passed=(30, 30, 90, 90, 90, 90),
        waiting=12,
    ),
    _example("a merge, to be locked for its mails", Action.TEMPFAIL, hour_mails=200, keys=_keys(lock=True)),
    _example("from five networks", Action.ACCEPT, networks=5),
    _example("from six networks", Action.TEMPFAIL, networks=6),
    _example("six networks, to be locked", Action.TEMPFAIL, networks=6, keys=_keys(lock=True)),
    _example("a unit's mailbox sends three times as much", Action.ACCEPT, _UNIT, burst_mails=90, day_mails=1_500),
    _example("and no more", Action.TEMPFAIL, _UNIT, burst_mails=91),
    _example("an exempt login", Action.ACCEPT, passes=False, keys=_keys(exempt=["PTP.BL@hanam.gov.vn"])),
    _example(
        "an exempt login's sub-address",
        Action.ACCEPT,
        "ptp.bl+a@hanam.gov.vn",
        passes=False,
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
    _example(
        "one mail to more than a day may have",
        Action.REJECT,
        recipients=("a@example.com", "b@example.com", "c@example.com"),
        keys=_keys(day_recipients=2),
    ),
    _example("refused where configured", Action.REJECT, burst_mails=31, keys=_keys(action="reject")),
    _example("its own limit", Action.TEMPFAIL, burst_mails=3, keys=_keys(burst_mails=2)),
    _example("not at egress, where nobody is logged in", Action.ACCEPT, "", passes=False, hook="egress"),
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
