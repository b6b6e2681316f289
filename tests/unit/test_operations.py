"""docs/operations.md promises sentences: the code says each of them, with other numbers perhaps."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import respx

from remediator.actions.docker import DockerRestart
from remediator.actions.http_client import HttpClient
from remediator.actions.targets import DockerTarget
from remediator.core import entries as e
from remediator.core import runs as r
from remediator.core.clocks import step_between
from remediator.core.consequences import Routing, consequences
from remediator.core.facts import Evidence
from remediator.core.occurrences import follow
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Look,
    Observation,
    Outcome,
    Presence,
    Result,
    UndoOutcome,
    UndoResult,
)
from remediator.core.plans import PlannedCondition
from remediator.core.schedules import parse_schedule
from remediator.core.space import MIB, Room, SpaceLimits, shortage
from remediator.core.state import Scheduled, State
from remediator.core.telling import tell
from remediator.core.verdicts import Verdict
from remediator.engine.clocks import longest
from remediator.errors import CorruptJournal
from remediator.guards.clock import ClockGuard
from remediator.guards.evidence import StillFiringGuard, WhenGuard
from remediator.guards.room import RoomGuard
from remediator.observe import Observer, Redactor
from remediator.ports import Call

if TYPE_CHECKING:
    from tests.unit.conftest import Build

HOUSE = Path(__file__).resolve().parents[2]
SILENT = Observation(look=Look.UNKNOWN, sentence="Prometheus does not answer")
OF: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1"}
Produce = Callable[["Build"], str]


# ── what the page promises ───────────────────────────────────────────────────────────────────────────────────────────
def rows() -> list[list[str]]:
    """The cells of the first table."""
    text = (HOUSE / "docs" / "operations.md").read_text(encoding="utf-8").partition("\n## ")[0]
    return [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")][2:]


def promised() -> list[str]:
    """The sentences of its last column; not the metrics, paths and commands beside them."""
    found = [quoted for row in rows() for quoted in re.findall(r"`([^`]+)`", row[-1])]
    others = re.compile(r"^(/|remediator|kumo_|up\{|log show)|^[a-z_]+$")
    return [sentence for sentence in found if not others.match(sentence)]


def alike(text: str) -> str:
    """The text with every number told as `#`."""
    return re.sub(r"\d+(?:\.\d+)?", "#", text)


# ── what the code says ───────────────────────────────────────────────────────────────────────────────────────────────
def line(fact: e.AnyFact) -> str:
    """As `log show` and the console tell it."""
    return "  ".join(tell(fact))


def held(verdict: Verdict | None) -> str:
    """A decision of one guard."""
    assert verdict is not None
    return tell(e.RunDecided(**OF, answer=verdict.answer.word, verdicts=(verdict,)))[1]


def _when(build: Build) -> str:
    run = build.run(build.plan(when=PlannedCondition(expr="ratio > 0.2")))
    facts = build.facts(run=run, evidence=Evidence(at=build.zero + 1.0, when=SILENT))
    return held(WhenGuard().check(facts))


def _still_firing(build: Build) -> str:
    told = Observation(look=Look.UNKNOWN, sentence="Alertmanager does not answer")
    return held(StillFiringGuard().check(build.facts(evidence=Evidence(at=build.zero + 1.0, alert=told))))


def _room(build: Build) -> str:
    low = shortage(Room(free=180 * MIB, total=50_000 * MIB), SpaceLimits(), "")
    return held(RoomGuard().check(build.facts(low=low)))


def _clock(build: Build) -> str:
    before = build.moment()
    step = step_between(before, build.moment(1.0, step=3600.0))
    assert step is not None
    lasts = longest(State())
    fact = e.ClockAnomaly(clock=step.clock, step=step.by, since=step.since, reason=step.reason, lasts=lasts)
    return held(ClockGuard().check(build.facts(build.fold(State(), fact), moment=before)))


def outcome(result: Result, sentence: str, step: int = 0) -> str:
    """What came of an attempt."""
    return line(e.StepOutcome(**OF, step=step, attempt=1, outcome=Outcome(result=result, sentence=sentence)))


def undone(result: UndoResult, next_at: float | None = None) -> str:
    """What came of taking something back."""
    told = UndoOutcome(result=result, sentence="kumod says so")
    return line(e.UndoConcluded(**OF, step=0, attempt=1, outcome=told, next_at=next_at))


def _parked(build: Build) -> str:
    plan = build.plan(build.planned_step(), build.planned_step(EffectClass.ONCE, name="Bounce"))
    run = build.run(plan, step=1, attempt=1, doubt=True, reason="timeout")
    parked = r.after_reconcile(run, Found(presence=Presence.UNDECIDED, sentence="asked"), build.zero)
    assert isinstance(parked, r.Park)
    return line(e.RunParked(**OF, reason=parked.reason))


def logged(tell_it: Callable[[Observer], None]) -> str:
    """A line of the service's log."""
    log = io.StringIO()
    tell_it(Observer(Redactor(()), form="logfmt", stream=log))
    return log.getvalue()


