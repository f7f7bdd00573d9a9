"""SPF by the test suite of RFC 7208 (openspf.org, release 2014.04), every row of it.

tests/spf/rfc7208-tests.json is its rfc7208-tests.yml, converted as it stands; its licence lies beside it.
"""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.probes import spf

SUITE = json.loads((Path(__file__).parent / "spf" / "rfc7208-tests.json").read_text())
ROWS = [(name, test, scenario["zonedata"]) for scenario in SUITE for name, test in scenario["tests"].items()]


class Zone:
    """The records of one scenario, as a Names; SPF stands for TXT where a name has no TXT of its own."""

    def __init__(self, zonedata: dict[str, list[Any]]) -> None:
        self._records = {name.lower().rstrip("."): records for name, records in zonedata.items()}

    def _ask(self, name: str, kind: str) -> list[Any]:
        for _ in range(10):
            records = self._records.get(name.lower().rstrip("."), [])
            kinds = {one for record in records if isinstance(record, dict) for one in record}
            wanted = "SPF" if kind == "TXT" and "TXT" not in kinds else kind
            found = [record[wanted] for record in records if isinstance(record, dict) and wanted in record]
            if found and found != ["NONE"]:
                return found
            if "TIMEOUT" in records:
                raise OSError("no answer")
            aliases = [record["CNAME"] for record in records if isinstance(record, dict) and "CNAME" in record]
            if not aliases:
                return []
            name = aliases[0]
        raise OSError("a chain without an end")

    async def texts(self, name: str) -> list[bytes]:
        found = self._ask(name, "TXT")
        return ["".join([one] if isinstance(one, str) else one).encode("latin-1") for one in found]

    async def addresses(self, name: str, family: int) -> list[str]:
        return [str(ipaddress.ip_address(one)) for one in self._ask(name, "A" if family == 4 else "AAAA")]

    async def exchanges(self, name: str) -> list[str]:
        return [host for _, host in sorted(self._ask(name, "MX"))]

    async def pointers(self, name: str) -> list[str]:
        return self._ask(name, "PTR")


@pytest.mark.parametrize(("name", "test", "zonedata"), ROWS, ids=[name for name, _, _ in ROWS])
async def test_a_row_of_the_suite(name: str, test: dict[str, Any], zonedata: dict[str, list[Any]]) -> None:
    sender = test["mailfrom"] or ""
    domain = sender.rpartition("@")[2] or test["helo"]
    wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
    found = await spf.check_host(Zone(zonedata), test["host"], domain, sender, test["helo"])
    assert found in wanted


def test_the_suite_is_whole() -> None:
    assert len(ROWS) == 203


# -- what the suite does not have ------------------------------------------------------------------

HOST, OTHER = "198.51.100.9", "203.0.113.1"
LONG = "x" * 60


@pytest.mark.parametrize(
    ("record", "want"),
    [
        ("mx a/33 -all", "permerror"),
        ("mx a//129 -all", "permerror"),
        (f"ip4:{HOST} foo:bar -all", "permerror"),
        (f"include:none.example ip4:{HOST} -all", "permerror"),
        ("all:foo", "permerror"),
        ("all/8", "permerror"),
        (f"ip4:{HOST}/09", "permerror"),
        (f"ip4:{HOST}/", "permerror"),
        ("ip6:fe80::1%eth0 -all", "permerror"),
        (f"ip4:{HOST} redirect=a.example redirect=a.example", "permerror"),
        (f"ip4:{HOST} exp=%{{c}}.example", "permerror"),
        (f"ip4:{HOST} other=%x", "permerror"),
        (f"ip4:{HOST} exp=", "permerror"),
        (f"ip4:{HOST}" + " ip4:203.0.113.9" * 600, "permerror"),
        ("exists:%{l99999999999999999999}.a.example -all", "fail"),
        (f"exists:{'%{s}%{s}' * 900}.a.example +all", "pass"),
        (f"exists:{f'{LONG}.' * 3}a.%{{l}}.%{{o}}.a.example ~all", "softfail"),
        ("a:9..example ?all", "neutral"),
        (" ".join(f"exists:{number}.none.example" for number in range(3)), "permerror"),
        (" ".join(["a:a.example"] * 11), "permerror"),
        ("ptr:client.example -all", "pass"),
        ("ptr:forged.example -all", "fail"),
        ("exists:%{p}.p.example -all", "pass"),
        ("a:silent.example +all", "temperror"),
        (f"ip4:{HOST} a:silent.example", "pass"),
    ],
)
async def test_a_record(record: str, want: str) -> None:
    zone = Zone(
        {
            "x.example": [{"TXT": f"v=spf1 {record}"}],
            "a.example": [{"A": OTHER}],
            "none.example": [{"TXT": "nothing"}],
            "9.100.51.198.in-addr.arpa": [{"PTR": "forged.example"}, {"PTR": "host.client.example"}],
            "host.client.example": [{"A": HOST}],
            "host.client.example.p.example": [{"A": "127.0.0.2"}],
            "forged.example": [{"A": OTHER}],
            "silent.example": ["TIMEOUT"],
        }
    )
    assert await spf.check_host(zone, HOST, "x.example", "lan@x.example", "helo.example") == want


@given(st.text("aexmpl12 v=spf:/%{}.-+~?_,r\x00\n\xff", max_size=60), st.text(max_size=30), st.text(max_size=30))
async def test_no_record_or_sender_raises(terms: str, sender: str, helo: str) -> None:
    zone = Zone({"x.example": [{"TXT": f"v=spf1 {terms}"}], "a.example": [{"MX": [0, ""]}, {"A": OTHER}]})
    assert await spf.check_host(zone, HOST, "x.example", sender, helo) in list(spf.Result)
