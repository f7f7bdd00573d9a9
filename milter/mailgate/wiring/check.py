"""Every open road of a Postfix: mail that no milter of ours sees, sees too late, or sees under a false name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..config import Settings
from ..identity.organization import Organization
from ..postfix.instance import Instance, Service
from ..postfix.lists import seconds_of, settings_of, split_list
from ..postfix.next_hops import host_of, is_outside_host, transport_of
from ..postfix.tables import ANY, Entry, Shape, read_table
from .addresses import settings_that_differ, unclear_forms
from .doors import Doors, Milter, doors_of
from .egress import Egress, find_egress, is_loopback, is_on_loopback, listening_of, smtpd_at, ways_back
from .roads import Road
from .routes import open_routes

SHOW = "see mailgate postfix show"
_SUBMISSION = ("submission", "submissions", "smtps", "587", "465")
_NO_CHECKS = "receive_override_options"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is compared: a Postfix, and the configuration of ours that it should fit."""

    instance: Instance
    doors: Doors
    settings: Settings
    organization: Organization
    egress: Egress | None
    max_message_bytes: int
    deadline_s: float

    def is_egress(self, service: Service | None) -> bool:
        """Tell whether a service is an smtpd of the hop, by its name where default_transport leads to none."""
        if service is None or service.command != "smtpd":
            return False
        if self.egress:
            return service in self.egress.servers
        if self.doors.egress_door():
            return service in ways_back(self.instance, self.doors)
        name = self.instance.get("milter_macro_daemon_name", service)
        return any(self.doors.hook(milter.listener, name) == "egress" for milter in self.milters(service))

    def is_filtered(self, service: Service) -> bool:
        """Tell whether a service gives all its mail to an SMTP door of ours."""
        nexthop = transport_of(self.instance.get("content_filter", service))[1]
        proxy = self.instance.get("smtpd_proxy_filter", service) if service.command == "smtpd" else ""
        return any(text and self.doors.is_filter(text) for text in (nexthop, proxy))

    def smtpds(self) -> Iterator[Service]:
        """Yield every smtpd but the egress hop's."""
        for service in self.instance.services:
            if service.command == "smtpd" and not self.is_egress(service):
                yield service

    def milters(self, service: Service | None, parameter: str = "smtpd_milters") -> list[Milter]:
        """Return our doors in what a service asks."""
        return list(self.doors.ours(self.instance, self.instance.get(parameter, service), service))

    def askers(self) -> Iterator[tuple[Service, str]]:
        """Yield each service that asks milters, with the parameter that names them."""
        for service in self.instance.services:
            if service.command in ("smtpd", "cleanup"):
                yield service, "smtpd_milters" if service.command == "smtpd" else "non_smtpd_milters"


def wiring_of(instance: Instance, settings: Settings) -> Wiring:
    """Put a Postfix beside a configuration."""
    doors = doors_of(settings)
    egress = find_egress(instance, doors)
    return Wiring(
        instance,
        doors,
        settings,
        settings.resolved_organization(),
        None if isinstance(egress, str) else egress,
        settings.rules["attachment-size"].max_message_bytes,
        settings.workers.deadline_s,
    )


def open_roads(wiring: Wiring) -> list[Road]:
    """Return every open road once, and notes."""
    found = [road for check in CHECKS for road in check(wiring)]
    found += open_routes(wiring.instance, wiring.organization, wiring.egress)
    return list(dict.fromkeys(found))


# -- who asks Mailgate -----------------------------------------------------------------------------


def _smtpds(wiring: Wiring) -> Iterator[Road]:
    for service in wiring.smtpds():
        if wiring.milters(service) or wiring.is_filtered(service):
            continue
        if takes_back(wiring, service):
            yield Road(
                "re-injection",
                str(service.place),
                f"{service.key} takes mail back from a content filter, without a milter",
                "it was judged when it came in; what the filter adds is not",
                f"nothing, where only the filter ({', '.join(_filtering(wiring))}) can reach it",
                is_note=True,
            )
            continue
        yield Road(
            "smtpd-without-milter",
            str(wiring.instance.place("smtpd_milters", service)),
            f"{service.key} asks no milter of ours: smtpd_milters is "
            + (wiring.instance.get("smtpd_milters", service) or "empty"),
            "its mail is judged by no rule",
            f"name Mailgate's socket there: {SHOW}",
        )


