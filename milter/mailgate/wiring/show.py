"""The commands that put Mailgate into a Postfix, each with its reason; what fits already has none.

Running them makes `check` find nothing but what is left to a person: routes of others' making. Running them twice is
running them once.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..postfix.instance import Place, Service
from ..postfix.lists import settings_of, split_list
from ..postfix.next_hops import host_of, transport_of
from .addresses import HACKS, UNQUALIFIED, refuses_unqualified
from .check import (
    Wiring,
    comes_back,
    is_holding,
    is_submission,
    milter_settings,
    milters_behind,
    open_roads,
    takes_back,
)
from .egress import Egress, is_on_loopback, listening_of, smtpd_at, ways_back

CLIENT = "egress"
DOOR_CLIENT = "mailgate"
FIRST_PORT = 10_026
_MARGIN_S = 60  # of content_timeout above [workers] deadline_s: Mailgate's answer comes first
_REENTRY = "no_unknown_recipient_checks,no_header_body_checks,no_address_mappings"
_BYHAND = ("round-egress", "unread", "content-filter", "proxy-filter", "milter-maps", "egress-way-back")

# The hop hands a mail on as it is: what main.cf says of mail to and from other machines is not for it.
CLIENT_OPTIONS = {
    "disable_mime_output_conversion": "yes",
    "smtp_line_length_limit": "0",
    "smtp_tls_security_level": "none",
    "smtp_sasl_auth_enable": "no",
    "smtp_fallback_relay": "",
    "smtp_discard_ehlo_keywords": "",
}
SERVER_OPTIONS = {
    "receive_override_options": _REENTRY,
    "mynetworks": "127.0.0.0/8",
    "smtpd_client_restrictions": "",
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "",
    "smtpd_relay_restrictions": "permit_mynetworks,reject",
    "smtpd_recipient_restrictions": "permit_mynetworks,reject",
    "smtpd_data_restrictions": "",
    "smtpd_end_of_data_restrictions": "",
    "smtpd_tls_security_level": "none",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_discard_ehlo_keywords": "",
}
# What a hop must have whatever its administrator made of the rest.
_CLIENT_NEEDS = (
    "disable_mime_output_conversion",
    "smtp_line_length_limit",
    "smtp_fallback_relay",
    "smtp_discard_ehlo_keywords",
)
# And what one that leads to an SMTP door needs besides: who the client was, and the queue id.
_XFORWARD = "smtp_send_xforward_command"
DOOR_CLIENT_OPTIONS = {_XFORWARD: "yes", **CLIENT_OPTIONS}
_HOLD = "check_client_access,static:HOLD,permit_mynetworks,reject"
_SERVER_NEEDS = ("receive_override_options", "smtpd_discard_ehlo_keywords")
# Main.cf settings that would change the mail on its way to the hop, or where it comes from; only where they are set.
_CLIENT_WHERE_SET = (
    "smtp_header_checks",
    "smtp_mime_header_checks",
    "smtp_nested_header_checks",
    "smtp_body_checks",
    "smtp_generic_maps",
    "smtp_bind_address",
    "smtp_bind_address6",
)
_SERVER_WHERE_SET = ("smtpd_proxy_filter", "smtpd_milter_maps", "smtpd_etrn_restrictions")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of Postfix's own tools, and why."""

    arguments: tuple[str, ...]
    reason: str

    def line(self) -> str:
        """Return it as a shell reads it."""
        return shlex.join(self.arguments)


def commands(wiring: Wiring, config_dir: str = "") -> list[Command]:
    """Return what is to be run, in this order; `config_dir` is the -c of every command, "" the system's own."""
    tool = ("postconf", "-c", config_dir) if config_dir else ("postconf",)
    steps = [*_services(wiring), *_egress(wiring), *_main(wiring)]
    return [Command((*tool, *arguments), reason) for arguments, reason in dict(steps).items()]


def by_hand(wiring: Wiring) -> list[str]:
    """Return what no command mends, one line each."""
    return [f"{road.where}: {road.what}: {road.mend}" for road in open_roads(wiring) if road.road in _BYHAND]


