"""Whatever a neighbour answers that is no plain yes, nothing begins: every guard that looks outside, every way to fail (G7).

The whole way is walked: the real client and the real reading of what comes over HTTP, the gathering of evidence, all guards.
Only the answers are made up. The positive control is the sound answer, with which each of these guards allows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.prometheus_client import Prometheus
from remediator.actions.targets import AlertmanagerTarget, PrometheusTarget
from remediator.core.brakes import Brakes, MinHealthy, Trust
from remediator.core.facts import ask_guards
from remediator.core.rendering import parse_template
from remediator.core.rules import Condition
from remediator.core.verdicts import Answer, Verdict
from remediator.engine.admission import Admission
from remediator.probes.alert_source import AlertmanagerSource
from remediator.probes.oracle import PrometheusOracle
from remediator.probes.signals import PrometheusSignals

if TYPE_CHECKING:
    from remediator.core.state import Run
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

PROMETHEUS, ALERTMANAGER = "http://prometheus.example:9090", "http://alertmanager.example:9093"
LABELS = {"alertname": "KumoBounceRateHigh", "severity": "critical", "domain": "example.com", "instance": "mta1"}
Answering = Callable[[httpx.Request, float], httpx.Response]


# ── the sound answer ─────────────────────────────────────────────────────────────────────────────────────────────────
def vector(*values: object, now: float) -> str:
    """An instant vector of these values."""
    result = [{"metric": {"n": str(n)}, "value": [now, str(one)]} for n, one in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def trusted(now: float, **changes: object) -> str:
    """What Prometheus says of itself and of the scrape of the target."""
    told = {"clock": now, "up": 1, "sampled": now - 15.0, "lowest": 1, "began": now - 9000.0, **changes}
    result = [{"metric": {"about": name}, "value": [now, str(value)]} for name, value in told.items()]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def listed(**changes: object) -> str:
    """Alertmanager's list with our alert in it."""
    status = {"state": "active", "silencedBy": [], "inhibitedBy": [], **changes}
    return json.dumps([{"labels": LABELS, "status": status, "updatedAt": "2026-09-21T14:13:00Z"}])


def sound(request: httpx.Request, now: float) -> str:
    """The answer with which everything may begin."""
    if request.url.host == "alertmanager.example":
        return listed()
    query = request.url.params["query"]
    if query.startswith("label_replace"):
        return trusted(now)
    if query in {"well == 1", "there == 1"}:
        return vector(1, 1, 1, now=now)
    return vector(now - 10.0 if query.startswith("max(timestamp(") else 0.31, now=now)


# ── everything else ──────────────────────────────────────────────────────────────────────────────────────────────────
def raises(kind: type[httpx.TransportError]) -> Answering:
    """The connection fails so."""

    def fail(_request: httpx.Request, _now: float) -> httpx.Response:
        raise kind("broken off")

    return fail


def status(code: int) -> Answering:
    """The sound answer under another status."""
    return lambda request, now: httpx.Response(code, text=sound(request, now), headers={"location": PROMETHEUS})


def body(text: str | bytes) -> Answering:
    """This text, whatever was asked."""
    return lambda _request, _now: httpx.Response(200, content=text)


def told(change: Callable[[dict[str, object]], object]) -> Answering:
    """The sound answer of Prometheus, changed; Alertmanager's inside an object, which is no list."""

    def spoil(request: httpx.Request, now: float) -> httpx.Response:
        document = json.loads(sound(request, now))
        return httpx.Response(200, json=change(document if isinstance(document, dict) else {"alerts": document}))

    return spoil


def result(made: object) -> Answering:
    """A result that is this."""
    return told(lambda document: {**document, "data": {"resultType": "vector", "result": made}})


def typed(kind: str) -> Answering:
    """A result of another kind."""
    return told(lambda document: {**document, "data": {"resultType": kind, "result": [1_790_000_000, "1"]}})


def value(text: str) -> Answering:
    """One series with this value, however it was asked for."""
    return result([{"metric": {}, "value": [1_790_000_000, text]}])


