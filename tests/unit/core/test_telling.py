"""One telling of every entry: a word and a sentence."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, Outcome, Result, UndoOutcome, UndoResult, ok, unknown
from remediator.core.telling import clock_time, length, tell
from remediator.core.verdicts import allow, ask, defer, deny

if TYPE_CHECKING:
    from tests.unit.conftest import Build

GOLDEN = Path(__file__).parents[2] / "golden" / "entries"
NAMES: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1"}
# What the golden entry of each kind is told as.
TOLD = {
    "journal.opened": ("journal", "opened, store store-1"),
    "service.started": ("service", "started, version 0.1.0, mode auto"),
    "service.stopped": ("service", "stopped: SIGTERM"),
    "lease.taken": ("lease", "1: goes on with what was left by a process that has stopped, boot-0"),
    "config.loaded": ("config", "2 rules, digest r1, mode auto"),
    "config.refused": (
        "config",
        "refused, the rules in force did not change: rules/bounces.yml:3:5: error[unknown-field]: 'gaurds' is not a field",
    ),
    "notification.received": ("notification", "1 alerts from 192.0.2.7"),
    "notification.disposed": ("alerts", "1 planned, 1 resolved; the sender withheld 3 more"),
    "episode.lapsed": ("lapsed", "nothing was heard of it for 8h"),
    "incident.opened": ("opened", "bounces on domain=example.com, by ana: 34 % bounces"),
    "incident.closed": ("closed", "recovered: 0.03 < 0.10"),
    "incident.escalated": ("escalated", "failed: step 1"),
    "caution.began": ("caution", "all: nothing was written for 2h before this start; few runs begin at first"),
    "storm.began": ("storm", "began: 61 alerts within 1m, limit 50; no new runs begin"),
    "storm.ended": ("storm", "ended: 4 alerts began to fire within 1m; new runs begin after a rest of 10m"),
    "run.planned": ("planned", "pause, plan b6885fac7bb55e65, 2 steps"),
    "run.decided": ("decided", "not now: cooldown: 30m: last touched 10m ago"),
    "approval.requested": ("approval", "wanted for plan b6885fac7bb55e65, until 2026-11-24 11:26:40Z"),
    "approval.given": ("approval", "given by ana: looked at it"),
    "approval.refused": ("approval", "refused by ben: a campaign runs"),
    "approval.expired": ("approval", "nobody answered in time"),
    "run.started": ("started", "until 2026-11-24 10:56:40Z at the latest; holds domain=example.com"),
    "step.intent": (
        "step 1", "kumomta.suspend, attempt 2, ordered by ana; will be taken back 2026-11-24 12:26:40Z",
    ),
    "step.outcome": ("step 1", "would: ok, told by the target's own record: suspended (0.1s)"),
    "verify.started": ("verify", "only what is newer than 2026-11-24 10:26:49Z counts"),
    "verify.looked": ("verify", "bad: 0.27"),
    "verify.concluded": ("verified", "recovered: 0.03 < 0.10"),
    "run.rollback_started": ("rollback", "not recovered within 20m: 0.27"),
    "run.parked": ("needs person", "step 1 (Pause) may or may not have happened"),
    "run.reminded": (
        "needs person",
        "still, call 2: waits for a person since 2026-11-24 10:27:05Z: step 1 (Pause) may or may not have happened",
    ),
    "person.decided": ("person", "ana decided mark_done: I see it suspended"),
    "run.ended": ("ended", "succeeded: 0.03 < 0.10"),
    "late.evidence": ("step 1", "late: unknown: no answer within 30s"),
    "undo.intent": ("undo", "step 1, person by ana"),
    "undo.outcome": ("undo", "step 1: failed: 503; again 2026-11-24 12:26:50Z"),
    "pause.set": ("paused", "rule:bounces by ana until 2026-11-24 11:26:40Z: maintenance"),
    "pause.cleared": ("resumed", "rule:bounces by clock"),
    "message.intent": ("message", "to people: [recovered] bounces on domain=example.com, instead of sms"),
    "message.outcome": ("notified", "people failed: 503"),
    "state.swept": ("forgot", "what was over before 2026-11-23 10:26:40Z"),
    "journal.pruned": (
        "pruned", "2000 entries up to 4000, kept in journal-2001-4000.jsonl.gz; the chain goes on from 9f2c63d01b7aee45",
    ),
    "run.relapsed": ("relapsed", "inc-7f3kq2m8.1 did not help after all: the alert came back after 12m"),
    "rule.demoted": (
        "demoted", ("bounces on domain=example.com to approve: 3 runs in a row did not help on domain=example.com; "
                    "the last, inc-7f3kq2m8.1, failed: not recovered within 5m; one run may try after 1h"),
    ),
    "rule.restored": ("restored", "bounces on domain=example.com by ana: the disk was replaced"),
    "schedule.set": ("schedule", "daily-check starts by 0 9 * * * (Europe/Berlin) from here on"),
    "schedule.due": (
        "due", "daily-check, 2026-11-24 10:27:40Z: planned: plan 5f2a11c09d3be774, mode auto",
    ),
    "effect.lost": ("lost", "step 1, forgotten by node mta1 with inc-9d2mv4xk.1: a pause; inc-4h8wq6tz makes it again"),
    "safe_mode.entered": (
        "safe mode",
        (
            "the journal ends at entry 7, but entry 12 was seen: what came between is lost; "
            "no effects until somebody releases it (remediator release)"
        ),
    ),
    "safe_mode.released": ("safe mode", "released by ana, at once: the old copy is what we want"),
    "clock.anomaly": (
        "clock",
        (
            "the wall clock was stepped by +3600.0 s (or the machine slept); what is limited is held for 1d14m25s "
            "(remediator release)"
        ),
    ),
    "clock.released": ("clock", "released by ana: chrony set it right"),
    "quarantined": ("quarantined", "notification 6: KeyError: 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOLD)
def test_every_kind_is_told_in_a_word_and_a_sentence(kind: str) -> None:
    body = msgspec.json.format((GOLDEN / f"{kind}.json").read_bytes(), indent=-1)
    assert tell(e.decode(1, body).fact) == TOLD[kind]


def test_no_kind_is_left_untold() -> None:
    assert set(TOLD) == {str(fact.__struct_config__.tag) for fact in typing.get_args(e.AnyFact)}


STEP: dict[str, Any] = {**NAMES, "step": 1, "attempt": 1}
PLAIN: list[tuple[e.AnyFact, str, str]] = [
    (
        e.IncidentOpened(incident="i", rule="r", target={"b": "2", "a": "1"}, episode="", labels={}),
        "opened", "r on a=1, b=2",
    ),
    (e.RunDecided(**NAMES, answer="allow", verdicts=(allow("a", "-"), allow("b", "-"))), "decided", "run: 2 guards passed"),
    (e.RunDecided(**NAMES, answer="ask", verdicts=(ask("mode", "say yes"),)), "decided", "ask a person: mode: say yes"),
    (e.RunDecided(**NAMES, answer="deny", verdicts=(deny("mode", "off"), defer("x", "-"))), "decided", "no: mode: off"),
    (e.RunDecided(**NAMES, answer="deny", verdicts=()), "decided", "no"),
    (
        e.SafeModeReleased(by="ana", reason="checked"),
        "safe mode", "released by ana, effects begin when the longest limiter window has passed: checked",
    ),
    (e.RunDecided(**NAMES, answer="later", verdicts=()), "decided", "later"),
    (e.MessageIntent(message="m", receiver="r", incident="", subject="s", text="t"), "message", "to r: s"),
    (e.MessageOutcome(message="m", receiver="r", outcome=ok("sent")), "notified", "r ok: sent"),
    (e.MessageOutcome(message="m", receiver="r", outcome=unknown("late")), "notified", "r unknown: late; given up"),
    (e.ApprovalGiven(**NAMES, digest="x", by="ana"), "approval", "given by ana"),
    (e.ApprovalRefused(**NAMES, by="ana"), "approval", "refused by ana"),
    (
        e.StepIntent(**STEP, action="a.b", key="k", issue_by=0.0, timeout=1.0), "step 2", "a.b",
    ),
    (e.StepOutcome(**STEP, outcome=unknown("no answer")), "step 2", "unknown: no answer"),
    (e.StepOutcome(**STEP, outcome=ok("done"), seconds=2.0), "step 2", "ok: done (2.0s)"),
    (e.VerifyConcluded(**NAMES, verdict="not_recovered", sentence="0.27"), "verified", "not recovered: 0.27"),
    (e.UndoIntent(**STEP, cause="expiry"), "undo", "step 2, expiry"),
    (
        e.UndoConcluded(**STEP, outcome=UndoOutcome(result=UndoResult.GONE, sentence="not there")),
        "undo", "step 2: gone: not there",
    ),
    (e.PauseSet(scope="all", reason="-", by="ana"), "paused", "all by ana: -"),
    (e.NotificationReceived(alerts=3, body=msgspec.Raw(b"{}")), "notification", "3 alerts from nowhere"),
    (e.NotificationDisposed(notification=1, alerts=()), "alerts", "no alerts"),
    (e.VerifyLooked(**NAMES, check=0, observation=Observation(look=Look.GOOD, sentence="ok")), "verify", "good: ok"),
    (e.ConfigRefused(problems=("a", "b", "c", "d")), "config", "refused, the rules in force did not change: a; b; c"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "word", "sentence"), PLAIN)
def test_what_is_not_there_is_not_told(fact: e.AnyFact, word: str, sentence: str) -> None:
    assert tell(fact) == (word, sentence)


def test_a_dry_run_is_told_as_one(build: Build) -> None:
    _, planned = build.open(dry=True)
    assert tell(planned)[1].endswith("1 steps (dry-run: nothing will be touched)")


def test_a_kind_without_a_telling_is_told_by_its_name() -> None:
    class Unknown(e.Fact, frozen=True, kw_only=True, tag="from.tomorrow"):
        pass

    assert tell(typing.cast("e.AnyFact", Unknown())) == ("from.tomorrow", "")


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (0.0, "1970-01-01 00:00:00Z"),
        (1795516084.99, "2026-11-24 10:28:04Z"),
        (-1.0, "1969-12-31 23:59:59Z"),
        (1e15, "second 1e+15"),
        (1e300, "second 1e+300"),
        (float("inf"), "second inf"),
        (float("nan"), "second nan"),
    ],
)
def test_moments_are_told_in_utc_to_the_second(at: float, told: str) -> None:
    assert clock_time(at) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0s"), (0.4, "0s"), (89.6, "1m30s"), (5400.0, "1h30m"), (-5.0, "0s")]
)
def test_lengths_are_told_in_whole_seconds(seconds: float, told: str) -> None:
    assert length(seconds) == told


def test_a_verdict_of_unknown_is_never_told_as_done() -> None:
    told = tell(e.StepOutcome(**STEP, outcome=Outcome(result=Result.UNKNOWN, sentence="no answer"), simulated=True))
    assert told == ("step 2", "would: unknown: no answer")
