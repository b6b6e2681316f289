"""Waves and the cap on targets: what may begin, by the runs that were, and never more than their success allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from remediator.core import grants
from remediator.core.brakes import Brakes, Waves, stricter_brakes
from remediator.core.facts import Facts, ask_guards
from remediator.core.outcomes import EffectClass
from remediator.core.plans import PlannedStep, most_places
from remediator.core.rules import OnUnknown
from remediator.core.state import Grant, RunStatus, State, Undo
from remediator.core.verdicts import Answer, Verdict
from remediator.core.waves import wave_of
from remediator.guards.max_targets import MaxTargetsGuard
from remediator.guards.waves import WavesGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.conftest import Build

ALLOW, DEFER, DENY = Answer.ALLOW, Answer.DEFER, Answer.DENY
GOOD, BAD, OPEN = RunStatus.SUCCEEDED, RunStatus.FAILED, None
REST = 600.0


@dataclass
class Fleet:
    """A rule's runs on many targets, each a fold of its start and its last word; `now` in seconds."""

    build: Build
    waves: Waves = Waves(rest=REST)
    now: float = 0.0
    state: State = field(default_factory=State)
    verifies: bool = True
    on_unknown: OnUnknown = OnUnknown.HOLD

    def facts(self, name: str) -> Facts:
        """What the guard is asked with for a run on this target."""
        limits = self.build.limits(brakes=Brakes(waves=self.waves))
        changes: dict[str, Any] = {} if self.verifies else {"verify": ()}
        plan = self.build.plan(target={"domain": name}, guards=limits, on_unknown=self.on_unknown, **changes)
        run = self.build.run(plan, id=f"inc-{self.state.seq}.1", incident=f"inc-{self.state.seq}")
        return self.build.facts(self.state, run, moment=self.build.moment(self.now), limits=limits)

    def ask(self, name: str) -> Verdict:
        """The verdict on this target now."""
        return WavesGuard().check(self.facts(name))

    def begin(self, name: str) -> str:
        """A run on this target takes its place; its name."""
        run, moment = self.facts(name).run, self.build.moment(self.now)
        fact = self.build.start(run.plan)
        fact = msgspec.structs.replace(fact, run=run.id, incident=run.incident, target=f"domain={name}")
        after = grants.taken(self.state, run, fact, moment)
        started = msgspec.structs.replace(run, started=moment, status=RunStatus.RUNNING, deadline=moment.at + 1800.0)
        self.state = msgspec.structs.replace(after, seq=after.seq + 1, runs=after.runs.set(run.id, started))
        return run.id

    def end(self, name: str, result: RunStatus) -> None:
        """The last word of a run."""
        run = self.state.runs[name]
        after = grants.over(self.state, run, result, self.build.moment(self.now))
        self.state = msgspec.structs.replace(after, seq=after.seq + 1, runs=after.runs.delete(name))

    def park(self, name: str) -> None:
        """The run waits for a person."""
        parked = msgspec.structs.replace(self.state.runs[name], status=RunStatus.NEEDS_PERSON)
        self.state = msgspec.structs.replace(self.state, runs=self.state.runs.set(name, parked))

    def wave(self, *results: RunStatus | None) -> list[str]:
        """Runs on as many new targets, begun together and ended so, a second apart; `OPEN` ones go on."""
        names = [self.begin(f"w{self.state.seq}-{place}.example") for place, _ in enumerate(results)]
        self.now += 1.0
        for name, result in zip(names, results, strict=True):
            if result is not None:
                self.end(name, result)
        return names


def room(fleet: Fleet) -> int:
    """How many more new targets would be taken on now, one after the other."""
    kept, count = fleet.state, 0
    while count < 100 and fleet.ask(f"probe{count}.example").answer is ALLOW:
        fleet.begin(f"probe{count}.example")
        count += 1
    fleet.state = kept
    return count


@pytest.mark.parametrize(
    ("waves", "rooms"),
    [
        ([], 1),
        ([[OPEN]], 0),
        ([[GOOD]], 2),
        ([[GOOD], [OPEN]], 1),
        ([[GOOD], [GOOD]], 1),  # a wave with room left is filled first
        ([[GOOD], [GOOD, OPEN]], 0),
        ([[GOOD], [GOOD, GOOD]], 4),
        ([[GOOD], [GOOD, GOOD], [GOOD] * 4], 8),
        ([[BAD]], 1),
        ([[GOOD], [BAD]], 1),
        ([[GOOD], [GOOD, BAD]], 1),
        ([[GOOD], [BAD, OPEN]], 0),
        ([[GOOD], [GOOD, GOOD], [BAD, OPEN]], 0),
        ([[GOOD], [GOOD, GOOD], [BAD], [GOOD]], 2),
        ([[RunStatus.UNVERIFIED]], 1),
        ([[RunStatus.CANCELLED]], 1),
        ([[GOOD], [GOOD, RunStatus.CANCELLED]], 2),
        ([[GOOD], [GOOD, RunStatus.CLOSED_BY_PERSON]], 1),
    ],
)
def test_a_wave_is_as_large_as_what_was_seen_to_help_allows(
    build: Build, waves: list[list[RunStatus | None]], rooms: int
) -> None:
    fleet = Fleet(build)
    for results in waves:
        fleet.wave(*results)
    assert room(fleet) == rooms