def stanzas(wiring: Wiring) -> list[str]:
    """Return the lines of [[hook]] that mailgate.toml lacks."""
    known = {hook.name for hook in wiring.doors.hooks}
    lines = []
    for name in ("mx", "submission", "egress", "non-smtp"):
        door = wiring.egress.door if name == "egress" and wiring.egress else ""
        if name not in known or (door and wiring.doors.hook(door, "") != "egress"):
            listener, daemon_name = (door, "") if door else wiring.doors.of_hook(name)
            lines += ["[[hook]]", f'name = "{name}"', f'listener = "{listener}"']
            lines += [f'daemon_name = "{daemon_name}"'] if daemon_name else []
    return lines


Step = tuple[tuple[str, ...], str]


# -- services that are there -----------------------------------------------------------------------


def _services(wiring: Wiring) -> Iterator[Step]:
    instance = wiring.instance
    for service in wiring.smtpds():
        if takes_back(wiring, service):
            continue
        hook = "submission" if is_submission(instance, service) else "mx"
        _, name = wiring.doors.of_hook(hook)
        if name and instance.get("milter_macro_daemon_name", service) != name:
            yield (
                ("-P", f"{service.key}/milter_macro_daemon_name={name}"),
                f"Mailgate tells hooks by this name: {hook}",
            )
        own = service.options.get("smtpd_milters")
        elsewhere = wiring.doors.of_hook(hook)[0] != wiring.doors.of_hook("mx")[0]
        if (own is not None or elsewhere) and not _asks_well(wiring, service, "smtpd_milters"):
            value = _joined(wiring, hook, own or instance.get("smtpd_milters"))
            yield ("-P", f"{service.key}/smtpd_milters={_compact(value)}"), f"{service.key} names milters of its own"
    for service in (s for s in instance.services if s.command == "cleanup"):
        own = service.options.get("non_smtpd_milters")
        if own is not None and not _asks_well(wiring, service, "non_smtpd_milters"):
            value = _compact(_joined(wiring, "non-smtp", own))
            yield ("-P", f"{service.key}/non_smtpd_milters={value}"), f"{service.key} names milters of its own"
    yield from _overrides(wiring)
    yield from _chroots(wiring)


def _overrides(wiring: Wiring) -> Iterator[Step]:
    """Take back what single services set otherwise than main.cf should have it."""
    for service in wiring.instance.services:
        options = split_list(service.options.get("receive_override_options", ""))
        if "no_milters" in options:
            left = ",".join(option for option in options if option != "no_milters")
            yield ("-P", f"{service.key}/receive_override_options={left}"), "no_milters lets mail pass Mailgate"
        size = service.options.get("message_size_limit", "0")
        if size.isdigit() and 0 < int(size) < wiring.max_message_bytes:
            yield ("-PX", f"{service.key}/message_size_limit"), "lawful mail is larger: main.cf's limit holds"
        if service.command == "smtpd" and service.options.get("smtpd_forbid_bare_newline") == "no":
            yield ("-PX", f"{service.key}/smtpd_forbid_bare_newline"), "bare newlines smuggle mail past every filter"
        if service.options.get("milter_default_action") == "accept":
            yield ("-PX", f"{service.key}/milter_default_action"), "accept lets mail pass while Mailgate is away"


def _chroots(wiring: Wiring) -> Iterator[Step]:
    """Take services out of a chroot from which Mailgate's socket cannot be seen."""
    instance = wiring.instance
    for service, parameter in wiring.askers():
        if wiring.doors.egress_door() and wiring.is_egress(service):
            continue  # it asks no milter
        hook = "non-smtp" if parameter == "non_smtpd_milters" else "mx"
        listener, _ = wiring.doors.of_hook(hook)
        outside = listener.startswith("unix:") and not listener.startswith(f"unix:{instance.queue_directory}/")
        if service.chroot and outside and not _seen_inside(wiring, service, parameter):
            reason = (
                f"{listener} is outside {instance.queue_directory}, the chroot of {service.key}; "
                "or give it a second place in there, see systemd/mailgate.socket"
            )
            yield ("-F", f"{service.key}/chroot=n"), reason


def _seen_inside(wiring: Wiring, service: Service, parameter: str) -> bool:
    milters = wiring.milters(service, parameter)
    return bool(milters) and not any(milter.hidden for milter in milters)


# -- the egress hop --------------------------------------------------------------------------------


