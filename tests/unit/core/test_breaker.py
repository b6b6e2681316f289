"""What the breaker counts, when it opens, what it does then, and the ways back (reliability.md G5; peers.md F7)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core import breaker
from remediator.core import entries as e
from remediator.core.brakes import Brakes, Inhibition, stricter_brakes
from remediator.core.breaker import FORGOTTEN, demoted_tracks, lowered, track_of, trying
from remediator.core.consequences import Routing, consequences
from remediator.core.facts import Facts
from remediator.core.outcomes import Result
from remediator.core.plans import Plan
from remediator.core.rules import Guards, Mode
from remediator.core.state import RunStatus, State, Track
from remediator.core.telling import tell
from remediator.core.verdicts import Answer
from remediator.guards.breaker import BreakerGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

A, B = "domain=a.example", "domain=b.example"
ENDS = {"succeeded": "recovered", "failed": "not_recovered", "unverified": "unknown"}


class Journal:
    """A journal that is folded and followed by its consequences, as the engine does it; `now` in seconds."""

    def __init__(self, build: Build, *, mode: Mode = Mode.AUTO, **brakes: Any) -> None:
        self.build, self.state, self.now = build, State(), 0.0
        self.brakes = Brakes(**brakes)
        self.planner = build.planner(build.rule(guards=Guards(brakes=self.brakes), mode=mode))
        self.facts: list[e.AnyFact] = []
        self._count = itertools.count(1)

    def say(self, *facts: e.AnyFact) -> None:
        """These facts, and what each entails."""
        todo = list(facts)
        while todo:
            fact = todo.pop(0)
            before = self.state
            self.state = self.build.fold(before, fact, after=self.now)
            self.facts.append(fact)
            todo[:0] = consequences(before, self.state, fact, self.planner, Routing(escalate=("people",)))

    def plan(self, target: str, **changes: object) -> Plan:
        """The plan for a target."""
        where = {"domain": target.partition("=")[2]}
        guards = self.build.limits(brakes=self.brakes)
        return self.build.plan(target=where, locks=(target,), guards=guards, on_failure=(), **changes)

    def open(self, target: str = A, *, by: str = "", dry: bool = False, **changes: object) -> str:
        """An incident with a planned run; gives the run."""
        number = next(self._count)
        self.say(*self.build.open(self.plan(target, **changes), number=number, dry=dry, by=by))
        return f"inc-{number}.1"

    def start(self, run: str) -> None:
        """The run begins."""
        found = self.state.runs[run]
        self.say(self.build.start(found.plan, number=int(run[4:-2]), after=self.now, dry=found.dry))

    def end(self, run: str, result: str) -> None:
        """The run ends so."""
        name: dict[str, Any] = {"incident": run[:-2], "run": run}
        if result in ENDS and self.state.runs[run].started is not None:
            self.say(self.build.intent(**name), self.build.outcome(Result.OK, **name))
            self.say(e.VerifyStarted(**name, after=0.0))
            self.say(e.VerifyConcluded(**name, verdict=ENDS[result], sentence="-"))
        self.say(e.RunEnded(**name, result=result, reason="so it was"))

    def went(self, result: str, target: str = A, *, at: float = 0.0, **changes: object) -> str:
        """A run of this target that began and ended so, `at` seconds after the last; gives its name."""
        self.now += at
        run = self.open(target, **changes)  # type: ignore[arg-type]
        self.start(run)
        self.end(run, result)
        return run

    def demoted(self, target: str = A) -> list[tuple[str, str]]:
        """Which demotions are in force."""
        return [(track.target, track.demoted) for track in demoted_tracks(self.state, "bounces", target)]

    def bad(self, target: str = A) -> int:
        """How many in a row did not help."""
        track = track_of(self.state, "bounces", target)
        return track.bad if track is not None else 0

    def told(self, kind: type[e.Fact]) -> list[e.AnyFact]:
        """What was said of this kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def verdict(self, target: str = A, **changes: object) -> Answer:
        """What the guard says to a run of this target now."""
        return self.asked(target, **changes)[0]

    def asked(self, target: str = A, **changes: object) -> tuple[Answer, str]:
        """Its answer and its sentence."""
        run = self.build.run(self.plan(target), id="inc-99.1", incident="inc-99", **changes)
        found = BreakerGuard().check(self.facts_of(run))
        return found.answer, found.sentence

    def facts_of(self, run: object, **changes: object) -> Facts:
        """What a guard is asked with."""
        return self.build.facts(self.state, run, moment=self.build.moment(self.now), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "verifies", "bad"),
    [
        ("failed", True, 1),
        ("rolled_back", True, 1),
        ("expired", True, 1),
        ("closed_by_person", True, 1),
        ("unverified", True, 1),
        ("unverified", False, 0),
        ("succeeded", True, 0),
        ("cancelled", True, 0),
    ],
)
def test_only_what_was_verified_counts(build: Build, result: str, verifies: bool, bad: int) -> None:
    journal = Journal(build)
    more: dict[str, Any] = {} if verifies else {"verify": ()}
    journal.went(result, **more)
    assert journal.bad() == journal.bad("") == bad