def takes_back(wiring: Wiring, service: Service) -> bool:
    """Tell whether an smtpd is where a content filter gives mail back that was judged on its way in."""
    instance = wiring.instance
    return (
        service.type == "inet"
        and is_on_loopback(instance, service)
        and not instance.get("content_filter", service)
        and bool(_filtering(wiring))
        # Milters see no content of what is proxied: the smtpd behind the proxy must ask, unless the proxy is ours.
        and not any(_proxy(wiring, other) for other in wiring.smtpds())
    )


def _filtering(wiring: Wiring) -> list[str]:
    """Return the content filters that mail comes back from."""
    services = [None, *wiring.smtpds(), *(s for s in wiring.instance.services if s.command == "pickup")]
    ours = {wiring.instance.get("smtpd_proxy_filter", s) for s in wiring.smtpds() if wiring.is_filtered(s)} - {""}
    return sorted(ours | {value for s in services if (value := wiring.instance.get("content_filter", s))})


def _proxy(wiring: Wiring, service: Service) -> str:
    """Return the proxy of others that an smtpd gives its mail to, "" for none."""
    return "" if wiring.is_filtered(service) else wiring.instance.get("smtpd_proxy_filter", service)


def _proxied(wiring: Wiring) -> Iterator[Road]:
    instance = wiring.instance
    behind = [s for s in wiring.smtpds() if s.type == "inet" and is_on_loopback(instance, s) and wiring.milters(s)]
    for service in wiring.smtpds():
        proxy = _proxy(wiring, service)
        if proxy and not behind:
            yield Road(
                "proxy-filter",
                str(instance.place("smtpd_proxy_filter", service)),
                f"{service.key} hands its mail to {proxy} before milters see more than the envelope",
                "with smtpd_proxy_filter no milter is shown a header or a body (SMTPD_PROXY_README)",
                "give the smtpd that takes the mail back from the filter our milter, or use content_filter",
            )


def _milter_maps(wiring: Wiring) -> Iterator[Road]:
    for service in (None, *wiring.instance.services):
        value = wiring.instance.get("smtpd_milter_maps", service)
        if value and (service is None or "smtpd_milter_maps" in service.options):
            yield Road(
                "milter-maps",
                str(wiring.instance.place("smtpd_milter_maps", service)),
                f"smtpd_milter_maps = {value} takes milters away from some clients",
                "their mail is judged by no rule",
                "empty it; Mailgate knows internal clients by [organization] internal_networks",
            )


def _non_smtpd(wiring: Wiring) -> Iterator[Road]:
    pickups = [service for service in wiring.instance.services if service.command == "pickup"]
    if pickups and all(wiring.is_filtered(service) for service in pickups):
        return
    for service in wiring.instance.services:
        if service.command == "cleanup" and not wiring.milters(service, "non_smtpd_milters"):
            yield Road(
                "non-smtpd-without-milter",
                str(wiring.instance.place("non_smtpd_milters", service)),
                f"non_smtpd_milters is {wiring.instance.get('non_smtpd_milters', service) or 'empty'}",
                "what local programs hand over (sendmail, procmail, Sieve) is judged by no rule on its way in",
                f"name a socket of Mailgate's of its own there: {SHOW}",
            )


def _sockets(wiring: Wiring) -> Iterator[Road]:
    for service, parameter in wiring.askers():
        for milter in wiring.milters(service, parameter):
            if milter.hidden:
                yield Road(
                    "socket-outside-chroot",
                    str(wiring.instance.place(parameter, service)),
                    f"{service.key} runs in {wiring.instance.queue_directory} and cannot see {milter.address}",
                    "mail is deferred for want of its milter",
                    f"give the socket a second place in there (systemd/mailgate.socket), or {SHOW}",
                )