def _egress(wiring: Wiring) -> Iterator[Step]:
    instance = wiring.instance
    _, name = wiring.doors.of_hook("egress")
    name = name or "EGRESS"
    if wiring.egress and wiring.egress.door:
        yield from _mended_door(wiring, wiring.egress)
        return
    if wiring.egress:
        yield from _mended(wiring, wiring.egress.client, wiring.egress.servers[0], name)
        return
    if door := wiring.doors.egress_door():
        yield from _led_to_door(wiring, door)
        return
    model = instance.named("smtp", "unix")
    chroot = "y" if model and model.chroot else "n"
    if (client := instance.named(CLIENT, "unix")) is None:
        yield _client(wiring, CLIENT, CLIENT_OPTIONS)
    server = next((s for s in instance.services if wiring.is_egress(s) and s.type == "inet"), None)
    if server is None:
        port = _free_port(wiring)
        options = {
            "milter_macro_daemon_name": name,
            "smtpd_milters": _compact(_ours(wiring, "egress")),
            "content_filter": _exit(wiring),
            **SERVER_OPTIONS,
            **{name: "" for name in _SERVER_WHERE_SET if instance.get(name)},
        }
        chroot = "n" if _is_hidden(wiring, "egress") else chroot
        service = f"127.0.0.1:{port} inet n - {chroot} - - smtpd {_as_options(options)}"
        reason = "its second half shows the mail to Mailgate; content_filter sends it on"
        yield ("-M", f"127.0.0.1:{port}/inet={service}"), reason
    else:
        port = listening_of(server)[1]
        if client is not None:
            yield from _mended(wiring, client, server, name)
    yield (
        ("-e", f"default_transport={CLIENT}:[127.0.0.1]:{port}"),
        "what leaves passes the hop: copies by aliases, .forward and *_bcc_maps pass no other milter",
    )
    yield from _limit(wiring, CLIENT)


def _client(wiring: Wiring, name: str, options: Mapping[str, str]) -> Step:
    """Return the command that makes the hop's first half."""
    model = wiring.instance.named("smtp", "unix")
    chroot = "y" if model and model.chroot else "n"
    all_options = {**options, **{option: "" for option in _CLIENT_WHERE_SET if wiring.instance.get(option)}}
    service = f"{name} unix - - {chroot} - - smtp {_as_options(all_options)}"
    return ("-M", f"{name}/unix={service}"), "the hop's first half hands a mail to the second as it is"


def _led_to_door(wiring: Wiring, door: str) -> Iterator[Step]:
    """Lead what leaves to the SMTP door that mailgate.toml makes egress."""
    host, port = host_of(door)
    transport = f"{DOOR_CLIENT}:[{'127.0.0.1' if host in ('', '0.0.0.0', '::') else host}]:{port}"
    client = wiring.instance.named(DOOR_CLIENT, "unix")
    if client is None:
        yield _client(wiring, DOOR_CLIENT, DOOR_CLIENT_OPTIONS)
        yield from _limit(wiring, DOOR_CLIENT)
    servers = ways_back(wiring.instance, wiring.doors)
    # What is there is mended as if it were led to already: else it would take a second run.
    made = client or Service(DOOR_CLIENT, "unix", False, "smtp", DOOR_CLIENT_OPTIONS, Place(""))
    yield from _mended_door(wiring, Egress(transport, made, servers, door))
    yield (
        ("-e", f"default_transport={transport}"),
        "what leaves passes the SMTP door: copies by aliases, .forward and *_bcc_maps pass no milter",
    )


def _mended(wiring: Wiring, client: Service, server: Service, name: str) -> Iterator[Step]:
    """Give a hop that is there what it lacks."""
    instance = wiring.instance
    yield from _mended_client(wiring, client)
    if instance.get("milter_macro_daemon_name", server) != name:
        yield ("-P", f"{server.key}/milter_macro_daemon_name={name}"), "Mailgate tells hooks by this name: egress"
    if not _asks_well(wiring, server, "smtpd_milters"):
        value = _compact(_ours(wiring, "egress"))
        yield ("-P", f"{server.key}/smtpd_milters={value}"), "the hop is there to ask Mailgate"
    yield from _mended_server(wiring, Egress("", client, (server,)), server)
    yield from _limit(wiring, client.name)