WAYS: dict[str, Answering] = {
    **{kind.__name__: raises(kind) for kind in (
        httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.WriteError,
        httpx.RemoteProtocolError, httpx.PoolTimeout,
    )},
    **{f"status {code}": status(code) for code in (
        204, 301, 302, 307, 400, 401, 403, 404, 422, 429, 500, 502, 503, 504,
    )},
    "nothing": body(b""),
    "HTML": body("<html><body>Login</body></html>"),
    "text": body("Prometheus is starting"),
    "null": body("null"),
    "a number": body("1"),
    "true": body("true"),
    "a string": body('"success"'),
    "an empty object": body("{}"),
    "an empty list": body("[]"),
    "a list of nothing known": body("[1, null, {}, []]"),
    "half of it": body('{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"va'),
    "deep": body("[" * 50_000 + "]" * 50_000),
    "no Unicode": body(b'{"status":"\xff\xfe"}'),
    "huge": body(b'{"status":"success","data":"' + b"x" * 1_500_000 + b'"}'),
    "an error": told(lambda document: {**document, "status": "error", "errorType": "timeout", "error": "query timed out"}),
    "a warning": told(lambda document: {**document, "warnings": ["remote read failed"]}),
    "a warning that is no list": told(lambda document: {**document, "warnings": "partial"}),
    "no data": told(lambda document: {"status": "success"}),
    "null data": told(lambda document: {**document, "data": None}),
    "no result": told(lambda document: {**document, "data": {"resultType": "vector"}}),
    "a null result": result(None),
    "a result that is no list": result(7),
    "a series without a value": result([{"metric": {}}]),
    "a series without labels or value": result([{}]),
    "a series of null": result([None]),
    "a histogram": result([{"metric": {}, "histogram": [1_790_000_000, {"count": "1"}]}]),
    "half a value": result([{"metric": {}, "value": [1_790_000_000]}]),
    "a value of words": value("ok"),
    "a value of null": result([{"metric": {}, "value": [1_790_000_000, None]}]),
    "a value of true": result([{"metric": {}, "value": [1_790_000_000, {}]}]),
    "no series": result([]),
    "NaN": value("NaN"),
    "infinity": value("+Inf"),
    "minus infinity": value("-Inf"),
    "beyond numbers": value("1e999"),
    "a scalar": typed("scalar"),
    "a string of PromQL": typed("string"),
    "a matrix": typed("matrix"),
    "a kind that nobody knows": typed("tensor"),
}  # fmt: skip


def samples(age: float | str) -> Answering:
    """The sound answer, but on samples of this age."""

    def old(request: httpx.Request, now: float) -> httpx.Response:
        query = request.url.params.get("query", "")
        if query.startswith("max(timestamp("):
            return httpx.Response(200, text=vector(age if isinstance(age, str) else now - age, now=now))
        return httpx.Response(200, text=sound(request, now))

    return old


def self_told(**changes: object) -> Answering:
    """Prometheus tells otherwise of itself or of the target."""
    return lambda _request, now: httpx.Response(
        200, text=trusted(now, **{name: now + one if isinstance(one, float) else one for name, one in changes.items()})
    )


def alert_told(**changes: object) -> Answering:
    """Alertmanager tells otherwise of the alert."""
    return lambda _request, _now: httpx.Response(200, text=listed(**changes))


def two_series(request: httpx.Request, now: float) -> httpx.Response:
    """Two series where one is meant."""
    return httpx.Response(
        200, text=vector(0.31, 0.32, now=now) if "time" in request.url.params else sound(request, now)
    )


_OLD = {"samples of ten minutes ago": samples(600.0), "samples of tomorrow": samples(-86_400.0),
        "samples of no time": samples("NaN"), "samples for ever": samples("+Inf")}  # fmt: skip
_ITSELF = {
    "a clock that is behind": self_told(clock=-60.0),
    "a clock that is ahead": self_told(clock=60.0),
    "no clock": self_told(clock="NaN"),
    "a target that is down": self_told(up="0"),
    "a target of which nobody knows": self_told(up="NaN"),
    "a target that is half up": self_told(up="0.5"),
    "an old scrape": self_told(sampled=-600.0),
    "a scrape of tomorrow": self_told(sampled=86_400.0),
    "a scrape of no time": self_told(sampled="NaN"),
    "a scrape for ever": self_told(sampled="+Inf"),
    "a target that was down a moment ago": self_told(lowest="0"),
    "a target of which nobody knows whether it was up": self_told(lowest="NaN"),
    "a target that has just begun": self_told(began=-5.0),
    "a target that began at no time": self_told(began="NaN"),
    "a target that begins tomorrow": self_told(began=86_400.0),
}
_LISTED = {
    "silenced": alert_told(state="suppressed", silencedBy=["s1"]),
    "inhibited": alert_told(state="suppressed", inhibitedBy=["a1"]),
    "not yet judged": alert_told(state="unprocessed"),
    "of a state that nobody knows": alert_told(state="muted"),
    "without a state": alert_told(state=None),
    "of another alert": lambda _r, _n: httpx.Response(200, text=listed().replace("example.com", "example.net")),
    "of labels that are none": lambda _r, _n: httpx.Response(200, json=[{"labels": 7, "status": {"state": "active"}}]),
    "without a status": lambda _r, _n: httpx.Response(200, json=[{"labels": LABELS}]),
}