def test_where_nobody_looks_whether_it_helped_one_at_a_time_is_taken_on_for_ever(build: Build) -> None:
    fleet = Fleet(build, verifies=False)
    for _ in range(5):
        assert room(fleet) == 1
        fleet.wave(RunStatus.UNVERIFIED)
    assert "nobody looked whether it helped, so 1 at once" in fleet.ask("next.example").sentence


@pytest.mark.parametrize(("quiet", "rooms"), [(REST - 1.0, 2), (REST, 1)])
def test_success_counts_until_the_rest_is_over(build: Build, quiet: float, rooms: int) -> None:
    fleet = Fleet(build)
    fleet.wave(GOOD)
    fleet.now += quiet
    assert room(fleet) == rooms


def test_after_the_rest_an_earlier_failure_counts_no_more_either(build: Build) -> None:
    fleet = Fleet(build, waves=Waves(first=2, rest=REST))
    fleet.wave(BAD)
    fleet.now += REST
    fleet.wave(GOOD, GOOD)
    assert room(fleet) == 4


def test_the_next_run_on_a_target_of_the_wave_takes_no_new_place(build: Build) -> None:
    fleet = Fleet(build, waves=Waves(first=2, rest=REST))
    fleet.end(fleet.begin("a.example"), BAD)
    assert fleet.ask("a.example").sentence == "a wave of 2 has taken this target on already"
    assert fleet.ask("a.example").answer is ALLOW
    fleet.end(fleet.begin("a.example"), GOOD)  # the next rung of its ladder helped: that is what counts
    assert room(fleet) == 1
    fleet.end(fleet.begin("b.example"), GOOD)
    assert room(fleet) == 4


def test_what_the_journal_told_later_does_not_change_which_wave_a_target_is_of(build: Build) -> None:
    """The second of a wave begins while the first is still under way; that the first fails then is not known yet."""
    fleet = Fleet(build, waves=Waves(first=2, rest=REST))
    first = fleet.begin("a.example")
    second = fleet.begin("b.example")
    fleet.end(first, BAD)
    assert fleet.ask("c.example").answer is DEFER
    fleet.end(second, GOOD)
    wave = wave_of(fleet.state.grants["bounces"], fleet.waves, build.moment(fleet.now))
    assert wave.targets == {"domain=a.example", "domain=b.example"}
    assert fleet.ask("c.example").sentence.startswith("the wave of 2 did not help domain=a.example, so 2 at once")


def test_a_limit_that_was_lowered_counts_for_those_that_are_under_way(build: Build) -> None:
    fleet = Fleet(build, waves=Waves(first=4, rest=REST))
    going = fleet.wave(OPEN, OPEN, GOOD)
    fleet.waves = Waves(first=1, rest=REST)
    assert fleet.ask("next.example").answer is DEFER
    for name in going[:2]:
        fleet.end(name, GOOD)
    assert room(fleet) >= 1
    assert stricter_brakes(Brakes(waves=Waves(first=4, growth=3, rest=60.0)), Brakes(max_targets=2)) == Brakes(
        waves=Waves(first=1, growth=2, rest=60.0), max_targets=2
    )


def test_runs_of_an_older_version_are_neither_a_success_nor_a_failure(build: Build) -> None:
    fleet = Fleet(build)
    old = Grant(
        rule="bounces",
        target="domain=a.example",
        run="inc-9.1",
        incident="inc-9",
        taken=build.moment(),
        ended=build.moment(1.0),
    )
    fleet.state = State(grants=State().grants.set("bounces", (old,)), seq=10)
    fleet.now = 2.0
    assert room(fleet) == 1


def test_a_wave_says_what_it_waits_for_and_until_when(build: Build) -> None:
    fleet = Fleet(build)
    (name,) = fleet.wave(OPEN)
    held = fleet.ask("next.example")
    assert (held.answer, held.until) == (DEFER, None)
    assert held.sentence == (
        "a wave of 1 is under way (domain=w0-0.example); more only once all of it were seen to be well; "
        "clears by 2026-11-24 10:56:40Z"
    )
    fleet.park(name)
    assert fleet.ask("next.example").sentence == (
        "a wave of 1 is under way (domain=w0-0.example); more only once all of it were seen to be well; "
        "inc-0.1 was not seen to help and waits for a person (remediator decide inc-0)"
    )
    fleet.state = msgspec.structs.replace(fleet.state, runs=State().runs)
    assert fleet.ask("next.example").sentence.endswith("clears when they end")
    fleet.wave(OPEN, OPEN, OPEN, OPEN)
    assert " and 2 more" in fleet.ask("next.example").sentence
    helped = Fleet(build)
    helped.wave(GOOD)
    assert helped.ask("next.example").sentence == "the wave of 1 was seen to help, so 2 at once from here on"


