"""The configuration: the shipped file tells the defaults, the environment overrides, each error has its place."""

import re
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mailgate.config import ConfigError, Settings, load, parse_endpoint, parse_host_port
from mailgate.model import Action, Finding, Mail, Mode, Session
from mailgate.policy import covers
from mailgate.probes.clamd import Address

SHIPPED = Path(__file__).parents[1] / "config" / "mailgate.toml"


def loaded(text: str, folder: Path, **environment: str) -> Settings:
    """Load a configuration whose file has this text."""
    file = folder / "mailgate.toml"
    file.write_text(text)
    return load(file, environment)


def problems(text: str, folder: Path, **environment: str) -> list[str]:
    """Return what is wrong with a configuration, the folder left out."""
    with pytest.raises(ConfigError) as error:
        loaded(text, folder, **environment)
    return [problem.replace(f"{folder}/", "") for problem in error.value.problems]


def keys_of(table: dict[str, Any], above: str = "") -> set[str]:
    """Return the dotted names of a table's keys, those of its tables included."""
    names: set[str] = set()
    for key, value in table.items():
        names |= keys_of(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}"}
    return names


# -- the shipped file ------------------------------------------------------------------------------


def test_the_shipped_file_holds_the_defaults() -> None:
    shipped, defaults = load(SHIPPED, {}), load(None, {})
    assert shipped.masked() == defaults.masked()
    assert shipped.rules == defaults.rules


def test_the_shipped_file_has_every_key() -> None:
    in_effect = keys_of(load(None, {}).masked())
    written = keys_of(tomllib.loads(SHIPPED.read_text()))
    optional = {"hook", "exemption", *(key for key in in_effect if key.endswith(".on_missing"))}
    assert in_effect - written == optional
    for name in ("[[hook]]", "[[exemption]]", "on_missing"):
        assert name in SHIPPED.read_text(), "what has no default is told in a comment"


def test_the_commented_stanzas_are_right(tmp_path: Path) -> None:
    """[[hook]] and [[exemption]] stand in the shipped file as comments: taken out of them, they load."""
    lines = SHIPPED.read_text().splitlines()
    stanzas = [line.removeprefix("# ") for line in lines if re.match(r'# (\[\[|[a-z_]+ = ("|\d))', line)]
    settings = loaded("\n".join(stanzas), tmp_path)
    assert (len(settings.hook), len(settings.exemption)) == (4, 1)


# -- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "key", "wanted"),
    [
        ("MAILGATE_WORKERS__COUNT", "3", "workers.count", 3),
        ("MAILGATE_WORKERS__UVLOOP", "false", "workers.uvloop", False),
        ("MAILGATE_WORKERS__DEADLINE_S", "1.5", "workers.deadline_s", 1.5),
        ("MAILGATE_SPAM__URL", "http://127.0.0.1:1", "spam.url", "http://127.0.0.1:1"),
        ("MAILGATE_SPAM__URL", "", "spam.url", ""),
        ("MAILGATE_SPAM__URL", '"http://a:1"', "spam.url", "http://a:1"),
        ("MAILGATE_ORGANIZATION__DOMAINS", '["a.vn", "b.vn"]', "organization.domains", ["a.vn", "b.vn"]),
        ("MAILGATE_RULES__AUTO_FORWARD__MODE", "monitor", "rules.auto-forward.mode", "monitor"),
        ("MAILGATE_RULES__ATTACHMENT_SIZE__LIMIT_BYTES", "7", "rules.attachment-size.limit_bytes", 7),
    ],
)
def test_the_environment_overrides(tmp_path: Path, variable: str, value: str, key: str, wanted: Any) -> None:
    text = '[workers]\ncount = 2\n[spam]\nurl = "http://file:1"\n[rules.auto-forward]\nmode = "off"\n'
    shown: Any = loaded(text, tmp_path, **{variable: value}).masked()
    for name in key.split("."):
        shown = shown[name]
    assert shown == wanted


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MAILGATE_WORKERS__COUNT", "many", "environment MAILGATE_WORKERS__COUNT: "),
        ("MAILGATE_WORKERS__CONT", "3", "environment MAILGATE_WORKERS__CONT: unknown key"),
        ("MAILGATE_WRKERS__COUNT", "3", "environment MAILGATE_WRKERS__COUNT: unknown key"),
        ("MAILGATE_WORKERS__COUNT__X", "3", "environment MAILGATE_WORKERS__COUNT__X: count is not a section"),
        ("MAILGATE_RULES__VIRUSES__MODE", "off", "environment MAILGATE_RULES__VIRUSES__MODE: no such rule"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, says: str) -> None:
    (problem,) = problems("[workers]\ncount = 2\n", tmp_path, **{variable: value})
    assert problem.startswith(says)


def test_other_variables_are_others(tmp_path: Path) -> None:
    assert loaded("", tmp_path, MAILGATE_HOME="/x", OTHER__COUNT="3").masked() == load(None, {}).masked()


# -- errors ----------------------------------------------------------------------------------------


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "[organization]\n"
        'domains = ["hanam.gov.vn", "a b"]\n'
        'internal_networks = ["10.0.0.1/8"]\n'
        "[listen]\n"
        'http = "8892"\n'
        'smtp = ["127.0.0.1:25"]\n'
        "[[hook]]\n"
        'name = "mx"\n'
        'listener = "unix:/a"\n'
        "[[hook]]\n"
        'name = "nx"\n'
        'listener = "unix:/b"\n'
        "[rules.virus]\n"
        "mode = 1\n"
        "[[exemption]]\n"
        'rule = "virus"\n'
        'document = ""\n'
        "until = 2027-01-31\n"
    )
    places = sorted(problem.split(": ")[0:2] for problem in problems(text, tmp_path))
    assert places == [
        ["mailgate.toml:11", "hook.1.name"],
        ["mailgate.toml:14", "rules.virus.mode"],
        ["mailgate.toml:17", "exemption.0.document"],
        ["mailgate.toml:2", "organization.domains.1"],
        ["mailgate.toml:3", "organization.internal_networks.0"],
        ["mailgate.toml:5", "listen.http"],
        ["mailgate.toml:6", "listen.smtp.0"],
    ]


