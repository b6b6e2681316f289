"""What a fact entails: the end of the incident, the next rung, and people who are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.alerts import AlertStatus
from remediator.core.consequences import CALL_AGAIN, WITHHELD, Routing, consequences
from remediator.core.fleet import FleetLimits, StormLimits
from remediator.core.outcomes import EffectClass, Result
from remediator.core.rules import Limit, Mode, OnFailure
from remediator.core.state import RunStatus, State

if TYPE_CHECKING:
    from remediator.core.planning import Planner
    from tests.unit.conftest import Build

NAMES: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1"}
ROUTING = Routing(
    by_severity={"critical": ("pager", "mail"), "warning": ("mail",)},
    escalate=("pager", "boss"),
    base_url="https://r.example",
)


def entailed(
    build: Build, before: State, fact: e.AnyFact, planner: Planner | None = None, routing: Routing = ROUTING
) -> list[e.AnyFact]:
    """What else is appended with `fact`."""
    after = build.fold(before, fact)
    return consequences(before, after, fact, planner or build.planner(), routing)


def ended(result: RunStatus | str, reason: str = "because") -> e.RunEnded:
    return e.RunEnded(**NAMES, result=str(result), reason=reason)


def at_its_end(build: Build, verdict: str = "", *, dry: bool = False, resolved: bool = False, **plan: Any) -> State:
    """A run just before its last word."""
    state = build.fold(build.started(build.plan(**plan), dry=dry), e.VerifyStarted(**NAMES, after=0.0))
    if verdict:
        state = build.fold(state, e.VerifyConcluded(**NAMES, verdict=verdict, sentence="0.27"))
    if resolved:
        incident = msgspec.structs.replace(state.incidents["inc-1"], resolved_at=build.zero)
        state = msgspec.structs.replace(state, incidents=state.incidents.set("inc-1", incident))
    return state


# ── the end of a run ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("result", "verdict", "closing", "people"),
    [
        ("succeeded", "recovered", "recovered", False),
        ("unverified", "unknown", "unverified", True),
        ("failed", "not_recovered", "failed", True),
        ("failed", "", "failed", True),
        ("rolled_back", "not_recovered", "failed", True),
        ("denied", "", "denied", False),
        ("expired", "", "expired", True),
        ("cancelled", "", "cancelled", False),
        ("closed_by_person", "", "closed_by_person", False),
    ],
)
def test_the_last_word_of_a_run_closes_its_incident(
    build: Build, result: str, verdict: str, closing: str, people: bool
) -> None:
    facts = entailed(build, at_its_end(build, verdict), ended(result))
    closed = e.IncidentClosed(incident="inc-1", result=closing, reason="because")
    escalated = e.Escalated(**NAMES, reason=f"{result}: because")
    assert facts == ([escalated, closed] if people else [closed])


@pytest.mark.parametrize("result", [status.value for status in RunStatus if status.final and status != "succeeded"])
def test_a_dry_run_calls_nobody(build: Build, result: str) -> None:
    (closed,) = entailed(build, at_its_end(build, "not_recovered", dry=True, on_failure=()), ended(result))
    assert isinstance(closed, e.IncidentClosed)


def test_a_run_that_was_cancelled_because_its_alert_resolved_closes_as_resolved(build: Build) -> None:
    (closed,) = entailed(build, at_its_end(build, resolved=True), ended("cancelled"))
    assert closed == e.IncidentClosed(incident="inc-1", result="resolved", reason="because")


def test_without_a_verification_nobody_is_called_because_it_could_not_tell(build: Build) -> None:
    (closed,) = entailed(build, at_its_end(build, "unknown", verify=()), ended("unverified"))
    assert isinstance(closed, e.IncidentClosed)


def test_people_are_called_after_a_failure_only_if_the_playbook_says_so(build: Build) -> None:
    state = at_its_end(build, "not_recovered", on_failure=(OnFailure.ROLLBACK,))
    assert [e.kind_of(fact) for fact in entailed(build, state, ended("failed"))] == ["incident.closed"]


def test_the_end_of_a_run_without_an_incident_entails_nothing(build: Build) -> None:
    state = build.started()
    gone = msgspec.structs.replace(state, incidents=state.incidents.delete("inc-1"))
    assert entailed(build, gone, ended("failed")) == []


# ── the ladder ───────────────────────────────────────────────────────────────────────────────────────────────────────
def ladder(
    build: Build, *, mode: Mode = Mode.AUTO, rule: Mode = Mode.AUTO, domain: str = "{{ labels.domain }}"
) -> Planner:
    rungs = (build.rung("pause"), build.rung("drain", domain=domain))
    books = [build.playbook("pause"), build.playbook("drain")]
    return build.planner(build.rule(ladder=rungs, mode=rule), playbooks=books, mode=mode)


@pytest.mark.parametrize("result", ["failed", "rolled_back"])
def test_after_a_recovery_that_was_not_seen_the_next_rung_is_planned(build: Build, result: str) -> None:
    (planned,) = entailed(build, at_its_end(build, "not_recovered"), ended(result), ladder(build))
    assert isinstance(planned, e.RunPlanned)
    assert (planned.run, planned.plan.playbook, planned.plan.rung, planned.dry) == ("inc-1.2", "drain", 1, False)


@pytest.mark.parametrize("verdict", ["", "unknown"])
def test_without_having_seen_that_it_did_not_help_no_next_rung_is_tried(build: Build, verdict: str) -> None:
    facts = entailed(build, at_its_end(build, verdict), ended("failed"), ladder(build))
    assert [e.kind_of(fact) for fact in facts] == ["incident.escalated", "incident.closed"]


@pytest.mark.parametrize("result", ["unverified", "expired", "closed_by_person"])
def test_only_a_failure_leads_to_the_next_rung(build: Build, result: str) -> None:
    facts = entailed(build, at_its_end(build, "not_recovered"), ended(result), ladder(build))
    assert not any(isinstance(fact, e.RunPlanned) for fact in facts)


def test_the_last_rung_has_no_next_one(build: Build) -> None:
    facts = entailed(build, at_its_end(build, "not_recovered", rung=1), ended("failed"), ladder(build))
    assert [e.kind_of(fact) for fact in facts] == ["incident.escalated", "incident.closed"]


def test_an_alert_that_has_resolved_needs_no_next_rung(build: Build) -> None:
    facts = entailed(build, at_its_end(build, "not_recovered", resolved=True), ended("failed"), ladder(build))
    assert not any(isinstance(fact, e.RunPlanned) for fact in facts)


def test_a_rule_that_is_gone_has_no_next_rung(build: Build) -> None:
    planner = build.planner(build.rule("other"))
    facts = entailed(build, at_its_end(build, "not_recovered"), ended("failed"), planner)
    assert not any(isinstance(fact, e.RunPlanned) for fact in facts)


def test_a_rung_that_cannot_be_planned_calls_people(build: Build) -> None:
    planner = ladder(build, domain="{{ labels.tenant }}")
    facts = entailed(build, at_its_end(build, "not_recovered"), ended("failed"), planner)
    assert [e.kind_of(fact) for fact in facts] == ["incident.escalated", "incident.closed"]


@pytest.mark.parametrize(
    ("server", "rule", "mode"),
    [(Mode.AUTO, Mode.AUTO, "auto"), (Mode.APPROVE, Mode.AUTO, "approve"), (Mode.AUTO, Mode.DRY_RUN, "dry-run")],
)
def test_the_next_rung_runs_under_the_most_careful_mode(build: Build, server: Mode, rule: Mode, mode: str) -> None:
    planner = ladder(build, mode=server, rule=rule)
    (planned,) = entailed(build, at_its_end(build, "not_recovered"), ended("failed"), planner)
    assert isinstance(planned, e.RunPlanned)
    assert (planned.mode, planned.dry) == (mode, mode == "dry-run")


# ── approvals ────────────────────────────────────────────────────────────────────────────────────────────────────────
def asking(build: Build) -> State:
    state = build.fold(State(), *build.open())
    return build.fold(
        state, e.ApprovalRequested(**NAMES, digest=state.runs["inc-1.1"].digest, expires=build.zero + 60.0)
    )


@pytest.mark.parametrize(
    ("fact", "result", "reason"),
    [
        (e.ApprovalRefused(**NAMES, by="ben", reason="a campaign"), "denied", "refused by ben: a campaign"),
        (e.ApprovalRefused(**NAMES, by="ben"), "denied", "refused by ben"),
        (e.ApprovalExpired(**NAMES), "expired", "nobody approved in time"),
    ],
)
def test_a_no_is_the_last_word(build: Build, fact: e.AnyFact, result: str, reason: str) -> None:
    assert entailed(build, asking(build), fact) == [ended(result, reason)]


def test_those_who_can_say_yes_are_asked_once_each_with_the_plan(build: Build) -> None:
    plan = build.plan(build.planned_step(does="pause example.com"), build.planned_step(name="Report"))
    state = build.fold(State(), *build.open(plan))
    request = e.ApprovalRequested(**NAMES, digest=plan.digest, expires=build.zero + 60.0)
    messages = entailed(build, state, request)
    assert [one.receiver for one in messages if isinstance(one, e.MessageIntent)] == ["pager", "mail", "boss"]
    first = messages[0]
    assert isinstance(first, e.MessageIntent)
    assert first.subject == "[approval wanted] bounces on domain=example.com"
    assert first.text == (
        "inc-1: bounces on domain=example.com\nWhat happened: Bounces, critical\n"
        f"Waits for a yes to plan {plan.digest}:\n  1. pause example.com\n  2. Report\n"
        "remediator approve inc-1"
    )
    assert (first.link, first.call) == ("https://r.example/incidents/inc-1", "begin")
    assert len({one.message for one in messages if isinstance(one, e.MessageIntent)}) == 3


def test_a_request_without_an_incident_still_asks(build: Build) -> None:
    state = build.fold(State(), *build.open())
    gone = msgspec.structs.replace(state, incidents=state.incidents.delete("inc-1"))
    messages = entailed(build, gone, e.ApprovalRequested(**NAMES, digest="x", expires=0.0))
    assert [one.receiver for one in messages if isinstance(one, e.MessageIntent)] == ["mail", "pager", "boss"]


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_escalation_goes_to_those_who_are_called(build: Build) -> None:
    messages = entailed(build, build.started(), e.Escalated(**NAMES, reason="step 1 is in doubt"))
    assert [(one.receiver, one.subject) for one in messages if isinstance(one, e.MessageIntent)] == [
        ("pager", "[people are needed] bounces on domain=example.com"),
        ("boss", "[people are needed] bounces on domain=example.com"),
    ]
    unknown = entailed(build, State(), e.Escalated(incident="inc-9", reason="-"))
    assert [one.subject for one in unknown if isinstance(one, e.MessageIntent)] == ["[people are needed] inc-9"] * 2


@pytest.mark.parametrize(("result", "told"), [("recovered", 2), ("failed", 2), ("simulated", 0), ("resolved", 0)])
def test_the_last_word_on_an_incident_is_told_unless_nothing_was_done(build: Build, result: str, told: int) -> None:
    closed = e.IncidentClosed(incident="inc-1", result=result, reason="0.03 < 0.10")
    messages = entailed(build, build.started(), closed)
    assert len(messages) == told
    for one in messages:
        assert isinstance(one, e.MessageIntent)
        assert (one.subject, one.incident) == (f"[{result}] bounces on domain=example.com", "inc-1")


def test_a_run_that_only_looked_ends_as_a_report_of_all_that_it_saw(build: Build) -> None:
    look = build.planned_step(EffectClass.READ, name="Queues")
    plan = build.plan(look, build.planned_step(EffectClass.READ, name="Disk"), verify=())
    over = build.started(plan)
    facts = entailed(build, over, e.RunEnded(**NAMES, result="unverified", reason="Queues: 12 wait · Disk: 70 % free"))
    assert [(one.result, one.reason) for one in facts if isinstance(one, e.IncidentClosed)] == [
        ("reported", "Queues: 12 wait · Disk: 70 % free")
    ]
    message = entailed(build, over, facts[-1])[0]
    assert isinstance(message, e.MessageIntent)
    assert message.subject == "[reported] bounces on domain=example.com"
    assert "What was seen:\n  Queues: 12 wait\n  Disk: 70 % free" in message.text
    assert "Did it work" not in message.text


def test_the_last_word_says_what_will_still_be_taken_back(build: Build) -> None:
    plan = build.plan(build.planned_step(undo_after=60.0), build.planned_step(undo_after=90.0))
    state = build.fold(build.started(plan), build.intent(undo_at=60.0), build.outcome(), build.intent(1, undo_at=90.0))
    message = entailed(build, state, e.IncidentClosed(incident="inc-1", result="failed", reason="-"))[0]
    assert isinstance(message, e.MessageIntent)
    assert (
        "Will be taken back: mail.pause at 1970-01-01 00:01:00Z\nWill be taken back: mail.pause at 1970-01-01 00:01:30Z"
        in message.text
    )


def test_an_unknown_severity_is_told_as_a_warning_and_without_receivers_nobody_is(build: Build) -> None:
    assert ROUTING.receivers("critical") == ("pager", "mail")
    assert ROUTING.receivers("catastrophic") == ("mail",)
    assert Routing().receivers("critical") == ()
    closed = e.IncidentClosed(incident="inc-1", result="failed", reason="-")
    assert entailed(build, build.started(), closed, routing=Routing()) == []


def test_a_message_is_cut_to_size_and_without_an_address_has_no_link(build: Build) -> None:
    (message,) = entailed(
        build, build.started(), e.Escalated(incident="inc-1", reason="x" * 9000), routing=Routing(escalate=("mail",))
    )
    assert isinstance(message, e.MessageIntent)
    assert len(message.text) == 4000
    assert message.link == ""


@pytest.mark.parametrize("fact", [e.ServiceStopped(reason="-"), e.PauseSet(scope="all", reason="-", by="ana")])
def test_most_facts_entail_nothing(build: Build, fact: e.AnyFact) -> None:
    assert entailed(build, State(), fact) == []


def test_another_call_for_a_parked_run_goes_to_those_who_are_called_when_people_are_needed(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(Result.UNKNOWN))
    state = build.fold(state, e.RunParked(**NAMES, reason="in doubt"))
    messages = entailed(build, state, e.RunReminded(**NAMES, number=1, reason="waits since noon"))
    assert [message.receiver for message in messages if isinstance(message, e.MessageIntent)] == ["pager", "boss"]
    assert all(
        isinstance(one, e.MessageIntent) and one.subject.startswith("[still needs a person]") for one in messages
    )


# ── the brakes over all rules ────────────────────────────────────────────────────────────────────────────────────────
FLEET = FleetLimits(storm=StormLimits(episodes=Limit(2, 60.0), ends_below=2))


def many(build: Build, *names: str) -> e.NotificationDisposed:
    """A notification with a new firing for each of these."""
    read = [
        e.AlertRead(
            identity=name,
            status=AlertStatus.FIRING,
            starts_at=build.zero,
            labels={"a": name},
            disposals=(e.Disposal(disposition="planned"),),
        )
        for name in names
    ]
    return e.NotificationDisposed(notification=1, alerts=tuple(read))


def stormy(build: Build, before: State, *names: str, fleet: FleetLimits = FLEET) -> list[e.AnyFact]:
    """What is appended with a notification about these."""
    fact = many(build, *names)
    received = e.NotificationReceived(alerts=len(names), body=msgspec.Raw(b"{}"))
    before = build.fold(before, received)
    fact = msgspec.structs.replace(fact, notification=before.seq)
    return consequences(before, build.fold(before, fact), fact, build.planner(), ROUTING, fleet)


def test_a_storm_begins_with_one_more_than_the_limit(build: Build) -> None:
    assert stormy(build, State(), "a", "b") == []
    assert stormy(build, State(), "a", "b", "c") == [e.StormBegan(episodes=3, limit=2, window=60.0)]
    assert stormy(build, State(), "a", "b", "c", fleet=FleetLimits()) == []
    on = build.fold(State(), e.StormBegan(episodes=3, limit=2, window=60.0))
    assert stormy(build, on, "a", "b", "c") == []
    over = build.fold(on, e.StormEnded(episodes=0, reason="-"))
    assert stormy(build, over, "a", "b", "c") == [e.StormBegan(episodes=3, limit=2, window=60.0)]


def cut(build: Build, truncated: int, *, called: float | None = None, mode: Mode = Mode.AUTO) -> list[e.AnyFact]:
    """What is appended with a notification that was cut; people were called for one `called` seconds ago."""
    before = State()
    if called is not None:
        about = e.Escalated(incident="", reason="-", about=WITHHELD)
        before = build.fold(before, about, after=-called)
    before = build.fold(before, e.NotificationReceived(alerts=0, body=msgspec.Raw(b"{}")))
    fact = e.NotificationDisposed(notification=before.seq, alerts=(), truncated=truncated)
    return consequences(before, build.fold(before, fact), fact, build.planner(mode=mode), ROUTING, FLEET)


def test_of_alerts_that_were_withheld_people_hear_once_in_a_while(build: Build) -> None:
    (told,) = cut(build, 498)
    assert isinstance(told, e.Escalated)
    assert (told.about, told.incident) == (WITHHELD, "")
    assert told.reason.startswith("Alertmanager withheld 498 alerts of a notification, and nothing is done about those")
    assert cut(build, 0) == []
    assert cut(build, 1, called=CALL_AGAIN - 1.0) == []
    assert len(cut(build, 1, called=CALL_AGAIN)) == 1
    assert cut(build, 1, mode=Mode.DRY_RUN) == []


@pytest.mark.parametrize(
    ("server", "rule", "called"),
    [(Mode.AUTO, Mode.AUTO, True), (Mode.APPROVE, Mode.AUTO, True), (Mode.DRY_RUN, Mode.AUTO, False),
     (Mode.AUTO, Mode.DRY_RUN, False)],
)  # fmt: skip
def test_people_are_called_once_for_a_storm_where_something_would_be_done(
    build: Build, server: Mode, rule: Mode, called: bool
) -> None:
    planner = build.planner(build.rule(mode=rule), mode=server)
    facts = entailed(build, State(), e.StormBegan(episodes=51, limit=50, window=60.0), planner)
    assert [fact.about for fact in facts if isinstance(fact, e.Escalated)] == ["storm"] * called
    assert len(facts) == called


def test_a_storm_is_told_as_one_of_all_rules(build: Build) -> None:
    told = entailed(build, State(), e.Escalated(incident="", reason="look for one cause", about="storm"))
    assert [(one.receiver, one.subject) for one in told if isinstance(one, e.MessageIntent)] == [
        ("pager", "[people are needed] all rules"),
        ("boss", "[people are needed] all rules"),
    ]
    assert isinstance(told[0], e.MessageIntent)
    assert (told[0].text, told[0].link) == ("all rules\nlook for one cause", "https://r.example/")


@pytest.mark.parametrize(("silence", "careful"), [(3599.0, False), (3600.0, True)])
def test_care_is_due_after_an_outage(build: Build, silence: float, careful: bool) -> None:
    started = e.ServiceStarted(version="1", mode="auto")
    before = build.fold(State(), started)
    after = build.fold(before, started, moment=build.moment(silence, boot="boot-2"))
    facts = consequences(before, after, started, build.planner(), ROUTING)
    expected = [e.CautionBegan(scope="all", reason="nothing was written for 1h before this start", outage=3600.0)]
    assert facts == (expected if careful else [])
    assert consequences(State(), after, started, build.planner(), ROUTING) == []  # the fold sees to the first start


@pytest.mark.parametrize(("lasted", "careful"), [(3599.0, False), (3600.0, True)])
def test_care_is_due_after_a_long_pause(build: Build, lasted: float, careful: bool) -> None:
    before = build.fold(State(), e.PauseSet(scope="rule:bounces", reason="-", by="ana"))
    cleared = e.PauseCleared(scope="rule:bounces", by="ana")
    after = build.fold(before, cleared, after=lasted)
    facts = consequences(before, after, cleared, build.planner(), ROUTING)
    assert facts == ([e.CautionBegan(scope="rule:bounces", reason="a pause of 1h has ended")] if careful else [])
    assert consequences(State(), after, cleared, build.planner(), ROUTING) == []
