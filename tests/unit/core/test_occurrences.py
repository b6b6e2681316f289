"""What becomes of an occurrence: planned, missed, overlapping, suppressed, put aside; and each only once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.fold import fold
from remediator.core.occurrences import follow, next_due, refused, scheduled_rules
from remediator.core.planning import Planner
from remediator.core.rendering import parse_template
from remediator.core.rules import Mode, Rung
from remediator.core.schedules import Missed, parse_schedule
from remediator.core.state import Scheduled, State
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from remediator.core.rules import Rule
    from tests.unit.conftest import Build

NINE = datetime.fromisoformat("2026-11-24T09:00:00+00:00").timestamp()
DAY = 86_400.0


def scheduled(build: Build, missed: Missed = Missed.SKIP, **changes: object) -> Rule:
    """A rule for nine o'clock, on one domain."""
    values: dict[str, object] = {
        "match": (),
        "group_by": ("domain",),
        "schedule": parse_schedule("0 9 * * *", missed=missed),
        "targets": ({"domain": "example.com"},),
    }
    return build.rule("nightly", **values | changes)


def planner(build: Build, rule: Rule, mode: Mode = Mode.AUTO) -> Planner:
    return build.planner(rule, mode=mode)


def awaited(last: float = NINE - DAY, text: str = "0 9 * * * (UTC)") -> State:
    """A state in which occurrences after `last` count."""
    return State(schedules=State().schedules.set("nightly", Scheduled(text=text, last=last)))


def test_a_rule_that_was_not_known_begins_to_count_now_and_starts_nothing(build: Build) -> None:
    plans = planner(build, scheduled(build, Missed.RUN_ONCE))
    assert follow(plans, State(), "nightly", NINE + 1) == [
        e.ScheduleSet(rule="nightly", cron="0 9 * * *", time_zone="UTC")
    ]


def test_another_expression_begins_anew(build: Build) -> None:
    facts = follow(planner(build, scheduled(build)), awaited(text="0 8 * * * (UTC)"), "nightly", NINE + 1)
    assert [type(fact) for fact in facts] == [e.ScheduleSet]


def test_an_occurrence_opens_an_incident_with_a_plan_on_the_written_target(build: Build) -> None:
    opened, due, planned = follow(planner(build, scheduled(build)), awaited(), "nightly", NINE + 1)
    assert isinstance(opened, e.IncidentOpened)
    assert isinstance(planned, e.RunPlanned)
    assert (opened.target, opened.episode, opened.severity) == ({"domain": "example.com"}, "", "info")
    assert opened.summary == "due 2026-11-24 09:00:00Z by its schedule 0 9 * * * (UTC)"
    assert due == e.ScheduleDue(
        rule="nightly",
        due=NINE,
        disposition="planned",
        reason=f"plan {planned.digest}, mode auto",
        incident=opened.incident,
    )
    assert planned.plan.target == {"domain": "example.com"}


def test_the_same_occurrence_has_the_same_incident_for_everybody(build: Build) -> None:
    first, second = (follow(planner(build, scheduled(build)), awaited(), "nightly", NINE + late) for late in (1, 30))
    assert first[0] == second[0]


def test_nothing_is_due_before_its_time(build: Build) -> None:
    assert not follow(planner(build, scheduled(build)), awaited(), "nightly", NINE - 0.001)


@pytest.mark.parametrize(
    ("missed", "late", "disposition"),
    [
        (Missed.SKIP, 60.0, "planned"),
        (Missed.SKIP, 60.1, "missed"),
        (Missed.RUN_ONCE, 3600.0, "planned"),
        (Missed.RUN_ONCE, 3600.1, "missed"),
    ],
)
def test_what_is_late_is_made_up_for_only_by_its_policy(
    build: Build, missed: Missed, late: float, disposition: str
) -> None:
    facts = follow(planner(build, scheduled(build, missed)), awaited(), "nightly", NINE + late)
    (due,) = (fact for fact in facts if isinstance(fact, e.ScheduleDue))
    assert (due.due, due.disposition) == (NINE, disposition)
    assert ("late" in due.reason) == (late > 60.0)


def test_of_many_that_were_missed_only_the_latest_is_made_up_for(build: Build) -> None:
    plans = planner(build, scheduled(build, Missed.RUN_ONCE))
    facts = follow(plans, awaited(NINE - 5 * DAY), "nightly", NINE + 600)
    assert [fact.due for fact in facts if isinstance(fact, e.ScheduleDue)] == [NINE]


def test_a_clock_that_is_set_back_brings_nothing_again(build: Build) -> None:
    for back in (1.0, 3600.0, DAY - 1):
        assert not follow(planner(build, scheduled(build)), awaited(NINE), "nightly", NINE + 5 - back)


def test_a_clock_that_was_days_ahead_does_not_silence_a_schedule_for_days(build: Build) -> None:
    facts = follow(planner(build, scheduled(build)), awaited(NINE + 2 * DAY), "nightly", NINE)
    assert [type(fact) for fact in facts] == [e.ScheduleSet]


@pytest.mark.parametrize(("rule", "server"), [(Mode.OFF, Mode.AUTO), (Mode.AUTO, Mode.OFF)])
def test_a_rule_that_is_off_starts_nothing(build: Build, rule: Mode, server: Mode) -> None:
    (due,) = follow(planner(build, scheduled(build, mode=rule), server), awaited(), "nightly", NINE + 1)
    assert isinstance(due, e.ScheduleDue)
    assert due.disposition == "suppressed"


def test_on_a_dry_run_server_it_is_dry(build: Build) -> None:
    facts = follow(planner(build, scheduled(build), Mode.DRY_RUN), awaited(), "nightly", NINE + 1)
    assert isinstance(facts[2], e.RunPlanned)
    assert facts[2].dry