def test_what_never_began_was_only_simulated_or_was_ordered_by_hand_says_nothing(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.end(journal.open(), "expired")
    dry = journal.open(B, dry=True)
    journal.start(dry)
    journal.end(dry, "expired")
    journal.went("failed", by="ana")
    assert not journal.state.tracks
    closed = journal.open()
    journal.start(closed)
    journal.say(e.IncidentClosed(incident=closed[:-2], result="failed", reason="-"))
    journal.end(closed, "expired")
    assert not journal.state.tracks


def test_three_in_a_row_demote_the_rule_on_that_target_and_people_hear_of_it_once(build: Build) -> None:
    journal = Journal(build)
    journal.went("failed")
    journal.went("unverified")
    assert journal.demoted() == []
    assert journal.verdict() is Answer.ALLOW
    last = journal.went("failed")
    assert journal.demoted() == [(A, "approve")]
    assert journal.demoted(B) == []
    (demoted,) = journal.told(e.RuleDemoted)
    assert isinstance(demoted, e.RuleDemoted)
    assert (demoted.run, demoted.pause, demoted.target) == (last, 3600.0, A)
    assert demoted.reason == f"3 runs in a row did not help on {A}; the last, {last}, failed: so it was"
    calls = [fact.reason for fact in journal.told(e.Escalated) if isinstance(fact, e.Escalated)]
    assert [f"bounces on {A} may go no further than approve" in reason for reason in calls] == [False, True]
    assert journal.verdict() is Answer.ASK
    assert journal.verdict(B) is Answer.ALLOW


def test_one_that_helped_in_between_begins_the_row_anew(build: Build) -> None:
    journal = Journal(build, relapse=0.0)
    for result in ("failed", "failed", "succeeded", "failed", "failed", "cancelled"):
        journal.went(result)
    assert (journal.bad(), journal.demoted()) == (2, [])


def test_a_rule_that_fails_on_several_targets_is_demoted_everywhere(build: Build) -> None:
    journal = Journal(build)
    for target in (A, B, A):
        journal.went("failed", target)
    assert journal.demoted("domain=c.example") == [("", "approve")]
    assert journal.verdict("domain=c.example") is Answer.ASK
    (demoted,) = journal.told(e.RuleDemoted)
    assert isinstance(demoted, e.RuleDemoted)
    assert "on 2 targets" in demoted.reason


def test_the_targets_of_an_earlier_row_do_not_count(build: Build) -> None:
    journal = Journal(build, relapse=0.0)
    journal.went("failed", B)
    journal.went("succeeded", A)
    for _ in range(3):
        journal.went("failed", A)
    assert journal.demoted() == [(A, "approve")]


def test_each_further_bad_run_demotes_one_step_more_and_the_last_step_only_rests_again(build: Build) -> None:
    journal = Journal(build)
    for _ in range(3):
        journal.went("failed")
    journal.went("failed", at=60.0)
    assert journal.demoted() == [(A, "dry-run")]
    assert journal.verdict() is Answer.DENY
    calls = len(journal.told(e.Escalated))
    journal.went("failed", at=3600.0)
    assert journal.demoted() == [(A, "dry-run")]
    assert journal.verdict() is Answer.DENY  # the pause began anew
    demotions = [fact for fact in journal.told(e.Escalated)[calls:] if "no further" in fact.reason]  # type: ignore[union-attr]
    assert demotions == []


@pytest.mark.parametrize(
    ("mode", "to"),
    [(Mode.AUTO, "approve"), (Mode.APPROVE, "dry-run"), (Mode.DRY_RUN, "dry-run"), (Mode.OFF, "dry-run")],
)
def test_the_first_step_is_one_below_the_rules_own_mode(build: Build, mode: Mode, to: str) -> None:
    journal = Journal(build, mode=mode, failures=1)
    journal.went("failed")
    assert journal.demoted() == [(A, to)]


def test_a_rule_that_is_gone_is_judged_by_its_plan(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.planner = build.planner(build.rule("other"))
    journal.went("failed")
    assert journal.demoted() == [(A, "approve")]


def test_after_the_pause_one_run_may_try_and_only_one(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.went("failed")
    journal.now += 3599.9
    assert journal.verdict() is Answer.ASK
    journal.now += 0.1
    assert journal.verdict() is Answer.ALLOW
    assert "half open" in journal.asked()[1]
    run = journal.open()
    journal.start(run)
    assert journal.asked() == (Answer.DEFER, f"one run at a time may try whether it helps again, and {run} does")
    assert journal.verdict(approved_by="ana") is Answer.DEFER
    assert BreakerGuard().check(journal.facts_of(journal.state.runs[run])).answer is Answer.ALLOW
    journal.end(run, "succeeded")
    assert journal.demoted() == []
    assert journal.told(e.RuleRestored) == [
        e.RuleRestored(rule="bounces", target=A, run=run, reason="it helped, as was seen")
    ]


def test_of_a_whole_rule_one_run_on_any_target_may_try(build: Build) -> None:
    journal = Journal(build, failures=2)
    journal.went("failed", A)
    journal.went("failed", B)
    journal.now += 3600.0
    run = journal.open(A)
    journal.start(run)
    assert journal.verdict(B) is Answer.DEFER
    journal.end(run, "succeeded")
    assert journal.demoted(B) == []


def test_demoted_to_dry_run_a_person_has_to_let_the_one_try(build: Build) -> None:
    journal = Journal(build, failures=1, mode=Mode.APPROVE)
    journal.went("failed")
    assert journal.verdict() is Answer.DENY
    assert journal.verdict(approved_by="ana") is Answer.DENY
    assert journal.verdict(dry=True) is Answer.ALLOW
    journal.now += 3600.0
    assert journal.verdict() is Answer.ASK
    assert journal.verdict(approved_by="ana") is Answer.ALLOW


def test_a_person_may_say_yes_to_what_is_demoted_to_approve(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.went("failed")
    answer, sentence = journal.asked(approved_by="ana")
    assert answer is Answer.ALLOW
    assert "approved by ana, although the breaker is open" in sentence


def test_what_a_person_orders_is_not_held_back(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.went("failed")
    facts = journal.facts_of(build.run(journal.plan(A)), incident=build.incident(by="ana", episodes=()))
    assert BreakerGuard().check(facts).answer is Answer.ALLOW


def test_a_person_restores_a_rule_and_it_begins_anew(build: Build) -> None:
    journal = Journal(build, failures=2)
    journal.went("failed")
    journal.went("failed")
    journal.say(e.RuleRestored(rule="bounces", target=A, by="ana", reason="new disk"))
    journal.say(e.RuleRestored(rule="bounces", target=B, by="ana", reason="there was nothing"))
    assert (journal.bad(), journal.demoted()) == (0, [])
    journal.went("failed")
    assert journal.demoted() == []


def test_what_was_demoted_without_a_run_is_kept_too(build: Build) -> None:
    journal = Journal(build)
    journal.say(e.RuleDemoted(rule="bounces", mode="approve", reason="-", pause=60.0, target=A))
    assert journal.demoted() == [(A, "approve")]


# ── relapse ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_alert_that_comes_back_makes_the_run_that_helped_one_that_did_not(build: Build) -> None:
    journal = Journal(build)
    for number in range(1, 4):
        journal.went("succeeded", at=600.0)
        journal.now += 600.0
        journal.open()
        assert journal.bad() == number
        journal.say(e.RunEnded(incident=f"inc-{2 * number}", run=f"inc-{2 * number}.1", result="cancelled", reason="-"))
    assert journal.demoted() == [(A, "approve")]
    relapses = [fact.run for fact in journal.told(e.RunRelapsed) if isinstance(fact, e.RunRelapsed)]
    assert relapses == ["inc-1.1", "inc-3.1", "inc-5.1"]
    demoted = journal.told(e.RuleDemoted)[0]
    assert isinstance(demoted, e.RuleDemoted)
    assert (demoted.incident, demoted.run) == ("inc-6", "inc-5.1")
    assert "helped, and the alert came back after 10m" in demoted.reason


@pytest.mark.parametrize(("after", "window", "bad"), [(3600.0, 3600.0, 1), (3600.1, 3600.0, 0), (0.0, 0.0, 0)])
def test_only_within_the_window_is_it_a_relapse(build: Build, after: float, window: float, bad: int) -> None:
    journal = Journal(build, relapse=window)
    journal.went("succeeded")
    journal.now += after
    journal.open()
    assert journal.bad() == bad


def test_a_run_relapses_once_and_only_on_its_own_target(build: Build) -> None:
    journal = Journal(build)
    journal.went("succeeded")
    journal.open(B)
    assert journal.bad() == journal.bad("") == 0
    journal.end(journal.open(), "cancelled")
    journal.end(journal.open(), "cancelled")
    assert (journal.bad(), len(journal.told(e.RunRelapsed))) == (1, 1)


def test_an_order_by_hand_and_a_rule_that_is_gone_are_no_relapse(build: Build) -> None:
    journal = Journal(build)
    journal.went("succeeded")
    journal.end(journal.open(by="ana"), "cancelled")
    journal.planner = build.planner(build.rule("other"))
    journal.open()
    assert journal.told(e.RunRelapsed) == []
    assert consequences(
        journal.state,
        journal.state,
        e.RunRelapsed(incident="inc-2", run="inc-1.1", rule="bounces", target=A, after=1.0),
        journal.planner,
        Routing(),
    ) == []  # fmt: skip


def test_what_nobody_verified_relapses_too(build: Build) -> None:
    journal = Journal(build)
    journal.went("failed")
    journal.went("unverified", verify=())
    assert journal.bad() == 1
    journal.open()
    assert journal.bad() == 2


def test_a_relapse_restores_the_row_that_the_success_had_broken(build: Build) -> None:
    journal = Journal(build)
    journal.went("failed")
    journal.went("failed")
    journal.went("succeeded")
    assert journal.bad() == 0
    journal.open()
    assert (journal.bad(), journal.demoted()) == (3, [(A, "approve")])


def test_a_try_that_helped_and_relapsed_demotes_as_if_it_had_not_helped(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.went("failed")
    journal.went("succeeded", at=3600.0)
    assert journal.demoted() == []
    journal.open()
    assert journal.demoted() == [(A, "dry-run")]


def test_a_relapse_on_one_target_leaves_what_came_later_on_others(build: Build) -> None:
    journal = Journal(build)
    journal.went("succeeded", A)
    journal.went("failed", B)
    journal.open(A)
    assert (journal.bad(A), journal.bad(B), journal.bad("")) == (1, 1, 2)


def test_that_a_schedule_comes_round_again_is_no_relapse(build: Build) -> None:
    track = Track(target=A, last="inc-1.1", ended=build.moment(), may_relapse=True)
    state = State(tracks=State().tracks.set("bounces", (track,)))
    due = e.IncidentOpened(
        incident="inc-2", rule="bounces", target={"domain": "a.example"}, episode="", labels={}, severity="info"
    )
    assert breaker.relapse_of(state, due, build.moment(60.0), 3600.0) is None
    fired = msgspec.structs.replace(due, episode="a1b2.1")
    assert breaker.relapse_of(state, fired, build.moment(60.0), 3600.0) is not None


def test_a_relapse_of_what_is_not_remembered_changes_nothing(build: Build) -> None:
    state = State()
    fact = e.RunRelapsed(incident="inc-2", run="inc-1.1", rule="bounces", target=A, after=1.0)
    assert build.fold(state, fact).tracks == state.tracks


# ── planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_is_demoted_to_dry_run_is_planned_dry_until_one_may_try(build: Build) -> None:
    journal = Journal(build, failures=1, mode=Mode.APPROVE)
    journal.went("failed")
    zero = build.zero

    def mode(after: float) -> Mode:
        return lowered(Mode.AUTO, journal.state, "bounces", A, zero + after)

    assert [mode(0.0), mode(3599.0), mode(3600.0)] == [Mode.DRY_RUN, Mode.DRY_RUN, Mode.AUTO]
    assert lowered(Mode.OFF, journal.state, "bounces", A, zero) is Mode.OFF
    assert lowered(Mode.AUTO, journal.state, "bounces", B, zero) is Mode.AUTO
    journal.now = 3600.0
    journal.start(journal.open())
    assert mode(3600.0) is Mode.DRY_RUN
    asking = Journal(build, failures=1)
    asking.went("failed")
    assert lowered(Mode.AUTO, asking.state, "bounces", A, zero) is Mode.AUTO  # the guard asks


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_is_long_over_is_forgotten_and_what_is_demoted_never(build: Build) -> None:
    journal = Journal(build, failures=2)
    journal.went("failed", B)
    journal.say(e.RuleDemoted(rule="bounces", mode="approve", reason="-", pause=60.0, target="domain=c.example"))
    journal.went("succeeded", A, at=FORGOTTEN)
    assert {track.target for track in journal.state.tracks["bounces"]} == {"", A, B, "domain=c.example"}
    journal.went("succeeded", A, at=1.0)
    assert {track.target for track in journal.state.tracks["bounces"]} == {"", A, "domain=c.example"}


def test_who_tries_is_told_by_target(build: Build) -> None:
    journal = Journal(build, failures=1)
    journal.went("failed")
    (track,) = demoted_tracks(journal.state, "bounces", A)
    run = journal.open(B)
    journal.start(run)
    assert trying(journal.state, "bounces", track) == ""
    whole = msgspec.structs.replace(track, target="")
    assert trying(journal.state, "bounces", whole) == run
    assert trying(journal.state, "bounces", whole, run) == ""


@pytest.mark.parametrize(
    ("fact", "word", "sentence"),
    [
        (
            e.RunRelapsed(incident="inc-2", run="inc-1.1", rule="r", target=A, after=719.6),
            "relapsed",
            "inc-1.1 did not help after all: the alert came back after 12m",
        ),
        (
            e.RuleDemoted(rule="r", mode="approve", reason="why", pause=3600.0, target=A),
            "demoted",
            f"r on {A} to approve: why; one run may try after 1h",
        ),
        (e.RuleDemoted(rule="r", mode="dry-run", reason="why", pause=60.0), "demoted",
         "r to dry-run: why; one run may try after 1m"),
        (e.RuleRestored(rule="r", by="ana", reason="why"), "restored", "r by ana: why"),
        (e.RuleRestored(rule="r", target=A, run="inc-1.1", reason="why"), "restored", f"r on {A} by inc-1.1: why"),
    ],
)  # fmt: skip
def test_it_is_told_in_words(fact: e.AnyFact, word: str, sentence: str) -> None:
    assert tell(fact) == (word, sentence)


# ── for all histories ────────────────────────────────────────────────────────────────────────────────────────────────
moves = st.lists(
    st.tuples(
        st.sampled_from(["start", "failed", "unverified", "succeeded", "wait", "approve"]),
        st.sampled_from([A, B, "domain=c.example"]),
        st.sampled_from([1.0, 700.0, 3600.0]),
    ),
    max_size=40,
)


@given(moves)
def test_however_it_goes_no_more_than_n_run_by_themselves_without_help(
    build: Build, history: list[tuple[str, str, float]]
) -> None:
    """An observer with a list of its own: what it saw to help or not, against what the guard lets through."""
    journal = Journal(build, failures=3, relapse=0.0)
    under_way: dict[str, str] = {}
    row: dict[str, int] = {}
    last_bad: dict[str, float] = {}
    for move, target, seconds in history:
        if move == "wait":
            journal.now += seconds
        elif move in {"start", "approve"}:
            if target in under_way:
                continue
            run = journal.open(target)
            found = journal.state.runs[run]
            if move == "approve":
                found = msgspec.structs.replace(found, approved_by="ana")
            answer = BreakerGuard().check(journal.facts_of(found)).answer
            if answer is not Answer.ALLOW:
                journal.end(run, "cancelled")
                continue
            if move == "start" and row.get(target, 0) >= 3:
                assert row[target] == 3, "demoted to dry-run nothing goes by itself"
                assert journal.now - last_bad[target] >= 3600.0, "by itself, and before the pause was over"
            journal.start(run)
            under_way[target] = run
        elif target in under_way:
            journal.now += seconds
            journal.end(under_way.pop(target), move)
            row[target] = 0 if move == "succeeded" else row.get(target, 0) + 1
            last_bad[target] = journal.now


def test_of_two_brakes_the_stricter_counts() -> None:
    one = Brakes(inhibited_by=(Inhibition(rule="a"),), failures=5, pause=60.0, relapse=10.0, at_least=1, percent=90)
    other = Brakes(inhibited_by=(Inhibition(rule="b"), Inhibition(rule="a")), failures=2, starting=300.0, at_least=3)
    both = stricter_brakes(one, other)
    assert both == Brakes(
        inhibited_by=(Inhibition(rule="a"), Inhibition(rule="b")),
        failures=2, pause=3600.0, relapse=3600.0, at_least=3, percent=90, starting=300.0,
    )  # fmt: skip
    assert stricter_brakes(other, one) == msgspec.structs.replace(both, inhibited_by=both.inhibited_by[::-1])


@pytest.mark.parametrize(
    ("at_least", "percent", "total", "floor"),
    [
        (0, 60, 5, 3),
        (0, 60, 4, 3),
        (0, 1, 3, 1),
        (0, 99, 3, 3),
        (3, 60, 10, 6),
        (3, 60, 2, 3),
        (3, 0, 0, 3),
        (0, 50, 0, 0),
    ],
)
def test_a_share_is_rounded_so_that_more_stay_healthy(at_least: int, percent: int, total: int, floor: int) -> None:
    assert Brakes(at_least=at_least, percent=percent).floor(total) == floor
    assert Brakes(at_least=at_least, percent=percent).has_floor


def test_without_a_number_no_floor_is_promised() -> None:
    assert not Brakes().has_floor
    assert breaker.SEVERAL == 2
    assert RunStatus.EXPIRED.final
