"""Notices: who owns a mailbox that forwards, and the security officer, are told once a day that a copy did not leave.

Nobody else would tell them: a copy is held in silence, a bounce goes to the outside author, and a mail store that is
refused a redirect keeps the mail and says nothing.
One notice a day a mailbox, whatever the number of mails and nodes: the store knows which was sent.
"""

import asyncio
import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from .config import TIME_ZONE, NoticeSection, parse_endpoint
from .content_hash import content_hash
from .forwarding.table import BY_NAME
from .model import Action, Finding, Mail, Verdict, legal_text
from .wire.smtp import split_header

log = structlog.get_logger()

_DAY_S = 86_400.0
_PATIENCE_S = 30.0
_MOST_WAITING = 1_000  # notices on their way: beyond that the relay is away, and the incident log has it all

_OWNER = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-z0-9.-]+")
"""A mailbox that may have an owner: what a header names may be anything, and is written to nobody."""

_WHAT = {
    Action.QUARANTINE: ("was held", "đã bị giữ lại"),
    Action.DISCARD: ("was discarded", "đã bị hủy"),
    Action.REJECT: ("was refused", "đã bị từ chối"),
}
_TEXT = """\
A copy of a mail to the mailbox {mailbox} {what}, since it was sent on automatically to a mailbox
that no state body issued. Automatic forwarding between official mailboxes and others is forbidden (clause 4.5).
Please switch the forward off, in the mailbox's settings or with your mail administrators, who can release what is
held. This is said once a day, however many mails there are.

Bản sao của thư gửi tới hộp thư {mailbox} {what_vi}, vì đã được tự động chuyển tiếp tới hộp thư không do
cơ quan nhà nước cấp. Việc tự động chuyển tiếp giữa hộp thư công vụ và hộp thư khác bị cấm (khoản 5 Điều 4 Quy chế).
Đề nghị tắt chức năng chuyển tiếp, hoặc liên hệ quản trị hệ thống để được hướng dẫn và nhận lại thư đã bị giữ. Thông
báo này chỉ gửi một lần trong ngày.

How it was forwarded / Cách chuyển tiếp: {mechanism}
Where to switch it off / Cách tắt: {switch_off}

Time / Thời gian: {time}
Queue id: {queue_id}
"""


class Claims(Protocol):
    """The part of a store that notices need."""

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Tell whether this name was not claimed within so many seconds before, and claim it."""

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""


class Keys(Protocol):
    """Who has the site's key (ledger.history)."""

    def notice_id(self, content: bytes, domain: str) -> str:
        """Return a Message-ID that proves a mail with this content to be ours; "" while there is no key."""


class Mailer:
    """One worker's way to tell owners and the officer; domain: our first one."""

    def __init__(self, section: NoticeSection, domain: str, claims: Claims, keys: Keys) -> None:
        self._keys = keys
        self._relay = parse_endpoint(section.relay)
        self._officer = section.officer
        self._sender = section.sender or f"postmaster@{domain}"
        self._claims = claims
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, mail: Mail, verdict: Verdict) -> None:
        """Send what a verdict that keeps copies back is to be said of, later."""
        for finding in verdict.findings:
            if not finding.decides or finding.direction != "out" or not finding.mailboxes:
                continue
            if finding.action not in _WHAT or len(self._under_way) >= _MOST_WAITING:
                continue
            task = asyncio.get_running_loop().create_task(self._send(finding, mail.queue_id))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def flush(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_PATIENCE_S)

    async def _send(self, finding: Finding, queue_id: str) -> None:
        now = datetime.now(ZoneInfo(TIME_ZONE))
        # Where several mailboxes may be the one, no owner is told of another's forward; the officer finds out.
        # Nor of one that a mark alone names: anybody may write that.
        owners = filter(_OWNER.fullmatch, finding.owners if len(finding.mailboxes) == 1 else ())
        claim = f"notice:{legal_text(finding.mailboxes[0])}:{now:%Y-%m-%d}"
        try:
            if not await self._claims.once(claim, _DAY_S, now.timestamp()):
                return
            try:
                for recipient in filter(None, dict.fromkeys((*owners, self._officer))):
                    message = notice(finding, self._sender, recipient, queue_id, now)
                    sign(message, self._keys)
                    await self._post(recipient, message)
            except BaseException:
                await self._claims.unclaim(claim)
                raise
        except Exception as error:
            log.error(
                "notice could not be sent", mailbox=finding.mailboxes[0], error=str(error) or type(error).__name__
            )

    async def _post(self, recipient: str, message: EmailMessage) -> None:
        import aiosmtplib  # a site without notices need not load it

        place = self._relay
        where = {"socket_path": place.path} if place.path else {"hostname": place.host, "port": place.port}
        client = aiosmtplib.SMTP(timeout=_PATIENCE_S, start_tls=False, **where)
        async with client:
            await client.sendmail("", [recipient], octets_of(message), mail_options=["BODY=8BITMIME"])


def notice(finding: Finding, sender: str, recipient: str, queue_id: str, now: datetime) -> EmailMessage:
    """Return the notice of one finding; it tells nothing of the mail but when, and whose mailbox forwarded it."""
    what, what_vi = _WHAT[finding.action]
    names = [_shown(mailbox) for mailbox in finding.mailboxes]
    known = BY_NAME.get(finding.mechanism)
    message = EmailMessage()
    message["From"] = f"Mailgate <{sender}>"
    message["To"] = recipient
    message["Subject"] = f"Automatic forwarding of {names[0]} / Tự động chuyển tiếp thư"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        _TEXT.format(
            mailbox=", ".join(names),
            what=what,
            what_vi=what_vi,
            time=f"{now:%Y-%m-%d %H:%M:%S %z}",
            queue_id=_shown(queue_id),
            mechanism=finding.mechanism or "-",
            switch_off=known.switch_off if known is not None and known.switch_off else "-",
        )
    )
    return message


def octets_of(message: EmailMessage) -> bytes:
    """Return a message as it goes over the wire."""
    return message.as_bytes(policy=SMTP)


def sign(message: EmailMessage, keys: Keys) -> None:
    """Give a notice a Message-ID that proves it to be ours, to every hook that it passes.

    A mailbox that forwards sends the notice on as well, and its owner reads it there: that is no forward (4.5).
    """
    header, body = octets_of(message).split(b"\r\n\r\n", 1)
    fields, _ = split_header(header + b"\r\n\r\n")
    subjects = [value for name, value in fields if name.lower() == b"subject"]
    content_fields = [(name.lower(), value) for name, value in fields if name.lower().startswith(b"content-")]
    digest = content_hash(subjects, content_fields)
    digest.update(body)
    known = keys.notice_id(digest.digest(), str(message["Message-ID"]).rpartition("@")[2].rstrip(">"))
    if known:
        message.replace_header("Message-ID", known)


def _shown(text: str) -> str:
    """Return text that a header of a mail may have: what no printer shows is a question mark."""
    return "".join([letter if letter.isprintable() else "?" for letter in text])