def _no_milters(wiring: Wiring) -> Iterator[Road]:
    for service in (None, *wiring.instance.services):
        value = wiring.instance.get(_NO_CHECKS, service)
        counts = service is None or _NO_CHECKS in service.options
        if counts and "no_milters" in split_list(value):
            yield Road(
                "no-milters",
                str(wiring.instance.place(_NO_CHECKS, service)),
                f"{_NO_CHECKS} = {value} turns milters off",
                "the mail is judged by no rule",
                "take no_milters out of it",
            )


def _hooks(wiring: Wiring) -> Iterator[Road]:
    """Compare what the daemon would take each service's mail for with what it is."""
    instance = wiring.instance
    for service, parameter in wiring.askers():
        if wiring.doors.egress_door() and wiring.is_egress(service):
            continue  # the door has judged its mail: no hook is right there
        name = instance.get("milter_macro_daemon_name", service)
        for milter in wiring.milters(service, parameter):
            hook = wiring.doors.hook(milter.listener, name)
            if service.command == "cleanup":
                wanted: tuple[str, ...] = ("non-smtp",)
            elif wiring.is_egress(service):
                wanted = ("egress",)
            else:
                wanted = ("submission", "") if is_submission(instance, service) else ("mx", "")
            if hook not in wanted:
                stanza = f'[[hook]] name = "{wanted[0]}", listener = "{milter.listener}"'
                named = f"the hook {hook}" if hook else "no hook"
                shown = f", daemon_name = {name}" if service.command == "smtpd" else ""
                yield Road(
                    "hook-name",
                    str(instance.place("milter_macro_daemon_name", service)),
                    f"{service.key} is {named} of mailgate.toml by listener = {milter.listener}{shown}",
                    f"the rules of {wanted[0]} are not applied to its mail",
                    f"write {stanza} with this daemon_name in mailgate.toml, or {SHOW}",
                )


def is_submission(instance: Instance, service: Service) -> bool:
    """Tell whether a service takes mail of those alone who log in."""
    port = service.name.rpartition(":")[2]
    restrictions = split_list(
        instance.get("smtpd_relay_restrictions", service)
        + " "
        + instance.get("smtpd_recipient_restrictions", service)
    )
    asks_login = instance.get("smtpd_sasl_auth_enable", service) == "yes"
    refuses = "permit_sasl_authenticated" in restrictions and "reject" in restrictions
    return port in _SUBMISSION or (asks_login and refuses and "permit_mynetworks" not in restrictions)


# -- how it is asked -------------------------------------------------------------------------------


def milter_settings(wiring: Wiring) -> Iterator[Road]:
    """What may be set for all milters, for a service, or for one milter alone, which outweighs the others."""
    instance = wiring.instance
    for service, parameter in wiring.askers():
        for milter in wiring.milters(service, parameter):
            for name, setting, fits, why, mend in _EACH:
                value = milter.settings.get(name, "")
                place = instance.place(parameter if value else setting, service)
                value = value or instance.get(setting, service)
                if not fits(value, wiring):
                    yield Road(
                        setting.removeprefix("milter_").replace("_", "-"),
                        str(place),
                        f"{name} of {milter.address} is {value or 'empty'}",
                        why,
                        mend,
                    )


_Fits = Callable[[str, Wiring], bool]
_EACH: tuple[tuple[str, str, _Fits, str, str], ...] = (
    (
        "default_action",
        "milter_default_action",
        lambda value, _: value != "accept",
        "mail passes unjudged while Mailgate is away",
        "set default_action=tempfail",
    ),
    (
        "content_timeout",
        "milter_content_timeout",
        lambda value, wiring: seconds_of(value) > wiring.deadline_s,
        "Postfix stops listening before Mailgate's answer comes",
        "set it above [workers] deadline_s",
    ),
    (
        "protocol",
        "milter_protocol",
        lambda value, _: value.isdigit() and int(value) >= 6,
        "Mailgate is not shown all that it judges by",
        "set milter_protocol = 6",
    ),
)