@dataclass(frozen=True)
class Looks:
    """A guard that looks outside: which question is its own, and the ways to fail that only it has."""

    guard: str
    word: str
    more: dict[str, Answering]

    def asks(self, words: str) -> bool:
        """Whether this is its question, as the neighbour is asked it or as it goes out."""
        return self.word in words


GUARDS = {
    "when": Looks("when", "ratio", {**_OLD, "two series": two_series}),
    "require": Looks("require", "volume", {**_OLD, "two series": two_series}),
    "still firing": Looks("still_firing", "alertname", _LISTED),
    "who is healthy": Looks("min_healthy", "well", _OLD),
    "how many there are": Looks("min_healthy", "there", _OLD),
    "trust": Looks("signal_trust", "mta1", _ITSELF),
}


def test_there_are_at_least_two_hundred_and_fifty_cases() -> None:
    assert sum(len(WAYS) + len(one.more) for one in GUARDS.values()) >= 250


async def no_rest(_seconds: float) -> None:
    """Nobody waits."""


class Remembering:
    """A neighbour that is asked anew only what is to be spoilt; of the rest the sound answer is known already."""

    def __init__(self, neighbour: object, spoilt: Callable[[str], bool]) -> None:
        self._neighbour, self._spoilt = neighbour, spoilt
        self._known: dict[str, object] = {}

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def ask(asked: object, **more: object) -> object:
            words = f"{name} {asked}"
            if words not in self._known or self._spoilt(words):
                self._known[words] = await getattr(self._neighbour, name)(asked, **more)
            return self._known[words]

        return ask


@dataclass
class Asking:
    """An engine whose neighbours are real clients; `way` is how the question of one guard is answered."""

    engine: Engine
    now: float
    looks: Looks | None = None
    way: Answering | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Sound, but to the one question."""
        if self.looks is not None and self.way is not None and self.looks.asks(str(request.url.params)):
            return self.way(request, self.now)
        return httpx.Response(200, text=sound(request, self.now))

    async def verdicts(self, run: Run) -> dict[str, Verdict]:
        """What every guard says."""
        parts = self.engine.parts
        evidence = await Admission(parts).gather(run)
        facts = replace(parts.facts(parts.journal.state, run, parts.journal.moment()), evidence=evidence)
        return {one.guard: one for one in ask_guards(parts.guards, facts).verdicts}


def prepared(rig: Rig) -> None:
    """A rule that asks everything that can be asked; a pause keeps its run waiting."""
    guards = replace(
        rig.rule().guards,
        brakes=Brakes(at_least=0, percent=1),
        min_healthy=MinHealthy(healthy=parse_template("well == 1"), of=parse_template("there == 1")),
        require=(Condition(parse_template("volume > 0.2"), 0.0),),
        trust=Trust.TARGET,
    )
    rig.rules = (
        rig.rule(when=Condition(parse_template("ratio > 0.2"), 0.0), guards=guards, group_by=("domain", "instance")),
    )


@pytest.mark.parametrize("name", GUARDS)
async def test_nothing_but_a_plain_yes_begins_anything(rig: Rig, name: str) -> None:
    looks = GUARDS[name]
    prepared(rig)
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="keeps it waiting", by="ana"))
        await rig.accept(engine, {**rig.alert(), "labels": LABELS})
        await rig.clock.run(1)
        run = rig.run_of(engine)
        client = HttpClient(rest=no_rest)
        prometheus = Prometheus(PrometheusTarget(url=PROMETHEUS), http=client)
        source = AlertmanagerSource(AlertmanagerTarget(url=ALERTMANAGER), http=client)
        neighbours = (PrometheusOracle(prometheus), PrometheusSignals(prometheus), source)
        parts = engine.parts
        parts.oracle, parts.signals, parts.alerts = (Remembering(one, looks.asks) for one in neighbours)  # type: ignore[assignment]
        asking = Asking(engine, rig.clock.now())
        with respx.mock:
            respx.route().mock(side_effect=asking.answer)
            said = await asking.verdicts(run)
            held = {guard: one.sentence for guard, one in said.items() if one.answer is not Answer.ALLOW}
            assert set(held) == {"pause"}, held
            asking.looks, allowed = looks, []
            for way, answers in {**WAYS, **looks.more}.items():
                asking.way = answers
                verdict = (await asking.verdicts(run))[looks.guard]
                assert verdict.sentence.isprintable()
                if verdict.answer < Answer.DEFER:
                    allowed.append((way, verdict.sentence))
        assert allowed == []