def test_an_occurrence_does_not_pile_up_on_the_one_before(build: Build) -> None:
    state = msgspec.structs.replace(
        awaited(), open_by_key=State().open_by_key.set(("nightly", "domain=example.com"), "inc-1")
    )
    (due,) = follow(planner(build, scheduled(build)), state, "nightly", NINE + 1)
    assert isinstance(due, e.ScheduleDue)
    assert (due.disposition, due.incident) == ("overlapping", "inc-1")


def test_what_cannot_be_planned_is_put_aside_with_its_reason(build: Build) -> None:
    rung = Rung(playbook=build.rung().playbook, arguments={"domain": parse_template("not a domain")})
    (due,) = follow(planner(build, scheduled(build, ladder=(rung,))), awaited(), "nightly", NINE + 1)
    assert isinstance(due, e.ScheduleDue)
    assert due.disposition == "quarantined"
    assert "domain" in due.reason


TWO = ({"domain": "example.com"}, {"domain": "example.org"})


def test_a_rule_for_several_targets_opens_an_incident_for_each_and_says_so_once(build: Build) -> None:
    facts = follow(planner(build, scheduled(build, targets=TWO)), awaited(), "nightly", NINE + 1)
    kinds = [e.IncidentOpened, e.IncidentOpened, e.ScheduleDue, e.RunPlanned, e.RunPlanned]
    assert [type(fact) for fact in facts] == kinds
    opened = [fact for fact in facts if isinstance(fact, e.IncidentOpened)]
    planned = [fact for fact in facts if isinstance(fact, e.RunPlanned)]
    assert [fact.target for fact in opened] == list(TWO)
    assert [fact.incident for fact in planned] == [fact.incident for fact in opened]
    assert opened[0].incident != opened[1].incident
    (due,) = (fact for fact in facts if isinstance(fact, e.ScheduleDue))
    assert (due.disposition, due.incident) == ("planned", opened[0].incident)
    assert due.reason == "; ".join(
        f"domain={fact.plan.target['domain']}: planned: plan {fact.digest}, mode auto" for fact in planned
    )


def test_a_target_that_is_still_at_work_holds_back_no_other(build: Build) -> None:
    state = msgspec.structs.replace(
        awaited(), open_by_key=State().open_by_key.set(("nightly", "domain=example.com"), "inc-1")
    )
    opened, due, planned = follow(planner(build, scheduled(build, targets=TWO)), state, "nightly", NINE + 1)
    assert isinstance(opened, e.IncidentOpened)
    assert isinstance(due, e.ScheduleDue)
    assert isinstance(planned, e.RunPlanned)
    assert opened.target == TWO[1]
    assert (due.disposition, due.incident) == ("planned", opened.incident)
    assert due.reason.startswith("domain=example.com: overlapping: inc-1 is still at work on domain=example.com; ")


def test_a_rule_for_each_node_of_none_starts_nothing(build: Build) -> None:
    (due,) = follow(planner(build, scheduled(build, targets=())), awaited(), "nightly", NINE + 1)
    assert isinstance(due, e.ScheduleDue)
    assert (due.disposition, due.reason) == ("suppressed", "it is for each node, and the settings name none")


def test_a_rule_without_a_schedule_is_never_due(build: Build) -> None:
    plans = planner(build, build.rule("nightly"))
    assert not follow(plans, awaited(), "nightly", NINE + 1)
    assert not follow(plans, awaited(), "gone", NINE + 1)
    assert next_due(plans.ruleset, NINE) is None
    assert scheduled_rules(plans.ruleset) == []


def test_the_next_of_all_schedules_is_known(build: Build) -> None:
    assert next_due(planner(build, scheduled(build)).ruleset, NINE) == NINE + DAY


def test_an_occurrence_that_cannot_be_recorded_is_put_aside() -> None:
    told = e.ScheduleDue(rule="nightly", due=NINE, disposition="planned", reason="plan", incident="inc-1")
    aside = refused(told, "x" * 400)
    assert (aside.due, aside.disposition, aside.incident, len(aside.reason)) == (NINE, "quarantined", "", 300)


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────────────────
def entry(state: State, fact: e.AnyFact, at: float = NINE) -> e.Entry:
    return e.Entry(seq=state.seq + 1, id="x", at=at, mono=1.0, boot="b", replica="r", fact=fact)


def test_occurrences_are_decided_once_and_in_order() -> None:
    state = State()
    begun = fold(state, entry(state, e.ScheduleSet(rule="nightly", cron="0 9 * * *", time_zone="UTC"), NINE - 1))
    due = e.ScheduleDue(rule="nightly", due=NINE, disposition="missed", reason="late")
    decided = fold(begun, entry(begun, due))
    assert decided.schedules["nightly"] == Scheduled(text="0 9 * * * (UTC)", last=NINE)
    for again in (NINE, NINE - DAY):
        with pytest.raises(IllegalEntry, match="was decided before"):
            fold(decided, entry(decided, msgspec.structs.replace(due, due=again)))
    with pytest.raises(IllegalEntry, match="not awaited"):
        fold(state, entry(state, due))


def test_a_rule_that_is_not_loaded_any_more_is_forgotten() -> None:
    def loaded(*rules: str) -> e.ConfigLoaded:
        return e.ConfigLoaded(digest="d", rules=rules, mode="auto", longest_window=DAY)

    state = awaited()
    assert "nightly" in fold(state, entry(state, loaded("nightly", "other"))).schedules
    assert "nightly" not in fold(state, entry(state, loaded("other"))).schedules