def _message_size(wiring: Wiring) -> Iterator[Road]:
    instance = wiring.instance
    for service in (None, *wiring.instance.services):
        value = instance.get("message_size_limit", service)
        counts = service is None or "message_size_limit" in service.options
        if counts and value.isdigit() and 0 < int(value) < wiring.max_message_bytes:
            yield Road(
                "message-size-limit",
                str(instance.place("message_size_limit", service)),
                f"message_size_limit is {value}",
                "lawful mail is refused: a 20 MiB attachment is 28,697,872 octets in base64",
                f"set {wiring.max_message_bytes}, as [rules.attachment-size] max_message_bytes",
            )


def _bare_newline(wiring: Wiring) -> Iterator[Road]:
    instance, name = wiring.instance, "smtpd_forbid_bare_newline"
    for service in (None, *wiring.smtpds()):
        value = instance.get(name, service)
        if value in ("yes", "normalize", "reject") or (service is not None and name not in service.options):
            continue
        version = instance.get("mail_version")
        yield Road(
            "bare-newline",
            str(instance.place(name, service)),
            f"{name} is {value}" if value else f"Postfix {version} has no {name}",
            "bare newlines smuggle a second mail into the first, past every filter",
            f"set {name} = yes, or normalize" if value else "upgrade to 3.7.9, 3.8.4 or later",
        )


# -- the egress hop --------------------------------------------------------------------------------

_COPIES = "copies that aliases, .forward and *_bcc_maps send outside pass no other milter"


def _egress(wiring: Wiring) -> Iterator[Road]:
    instance = wiring.instance
    found = find_egress(instance, wiring.doors)
    if isinstance(found, str):
        yield Road("no-egress", str(instance.place("default_transport")), found, _COPIES, SHOW)
        if wiring.doors.egress_door():
            yield from _ways_back(wiring)
    elif found.door:
        yield from _door(wiring, found)
    elif not wiring.milters(found.servers[0]):
        (server,) = found.servers
        what = f"{server.key}, which default_transport leads to, asks no milter of ours"
        yield Road("no-egress", str(instance.place("smtpd_milters", server)), what, _COPIES, SHOW)
    else:
        yield from _client(instance, found.client)
        yield from _server(wiring, found, found.servers[0])


def _door(wiring: Wiring, egress: Egress) -> Iterator[Road]:
    """What must be so where the hop is our SMTP door: the client that leads to it, and the smtpds behind it."""
    instance, doors = wiring.instance, wiring.doors
    hook = doors.hook(egress.door, "")
    if hook != "egress":
        named = f"the hook {hook}" if hook else "no hook"
        yield Road(
            "no-egress",
            str(instance.place("default_transport")),
            f"default_transport = {egress.transport} leads to an SMTP door that is {named} of mailgate.toml",
            "the rules of egress are not applied to the copies that aliases, .forward and *_bcc_maps send outside",
            f'write [[hook]] name = "egress", listener = "{egress.door}" in mailgate.toml',
        )
        return
    yield from _client(instance, egress.client)
    if instance.get("smtp_send_xforward_command", egress.client) != "yes":
        yield Road(
            "egress-xforward",
            str(instance.place("smtp_send_xforward_command", egress.client)),
            f"smtp_send_xforward_command of {egress.client.key} is not yes",
            "Mailgate is not told whose mail it is: every client is taken for one of our own",
            f"add -o smtp_send_xforward_command=yes to {egress.client.key}",
        )
    for server in egress.servers:
        yield from _server(wiring, egress, server)
        if wiring.milters(server):
            yield Road(
                "egress-twice",
                str(instance.place("smtpd_milters", server)),
                f"{server.key} asks Mailgate once more of what its SMTP door hands on",
                "each copy is judged and counted twice, the second time by the rules of another hook",
                f"add -o smtpd_milters= to {server.key}",
                is_note=True,
            )
    yield from _ways_back(wiring)


