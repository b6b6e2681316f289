"""A service that answers from a written-down night, and the command line asked in this process."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
import respx
from click.testing import CliRunner, Result

from remediator.cli.root import root
from remediator.core.chain import Head
from remediator.core.outcomes import EffectClass
from remediator.core.plans import Plan, PlannedCheck, PlannedCondition, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.rules import OnFailure
from remediator.core.verdicts import allow, defer
from remediator.core.views import (
    DemotionView,
    ExplanationView,
    IncidentView,
    LineView,
    MatchView,
    PauseView,
    RunView,
    StatusView,
    StoryView,
    UndoneView,
    UndoView,
)

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "cli"


def plan_of_night() -> Plan:
    """Pausing a domain that bounces."""
    return Plan(
        rule="high-bounce-rate",
        playbook="pause-and-throttle-domain",
        rung=0,
        target={"domain": "gmail.com", "instance": "mta1"},
        params={"domain": "gmail.com", "node": "mta1"},
        when=PlannedCondition(expr='kumo:bounce_ratio{instance="mta1", domain="gmail.com"} > 0.20', hold=120.0),
        guards=PlannedGuards(
            cooldown=1800.0, rate_limit=PlannedLimit(2, 21600.0), blast_radius=PlannedLimit(3, 3600.0), concurrency=1
        ),
        locks=("domain=gmail.com, instance=mta1",),
        steps=(
            PlannedStep(
                name="Pause the domain's queues",
                action="kumomta.suspend",
                arguments={"node": "mta1", "domain": "gmail.com", "reason": "bounce rate above 20 %"},
                effect=EffectClass.SAFE,
                timeout=30.0,
                undo_after=7200.0,
                does="suspend the ready queues of gmail.com on mta1 for 2h",
            ),
            PlannedStep(
                name="Bounce report",
                action="prometheus.report",
                arguments={"expr": "topk(5, kumo:bounces)"},
                effect=EffectClass.READ,
                timeout=30.0,
            ),
        ),
        verify=(
            PlannedCheck(
                probe="prometheus",
                arguments={"expr": 'kumo:bounce_ratio{domain="gmail.com"} < 0.10'},
                hold=300.0,
                within=1200.0,
                every=15.0,
                samples=3,
            ),
        ),
        on_failure=(OnFailure.ROLLBACK, OnFailure.ESCALATE),
        limit=1800.0,
        give_up=14400.0,
        runbook_url="https://runbooks.example.com/kumomta",
    )


def run_of_night(
    number: int, status: str, *, rule: str, target: str, sentence: str = "", until: float = 0.0
) -> RunView:
    """A run under way."""
    plan = plan_of_night()
    incident = ("inc-7f3kq2m8", "inc-8a2cd5n4", "inc-6c01xv7h", "inc-2mmq0p9s")[number]
    return RunView(
        run=f"{incident}.1",
        incident=incident,
        rule=rule,
        target=target,
        status=status,
        sentence=sentence,
        dry=False,
        digest=plan.digest,
        plan=plan,
        planned_at=NOW - 190.0,
        deadline=NOW + 1020.0 if status == "verifying" else None,
        until=until or None,
    )


def undo_of_night(*, overdue: float = 0.0) -> UndoView:
    """An effect that will be taken back."""
    due = NOW - overdue if overdue else NOW + 4100.0
    return UndoView(
        undo="inc-6c01xv7h.1/0",
        incident="inc-6c01xv7h",
        action="docker.scale",
        arguments={"service": "worker", "count": 4},
        due_at=due,
        next_at=due + (600.0 if overdue else 0.0),
        tries=3 if overdue else 0,
        overdue=bool(overdue),
    )


def busy() -> StatusView:
    """A night on which something needs a person."""
    return StatusView(
        version="0.1.0",
        mode="auto",
        rules=5,
        rules_digest="4be1f00d4be1f00d",
        head=str(Head(1204, bytes.fromhex("9f2c63d01b7aee45" + "0" * 48))),
        entries=1204,
        now=NOW,
        last_notification_at=NOW - 14.0,
        pending=0,
        received=310,
        disposed=310,
        pauses=(PauseView(scope="rule:delivery-stopped", reason="new rule", by="bo", at=NOW - 60, until=NOW + 7200),),
        needs_you=(
            run_of_night(
                0, "awaiting_approval", rule="performance-degradation", target="instance=kumod-1", until=NOW + 3120
            ),
        ),
        running=(
            run_of_night(
                1, "verifying", rule="high-bounce-rate", target="domain=gmail.com", sentence="0.14, wanted < 0.10"
            ),
        ),
        held_back=(
            run_of_night(
                3,
                "deferred",
                rule="delivery-stopped",
                target="instance=kumod-1",
                sentence="rate_limit: 1 per 2h: used 1; clears 2026-09-21 16:31:00Z",
                until=NOW + 8260,
            ),
        ),
        undos=(undo_of_night(),),
    )


def calm() -> StatusView:
    """Nothing to do."""
    return msgspec.structs.replace(
        busy(), pauses=(), needs_you=(), running=(), held_back=(), undos=(), last_notification_at=None, mode="dry-run"
    )


def trouble() -> StatusView:
    """A night on which everything is wrong at once."""
    return msgspec.structs.replace(
        busy(),
        demoted=(
            DemotionView(
                rule="queue-stuck",
                target="instance=kumod-2",
                mode="approve",
                reason="3 runs in a row did not help",
                since=NOW - 60.0,
                tries_at=NOW + 3540.0,
            ),
            DemotionView(rule="restart", target="", mode="dry-run", reason="2 did not", since=NOW, tries_at=NOW),
        ),
        pauses=(PauseView(scope="all", reason="database\u202e migration\x1b[2J", by="ana", at=NOW - 60.0),),
        needs_you=(
            run_of_night(
                0,
                "needs_person",
                rule="performance-degradation",
                target="instance=kumod-1",
                sentence="step 2 (docker.restart): nobody can tell whether it took effect: the connection was lost "
                "after the request had been sent",
            ),
        ),
        undos=(undo_of_night(overdue=900.0),),
        pending=3,
        problems=("the journal cannot be written: no space is left on the device",),
    )


def incident_of_night(result: str = "recovered") -> IncidentView:
    """One line of the action log."""
    return IncidentView(
        incident="inc-8a2cd5n4",
        rule="high-bounce-rate",
        target="domain=gmail.com",
        status="closed" if result else "running",
        result=result,
        opened_at=NOW - 702.0,
        changed_at=NOW,
        sentence="held for 5m",
        labels={"alertname": "HighBounceRate", "domain": "gmail.com", "severity": "critical"},
        dry=False,
    )


def lines_of_night() -> tuple[LineView, ...]:
    """A timeline."""
    told: list[tuple[float, str, str, str, dict[str, object]]] = [
        (-702.0, "incident.opened", "opened", "high-bounce-rate on domain=gmail.com", {"rule": "high-bounce-rate"}),
        (-702.0, "run.planned", "planned", "pause-and-throttle-domain, plan 0a1b2c3d4e5f6071, 2 steps", {}),
        (-702.0, "run.decided", "decided", "run: 9 guards passed", {"answer": "allow"}),
        (-701.0, "step.intent", "step 1", "kumomta.suspend; will be taken back 2026-09-21 16:01:39Z", {"step": 0}),
        (-700.5, "step.outcome", "step 1", "ok: suspended the ready queues of gmail.com on mta1 (0.4s)", {"step": 0}),
        (-300.0, "verify.looked", "verify", "good: 0.08 < 0.10", {}),
        (0.0, "verify.concluded", "verified", "recovered: held for 5m", {}),
    ]
    return tuple(
        LineView(
            seq=1198 + place,
            at=NOW + at,
            kind=kind,
            word=word,
            sentence=sentence,
            incident="inc-8a2cd5n4",
            run="" if kind.startswith("incident") else "inc-8a2cd5n4.1",
            fact={"kind": kind, "incident": "inc-8a2cd5n4", **more},
        )
        for place, (at, kind, word, sentence, more) in enumerate(told)
    )


def story_of_night() -> StoryView:
    """One incident, whole."""
    return StoryView(
        incident=incident_of_night(), lines=lines_of_night(), plans=(plan_of_night(),), undos=(undo_of_night(),)
    )


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\u202egnp.exe\r\nexit 0\x9b2J"


def hostile_story() -> StoryView:
    """An incident whose texts try to draw on the terminal."""
    story = story_of_night()
    line = msgspec.structs.replace(story.lines[0], sentence=f"on domain={HOSTILE}", word=f"opened{HOSTILE}")
    incident = msgspec.structs.replace(story.incident, target=f"domain={HOSTILE}", rule=f"rule{HOSTILE}")
    return msgspec.structs.replace(story, incident=incident, lines=(line,))


def explanations() -> list[ExplanationView]:
    """One rule that would run, one that is near, one that is not."""
    plan = plan_of_night()
    return [
        ExplanationView(
            rule="high-bounce-rate",
            source="rules/mail.yml:12",
            would="run",
            sentence="3 guards pass",
            matches=(
                MatchView(matcher="alertname = HighBounceRate", ok=True, got="HighBounceRate"),
                MatchView(matcher="severity = critical", ok=True, got="critical"),
            ),
            target={"domain": "gmail.com", "instance": "mta1"},
            mode="auto",
            verdicts=(
                allow("when", "0.27 now, true for the last 2m"),
                allow("rate_limit", "2 per 6h: used 1"),
                allow("cooldown", "30m: last touched 1h12m ago"),
            ),
            plan=plan,
            digest=plan.digest,
        ),
        ExplanationView(
            rule="high-queue-depth",
            source="rules/mail.yml:60",
            would="no_match",
            sentence="alertname = HighQueueDepth (got 'HighBounceRate')",
            matches=(MatchView(matcher="alertname = HighQueueDepth", ok=False, got="HighBounceRate"),),
            mode="auto",
        ),
    ]


def held_explanation() -> list[ExplanationView]:
    """A rule that matches and does not act, because of its guards."""
    first = explanations()[0]
    held = defer("rate_limit", "2 per 6h: used 2; clears 2026-09-21 16:31:00Z", NOW + 8260)
    return [
        msgspec.structs.replace(
            first, would="hold", sentence=f"rate_limit: {held.sentence}", verdicts=(first.verdicts[0], held)
        )
    ]


@dataclass(frozen=True)
class Night:
    """What happened, for tests that tell it differently."""

    plan: Plan
    status: StatusView
    story: StoryView
    explanations: tuple[ExplanationView, ...]

    def decided(self, kind: str, sentence: str) -> StoryView:
        """The story with a person's answer in it."""
        line = msgspec.structs.replace(self.story.lines[0], kind=kind, word="approval", sentence=sentence)
        return msgspec.structs.replace(self.story, lines=(*self.story.lines, line))


