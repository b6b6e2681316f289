"""What /metrics says, read from the tallies and the standings at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from remediator import __version__
from remediator.exporter.asking import SENDER_SCORE, Asking
from remediator.exporter.tally import Tally

# Name, type, labels and meaning of every series; the documents are made of this, too.
DESCRIBED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "kumo_ip_reputation_score",
        "gauge",
        ("ip", "source"),
        "Reputation of an address, 0 (bad) to 100; absent when it is not known",
    ),
    ("kumo_ip_listed", "gauge", ("ip", "list"), "1 if a DNS list names the address, 0 if not; absent when not known"),
    (
        "kumo_ip_reputation_lookups_total",
        "counter",
        ("ip", "source", "result"),
        "Questions about an address by what came of them",
    ),
    (
        "kumo_ip_reputation_lookup_timestamp_seconds",
        "gauge",
        ("ip", "source"),
        "When the last good answer came, also after it has ceased to count",
    ),
    (
        "kumo_ip_egress_source",
        "gauge",
        ("ip", "egress_source"),
        "1: mail of this egress source leaves from the address",
    ),
    (
        "kumo_mail_outcomes_total",
        "counter",
        ("by", "name", "outcome"),
        "Log records by tenant, campaign, domain, source and classification; beyond the places, name is other",
    ),
    (
        "kumo_exporter_records_total",
        "counter",
        ("result",),
        "Log records that came: counted, ignored (no outcome of a mail), duplicate, malformed",
    ),
    ("kumo_exporter_requests_total", "counter", ("code",), "Posts of the log hook by answer"),
    ("kumo_exporter_last_record_timestamp_seconds", "gauge", (), "When the log hook last brought a record"),
    ("kumo_exporter_build_info", "gauge", ("version",), "1; the running version"),
)


class Posts:
    """What came from the log hook, in numbers."""

    def __init__(self) -> None:
        self.records = dict.fromkeys(("counted", "ignored", "duplicate", "malformed"), 0)
        self.answers: dict[int, int] = {}
        self.last_at: float | None = None

    def answered(self, code: int) -> None:
        """One more answer with this status."""
        self.answers[code] = self.answers.get(code, 0) + 1


class Series:
    """A collector over the live values: nothing is kept twice, and what is not known is simply not there."""

    def __init__(self, asking: Asking, tally: Tally, posts: Posts, sources: Mapping[str, str]) -> None:
        self._asking = asking
        self._tally = tally
        self._posts = posts
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: everything is known only when asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._reputation()
        outcomes = _counter("kumo_mail_outcomes_total")
        for by, name, outcome, count in self._tally.series():
            outcomes.add_metric([by, name, outcome], count)
        records, requests = _counter("kumo_exporter_records_total"), _counter("kumo_exporter_requests_total")
        for result, count in self._posts.records.items():
            records.add_metric([result], count)
        for code, count in sorted(self._posts.answers.items()):
            requests.add_metric([str(code)], count)
        last, build = _gauge("kumo_exporter_last_record_timestamp_seconds"), _gauge("kumo_exporter_build_info")
        if self._posts.last_at is not None:
            last.add_metric([], self._posts.last_at)
        build.add_metric([__version__], 1)
        yield from (outcomes, records, requests, last, build)

    def _reputation(self) -> Iterator[Metric]:
        score, listed = _gauge("kumo_ip_reputation_score"), _gauge("kumo_ip_listed")
        lookups = _counter("kumo_ip_reputation_lookups_total")
        answered = _gauge("kumo_ip_reputation_lookup_timestamp_seconds")
        for one in self._asking.standings():
            labels = [one.ip, one.source]
            if self._asking.known(one):
                (score if one.source == SENDER_SCORE else listed).add_metric(labels, one.value)
            if one.last_good_at is not None:
                answered.add_metric(labels, one.last_good_at)
            for result, count in sorted(one.lookups.items()):
                lookups.add_metric([*labels, result.value], count)
        source = _gauge("kumo_ip_egress_source")
        for ip, name in self._sources.items():
            source.add_metric([ip, name], 1)
        yield from (score, listed, lookups, answered, source)


def _gauge(name: str) -> GaugeMetricFamily:
    _, _, labels, meaning = _BY_NAME[name]
    return GaugeMetricFamily(name, meaning, labels=labels)


def _counter(name: str) -> CounterMetricFamily:
    _, _, labels, meaning = _BY_NAME[name]
    return CounterMetricFamily(name, meaning, labels=labels)


_BY_NAME = {one[0]: one for one in DESCRIBED}