def _ways_back(wiring: Wiring) -> Iterator[Road]:
    """Where the door hands mail on to: what is not of this Postfix, what is not there, and what does not hold."""
    instance, doors = wiring.instance, wiring.doors
    for name, address in (("next_hop", doors.next_hop), ("hold_next_hop", doors.hold_next_hop)):
        if smtpd_at(instance, address) is None:
            named = address or "empty"
            why = (
                "what stands there is of another's making: whether it sends mail on, or holds it, is not known"
                if address
                else "copies that are to be held are deferred instead, until Postfix returns them to their senders"
            )
            yield Road(
                "egress-way-back",
                f"[smtp] {name}",
                f"{name} of mailgate.toml is {named}, which is no smtpd of {instance.config_dir}/master.cf",
                why,
                "see config/mailgate.toml, [smtp], for the services that belong there",
                is_note=True,
            )
    holding = smtpd_at(instance, doors.hold_next_hop)
    if holding is not None and not is_holding(instance, holding):
        yield Road(
            "egress-hold",
            str(instance.place("smtpd_client_restrictions", holding)),
            f"{holding.key}, the hold_next_hop of mailgate.toml, does not hold what it takes",
            "copies that Mailgate quarantines leave",
            "let its smtpd_client_restrictions begin with check_client_access static:HOLD",
        )


_RESTRICTIONS = ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data")


def is_holding(instance: Instance, service: Service) -> bool:
    """Tell whether an smtpd holds whatever it takes: by a table of HOLD that it asks before it permits anything."""
    for name in _RESTRICTIONS:
        parameter = f"smtpd_{name}_restrictions"
        before = ""
        for word in split_list(instance.get(parameter, service)):
            if word.startswith("permit"):
                break  # the rest of this list is not read
            if before.startswith("check_") and before.endswith("_access") and ":" in word:
                reading = read_table(instance, word, instance.place(parameter, service), Shape.TABLE, ())
                if any(_holds_us(entry) for entry in reading.entries):
                    return True
            before = word
    return False


def _holds_us(entry: Entry) -> bool:
    """Tell whether an entry of access(5) holds what the door brings, by loopback and of any sender."""
    is_for_us = entry.key == ANY or entry.is_pattern or entry.key.startswith("127")
    return is_for_us and entry.value.upper().split()[:1] == ["HOLD"]


def _client(instance: Instance, client: Service) -> Iterator[Road]:
    name = f"{client.name}_destination_recipient_limit"
    limit = instance.get(name) or instance.get("default_destination_recipient_limit")
    if limit != "1":
        yield Road(
            "egress-recipient-limit",
            str(instance.place(name)),
            f"{name} is {limit}",
            "a mail that is held for one recipient is held for all of them",
            f"set {name} = 1",
        )
    if instance.get("disable_mime_output_conversion", client) != "yes":
        yield Road(
            "egress-conversion",
            str(instance.place("disable_mime_output_conversion", client)),
            f"disable_mime_output_conversion of {client.key} is not yes",
            "8-bit mail is rewritten on its way to the hop, and signatures break",
            f"add -o disable_mime_output_conversion=yes to {client.key}",
        )
    if instance.get("smtp_line_length_limit", client) != "0":
        yield Road(
            "egress-lines",
            str(instance.place("smtp_line_length_limit", client)),
            f"smtp_line_length_limit of {client.key} is not 0",
            "long lines are broken on their way to the hop: signatures break, and what was released is held again",
            f"add -o smtp_line_length_limit=0 to {client.key}",
        )
    if fallback := instance.get("smtp_fallback_relay", client):
        yield Road(
            "egress-fallback",
            str(instance.place("smtp_fallback_relay", client)),
            f"smtp_fallback_relay of {client.key} is {fallback}",
            "what Mailgate defers at the hop leaves by the fallback relay, unjudged",
            f"add -o smtp_fallback_relay= to {client.key}",
        )
    yield from _dsn(instance, client, "smtp_discard_ehlo_keywords")