@pytest.fixture
def night() -> Night:
    """The night that the service tells of."""
    return Night(plan_of_night(), busy(), story_of_night(), tuple(explanations()))


def success(value: object) -> httpx.Response:
    """The envelope of an answer."""
    data = json.loads(msgspec.json.encode(value))
    return httpx.Response(200, json={"status": "success", "data": data})


def refusal(status: int, sentence: str) -> httpx.Response:
    """The envelope of a no."""
    return httpx.Response(status, json={"status": "error", "errorType": "refused", "error": sentence})


Reply = httpx.Response | Callable[[httpx.Request], httpx.Response]


class Api:
    """A service behind respx: its answers can be replaced, and what it was asked can be read."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.router = router
        self.requests: list[httpx.Request] = []
        router.route().mock(side_effect=self._serve)
        undone = UndoneView(undo="inc-8a2cd5n4.1/0", result="undone", sentence="resumed gmail.com on mta1")
        self._replies: dict[tuple[str, str], Reply] = {
            ("GET", "/api/v1/status"): success(busy()),
            ("GET", "/api/v1/incidents"): success({"incidents": [incident_of_night()], "next": None}),
            ("GET", "/api/v1/entries"): _entries,
            ("POST", "/api/v1/explain"): success({"rules": explanations()}),
            ("POST", "/api/v1/run"): success({"incident": "inc-9z9z9z9z"}),
            ("POST", "/api/v1/pause"): success({}),
            ("POST", "/api/v1/resume"): success({}),
            ("POST", "/api/v1/release"): success({"released": ["safe_mode"]}),
            ("POST", "restore"): success({"restored": "high-bounce-rate", "demotions": 2}),
            ("POST", "undo"): success({"undone": [undone]}),
            ("POST", "approve"): success({}),
            ("POST", "reject"): success({}),
            ("POST", "decide"): success({}),
        }
        for name in ("inc-8a2c", "inc-6c01", "inc-7f3k"):
            self.story(name, story_of_night())

    def _serve(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        verb = path.rpartition("/")[2]
        reply = self._replies.get((request.method, path)) or self._replies.get((request.method, verb))
        if reply is None:
            return refusal(404, f"there is no {path}")
        return reply if isinstance(reply, httpx.Response) else reply(request)

    def world(self, name: str) -> None:
        """Another night, by the name of the golden file."""
        match name:
            case "status-calm":
                self.status(calm())
            case "status-trouble":
                self.status(trouble())
            case "explain-held":
                self.answer("POST", "/api/v1/explain", success({"rules": held_explanation()}))
            case "explain-nothing":
                miss = msgspec.structs.replace(explanations()[1], nearest_miss=True)
                self.answer("POST", "/api/v1/explain", success({"rules": [miss]}))
            case "log-show-hostile":
                self.story("inc-8a2c", hostile_story())
            case "undo-foreign":
                told = UndoneView(undo="inc-8a2cd5n4.1/0", result="foreign", sentence="bo changed it; left alone")
                self.answer("POST", "undo", success({"undone": [told]}))
            case _:
                pass

    def answer(self, method: str, path: str, reply: Reply) -> None:
        """From now on that path (or, for a POST, whatever ends in that verb) answers so."""
        self._replies[method, path] = reply

    def give(self, method: str, path: str, value: object) -> None:
        """From now on that path answers with this, in the envelope."""
        self.answer(method, path, success(value))

    def refuse(self, method: str, path: str, status: int, sentence: str) -> None:
        """From now on that path says no."""
        self.answer(method, path, refusal(status, sentence))

    def given(self, line: str) -> bytes:
        """The data that the service answered to this command line, encoded."""
        return msgspec.json.encode(busy() if line.startswith("status") else story_of_night())

    def fail(self, method: str, path: str, fault: Exception) -> None:
        """From now on no answer comes from that path."""

        def breaks(_request: httpx.Request) -> httpx.Response:
            raise fault

        self.answer(method, path, breaks)

    def status(self, view: StatusView) -> None:
        """From now on things stand so."""
        self.give("GET", "/api/v1/status", view)

    def story(self, name: str, view: StoryView) -> None:
        """From now on this is told of an incident."""
        self.give("GET", f"/api/v1/incidents/{name}", view)

    def calm_status(self) -> dict[str, object]:
        """The status of a calm night, as JSON values."""
        told: dict[str, object] = json.loads(msgspec.json.encode(calm()))
        return told

    def asked(self, method: str) -> list[tuple[str, dict[str, object]]]:
        """Path and body of the requests with this method, in order."""
        return [
            (call.request.url.path, json.loads(call.request.content or b"{}"))
            for call in self.router.calls
            if call.request.method == method
        ]


def _entries(request: httpx.Request) -> httpx.Response:
    """The journal; whoever waits for more than there is presses Ctrl-C."""
    after = int(request.url.params["after"])
    lines = [line for line in lines_of_night() if line.seq > after]
    if not lines and "wait" in request.url.params:
        raise KeyboardInterrupt
    return success({"entries": lines, "head": 1204})


Cli = Callable[..., Result]


class Terminal(io.BytesIO):
    """What a person types, on a terminal."""

    def isatty(self) -> bool:
        """There is a person."""
        return True


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs one command line in an empty directory, as ana; `typed` is what a person at a terminal answers."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "SUDO_USER",
        "REMEDIATOR_URL",
        "REMEDIATOR_TOKEN_FILE",
        "REMEDIATOR_STORAGE_PATH",
        "REMEDIATOR_BY",
        "NO_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "ana")

    def run(line: str, *, typed: str | None = None, piped: str | None = None, env: Mapping[str, str] | None = None,
            color: bool = False) -> Result:  # fmt: skip
        words = shlex.split(line, comments=True)
        given = Terminal(typed.encode()) if typed is not None else piped
        return CliRunner().invoke(root, words[1:], input=given, env=env, color=color, prog_name="remediator")

    return run


@pytest.fixture
def api() -> Iterator[Api]:
    """A service that answers."""
    with respx.mock(assert_all_called=False) as router:
        yield Api(router)


@pytest.fixture
def nobody() -> Iterator[respx.MockRouter]:
    """A port on which nobody listens."""
    with respx.mock(assert_all_called=False) as router:
        router.route().mock(side_effect=httpx.ConnectError("Connection refused"))
        yield router