def _mended_door(wiring: Wiring, egress: Egress) -> Iterator[Step]:
    """Give a hop that is our SMTP door what it lacks; services that are not there are for a person to make."""
    instance = wiring.instance
    yield from _mended_client(wiring, egress.client)
    if instance.get(_XFORWARD, egress.client) != "yes":
        yield ("-P", f"{egress.client.key}/{_XFORWARD}=yes"), "Mailgate is told whose mail it is"
    for server in egress.servers:
        if wiring.milters(server):
            yield ("-P", f"{server.key}/smtpd_milters="), "what the door hands on was judged there"
        yield from _mended_server(wiring, egress, server)
    holding = smtpd_at(instance, wiring.doors.hold_next_hop)
    if holding is not None and not is_holding(instance, holding):
        reason = "hold_next_hop of mailgate.toml: it holds whatever it takes"
        yield ("-P", f"{holding.key}/smtpd_client_restrictions={_HOLD}"), reason
    yield from _limit(wiring, egress.client.name)


def _mended_client(wiring: Wiring, client: Service) -> Iterator[Step]:
    for option in _CLIENT_NEEDS:
        if wiring.instance.get(option, client) != CLIENT_OPTIONS[option]:
            yield ("-P", f"{client.key}/{option}={CLIENT_OPTIONS[option]}"), "the hop hands a mail on as it is"


def _mended_server(wiring: Wiring, egress: Egress, server: Service) -> Iterator[Step]:
    """Give an smtpd of the hop what it lacks to send mail on as it is, and to be reached from nowhere else."""
    instance = wiring.instance
    for option in _SERVER_NEEDS:
        held = set(split_list(instance.get(option, server)))
        if (option == "receive_override_options" and "no_address_mappings" not in held) or (
            option != "receive_override_options" and "dsn" in held
        ):
            yield ("-P", f"{server.key}/{option}={SERVER_OPTIONS[option]}"), "the hop hands a mail on as it is"
    value = instance.get("content_filter", server)
    transport, nexthop = transport_of(value)
    exit_service = instance.named(transport, "unix")
    relay = instance.get("relayhost", server)
    returns = exit_service == egress.client or comes_back(wiring, egress, nexthop)
    if exit_service is None or returns or (relay and not nexthop):
        yield ("-P", f"{server.key}/content_filter={_exit(wiring)}"), "content_filter sends the mail on from the hop"
    if not is_on_loopback(instance, server):
        port = listening_of(server)[1]
        yield ("-F", f"{server.key}/service=127.0.0.1:{port}"), "no other machine may hand it mail"


def _limit(wiring: Wiring, transport: str) -> Iterator[Step]:
    name = f"{transport}_destination_recipient_limit"
    if wiring.instance.get(name) != "1":
        yield ("-e", f"{name}=1"), "a mail that is held for one recipient is then held for him alone"


def _exit(wiring: Wiring) -> str:
    """Return where mail goes from the hop: where it went until now."""
    instance = wiring.instance
    before = instance.get("default_transport") if not wiring.egress else "smtp"
    transport, nexthop = transport_of(before)
    if instance.named(transport, "unix") is None or transport == CLIENT:
        transport, nexthop = "smtp", ""
    return f"{transport}:{nexthop or instance.get('relayhost')}"


def _free_port(wiring: Wiring) -> str:
    taken = {listening_of(service)[1] for service in wiring.instance.services if service.type == "inet"}
    taken |= {listener.rpartition(":")[2] for listener in wiring.doors.listeners}
    return next(str(port) for port in range(FIRST_PORT, 65_536) if str(port) not in taken)


def _as_options(options: dict[str, str]) -> str:
    parts = (f"{name}={value}" for name, value in options.items())
    return " ".join(f"-o {{{part}}}" if " " in part or "{" in part else f"-o {part}" for part in parts)


# -- main.cf ---------------------------------------------------------------------------------------