def _dsn(instance: Instance, service: Service, parameter: str) -> Iterator[Road]:
    value = instance.get(parameter, service)
    if "dsn" in (word.lower() for word in split_list(value)):
        yield Road(
            "egress-dsn",
            str(instance.place(parameter, service)),
            f"{parameter} of {service.key} is {value}",
            "ORCPT and NOTIFY are lost at the hop, and with them whose mail it was",
            f"add -o {parameter}= to {service.key}",
        )


def _server(wiring: Wiring, egress: Egress, server: Service) -> Iterator[Road]:
    instance = wiring.instance
    if not is_on_loopback(instance, server):
        yield Road(
            "egress-open",
            str(server.place),
            f"{server.key} can be reached from other machines",
            "whoever reaches it sends mail through this system",
            "let it listen on 127.0.0.1 alone",
        )
    value = instance.get("content_filter", server)
    place = str(instance.place("content_filter", server))
    transport, nexthop = transport_of(value)
    exit_service = instance.named(transport, "unix")
    if not value:
        what = f"{server.key} has no content_filter of its own"
        why = "default_transport leads its mail to itself again, without end"
        yield Road("egress-loop", place, what, why, f"add -o content_filter=smtp: to {server.key}")
    elif exit_service == egress.client or comes_back(wiring, egress, nexthop):
        what = f"content_filter of {server.key} is {value}, the hop itself"
        yield Road("egress-loop", place, what, "its mail comes back to it without end", "name smtp: there")
    elif exit_service is None:
        what = f"content_filter of {server.key} is {value}, which master.cf does not have"
        yield Road("egress-exit", place, what, "nothing leaves", "name a transport of master.cf, such as smtp:")
    elif not nexthop and (relay := instance.get("relayhost", server)):
        yield Road(
            "egress-relayhost",
            place,
            f"content_filter of {server.key} is {value}, and relayhost is {relay}",
            "content_filter wins over relayhost: mail leaves straight to its recipients' hosts",
            f"set content_filter={transport}:{relay}",
        )
    options = split_list(instance.get(_NO_CHECKS, server))
    if "no_address_mappings" not in options:
        yield Road(
            "egress-addresses",
            str(instance.place(_NO_CHECKS, server)),
            f"{_NO_CHECKS} of {server.key} lacks no_address_mappings",
            "aliases and *_bcc_maps are applied once more, behind the milter",
            f"add no_address_mappings to {_NO_CHECKS} of {server.key}",
        )
    yield from _dsn(instance, server, "smtpd_discard_ehlo_keywords")


def comes_back(wiring: Wiring, egress: Egress, nexthop: str) -> bool:
    """Tell whether a next hop is the hop's own smtpd, or its door, by whatever transport."""
    host, port = host_of(nexthop)
    if egress.door:
        return wiring.doors.filter_of(nexthop) == egress.door
    return is_loopback(host) and any(port == listening_of(server)[1] for server in egress.servers)


# -- content filters -------------------------------------------------------------------------------


def _content_filters(wiring: Wiring) -> Iterator[Road]:
    instance = wiring.instance
    sources = [None, *(s for s in instance.services if s.command in ("smtpd", "pickup", "qmqpd"))]
    for service in sources:
        if service is not None and "content_filter" not in service.options:
            continue
        if wiring.is_egress(service):
            continue
        value = instance.get("content_filter", service)
        transport, nexthop = transport_of(value)
        if not value:
            continue
        place = instance.place("content_filter", service)
        egress = wiring.egress
        if egress and egress.door and wiring.doors.is_filter(nexthop):
            what = f"content_filter = {value} leads to an SMTP door of ours, and so does default_transport"
            why = "both hand mail on to the same next hop: mail for our own mailboxes leaves the system there"
            yield Road("content-filter", str(place), what, why, "let a milter judge what comes in")
        elif egress and instance.named(transport, "unix") == egress.client:
            what = f"content_filter = {value} leads all mail to the egress hop, also what comes in"
            mend = "empty it: default_transport leads there what leaves"
            yield Road("content-filter", str(place), what, "mail for our own mailboxes leaves the system", mend)
        elif _leaves(wiring, transport, nexthop):
            what = f"content_filter = {value} sends mail outside"
            yield Road("content-filter", str(place), what, "it goes round the egress hop", "name a filter of ours")


