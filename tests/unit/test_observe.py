"""What the outside sees of a commit: one line an entry, counts without alert values, and no secret in any form."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.alerts import AlertStatus
from remediator.core.fold import fold
from remediator.core.outcomes import EffectClass, Outcome, Result, UndoOutcome, UndoResult, ok, unknown
from remediator.core.plans import Plan, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.state import Moment, State
from remediator.core.verdicts import allow, defer
from remediator.observe import Log, Observer, Redactor, level_of

START = 1_790_000_000.0
EVIL = 'evil"} 1\nremediator_forged 1'
RUN = "inc-7f3kq2m8.1"
NAME = "inc-7f3kq2m8"


def plan() -> Plan:
    """A plan of one step that leaves something behind."""
    step = PlannedStep(
        name="Pause",
        action="kumomta.suspend",
        arguments={"domain": EVIL},
        effect=EffectClass.SAFE,
        timeout=30.0,
        undo_after=7200.0,
    )
    return Plan(
        rule="high-bounce-rate",
        playbook="pause",
        rung=0,
        target={"domain": EVIL},
        params={},
        guards=PlannedGuards(
            cooldown=0.0, rate_limit=PlannedLimit(2, 60.0), blast_radius=PlannedLimit(3, 60.0), concurrency=1
        ),
        locks=("domain=x",),
        steps=(step,),
        limit=3600.0,
        give_up=86400.0,
    )


class Told:
    """An observer with its log, fed by the real fold."""

    def __init__(self, *, form: str = "json", level: str = "info", secrets: Sequence[str] = ()) -> None:
        self.out = io.StringIO()
        self.now = START
        self.state = State()
        self.observer = Observer(
            Redactor(secrets), form=form, level=level, stream=self.out, now=lambda: self.now, head=lambda: "9:00ff"
        )

    def commit(self, *facts: e.AnyFact, at: float = START) -> None:
        """One commit of these facts."""
        before, entries = self.state, []
        for fact in facts:
            entry = e.Entry(seq=self.state.seq + 1, id="x", at=at, mono=at - START, boot="b", replica="r", fact=fact)
            self.state = fold(self.state, entry)
            entries.append(entry)
        self.observer.on_commit(entries, before, self.state)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def metric(self, name: str, **labels: str) -> float | None:
        self.observer.render()
        return self.observer.metrics.registry.get_sample_value(f"remediator_{name}", labels)

    def acted(self) -> None:
        """An alert that fired 40 s ago leads to a run whose step worked."""
        labels = {"alertname": "KumoBounceRateHigh", "domain": EVIL}
        alert = e.AlertRead(
            identity="i1",
            status=AlertStatus.FIRING,
            starts_at=START - 40,
            labels=labels,
            disposals=(e.Disposal(disposition="planned", rule="high-bounce-rate", incident=NAME),),
        )
        self.commit(e.JournalOpened(store_id="s"), e.ServiceStarted(version="1", mode="auto"))
        self.commit(e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}"), peer="am"))
        self.commit(
            e.NotificationDisposed(notification=self.state.seq, alerts=(alert,)),
            e.IncidentOpened(
                incident=NAME, rule="high-bounce-rate", target={"domain": EVIL}, episode="i1.1", labels=labels
            ),
            e.RunPlanned(incident=NAME, run=RUN, plan=plan(), digest=plan().digest, dry=False, mode="auto"),
        )
        verdicts = (allow("mode", "auto"), allow("cooldown", "never ran"))
        self.commit(
            e.RunDecided(incident=NAME, run=RUN, answer="allow", verdicts=verdicts),
            e.RunStarted(
                incident=NAME,
                run=RUN,
                rule="high-bounce-rate",
                target="t",
                locks=("domain=x",),
                deadline=START + 3600,
                dry=False,
            ),
            e.StepIntent(
                incident=NAME,
                run=RUN,
                step=0,
                attempt=1,
                action="kumomta.suspend",
                key="k",
                issue_by=START + 60,
                timeout=30.0,
                undo_at=START + 7200,
            ),
        )
        self.commit(
            e.StepOutcome(incident=NAME, run=RUN, step=0, attempt=1, outcome=ok("suspended"), seconds=0.4), at=START + 1
        )
        self.commit(e.VerifyStarted(incident=NAME, run=RUN, after=START + 1), at=START + 1)

    def ended(self) -> None:
        """The verification saw it recover."""
        self.commit(
            e.VerifyConcluded(incident=NAME, run=RUN, verdict="recovered", sentence="0.04"),
            e.RunEnded(incident=NAME, run=RUN, result="succeeded", reason="seen to be good"),
            e.IncidentClosed(incident=NAME, result="recovered", reason="seen to be good"),
            at=START + 301,
        )


def test_every_entry_is_one_line_with_its_names() -> None:
    told = Told()
    told.acted()
    told.ended()
    lines = told.lines
    assert [line["entry"] for line in lines] == list(range(1, told.state.seq + 1))
    of_run = [line for line in lines if str(line["kind"]).startswith(("run.", "step.", "verify."))]
    assert {(line["incident"], line["run"], line["rule"]) for line in of_run} == {(NAME, RUN, "high-bounce-rate")}
    assert lines[0]["ts"] == "2026-09-21T14:13:20Z"
    assert list(lines[-1])[:7] == ["ts", "level", "kind", "incident", "rule", "sentence", "entry"]


def test_the_end_of_a_run_carries_the_head_as_an_anchor() -> None:
    told = Told()
    told.acted()
    told.ended()
    assert [line["kind"] for line in told.lines if line.get("head") == "9:00ff"] == ["run.ended"]
    told.observer.tell_head("12:abcd")
    assert told.lines[-1]["kind"] == "journal.head"
    assert told.lines[-1]["head"] == "12:abcd"


def test_runs_steps_and_the_way_from_alert_to_action_are_counted() -> None:
    told = Told()
    told.acted()
    assert told.metric("runs_in_progress", rule="high-bounce-rate") == 1
    assert told.metric("alert_to_action_seconds_sum") == 40
    assert told.metric("undos_pending") == 1
    told.ended()
    rule = {"rule": "high-bounce-rate"}
    assert told.metric("runs_total", **rule, result="succeeded") == 1
    assert told.metric("runs_in_progress", **rule) == 0
    assert told.metric("run_duration_seconds_sum", **rule) == 301
    assert told.metric("verification_duration_seconds_sum", **rule) == 300
    assert told.metric("steps_total", action="kumomta.suspend", result="ok") == 1
    assert told.metric("decisions_total", **rule, decision="allow") == 1
    assert told.metric("alerts_received_total", status="firing") == 1
    assert told.metric("alert_dispositions_total", **rule, disposition="planned") == 1
    assert told.metric("last_webhook_timestamp_seconds") == START
    assert told.metric("journal_head") == told.state.seq


def test_an_undo_that_is_late_shows_when_it_is_asked_for_not_when_something_happens() -> None:
    told = Told()
    told.acted()
    assert told.metric("undo_overdue") == 0
    told.now = START + 7261
    assert told.metric("undo_overdue") == 1


def test_a_run_that_is_held_back_counts_the_guards_that_held_it() -> None:
    told = Told()
    told.acted()
    verdicts = (allow("mode", "auto"), defer("rate-limit", "2 of 2"), defer("cooldown", "30m"))
    told.observer.on_commit(
        [entry(e.RunDecided(incident=NAME, run=RUN, answer="defer", verdicts=verdicts))], told.state, told.state
    )
    assert told.metric("guard_blocks_total", rule="high-bounce-rate", guard="rate-limit") == 1
    assert told.metric("guard_blocks_total", rule="high-bounce-rate", guard="cooldown") == 1
    assert told.metric("guard_blocks_total", rule="high-bounce-rate", guard="mode") is None
    assert told.lines[-1]["level"] == "warning"


def test_how_long_a_run_has_been_held_back_shows_when_it_is_asked_for() -> None:
    told = Told()
    told.commit(
        e.JournalOpened(store_id="s"),
        e.IncidentOpened(incident=NAME, rule="high-bounce-rate", target={}, episode="", labels={}, by="ana"),
        e.RunPlanned(incident=NAME, run=RUN, plan=plan(), digest="d", dry=False, mode="auto"),
    )
    told.now = START + 900
    assert told.metric("held_back_seconds", rule="high-bounce-rate") == 0
    held = e.RunDecided(incident=NAME, run=RUN, answer="defer", verdicts=(defer("cooldown", "30m"),))
    told.commit(held, at=START + 900)
    told.now = START + 1000
    assert told.metric("held_back_seconds", rule="high-bounce-rate") == 1000
    told.commit(e.RunDecided(incident=NAME, run=RUN, answer="allow", verdicts=()), at=START + 1000)
    assert told.metric("held_back_seconds", rule="high-bounce-rate") == 0


def entry(fact: e.AnyFact) -> e.Entry:
    """A fact with a place."""
    return e.Entry(seq=99, id="x", at=START, mono=0.0, boot="b", replica="r", fact=fact)


def test_a_run_that_began_and_ended_in_one_commit_keeps_its_rule() -> None:
    told = Told()
    told.commit(e.JournalOpened(store_id="s"))
    facts: list[e.AnyFact] = [
        e.IncidentOpened(incident=NAME, rule="high-bounce-rate", target={}, episode="", labels={}, by="ana"),
        e.RunPlanned(incident=NAME, run=RUN, plan=plan(), digest="d", dry=True, mode="dry-run"),
        e.StepOutcome(incident=NAME, run=RUN, step=0, attempt=1, outcome=ok("would"), simulated=True),
        e.RunEnded(incident=NAME, run=RUN, result="simulated", reason="dry-run"),
    ]
    told.observer.on_commit([entry(fact) for fact in facts], told.state, told.state)
    assert told.metric("runs_total", rule="high-bounce-rate", result="simulated") == 1
    assert told.metric("steps_total", action="kumomta.suspend", result="simulated") == 1
    assert {line["rule"] for line in told.lines[1:]} == {"high-bounce-rate"}


def test_no_value_of_an_alert_becomes_a_metric_or_a_label() -> None:
    told = Told()
    told.acted()
    told.ended()
    text = told.observer.render().decode()
    assert "evil" not in text
    assert "remediator_forged" not in text


def test_loaded_rules_and_actions_have_all_their_series_at_zero() -> None:
    told = Told()
    told.observer.set_rules(["a", "b"], ["command"])
    assert told.metric("runs_total", rule="b", result="failed") == 0
    assert told.metric("decisions_total", rule="a", decision="deny") == 0
    assert told.metric("steps_total", action="command", result="unknown") == 0
    assert told.metric("schedule_occurrences_total", rule="a", disposition="missed") == 0
    assert told.metric("effects_lost_total", again="no") == 0
    assert told.metric("webhook_requests_total", code="401") == 0
    assert told.metric("runs_in_progress", rule="a") == 0
    assert told.metric("run_duration_seconds_count", rule="a") == 0
    assert b"_created" not in told.observer.render()


def test_the_watchdog_is_seen_also_when_its_labels_are_not_repeated() -> None:
    told = Told()
    told.commit(e.JournalOpened(store_id="s"))
    for at, labels in ((START, {"alertname": "Watchdog"}), (START + 60, {})):
        told.commit(e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}")), at=at)
        alert = e.AlertRead(identity="w", status=AlertStatus.FIRING, starts_at=START, labels=labels)
        told.commit(e.NotificationDisposed(notification=told.state.seq, alerts=(alert,)), at=at)
    assert told.metric("watchdog_last_seen_timestamp_seconds") == START + 60


def test_alerts_that_the_sender_withheld_are_counted() -> None:
    told = Told()
    told.commit(e.JournalOpened(store_id="s"))
    for truncated in (0, 498, -7, 2):
        told.commit(e.NotificationReceived(alerts=0, body=msgspec.Raw(b"{}")))
        told.commit(e.NotificationDisposed(notification=told.state.seq, alerts=(), truncated=truncated))
    assert told.metric("alerts_withheld_total") == 500


def test_mode_and_rules_in_force_are_shown() -> None:
    told = Told()
    told.commit(
        e.JournalOpened(store_id="s"),
        e.ConfigLoaded(digest="0123456789abcdef", rules=("a",), mode="dry-run", longest_window=60.0),
    )
    assert told.metric("mode", mode="dry-run") == 1
    assert told.metric("mode", mode="auto") == 0
    assert told.metric("config_hash") == 0x0123456789AB
    assert told.metric("config_last_reload_successful") == 1
    told.commit(e.ConfigRefused(problems=("x",)))
    assert told.metric("config_last_reload_successful") == 0
    assert told.metric("config_last_reload_success_timestamp_seconds") == START


def test_pauses_and_webhook_answers_are_counted() -> None:
    told = Told()
    told.commit(e.JournalOpened(store_id="s"), e.PauseSet(scope="all", reason="r", by="ana"))
    told.observer.answered(503)
    told.observer.reloaded(ok=False)
    assert told.metric("paused") == 1
    assert told.metric("webhook_requests_total", code="503") == 1
    assert told.metric("config_last_reload_successful") == 0


def test_messages_that_do_not_get_through_are_counted_by_receiver() -> None:
    told = Told()
    lost = Outcome(result=Result.FAILED, sentence="refused")
    facts = [e.MessageOutcome(message="m", receiver="slack", outcome=one) for one in (ok("sent"), lost)]
    told.observer.on_commit([entry(fact) for fact in facts], told.state, told.state)
    assert told.metric("notifications_total", receiver="slack") == 2
    assert told.metric("notifications_failed_total", receiver="slack", reason="failed") == 1
    assert [line["level"] for line in told.lines] == ["info", "error"]


def test_followers_hear_every_commit_until_they_leave() -> None:
    told = Told()
    heard: list[int] = []
    leave = told.observer.follow(lambda entries: heard.extend(one.seq for one in entries))
    told.commit(e.JournalOpened(store_id="s"), e.ServiceStarted(version="1", mode="auto"))
    leave()
    told.commit(e.ServiceStopped(reason="SIGTERM"))
    assert heard == [1, 2]


def test_a_journal_of_the_past_is_shown_but_not_counted_again() -> None:
    told = Told()
    told.acted()
    fresh = Told()
    fresh.observer.begin(told.state)
    assert fresh.metric("runs_in_progress", rule="high-bounce-rate") == 1
    assert fresh.metric("alert_to_action_seconds_count") == 0
    assert fresh.lines == []


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (e.ServiceStarted(version="1", mode="auto"), "info"),
        (e.RunParked(incident=NAME, run=RUN, reason="r"), "error"),
        (e.RunReminded(incident=NAME, run=RUN, number=1, reason="r"), "error"),
        (e.Escalated(incident=NAME, reason="r"), "error"),
        (e.ConfigRefused(problems=("p",)), "error"),
        (e.Quarantined(what="w", reason="r"), "error"),
        (e.RunEnded(incident=NAME, run=RUN, result="failed", reason="r"), "error"),
        (e.RunEnded(incident=NAME, run=RUN, result="denied", reason="r"), "warning"),
        (e.RunEnded(incident=NAME, run=RUN, result="succeeded", reason="r"), "info"),
        (e.RunDecided(incident=NAME, run=RUN, answer="deny", verdicts=()), "warning"),
        (e.StepOutcome(incident=NAME, run=RUN, step=0, attempt=1, outcome=unknown("x")), "warning"),
        (e.VerifyConcluded(incident=NAME, run=RUN, verdict="unknown", sentence="s"), "warning"),
        (e.ApprovalRequested(incident=NAME, run=RUN, digest="d", expires=1.0), "warning"),
        (
            e.UndoConcluded(
                incident=NAME, run=RUN, step=0, attempt=1, outcome=UndoOutcome(result=UndoResult.FOREIGN, sentence="s")
            ),
            "warning",
        ),
        (
            e.UndoConcluded(
                incident=NAME, run=RUN, step=0, attempt=1, outcome=UndoOutcome(result=UndoResult.UNDONE, sentence="s")
            ),
            "info",
        ),
        (e.NotificationDisposed(notification=1, alerts=(), truncated=3), "warning"),
        (e.NotificationDisposed(notification=1, alerts=()), "info"),
    ],
)
def test_the_level_says_whether_a_person_must_look(fact: e.AnyFact, level: str) -> None:
    assert level_of(fact) == level


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_hostile_text_cannot_forge_a_line_or_colour_a_terminal(form: str) -> None:
    told = Told(form=form)
    told.commit(
        e.JournalOpened(store_id="s"),
        e.PauseSet(scope="all", by="ana", reason='x\nlevel=error sentence="forged"\r\x1b[31m\u202e\ud800'),
    )
    text = told.out.getvalue()
    assert len(text.splitlines()) == 2
    assert not {"\r", "\x1b", "\u202e", "\ud800"} & set(text)


def test_logfmt_puts_the_same_keys_first_in_every_line() -> None:
    told = Told(form="logfmt")
    told.acted()
    line = told.out.getvalue().splitlines()[-1]
    assert line == (
        f"ts=2026-09-21T14:13:21Z level=info kind=verify.started incident={NAME} run={RUN} rule=high-bounce-rate "
        'sentence="verify: only what is newer than 2026-09-21 14:13:21Z counts" entry=11'
    )


def test_a_higher_level_leaves_the_rest_out() -> None:
    told = Told(level="warning")
    told.commit(e.JournalOpened(store_id="s"), e.PauseSet(scope="all", by="ana", reason="r"))
    assert [line["kind"] for line in told.lines] == ["pause.set"]


def test_other_loggers_can_be_taken_over_with_their_traces() -> None:
    out = io.StringIO()
    Log(Redactor(["hunter2hunter2"]), form="json", stream=out).take_over("remediator-test-logger")
    logger = logging.getLogger("remediator-test-logger")
    try:
        raise RuntimeError("hunter2hunter2 does not work")
    except RuntimeError:
        logger.exception("it %s", "broke")
    (line,) = [json.loads(one) for one in out.getvalue().splitlines()]
    assert (line["level"], line["kind"], line["sentence"]) == ("error", "remediator-test-logger", "it broke")
    assert "RuntimeError: <secret> does not work" in line["trace"]


SECRET = 's3cr3t/+"ünd=geheim'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"users:{SECRET}:x".encode()).decode(),
        base64.urlsafe_b64encode(f"users1:{SECRET}".encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    masked = Redactor([SECRET, "another-one"]).text(f"before {form} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "<secret>" in masked
    assert form[4:-4] not in masked


def test_short_and_empty_secrets_do_not_mask_ordinary_words() -> None:
    assert Redactor(["", "a", "the"]).text("the alarm") == "the alarm"
    assert Redactor([]).text("the alarm") == "the alarm"


def test_a_secret_in_an_entry_does_not_reach_the_log() -> None:
    told = Told(secrets=["hunter2hunter2"])
    told.commit(e.JournalOpened(store_id="s"), e.PauseSet(scope="all", by="ana", reason="the token is hunter2hunter2"))
    assert "hunter2" not in told.out.getvalue()
    assert "the token is <secret>" in told.out.getvalue()


def test_occurrences_of_schedules_are_counted_and_one_that_was_missed_is_a_warning() -> None:
    told = Told()
    told.commit(
        e.ScheduleSet(rule="daily-check", cron="0 9 * * *", time_zone="UTC"),
        e.ScheduleDue(rule="daily-check", due=START + 1, disposition="planned", reason="plan x"),
        e.ScheduleDue(rule="daily-check", due=START + 2, disposition="missed", reason="3h late"),
    )
    assert [line["level"] for line in told.lines] == ["info", "info", "warning"]
    assert {line["rule"] for line in told.lines} == {"daily-check"}
    assert told.metric("schedule_occurrences_total", rule="daily-check", disposition="missed") == 1
    assert told.metric("schedule_last_due_timestamp_seconds", rule="daily-check") == START + 2


def test_a_late_loop_is_measured_and_told_when_it_begins_and_when_it_is_over() -> None:
    told = Told()
    for seconds in (0.5, 2.5, 4.0, 0.0, 0.0):
        told.observer.lagged(seconds)
        assert told.metric("loop_lag_seconds") == seconds
    assert [(line["level"], line["kind"]) for line in told.lines] == [("error", "loop.lag"), ("info", "loop.lag")]
    assert "2.5s behind its time" in str(told.lines[0])


def test_a_step_of_a_clock_is_an_error_line_and_counted_and_what_it_holds_is_shown_while_it_does() -> None:
    told = Told()
    step = e.ClockAnomaly(clock="wall", step=-3600.0, since=START, reason="stepped", lasts=100.0)
    told.commit(step)
    assert [(line["level"], line["kind"]) for line in told.lines] == [("error", "clock.anomaly")]
    assert told.metric("clock_steps_total") == 1
    shown = []
    for after in (0.0, 99.0, 100.0):
        told.observer.moment = partial(Moment, START + after, after, "b")
        shown.append(told.metric("clock_hold"))
    assert shown == [1, 1, 0]