@pytest.mark.parametrize(("last_word", "rooms"), [(GOOD, 4), (RunStatus.CLOSED_BY_PERSON, 1), (BAD, 1)])
def test_a_run_that_waits_for_a_person_was_not_seen_to_help_and_its_wave_ends_with_the_decision(
    build: Build, last_word: RunStatus, rooms: int
) -> None:
    fleet = Fleet(build)
    fleet.wave(GOOD)
    parked, other = fleet.wave(OPEN, OPEN)
    fleet.park(parked)
    fleet.end(other, GOOD)
    for _ in range(3):
        fleet.now += 3 * REST
        assert room(fleet) == 0, "no time makes a doubt go away"
    fleet.end(parked, last_word)
    assert room(fleet) == rooms


def test_where_the_playbook_lets_others_act_a_doubt_counts_as_a_failure_and_holds_no_wave(build: Build) -> None:
    fleet = Fleet(build, on_unknown=OnUnknown.RELEASE)
    fleet.wave(GOOD)
    parked, other = fleet.wave(OPEN, OPEN)
    fleet.park(parked)
    assert room(fleet) == 0, "the rest of its wave has to end first"
    fleet.end(other, GOOD)
    for _ in range(3):
        assert room(fleet) == 1, "one after the other, however well those are afterwards"
        fleet.wave(GOOD)
    assert "did not help domain=w2-0.example, so 1 at once" in fleet.ask("next.example").sentence
    fleet.end(parked, GOOD)  # a person says that it was done, and then it is seen to help
    assert room(fleet) > 1


def test_a_broken_wave_ends_before_another_begins(build: Build) -> None:
    fleet = Fleet(build, waves=Waves(first=3, rest=REST))
    fleet.wave(BAD, OPEN)
    told = fleet.ask("next.example")
    assert told.answer is DEFER
    assert "the wave of 3 did not help domain=w0-0.example, and the rest of it has to end first; then 3 at once" in (
        told.sentence
    )


def test_a_person_chooses_targets_without_waves(build: Build) -> None:
    fleet = Fleet(build)
    fleet.wave(OPEN)
    incident = build.incident(by="ana", episodes=())
    facts = build.facts(fleet.state, fleet.facts("next.example").run, incident=incident)
    assert WavesGuard().check(facts).sentence == "ordered by ana"


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────────
ENDS = (*(GOOD,) * 9, BAD, RunStatus.UNVERIFIED, RunStatus.CANCELLED)
MOVES = st.lists(
    st.tuples(
        st.booleans(), st.integers(0, 40), st.sampled_from(ENDS), st.sampled_from([*[0.0] * 30, 1.0, REST / 2, REST])
    ),
    min_size=30,
    max_size=120,
)
FIRSTS = st.sampled_from([Waves(rest=REST), Waves(first=2, growth=3, rest=REST), Waves(first=1, growth=1, rest=REST)])


@settings(max_examples=120, phases=(Phase.generate, Phase.shrink))
@given(waves=FIRSTS, moves=MOVES)
@pytest.mark.heavy
def test_never_are_more_under_way_than_the_successes_before_allow(
    build: Build, waves: Waves, moves: Sequence[tuple[bool, int, RunStatus, float]]
) -> None:
    """With S successes since the last failure, waves of f, f·g, f·g² … fit at most f + (g - 1)·S targets at once."""
    fleet, going, successes, broken, quiet = Fleet(build, waves=waves), dict[str, str](), 0, False, 0.0
    spoiled: set[str] = set()  # a second run that helps would make up for the first; not here
    for begins, number, result, passes in moves:
        fleet.now += passes
        quiet = 0.0 if going else quiet + passes
        if quiet >= REST:
            successes, broken, spoiled = 0, False, set()
        target = f"d{number}.example"
        if begins and target not in {*going, *spoiled}:
            if fleet.ask(target).answer is not ALLOW:
                continue
            known = f"domain={target}" in _members(fleet)
            going[target] = fleet.begin(target)
            if not known:
                assert len(going) <= waves.first + (waves.growth - 1) * successes
                assert not broken or len(going) == 1
                broken = False
        elif going:
            over = sorted(going)[number % len(going)]
            fleet.end(going.pop(over), result)
            quiet = 0.0
            bad = result not in {GOOD, RunStatus.CANCELLED}
            successes, broken = (0, True) if bad else (successes + (result is GOOD), broken)
            spoiled |= {over} if bad else set()