def test_an_smtp_door_needs_a_next_hop(tmp_path: Path) -> None:
    text = '[listen]\nsmtp = ["inet:127.0.0.1:10025"]\n[smtp]\nhostname = "mx.hanam.gov.vn"\n'
    (problem,) = problems(text, tmp_path)
    assert problem.startswith("mailgate.toml:3: smtp.next_hop: name where")
    (problem,) = problems(text + 'next_hop = "inet:127.0.0.1:10025"\n', tmp_path)
    assert problem.startswith("mailgate.toml:5: smtp.next_hop: this is an SMTP door itself")
    assert loaded(text + 'next_hop = "inet:127.0.0.1:10026"\n', tmp_path).smtp.next_hop == "inet:127.0.0.1:10026"


@pytest.mark.parametrize(
    "merged",
    ['"a.vn" = "c.vn"', '"c.vn" = "a.vn"', '"a.vn" = "b.vn", "b.vn" = "a.vn"', '"a.vn" = "a.vn"'],
)
def test_domains_are_merged_within_the_system(tmp_path: Path, merged: str) -> None:
    text = f'[organization]\ndomains = ["a.vn", "b.vn"]\nmerged_domains = {{ {merged} }}\n'
    (problem,) = problems(text, tmp_path)
    assert "merged_domains" in problem
    assert "write two of domains" in problem


def test_an_exemption_of_no_rule_is_an_error(tmp_path: Path) -> None:
    text = '[[exemption]]\nrule = "viruses"\nuntil = 2027-01-31\ndocument = "1"\n'
    (problem,) = problems(text, tmp_path)
    assert "'viruses'" in problem


# -- what the settings mean ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a.sock", Address(path="/run/a.sock")),
        ("inet:127.0.0.1:8891", Address(host="127.0.0.1", port=8891)),
        ("inet:[::1]:8891", Address(host="::1", port=8891)),
        ("inet::8891", Address(host="0.0.0.0", port=8891)),
        ("unix:run/a.sock", None),
        ("unix:", None),
        ("inet:127.0.0.1", None),
        ("inet:127.0.0.1:65536", None),
        ("inet:127.0.0.1:0", None),
        ("inet:127.0.0.1:x", None),
        ("/run/a.sock", None),
        ("", None),
    ],
)
def test_endpoints(text: str, address: Address | None) -> None:
    if address is not None:
        assert parse_endpoint(text) == address
    else:
        with pytest.raises(ValueError, match="write inet:HOST:PORT or unix:/PATH"):
            parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), (":80", None), ("80", None), ("a:70000", None)],
)
def test_hosts_and_ports(text: str, place: tuple[str, int] | None) -> None:
    if place is not None:
        assert parse_host_port(text) == place
    else:
        with pytest.raises(ValueError, match="write HOST:PORT"):
            parse_host_port(text)


def test_domains_compare_in_their_canonical_form(tmp_path: Path) -> None:
    text = '[organization]\ndomains = ["HaNam.GOV.vn.", "hànam.vn"]\n'
    assert loaded(text, tmp_path).resolved_organization().domains == {"hanam.gov.vn", "xn--hnam-0na.vn"}


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = loaded('[incidents]\npath = "log/incidents"\n[spool]\npath = "/var/spool"\n', tmp_path)
    assert settings.incidents_folder() == tmp_path / "log" / "incidents"
    assert settings.spool_folder() == Path("/var/spool")
    assert loaded("", tmp_path).spool_folder() is None


def test_a_rule_that_is_off_does_not_run(tmp_path: Path) -> None:
    policy = loaded('[rules.virus]\nmode = "off"\n[rules.spam]\nmode = "monitor"\n', tmp_path).policy()
    modes = {rule.NAME: rule.mode for rule in policy.rules}
    assert "virus" not in modes
    assert modes["spam"] is Mode.MONITOR


def test_on_error_is_what_a_missing_fact_does(tmp_path: Path) -> None:
    text = '[clamav]\non_error = "quarantine"\n[spam]\non_error = "accept"\n'
    settings = loaded(text, tmp_path)
    mail = Mail(settings.identity(), Session(), missing={"clamd": "away", "spam": "away"})
    actions = {finding.rule: finding.action for finding in settings.policy().decide(mail, 0.0).findings}
    assert actions == {"virus": Action.QUARANTINE, "spam": Action.ACCEPT}


def test_an_exemption_holds_to_the_end_of_its_day_in_vietnam(tmp_path: Path) -> None:
    text = '[[exemption]]\nrule = "virus"\nuntil = 2027-01-31\ndocument = "12/QĐ"\n'
    settings = loaded(text, tmp_path)
    (exemption,) = settings.policy().exemptions
    finding = Finding("virus", "4.2", Mode.ENFORCE, Action.REJECT)
    mail = Mail(settings.identity(), Session())
    midnight = datetime.fromisoformat("2027-02-01T00:00:00+07:00")
    assert covers(exemption, finding, mail, (midnight - timedelta(seconds=1)).timestamp())
    assert not covers(exemption, finding, mail, midnight.timestamp())
