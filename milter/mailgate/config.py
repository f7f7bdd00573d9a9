"""TOML to typed settings; an error names the file, the line and the key, and says what is wanted.

Every key has a default and is documented in config/mailgate.toml. `MAILGATE_SECTION__KEY` overrides a key
(dashes become underscores): its value is TOML where it reads as TOML, else text. An unknown key is an
error: a misspelt limit must not be no limit.
"""

import contextlib
import dataclasses
import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from mailgate_rules import STANZAS

from .documents.budget import Limits
from .identity.aliases import Aliases
from .identity.identity import Identity
from .identity.organization import Organization
from .identity.rewriting import Rewriting
from .identity.spelling import canonical_domain, mailbox_of
from .inspection.limits import Bounds as WorkerBounds
from .inspection.limits import InspectionLimits
from .ledger.commits import Bounds
from .ledger.opening import SCHEMES
from .ledger.store import Counts
from .mime.walker import WalkLimits
from .model import Action, Exemption, HeaderLimits, Mode
from .policy import Policy
from .probes.clamd import Address
from .rule import RuleStanza

TIME_ZONE = "Asia/Ho_Chi_Minh"


class ConfigError(Exception):
    """A configuration that cannot be used; each of `problems` is one line for the operator."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _endpoint(text: str) -> str:
    parse_endpoint(text)
    return text


def parse_endpoint(text: str) -> Address:
    """Read `inet:HOST:PORT` or `unix:/PATH` (Postfix's syntax); raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return Address(path=rest)
    if kind == "inet":
        host, _, port = rest.rpartition(":")
        if port.isdigit() and 0 < int(port) < 65_536:
            return Address(host=host.strip("[]") or "0.0.0.0", port=int(port))
    raise ValueError("write inet:HOST:PORT or unix:/PATH")


def _domain(text: str) -> str:
    domain = canonical_domain(text)
    if not domain or " " in domain or "@" in domain:
        raise ValueError("write a domain, such as hanam.gov.vn")
    return domain


def _optional_domain(text: str) -> str:
    return _domain(text) if text else text


def _mailbox(text: str) -> str:
    mailbox = mailbox_of(text.encode("utf-8", "surrogateescape"))
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", mailbox):
        raise ValueError("write an address, such as ptp.bl@hanam.gov.vn")
    return mailbox


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _service_action(text: str) -> str:
    if text not in ("tempfail", "accept", "quarantine"):
        raise ValueError("write tempfail, accept or quarantine")
    return text


def _store_url(text: str) -> str:
    if text.partition(":")[0] not in SCHEMES:
        raise ValueError(f"write sqlite:PATH, or a URL with one of {', '.join(SCHEMES[1:])}")
    return text


def _optional_endpoint(text: str) -> str:
    return _endpoint(text) if text else text


def _optional_mailbox(text: str) -> str:
    return _mailbox(text) if text else text


def _optional_host_port(text: str) -> str:
    if text:
        parse_host_port(text)
    return text


def parse_host_port(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError("write HOST:PORT, such as 127.0.0.1:8892")
    return host.strip("[]"), int(port)


def _spam_url(text: str) -> str:
    if text.startswith("spamd:///"):
        return text
    url = urlsplit(text)
    if text and url.scheme not in ("http", "https", "spamd"):
        raise ValueError("write http://HOST:PORT of rspamd, or spamd://HOST:PORT or spamd:///PATH of SpamAssassin")
    if url.scheme == "spamd":
        parse_host_port(url.netloc)
    return text


def _day_of_year(text: str) -> str:
    with contextlib.suppress(ValueError):
        if re.fullmatch(r"\d\d-\d\d", text) and date.fromisoformat(f"2027-{text}"):  # a day of every year
            return text
    raise ValueError("write a month and a day, such as 11-01")


def _digits_as_text(value: Any) -> Any:
    """Take a password of digits, which the environment gives as a number."""
    return str(value) if type(value) is int else value


Domain = Annotated[str, AfterValidator(_domain)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Network = Annotated[str, AfterValidator(_network)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
OnError = Annotated[Action, AfterValidator(_service_action)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class OrganizationSection(_Section):
    """[organization]"""

    name: str = "Ha Nam province"
    domains: list[Domain] = Field(["hanam.gov.vn"], min_length=1)
    hostnames: list[Domain] = ["mx.hanam.gov.vn"]
    state_domains: list[Domain] = ["gov.vn", "chinhphu.vn", "quochoi.vn", "dcs.vn", "dangcongsan.vn"]
    internal_networks: list[Network] = ["127.0.0.0/8", "::1/128"]
    subaddress_separators: str = "+"
    lists: list[Mailbox] = []
    state_networks: list[Network] = []
    alias_files: list[str] = []
    merged_domains: dict[Domain, Domain] = {}

    @model_validator(mode="after")
    def _check_merged(self) -> Self:
        for old, new in self.merged_domains.items():
            if not {old, new} <= set(self.domains) or new in self.merged_domains:
                raise ValueError(f'merged_domains: "{old}" = "{new}": write two of domains, and no chain of them')
        return self


class RewritingSection(_Section):
    """[rewriting]: how the MTA completes and resolves an address; the names are those of Postfix's main.cf."""

    myorigin: Annotated[str, AfterValidator(_optional_domain)] = ""
    mydomain: Annotated[str, AfterValidator(_optional_domain)] = ""
    mydestination: list[Domain] = []
    append_at_myorigin: bool = True
    append_dot_mydomain: bool = False
    allow_percent_hack: bool = True
    swap_bangpath: bool = True
    resolve_dequoted_address: bool = True


class ListenSection(_Section):
    """[listen]"""

    milter: list[Endpoint] = ["inet:127.0.0.1:8891"]
    smtp: list[Endpoint] = []
    http: Annotated[str, AfterValidator(_optional_host_port)] = "127.0.0.1:8892"
    unix_mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0660"
    unix_group: str = ""
    backlog: int = Field(1_024, gt=0)
    frame_s: Seconds = 30


class SmtpSection(_Section):
    """[smtp]: the SMTP doors' next hop, and their limits."""

    next_hop: Annotated[str, AfterValidator(_optional_endpoint)] = ""
    hold_next_hop: Annotated[str, AfterValidator(_optional_endpoint)] = ""
    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]*$")] = ""
    xforward_networks: list[Network] = ["127.0.0.0/8", "::1/128"]
    connections: int = Field(200, ge=1)
    recipients: int = Field(1_000, ge=100)
    command_bytes: int = Field(2_048, ge=512)
    line_bytes: int = Field(1_048_576, ge=998)
    header_bytes: int = Field(1_048_576, ge=65_536)
    message_bytes: int = Field(31_457_280, ge=65_536)
    errors: int = Field(20, ge=1)
    idle_s: Seconds = 300
    command_s: Seconds = 60
    data_rate: int = Field(500, ge=1)
    next_hop_connect_s: Seconds = 10
    next_hop_reply_s: Seconds = 60
    next_hop_final_s: Seconds = 300

    def is_trusted(self, address: str) -> bool:
        """Tell whether a client may say by XFORWARD whose mail it brings; a Unix socket ("") may."""
        if not address:
            return True
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in ipaddress.ip_network(network) for network in self.xforward_networks)


class HookSection(_Section):
    """[[hook]]: which hook of Postfix a listener serves."""

    name: Literal["mx", "submission", "non-smtp", "egress"]
    listener: Endpoint
    daemon_name: str = ""


class WorkersSection(_Section):
    """[workers]"""

    count: int = Field(0, ge=0, le=256)
    stop_grace_s: Seconds = 30
    deadline_s: Annotated[float, Field(gt=0, le=290)] = 120
    uvloop: bool = True


class LimitsSection(_Section):
    """[limits]"""

    header_bytes: int = Field(1_048_576, ge=65_536)
    header_fields: int = Field(HeaderLimits().fields, ge=100, le=100_000)
    fields_of_one_name: int = Field(HeaderLimits().of_one_name, ge=50, le=10_000)
    octets_of_one_name: int = Field(HeaderLimits().octets_of_one_name, ge=8_192, le=1_048_576)
    part_header_bytes: int = Field(WalkLimits().header_bytes, ge=65_536, le=10_485_760)
    content_field_bytes: int = Field(WalkLimits().field_bytes, ge=1_024, le=1_048_576)
    mime_depth: int = Field(WalkLimits().depth, ge=1, le=500)
    mime_parts: int = Field(WalkLimits().parts, ge=1, le=100_000)


class StoreSection(_Section):
    """[store]"""

    url: Annotated[str, AfterValidator(_store_url)] = "sqlite:mailgate.db"
    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9._\-]*$", max_length=64)] = ""
    journal_path: str = ""
    journal_bytes: int = Field(1_073_741_824, ge=1_048_576)
    journal_full: Literal["tempfail", "accept"] = "tempfail"
    replay_hours: float = Field(2, ge=0, le=168)
    commit_wait_ms: int = Field(500, ge=0, le=60_000)


class ForwardingSection(_Section):
    """[forwarding]: what is remembered of mails, so that copies of them are known."""

    keep_days: int = Field(14, ge=0, le=400)
    on_error: OnError = Action.TEMPFAIL


class DnsSection(_Section):
    """[dns]: who is asked for SPF, DKIM and ARC."""

    servers: list[str] = []
    deadline_s: Seconds = 5


class NoticeSection(_Section):
    """[notice]: who is told of copies that were kept back."""

    relay: Annotated[str, AfterValidator(_optional_endpoint)] = ""
    officer: Annotated[str, AfterValidator(_optional_mailbox)] = ""
    sender: Annotated[str, AfterValidator(_optional_mailbox)] = ""


class ClamavSection(_Section):
    """[clamav]"""

    address: Annotated[str, AfterValidator(_optional_endpoint)] = "unix:/run/clamav/clamd.ctl"
    on_error: OnError = Action.TEMPFAIL
    deadline_s: Seconds = 60
    concurrency: int = Field(10, ge=1)


class SpamSection(_Section):
    """[spam]"""

    url: Annotated[str, AfterValidator(_spam_url)] = "http://127.0.0.1:11333"
    on_error: OnError = Action.ACCEPT
    deadline_s: Seconds = 20
    password: Annotated[str, BeforeValidator(_digits_as_text)] = ""
    reject_score: float = Field(15, ge=0)


class BlacklistsSection(_Section):
    """[blacklists]: zones of DNS that list who sends spam."""

    zones: list[Domain] = []
    domain_zones: list[Domain] = []


class InspectionSection(_Section):
    """[inspection]: how far and by whom the files in a mail are looked into."""

    workers: int = Field(4, ge=1, le=64)
    on_error: OnError = Action.TEMPFAIL
    cpu_s: Annotated[float, Field(gt=0, le=60)] = 8
    wall_s: Seconds = 60
    memory_bytes: int = Field(268_435_456, ge=134_217_728)
    cache_bytes: int = Field(33_554_432, ge=0)
    depth: int = Field(Limits().depth, ge=1, le=50)
    files: int = Field(Limits().files, ge=1)
    opened_bytes: int = Field(Limits().octets, ge=1_048_576)
    letters: int = Field(Limits().letters, ge=65_536)


class IncidentsSection(_Section):
    """[incidents]"""

    path: str = "incidents"


class ListsSection(_Section):
    """[lists]: the site's own words, domains and addresses."""

    path: str = "lists"


class SpoolSection(_Section):
    """[spool]"""

    path: str = ""


def _keeps_in_use(counts: Counts) -> Counts:
    if counts is Counts.NONE:
        raise ValueError("write 'human' or 'all': who sends uses a mailbox")
    return counts


class ActivitySection(_Section):
    """[activity]: what counts as using a mailbox, and after how long without it what follows (6.2c, 7.2)."""

    counts_receive: Counts = Counts.HUMAN
    counts_send: Annotated[Counts, AfterValidator(_keeps_in_use)] = Counts.HUMAN
    mail_programs: list[Annotated[str, Field(min_length=1)]] = []
    people_networks: list[Network] = []
    lock_months: int = Field(3, ge=1, le=120)
    revoke_months: int = Field(6, ge=1, le=120)
    password_months: int = Field(1, ge=1, le=120)
    hole_minutes: int = Field(60, ge=1)


class ReportSection(_Section):
    """[report]: the yearly report (11.8), and who signs it."""

    year_begins: Annotated[str, AfterValidator(_day_of_year)] = "11-01"
    superior: str = "Ủy ban nhân dân tỉnh Hà Nam"
    unit_name: str = "Sở Thông tin và Truyền thông"
    basis: str = (
        "Thực hiện khoản 8 Điều 11 Quy chế Quản lý và sử dụng Hệ thống thư điện tử công vụ"
        " ban hành kèm theo Quyết định số 27/2023/QĐ-UBND"
    )
    place: str = "Hà Nam"
    signer_title: str = "Giám đốc"
    signer: str = ""


class LogSection(_Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class ExemptionSection(_Section):
    """[[exemption]]: what the regulation's keeper allowed in writing."""

    rule: str
    mailbox: str = ""
    counterpart: str = ""
    until: date
    document: str = Field(min_length=1)
    reason: str = ""
    approver: str = ""


class Settings(_Section):
    """The whole configuration. `rules` holds every rule's stanza, in the order of the rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    organization: OrganizationSection = OrganizationSection()
    rewriting: RewritingSection = RewritingSection()
    listen: ListenSection = ListenSection()
    smtp: SmtpSection = SmtpSection()
    hook: list[HookSection] = []
    workers: WorkersSection = WorkersSection()
    limits: LimitsSection = LimitsSection()
    store: StoreSection = StoreSection()
    forwarding: ForwardingSection = ForwardingSection()
    dns: DnsSection = DnsSection()
    notice: NoticeSection = NoticeSection()
    clamav: ClamavSection = ClamavSection()
    spam: SpamSection = SpamSection()
    blacklists: BlacklistsSection = BlacklistsSection()
    inspection: InspectionSection = InspectionSection()
    incidents: IncidentsSection = IncidentsSection()
    lists: ListsSection = ListsSection()
    spool: SpoolSection = SpoolSection()
    activity: ActivitySection = ActivitySection()
    report: ReportSection = ReportSection()
    log: LogSection = LogSection()
    exemption: list[ExemptionSection] = []
    rules: dict[str, Any] = {}
    folder: Path = Path()

    def aliases(self) -> Aliases:
        """Return the aliases of the files that are named, not yet read."""
        section = self.organization
        domains, separators = frozenset(section.domains), section.subaddress_separators
        return Aliases(section.alias_files, self.folder, domains, self.resolved_rewriting(), separators)

    def identity(
        self, aliases: Mapping[str, tuple[str, ...]] | None = None, registered: AbstractSet[str] = frozenset()
    ) -> Identity:
        """Return who is meant by an address, with these aliases and registered mailboxes."""
        section = self.organization
        return Identity(
            self.resolved_organization(),
            self.resolved_rewriting(),
            section.subaddress_separators,
            section.merged_domains,
            aliases,
            registered,
            section.domains[0],
        )

    def resolved_rewriting(self) -> Rewriting:
        """Return how the MTA completes and resolves an address."""
        section = self.rewriting
        return Rewriting(
            section.myorigin or self.organization.domains[0],
            section.mydomain,
            frozenset(section.mydestination),
            section.append_at_myorigin,
            section.append_dot_mydomain,
            section.allow_percent_hack,
            section.swap_bangpath,
            section.resolve_dequoted_address,
        )

    def resolved_organization(self) -> Organization:
        """Return the organization as rules read it."""
        section = self.organization
        return Organization(
            frozenset(section.domains),
            frozenset(section.hostnames),
            frozenset(section.state_domains),
            tuple(ipaddress.ip_network(network) for network in section.internal_networks),
            frozenset(section.lists),
            tuple(ipaddress.ip_network(network) for network in section.state_networks),
        )

    def policy(self) -> Policy:
        """Return the policy that these settings make."""
        stanzas: list[RuleStanza] = list(self.rules.values())
        on_error = {
            "clamd": self.clamav.on_error,
            "spam": self.spam.on_error,
            "inspection": self.inspection.on_error,
            "mailboxes": Action.TEMPFAIL,
            "history": self.forwarding.on_error,
            "sending": Action.ACCEPT,
        }
        return Policy(stanzas, [_exemption(entry) for entry in self.exemption], on_error)

    def smtp_hostname(self) -> str:
        """Return the name by which the SMTP doors introduce themselves."""
        return self.smtp.hostname or (self.organization.hostnames or self.organization.domains)[0]

    def incidents_folder(self) -> Path:
        """Return the folder of the incident log."""
        return self.folder / self.incidents.path

    def lists_folder(self) -> Path:
        """Return the folder of the site's lists."""
        return self.folder / self.lists.path

    def journal_folder(self) -> Path:
        """Return the folder of the journals that take events while the store is away."""
        if self.store.journal_path:
            return self.folder / self.store.journal_path
        file = self.store_file()
        return self.folder if file is None else file.parent

    def store_file(self) -> Path | None:
        """Return the file of an embedded store, None for another store."""
        scheme, _, path = self.store.url.partition(":")
        return self.folder / path.removeprefix("//") if scheme == "sqlite" else None

    def journal_bounds(self) -> Bounds:
        """Return what the journals may take; an embedded store loses nothing that must be given to it again."""
        section = self.store
        keep_s = 0.0 if section.url.startswith("sqlite:") else section.replay_hours * 3_600
        return Bounds(section.journal_bytes, section.journal_full == "accept", keep_s)

    def node(self) -> str:
        """Return this node's name among those that share a store."""
        return self.store.node or socket.gethostname()

    def keep_s(self) -> float:
        """Return for how long traces of mails are kept, in seconds; 0: none are, and nothing is asked for."""
        rule = self.rules.get("auto-forward")
        return 0.0 if rule is None or rule.mode is Mode.OFF else self.forwarding.keep_days * 86_400.0

    def spool_folder(self) -> Path | None:
        """Return the folder of temporary files, None for the system's own."""
        return self.folder / self.spool.path if self.spool.path else None

    def walk_limits(self) -> WalkLimits:
        """Return the limits of the MIME walk."""
        section = self.limits
        return WalkLimits(
            section.mime_depth, section.mime_parts, section.part_header_bytes, section.content_field_bytes
        )

    def header_limits(self) -> HeaderLimits:
        """Return what of a message's own header is read."""
        section = self.limits
        return HeaderLimits(section.header_fields, section.fields_of_one_name, section.octets_of_one_name)

    def inspection_limits(self) -> InspectionLimits:
        """Return what inspecting mails may take."""
        section = self.inspection
        files = Limits(section.depth, section.files, section.opened_bytes, letters=section.letters)
        return InspectionLimits(
            section.workers,
            section.cpu_s,
            section.wall_s,
            section.cache_bytes,
            WorkerBounds(section.memory_bytes),
            files,
        )

    def masked(self) -> dict[str, Any]:
        """Return the effective configuration as plain values, with secrets masked."""
        shown: dict[str, Any] = self.model_dump(mode="json", exclude={"rules", "folder"})
        shown["rules"] = {name: dataclasses.asdict(stanza) for name, stanza in self.rules.items()}
        if shown["spam"]["password"]:
            shown["spam"]["password"] = _MASK
        for section in ("store", "spam"):
            shown[section]["url"] = masked_url(shown[section]["url"])
        return shown


_MASK = "********"
_SECRET_KEYS = ("password", "url")


def masked_url(url: str) -> str:
    """Return a URL with its password masked, in the user part and in the query."""
    url = re.sub(r"://([^:/?#@]*):.*@", rf"://\1:{_MASK}@", url)
    return re.sub(r"([?&]password=)[^&#]*", rf"\1{_MASK}", url)


def party(text: str) -> str:
    """Return a mailbox or a domain, as an exemption names it, in the form that compares."""
    return mailbox_of(text.encode("utf-8", "surrogateescape")) if "@" in text else canonical_domain(text)


def _exemption(entry: ExemptionSection) -> Exemption:
    until = datetime.combine(entry.until, time.max, ZoneInfo(TIME_ZONE))
    return Exemption(
        entry.rule,
        party(entry.mailbox),
        party(entry.counterpart),
        until.timestamp(),
        entry.document,
        entry.reason,
        entry.approver,
    )


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file (None: all defaults) and the environment's overrides.

    Raises ConfigError with one line a problem.
    """
    text = ""
    source = str(path) if path else "defaults"
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{path}: {error.strerror}: create it or name another with --config"]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([f"{path}: not UTF-8 at octet {error.start}: save it as UTF-8"]) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    overridden = _override(values, os.environ if environment is None else environment)
    rules = values.pop("rules", {})
    problems: list[str] = []
    settings = None
    try:
        settings = Settings.model_validate({**values, "folder": path.parent.absolute() if path else Path.cwd()})
    except ValidationError as error:
        problems += _explain(error, (), source, text, overridden)
    stanzas = {}
    if not isinstance(rules, dict):
        problems.append(f"{source}: [rules]: write a table for each rule")
        rules = {}
    for name in rules:
        if name not in STANZAS:
            known = ", ".join(STANZAS)
            problems.append(f"{_place(source, text, ('rules', name), overridden)}: no such rule; there are {known}")
    for name, stanza in STANZAS.items():
        adapter = TypeAdapter(stanza)
        try:
            stanzas[name] = adapter.validate_python(rules.get(name, {}))
        except ValidationError as error:
            problems += _explain(error, ("rules", name), source, text, overridden)
    if settings and settings.listen.smtp:
        place = _place(source, text, ("smtp", "next_hop"), overridden)
        if not settings.smtp.next_hop:
            problems.append(f"{place}: name where [listen] smtp hands mail on to, such as inet:127.0.0.1:10026")
        elif settings.smtp.next_hop in settings.listen.smtp:
            problems.append(f"{place}: this is an SMTP door itself: mail would go round for ever")
    for number, entry in enumerate(settings.exemption if settings else ()):
        if entry.rule not in STANZAS:
            problems.append(f"{source}: exemption {number + 1}: rule: there is no rule {entry.rule!r}")
    if problems or settings is None:
        raise ConfigError(problems)
    return settings.model_copy(update={"rules": stanzas})


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put MAILGATE_SECTION__KEY into the values; return which variable set which key."""
    overridden = {}
    for variable, text in environment.items():
        if not variable.startswith("MAILGATE_") or "__" not in variable:
            continue
        names = variable.removeprefix("MAILGATE_").lower().split("__")
        if names[0] == "rules" and len(names) > 1:
            names[1] = names[1].replace("_", "-")
        table = values
        for name in names[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError([f"environment {variable}: {name} is not a section"])
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table[names[-1]] = value
        overridden[tuple(names)] = variable
    return overridden


def _explain(
    error: ValidationError,
    above: tuple[str, ...],
    source: str,
    text: str,
    overridden: Mapping[tuple[str, ...], str],
) -> list[str]:
    problems = []
    for detail in error.errors():
        keys = (*above, *(part for part in detail["loc"] if isinstance(part, str | int)))
        message = str(detail["msg"]).removeprefix("Value error, ")
        if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "unknown key: take it out, or see config/mailgate.toml for its name"
        else:
            shown = repr(detail["input"])
            if keys[-1] not in _SECRET_KEYS:
                message = f"{message} (found {shown if len(shown) < 60 else shown[:57] + '...'})"
        problem = f"{_place(source, text, keys, overridden)}: {message}"
        if problem not in problems:
            problems.append(problem)
    return problems


def _place(source: str, text: str, keys: tuple[str | int, ...], overridden: Mapping[tuple[str, ...], str]) -> str:
    """Name where a key stands: its variable, or file, line and dotted name."""
    names = tuple(str(key) for key in keys if isinstance(key, str))
    for length in range(len(names), 0, -1):
        if names[:length] in overridden:
            return f"environment {overridden[names[:length]]}"
    line = _line_of(text, keys)
    if not line:
        for path, variable in overridden.items():
            if path[: len(names)] == names:
                return f"environment {variable}"
    dotted = ".".join(str(key) for key in keys)
    return f"{source}:{line}: {dotted}" if line else f"{source}: {dotted}"


def _line_of(text: str, keys: tuple[str | int, ...]) -> int:
    """Return the line of a key in TOML text, that of its table where the key itself is not found, 0 for neither."""
    names = [str(key) for key in keys if isinstance(key, str)]
    wanted_number = next((key for key in keys if isinstance(key, int)), 0)
    table: list[str] = []
    seen: dict[str, int] = {}
    best = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if header := re.match(r"\[+([^\[\]]+)\]+", stripped):
            table = [part.strip().strip("\"'") for part in header[1].split(".")]
            if stripped.startswith("[["):
                seen[header[1]] = seen.get(header[1], -1) + 1
            if table == names[: len(table)] and seen.get(header[1], wanted_number) == wanted_number:
                best = number
        elif assignment := re.match(r"([A-Za-z0-9_.\"'-]+)\s*=", stripped):
            key = [part.strip("\"'") for part in assignment[1].split(".")]
            path = table + key
            if (
                path == names[: len(path)]
                and len(path) > len(table)
                and seen.get(".".join(table), wanted_number) == (wanted_number)
            ):
                return number
    return best
