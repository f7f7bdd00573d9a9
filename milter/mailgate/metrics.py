"""Counters of all processes in one shared page, and their Prometheus text.

The supervisor makes the page before it starts the workers; each writes only its own row, so that
counting is one addition and needs no lock, and a worker that died leaves its counts behind. Whoever serves
/metrics adds the rows up.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from .model import Action

if TYPE_CHECKING:  # only the process that serves /metrics needs it
    from prometheus_client.core import Metric

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
PROBES = ("clamd", "spam", "inspection", "history", "sending", "advertised", "blacklists", "dns")
STAGES = ("mail", *PROBES, "incident")
SERVICES = ("clamd", "spam", "store", "dns")  # that are not asked while they hang
_NO_RULE = "none"

_COUNTERS = {
    "connections": "Milter connections that were opened.",
    "protocol_errors": "Milter connections that were closed since the peer broke the protocol.",
    "smtp_connections": "SMTP connections that were opened.",
    "smuggling_attempts": "SMTP connections that were closed since a line in them ended in a lone CR or LF.",
    "next_hop_errors": "Mails that were deferred since the SMTP doors' next hop was away, dropped or fell silent.",
    "own_errors": "Mails that were deferred by an error of our own.",
    "octets": "Octets of message bodies that were read.",
    "events": "Activity events that were handed to the ledger.",
    "events_dropped": "Activity events and traces that were not kept since the journal was full.",
    "inspection_jobs": "Jobs that inspection workers were given.",
    "inspection_known": "Files whose inspection was known from an earlier mail.",
    "worker_restarts": "Workers that ended unasked and were started again.",
}
_GAUGES = {
    "open_connections": "Milter connections that are open.",
    "open_smtp_connections": "SMTP connections that are open.",
    "open_mails": "Mails that are being judged.",
    "spooled_octets": "Octets of messages that are spooled now.",
    "ledger_failing": "Workers whose store is away (their events go to the journal).",
    "journal_octets": "Octets of the journals that wait for the store, as last measured.",
    "journal_full": "Workers whose journal takes nothing more.",
    "dns_silent": "Domains that DNS is not asked for now, since their servers are silent.",
    "blacklists_skipped": "DNS blacklists that are not asked now, since they are silent.",
    "loop_lag_seconds": "How late the slowest worker's loop woke up last.",
}


class Metrics:
    """The shared page, seen from one process; `row` is that process's own.

    rules: the names of the rules, the same in every process.
    """

    def __init__(self, rows: int, rules: Sequence[str]) -> None:
        names: list[str] = [*_COUNTERS, *_GAUGES, "heartbeat"]
        names += [f"mails {action} {rule}" for action in Action for rule in (*rules, _NO_RULE)]
        names += [f"findings {mode} {rule}" for mode in ("enforce", "monitor", "exempt") for rule in rules]
        names += [f"probe_errors {probe}" for probe in (*PROBES, "mailboxes")]
        names += [f"breakers_open {service}" for service in SERVICES]
        for stage in STAGES:
            names += [f"seconds {stage} {bucket}" for bucket in range(len(BUCKETS_S) + 1)]
            names.append(f"seconds {stage} sum")
        self._index = {name: position for position, name in enumerate(names)}
        self._buckets = {
            stage: (self._index[f"seconds {stage} 0"], self._index[f"seconds {stage} sum"]) for stage in STAGES
        }
        self._mails = {
            (action, rule): self._index[f"mails {action} {rule or _NO_RULE}"]
            for action in Action
            for rule in (*rules, "")
        }
        self._rows = rows
        self._width = len(names)
        self._page = mmap.mmap(-1, rows * self._width * 8)
        self._cells = memoryview(self._page).cast("d")
        self._base = 0

    def use_row(self, row: int) -> None:
        """Write to this row from now on; its gauges start at zero."""
        self._base = row * self._width
        for name in (*_GAUGES, "heartbeat", *(f"breakers_open {service}" for service in SERVICES)):
            self.set(name, 0)

    def add(self, name: str, amount: float = 1) -> None:
        """Add to a cell; its name is one of those above, with its labels after it."""
        position = self._index.get(name)
        if position is not None:
            self._cells[self._base + position] += amount

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._cells[self._base + self._index[name]] = value

    def observe(self, stage: str, seconds: float) -> None:
        """Count a duration."""
        first, total = self._buckets[stage]
        self._cells[self._base + first + bisect_left(BUCKETS_S, seconds)] += 1
        self._cells[self._base + total] += seconds

    def mail(self, action: Action, rule: str) -> None:
        """Count a verdict by its action and the rule that made it, "" for none."""
        self._cells[self._base + self._mails[action, rule]] += 1

    def heartbeat(self, row: int) -> float:
        """Return when a process last showed that it lives (monotonic clock), 0 before it ever did."""
        return self._cells[row * self._width + self._index["heartbeat"]]

    def _sum(self, name: str) -> float:
        position = self._index[name]
        return sum(self._cells[row * self._width + position] for row in range(self._rows))

    def _named(self, kind: str) -> Iterator[tuple[list[str], float]]:
        for name in self._index:
            first, *labels = name.split(" ")
            if first == kind:
                yield labels, self._sum(name)

    def collect(self) -> "Iterable[Metric]":
        """Yield every family, added up across processes (prometheus_client's collector protocol)."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"mailgate_{name}", text, value=self._sum(name))
        for name, text in _GAUGES.items():
            position = self._index[name]
            values = [self._cells[row * self._width + position] for row in range(self._rows)]
            value = max(values) if name == "loop_lag_seconds" else sum(values)
            yield GaugeMetricFamily(f"mailgate_{name}", text, value=value)
        for kind, labels, text in (
            ("mails", ["action", "rule"], "Verdicts by action and the rule that made them."),
            ("findings", ["mode", "rule"], "Findings by mode and rule; a rule that never finds stays at 0."),
            ("probe_errors", ["probe"], "Services that could not be asked."),
        ):
            family = CounterMetricFamily(f"mailgate_{kind}", text, labels=labels)
            for values_of_labels, value in self._named(kind):
                family.add_metric(values_of_labels, value)
            yield family
        breakers = GaugeMetricFamily(
            "mailgate_breakers_open", "Workers that do not ask a service since it hangs.", labels=["service"]
        )
        for labels, value in self._named("breakers_open"):
            breakers.add_metric(labels, value)
        yield breakers
        seconds = HistogramMetricFamily("mailgate_seconds", "Duration of stages.", labels=["stage"])
        for stage in STAGES:
            running = 0.0
            buckets = []
            for position, bound in enumerate((*map(str, BUCKETS_S), "+Inf")):
                running += self._sum(f"seconds {stage} {position}")
                buckets.append((bound, running))
            seconds.add_metric([stage], buckets, self._sum(f"seconds {stage} sum"))
        yield seconds

    def text(self) -> bytes:
        """Return the Prometheus exposition."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)