def _cut(build: Build) -> str:
    before = build.fold(State(), e.NotificationReceived(alerts=0, body=msgspec.Raw(b"{}")))
    fact = e.NotificationDisposed(notification=1, alerts=(), truncated=7)
    (told,) = consequences(before, build.fold(before, fact), fact, build.planner(), Routing())
    return line(told)


def _missed(build: Build) -> str:
    rule = build.rule("daily-check", schedule=parse_schedule("0 9 * * *"), targets=({"domain": "example.com"},))
    known = Scheduled(text="0 9 * * * (UTC)", last=build.zero - 86_400.0)
    state = State(schedules=State().schedules.set("daily-check", known))
    (told,) = follow(build.planner(rule), state, "daily-check", build.zero + 5600.0)  # noon
    return line(told)


def notified(receiver: str, came_of_it: Outcome) -> str:
    """What came of a message."""
    return line(e.MessageOutcome(message="m", receiver=receiver, outcome=came_of_it))


async def _docker() -> str:
    async def no_rest(_seconds: float) -> None:
        return None

    target = DockerTarget(socket=Path("/nowhere.sock"), allow=frozenset({"kumod"}))
    action = DockerRestart(target, http=HttpClient(rest=no_rest))
    call = Call(arguments={"container": "kumod", "stop_timeout": 1}, key="k", timeout=60.0, now=1.0)
    with respx.mock:
        respx.route().mock(side_effect=httpx.ConnectError("No such file or directory"))
        came_of_it = await action.perform(call)
    return outcome(came_of_it.result, came_of_it.sentence, step=2)


SAID: tuple[Produce, ...] = (
    _when, _still_firing, _room, _clock, _parked, _missed,
    lambda _: outcome(Result.NOT_ISSUED, "connection refused"),
    lambda _: undone(UndoResult.FAILED, 1_795_516_000.0),
    lambda _: undone(UndoResult.FOREIGN),
    lambda _: logged(lambda log: log.append_failed("disk I/O error")),
    lambda _: logged(lambda log: log.lagged(3.1)),
    lambda _: str(CorruptJournal(1204, "was changed")),
    lambda _: line(e.ConfigRefused(problems=("rules.yml:3:5: error",))),
    lambda _: line(e.ApprovalExpired(**OF)),
    _cut,
    lambda _: notified("slack", Outcome(result=Result.FAILED, sentence="Slack answered 500")),
)  # fmt: skip


# ── or has in its text ───────────────────────────────────────────────────────────────────────────────────────────────
@cache
def literals() -> tuple[str, ...]:
    """The texts in the code, what is filled in told as `#`."""
    found = []
    for path in HOUSE.glob("remediator/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(one.value) if isinstance(one, ast.Constant) else "#" for one in node.values]
                found.append(alike("".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(alike(node.value))
    return tuple(found)


NAMES = re.compile(r"\d+\.\d+\.\d+\.\d+|\b(?:spamhaus-zen|email|slack|daily-check)\b")


def written(sentence: str) -> bool:
    """Whether every piece of a sentence stands in the text of the code, where no piece is a word that is everywhere."""
    pieces = [piece.strip(" ,") for piece in re.split("…|  |: ", alike(NAMES.sub("#", sentence)))]
    long = [piece for piece in pieces if len(piece.strip("# ")) > 5]
    return (
        bool(long)
        and not sentence.startswith("not now")
        and all(any(piece in text for text in literals()) for piece in long)
    )


def said(sentence: str, texts: list[str]) -> bool:
    """Whether one of these texts is that sentence, with other numbers and something for each `…`."""
    wanted = re.compile(".+".join(re.escape(piece) for piece in alike(sentence).split("…")))
    return any(wanted.search(alike(text)) for text in texts)


async def test_every_sentence_that_the_operator_is_promised_is_said_by_the_code(build: Build) -> None:
    texts = [produce(build) for produce in SAID] + [await _docker()]
    wanted = promised()
    assert len(wanted) >= 20
    assert [sentence for sentence in wanted if not said(sentence, texts) and not written(sentence)] == []


async def test_what_the_code_does_not_say_is_found(build: Build) -> None:
    texts = [produce(build) for produce in SAID] + [await _docker()]
    for sentence in (
        "undo  step 1: failed: …; again 04:31:00Z",
        "not now: still_firing: could not say …",
        "the journal is full of it: …",
        "step 1  unknown: the service stopped between outcome and intent",
    ):
        assert not said(sentence, texts), sentence
        assert not written(sentence), sentence


@pytest.mark.parametrize("word", ["Prometheus", "Alertmanager", "target", "journal", "disk", "log", "anchor", "event loop",
                                  "clock", "killed", "rules file", "token", "message", "smarthost", "receiver", "schedule",
                                  "exporter", "DNS", "Docker proxy", "approval", "undo"])  # fmt: skip
def test_every_neighbour_has_a_row(word: str) -> None:
    assert any(word in row[0] for row in rows()), word


def test_every_row_says_what_fails_what_happens_and_where_it_is_read() -> None:
    assert [row for row in rows() if len(row) != 3 or not all(row)] == []