def _members(fleet: Fleet) -> frozenset[str]:
    return wave_of(fleet.state.grants.get("bounces", ()), fleet.waves, fleet.build.moment(fleet.now)).targets


# ── the cap ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def paused(build: Build, name: str, *, rule: str = "bounces", due: float = 7200.0, step: int = 0) -> Undo:
    """A temporary effect that still stands on a target."""
    return Undo(
        run=f"inc-{name}.1",
        incident=f"inc-{name}",
        step=step,
        action="mail.pause",
        arguments={},
        key=f"inc-{name}.1/0",
        due_at=build.zero + due,
        rule=rule,
        target=f"domain={name}",
    )


def capped(build: Build, state: State, limit: int = 2, **plan: Any) -> Verdict:
    """What the cap says to a run on example.com."""
    limits = build.limits(brakes=Brakes(max_targets=limit))
    run = build.run(build.plan(**plan), id="inc-77.1")
    return MaxTargetsGuard().check(build.facts(state, run, limits=limits))


def standing(*undos: Undo) -> State:
    """A state in which these effects stand."""
    return State(undos=type(State().undos)({undo.id: undo for undo in undos}))


def test_a_temporary_effect_that_stands_takes_a_place_however_long_ago_it_was_made(build: Build) -> None:
    a, b, c = (paused(build, name, due=due) for name, due in (("a", 90_000.0), ("b", 120.0), ("c", 600.0)))
    assert capped(build, standing(a)).answer is ALLOW
    held = capped(build, standing(a, b))
    assert (held.answer, held.until) == (DEFER, None), (
        "it may be taken back before its time, so nobody sleeps until then"
    )
    assert held.sentence == (
        "2 at once: 2 others under treatment or a temporary effect; the next is free in 1m59s at the latest, "
        "clears by 2026-11-24 10:28:40Z"
    )
    assert capped(build, standing(a, b, c)).sentence.endswith("10:36:40Z")  # two of them have to go
    assert capped(build, standing(b, paused(build, "b", due=300.0, step=1), a)).sentence.endswith("10:31:40Z")
    overdue = capped(build, standing(a, paused(build, "b", due=-60.0)))
    assert (overdue.answer, overdue.sentence[-9:]) == (DEFER, "10:26:41Z")


@pytest.mark.parametrize(("says", "answer"), [(OnUnknown.HOLD, DEFER), (OnUnknown.RELEASE, ALLOW)])
def test_a_run_that_waits_for_a_person_takes_a_place_unless_its_playbook_lets_others_act(
    build: Build, says: OnUnknown, answer: Answer
) -> None:
    fleet = Fleet(build, on_unknown=says)
    for name in fleet.wave(OPEN, OPEN):
        assert capped(build, fleet.state, limit=1).answer is DEFER
        fleet.park(name)
    assert capped(build, fleet.state, limit=1).answer is answer


@pytest.mark.parametrize(("name", "rule"), [("example.com", "bounces"), ("b", "other")])
def test_what_does_not_widen_the_rule_takes_no_place(build: Build, name: str, rule: str) -> None:
    assert capped(build, standing(paused(build, "a"), paused(build, name, rule=rule))).answer is ALLOW


def test_a_run_under_way_takes_a_place_until_it_ends(build: Build) -> None:
    fleet = Fleet(build)
    first, _ = fleet.wave(OPEN, OPEN)
    fleet.begin("example.com")
    held = capped(build, fleet.state)
    assert (held.answer, held.until) == (DEFER, None)
    assert held.sentence.endswith("clears when their runs end")
    fleet.end(first, GOOD)
    assert capped(build, fleet.state).answer is ALLOW


def test_a_plan_that_names_more_places_than_may_be_is_denied(build: Build) -> None:
    steps = [build.planned_step(places=(f"node mta{number}",)) for number in range(3)]
    told = capped(build, State(), steps=tuple(steps))
    assert (told.answer, told.sentence) == (
        DENY,
        "the plan names 3 places (node mta0, node mta1, node mta2), and 2 may be",
    )
    assert ask_guards([MaxTargetsGuard()], build.facts()).answer is ALLOW


def test_places_are_counted_by_kind_and_looking_touches_none(build: Build) -> None:
    def step(place: str, effect: EffectClass = EffectClass.SAFE) -> PlannedStep:
        return build.planned_step(effect, places=(place,))

    assert most_places([]) == []
    steps = [step("node a"), step("container a"), step("container b"), step("node a"), step("node c", EffectClass.READ)]
    assert most_places(steps) == ["container a", "container b"]