def _main(wiring: Wiring) -> Iterator[Step]:
    instance = wiring.instance
    for parameter, hook, reason in (
        (
            "smtpd_milters",
            "mx",
            "mail from outside and from our own people; last, so that only what all others took is counted",
        ),
        ("non_smtpd_milters", "non-smtp", "mail that local programs hand over, by a socket of its own"),
    ):
        held = instance.get(parameter)
        if not _asks_well(wiring, None, parameter):
            yield ("-e", f"{parameter}={_joined(wiring, hook, held)}"), reason
    options = split_list(instance.get("receive_override_options"))
    if "no_milters" in options:
        left = ",".join(option for option in options if option != "no_milters")
        yield ("-e", f"receive_override_options={left}"), "no_milters lets mail pass Mailgate"
    if not instance.get("milter_protocol").isdigit() or int(instance.get("milter_protocol")) < 6:
        yield ("-e", "milter_protocol=6"), "with less Mailgate is not shown all that it judges by"
    size = instance.get("message_size_limit")
    if size.isdigit() and 0 < int(size) < wiring.max_message_bytes:
        reason = "a lawful attachment of 20 MiB is 28,697,872 octets in base64"
        yield ("-e", f"message_size_limit={wiring.max_message_bytes}"), reason
    yield from _clear_addresses(wiring)
    if instance.get("smtpd_forbid_bare_newline") == "no":
        yield ("-e", "smtpd_forbid_bare_newline=yes"), "bare newlines smuggle a second mail into the first"


def _clear_addresses(wiring: Wiring) -> Iterator[Step]:
    """Refuse what leaves it open who is meant."""
    instance = wiring.instance
    for name, form in HACKS.items():
        if instance.get(name) == "yes":
            yield ("-e", f"{name}=no"), f"{form}: nobody need write it so, and filters judge what was typed"
    for name, (restriction, form) in UNQUALIFIED.items():
        if not refuses_unqualified(instance, restriction):
            held = instance.get(name) or "permit_mynetworks, permit_sasl_authenticated"
            yield (
                ("-e", f"{name}={held}, {restriction}"),
                f"{form} from outside would be completed with our own domain",
            )


def _asks_well(wiring: Wiring, service: Service | None, parameter: str) -> bool:
    """Tell whether a list of milters names ours, as it should be asked."""
    where = str(wiring.instance.place(parameter, service))
    unsound = any(road.where == where or _is_global(wiring, road.where) for road in milter_settings(wiring))
    return bool(wiring.milters(service, parameter)) and not unsound and not milters_behind(wiring, service, parameter)


def _is_global(wiring: Wiring, where: str) -> bool:
    """Tell whether a setting of all milters is at fault: our own in the list outweighs it."""
    names = ("milter_default_action", "milter_content_timeout")
    return where in {str(wiring.instance.place(name)) for name in names}


def _joined(wiring: Wiring, hook: str, held: str) -> str:
    """Return a list of milters: the others' as they stand, then ours: what they refuse counts for nobody then.

    A field that Mailgate adds at the end is in no signature that a milter before it made, and breaks none.
    """
    ours = {milter.address for milter in wiring.doors.ours(wiring.instance, held, None)}
    others = [item for item in split_list(held) if settings_of(item)[0] not in ours]
    return ", ".join([*others, _ours(wiring, hook)])


def _ours(wiring: Wiring, hook: str) -> str:
    listener, _ = wiring.doors.of_hook(hook)
    inside = f"unix:{wiring.instance.queue_directory}/"
    # A path without a slash is below the queue directory, in a chroot and out of it.
    address = f"unix:{listener.removeprefix(inside)}" if listener.startswith(inside) else listener
    timeout = int(wiring.deadline_s) + _MARGIN_S
    settings = f"default_action=tempfail, connect_timeout=5s, command_timeout=30s, content_timeout={timeout}s"
    return f"{{ {address}, {settings} }}"


def _is_hidden(wiring: Wiring, hook: str) -> bool:
    listener, _ = wiring.doors.of_hook(hook)
    return listener.startswith("unix:") and not listener.startswith(f"unix:{wiring.instance.queue_directory}/")


def _compact(text: str) -> str:
    """Return a list without white space, which `postconf -P` does not take."""
    items = []
    for item in split_list(text):
        address, settings = settings_of(item)
        pairs = ",".join([address, *(f"{name}={value}" for name, value in settings.items())])
        items.append(f"{{{pairs}}}" if item.startswith("{") else item)
    return ",".join(items)