def _leaves(wiring: Wiring, transport: str, nexthop: str) -> bool:
    service = wiring.instance.named(transport, "unix")
    host, _ = host_of(nexthop)
    if service is None or service.command not in ("smtp", "lmtp") or nexthop.startswith("unix:"):
        return False
    return not host or is_outside_host(host, wiring.organization)


def _instances(wiring: Wiring) -> Iterator[Road]:
    """Postfix may run more than once on a machine (postmulti(1)): each has its own roads."""
    for folder in split_list(wiring.instance.get("multi_instance_directories")):
        yield Road(
            "other-instance",
            str(wiring.instance.place("multi_instance_directories")),
            f"another Postfix of this machine is in {folder}",
            "its mail passes the milters that it names itself",
            f"mailgate postfix check --config-dir {folder}",
            is_note=True,
        )


# -- who is meant ----------------------------------------------------------------------------------


def milters_behind(wiring: Wiring, service: Service | None, parameter: str) -> list[str]:
    """Return the milters of others that a list has behind ours."""
    items = [settings_of(item)[0] for item in split_list(wiring.instance.get(parameter, service))]
    ours = {milter.address for milter in wiring.milters(service, parameter)}
    places = [at for at, address in enumerate(items) if address in ours]
    return [address for address in items[places[-1] + 1 :] if address not in ours] if places else []


def _last_of_milters(wiring: Wiring) -> Iterator[Road]:
    seen = set()
    for service, name in wiring.askers():
        place = str(wiring.instance.place(name, service))
        if place not in seen and (behind := milters_behind(wiring, service, name)):
            seen.add(place)
            yield Road(
                "milter-behind",
                place,
                f"{', '.join(behind)} stands behind Mailgate in {name}",
                "a mail that it refuses was counted as received: a mailbox that nobody uses looks alive",
                f"put Mailgate last: {SHOW}",
            )


def _logins_at_mx(wiring: Wiring) -> Iterator[Road]:
    for service in wiring.smtpds():
        lets_in = wiring.instance.get("smtpd_sasl_auth_enable", service) == "yes"
        if lets_in and not is_submission(wiring.instance, service):
            yield Road(
                "login-at-mx",
                str(wiring.instance.place("smtpd_sasl_auth_enable", service)),
                f"{service.key} lets people log in, and takes mail from outside too",
                "their mail is rated and judged as theirs, but by the rules of mx",
                "let them log in at submission (587, 465) alone: smtpd_sasl_auth_enable = no here",
                is_note=True,
            )


def _addresses(wiring: Wiring) -> Iterator[Road]:
    yield from unclear_forms(wiring.instance)
    settings = wiring.settings
    rewriting, organization = settings.resolved_rewriting(), settings.organization
    toml = {
        "myorigin": rewriting.myorigin,
        "mydomain": rewriting.mydomain,
        "mydestination": " ".join(sorted(rewriting.mydestination)),
        "recipient_delimiter": "".join(sorted(organization.subaddress_separators)),
        "append_at_myorigin": _yes(rewriting.append_at_myorigin),
        "append_dot_mydomain": _yes(rewriting.append_dot_mydomain),
        "resolve_dequoted_address": _yes(rewriting.resolve_dequoted_address),
    }
    files = frozenset(str(settings.folder / text.removeprefix("alias:")) for text in organization.alias_files)
    yield from settings_that_differ(wiring.instance, toml, wiring.organization.domains, files)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


CHECKS: tuple[Callable[[Wiring], Iterator[Road]], ...] = (
    _smtpds,
    _proxied,
    _milter_maps,
    _non_smtpd,
    _sockets,
    _no_milters,
    _hooks,
    milter_settings,
    _message_size,
    _bare_newline,
    _egress,
    _content_filters,
    _last_of_milters,
    _logins_at_mx,
    _addresses,
    _instances,
)
