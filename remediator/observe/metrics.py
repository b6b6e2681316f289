"""The metrics, and what each kind of entry adds to them. No label ever carries a value of an alert."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from remediator import __version__
from remediator.core import entries as e
from remediator.core.outcomes import Result
from remediator.core.rules import Mode
from remediator.core.verdicts import Answer
from remediator.observe.seen import Seen

WATCHDOG = "Watchdog"
_ACTION_SECONDS = (0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_RUN_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


class Metrics:
    """The metrics, in a registry of their own. Names and labels do not change within 1.x."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.described: list[tuple[str, str, tuple[str, ...], str]] = []  # name, kind, labels, meaning; for the docs
        ProcessCollector(registry=self.registry)
        count, gauge, spread = self._count, self._gauge, self._spread
        gauge("build_info", "The running version", "version").labels(__version__).set(1)
        self.mode = gauge("mode", "1 for the mode in force", "mode")
        self.paused = gauge("paused", "Pauses in force; 0 is not paused")
        self.reload_ok = gauge("config_last_reload_successful", "Whether the last load of the rules was taken")
        self.reload_at = gauge("config_last_reload_success_timestamp_seconds", "When rules were last taken")
        self.config_hash = gauge("config_hash", "The first 48 bits of the digest of the rules in force")
        self.requests = count("webhook_requests", "Webhook requests by answer", "code")
        self.alerts = count("alerts_received", "Alerts decided on, by what the sender says of them", "status")
        self.dispositions = count("alert_dispositions", "What became of alerts", "rule", "disposition")
        self.withheld = count("alerts_withheld", "Alerts that the sender says exist, and did not give us")
        self.last_webhook = gauge("last_webhook_timestamp_seconds", "When the last notification was taken")
        self.watchdog = gauge("watchdog_last_seen_timestamp_seconds", "When the Watchdog alert last came through")
        self.decisions = count("decisions", "Decisions of the guards together", "rule", "decision")
        self.blocks = count("guard_blocks", "Verdicts that held a run back", "rule", "guard")
        self.runs = count("runs", "Runs that ended", "rule", "result")
        self.in_progress = gauge("runs_in_progress", "Runs that have not ended", "rule")
        self.needs_person = gauge("needs_person", "Runs that wait for a person's decision")
        self.approvals = gauge("approvals_pending", "Plans that wait for a yes")
        self.run_seconds = spread(
            "run_duration_seconds", "From the first effect to the last word", _RUN_SECONDS, "rule"
        )
        self.steps = count("steps", "Attempts of steps", "action", "result")
        self.step_seconds = spread("step_duration_seconds", "How long attempts took", _ACTION_SECONDS, "action")
        self.verify_seconds = spread("verification_duration_seconds", "How long verifying took", _RUN_SECONDS, "rule")
        self.undos = gauge("undos_pending", "Effects that will be taken back")
        self.overdue = gauge("undo_overdue", "Effects that should have been taken back by now")
        self._messages()
        self._brakes()
        self._disk()
        self.queries = count("prometheus_queries", "Questions to Prometheus by what came of them", "result")
        self.append_errors = count("journal_append_errors", "Appends that the store did not take")
        self.pending = gauge("notifications_pending", "Notifications that nothing has been decided about")
        self.head = gauge("journal_head", "The sequence number of the last entry")
        self.action_seconds = spread("alert_to_action_seconds", "From firing to the first effect", _ACTION_SECONDS)

    def _messages(self) -> None:
        count = self._count
        self.messages = count("notifications", "Messages to people that were tried", "receiver")
        self.messages_failed = count("notifications_failed", "Messages that did not get there", "receiver", "reason")
        self.messages_given_up = count("notifications_given_up", "Messages that a receiver never took", "receiver")
        self.messages_waiting = self._gauge(
            "notifications_waiting", "Messages that are still to be delivered", "receiver"
        )

    def _brakes(self) -> None:
        self.safe_mode = self._gauge("safe_mode", "1 while safe mode stands: history was lost and nothing begins")
        self.clock_steps = self._count("clock_steps", "How often a clock was found stepped by more than 2 s")
        self.clock_hold = self._gauge("clock_hold", "1 while what is limited is held because a clock was stepped")
        self.lag = self._gauge("loop_lag_seconds", "How late the event loop was at the last look")
        self.held_back = self._gauge(
            "held_back_seconds", "How long the oldest run that guards hold back has waited", "rule"
        )
        self.storm = self._gauge("storm", "1 while a storm of alerts is on and no new runs begin")
        self.storms = self._count("storms", "Storms of alerts that began")
        self.relapses = self._count("relapses", "Runs that helped until their alert came back", "rule")
        self.demotions = self._count("rule_demotions", "Times the breaker demoted a rule", "rule", "mode")
        self.demoted = self._gauge(
            "rule_demoted", "Targets on which a rule is demoted; the whole rule is one more", "rule"
        )
        self.lost = self._count("effects_lost", "Temporary effects that a step made a place forget", "again")
        self.occurrences = self._count(
            "schedule_occurrences", "Occurrences of schedules by what became of them", "rule", "disposition"
        )
        self.last_due = self._gauge(
            "schedule_last_due_timestamp_seconds", "The last occurrence that was decided on", "rule"
        )

    def _disk(self) -> None:
        self.disk_free = self._gauge("disk_free_bytes", "What the file system of the journal has left")
        self.disk_low = self._gauge("disk_low", "1 while so little is left that nothing new begins")
        self.lines_lost = self._count("log_lines_lost", "Lines that the log's stream did not take")
        self.anchor_errors = self._count("anchor_errors", "Heads of the journal that the anchor file did not take")

    def _count(self, name: str, text: str, *labels: str) -> Counter:
        self.described.append((f"remediator_{name}_total", "counter", labels, text))
        return Counter(f"remediator_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.described.append((f"remediator_{name}", "gauge", labels, text))
        return Gauge(f"remediator_{name}", text, labels, registry=self.registry)

    def _spread(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self.described.append((f"remediator_{name}", "histogram", labels, text))
        return Histogram(f"remediator_{name}", text, labels, buckets=buckets, registry=self.registry)


def touch(metric: Counter, first: str, seconds: Iterable[str]) -> None:
    for second in seconds:
        metric.labels(first, second)


def count(m: Metrics, entry: e.Entry, seen: Seen) -> None:
    """Counts what an entry says."""
    fact = entry.fact
    match fact:
        case e.NotificationReceived():
            m.last_webhook.set(entry.at)
        case e.NotificationDisposed():
            _count_alerts(m, entry.at, fact, seen)
        case e.StepIntent() | e.StepOutcome():
            _count_step(m, entry.at, fact, seen)
        case e.RunDecided() | e.RunEnded() | e.VerifyConcluded():
            _count_run(m, entry.at, fact, seen)
        case e.StormBegan() | e.RunRelapsed() | e.RuleDemoted() | e.EffectLost() | e.ClockAnomaly():
            _count_brakes(m, fact)
        case e.MessageOutcome():
            _count_message(m, fact)
        case e.ScheduleDue():
            m.occurrences.labels(fact.rule, fact.disposition).inc()
            m.last_due.labels(fact.rule).set(fact.due)
        case e.ServiceStarted() | e.ConfigLoaded() | e.ConfigRefused():
            _count_config(m, entry.at, fact)
        case _:
            return


def _count_message(m: Metrics, fact: e.MessageOutcome) -> None:
    m.messages.labels(fact.receiver).inc()
    if fact.outcome.result is not Result.OK:
        m.messages_failed.labels(fact.receiver, fact.outcome.result.value).inc()
        if fact.next_at is None:
            m.messages_given_up.labels(fact.receiver).inc()


def _count_brakes(
    m: Metrics, fact: e.StormBegan | e.RunRelapsed | e.RuleDemoted | e.EffectLost | e.ClockAnomaly
) -> None:
    match fact:
        case e.ClockAnomaly():
            m.clock_steps.inc()
        case e.StormBegan():
            m.storms.inc()
        case e.RunRelapsed():
            m.relapses.labels(fact.rule).inc()
        case e.RuleDemoted():
            m.demotions.labels(fact.rule, fact.mode).inc()
        case e.EffectLost():
            m.lost.labels("yes" if fact.again else "no").inc()


def _count_alerts(m: Metrics, at: float, fact: e.NotificationDisposed, seen: Seen) -> None:
    m.withheld.inc(max(0, fact.truncated))  # journals of before have what senders wrote
    for alert in fact.alerts:
        m.alerts.labels(alert.status.value).inc()
        for disposal in alert.disposals:
            m.dispositions.labels(disposal.rule, disposal.disposition).inc()
        episode = seen.after.episodes.get(alert.identity)
        labels = alert.labels or (episode.labels if episode is not None else {})
        if labels.get("alertname") == WATCHDOG and alert.status.value == "firing":
            m.watchdog.set(at)


def _count_step(m: Metrics, at: float, fact: e.StepIntent | e.StepOutcome, seen: Seen) -> None:
    plan = seen.plan(fact.run)
    if isinstance(fact, e.StepOutcome):
        action = plan.steps[fact.step].action if plan is not None and fact.step < len(plan.steps) else ""
        m.steps.labels(action, "simulated" if fact.simulated else fact.outcome.result.value).inc()
        if not fact.simulated and not fact.reconciled:
            m.step_seconds.labels(action).observe(fact.seconds)
        return
    fired_at = seen.fired_at(fact.incident)
    is_first = fact.step == 0 and fact.attempt == 1 and (plan is None or plan.rung == 0)
    if is_first and not fact.dry and fired_at is not None:
        m.action_seconds.observe(max(0.0, at - fired_at))


def _count_run(m: Metrics, at: float, fact: e.RunDecided | e.RunEnded | e.VerifyConcluded, seen: Seen) -> None:
    rule = seen.rule(fact)
    match fact:
        case e.RunDecided():
            m.decisions.labels(rule, fact.answer).inc()
            for verdict in fact.verdicts:
                if verdict.answer >= Answer.DEFER:
                    m.blocks.labels(rule, verdict.guard).inc()
        case e.RunEnded():
            m.runs.labels(rule, fact.result).inc()
            started = seen.started(fact.run)
            if started is not None:
                m.run_seconds.labels(rule).observe(max(0.0, at - started))
        case e.VerifyConcluded():
            run = seen.run(fact.run)
            if run is not None and run.verify_after is not None and not fact.simulated:
                m.verify_seconds.labels(rule).observe(max(0.0, at - run.verify_after))


def _count_config(m: Metrics, at: float, fact: e.ServiceStarted | e.ConfigLoaded | e.ConfigRefused) -> None:
    if isinstance(fact, e.ConfigRefused):
        m.reload_ok.set(0)
        return
    for mode in Mode:
        m.mode.labels(mode.word).set(1 if mode.word == fact.mode else 0)
    if isinstance(fact, e.ConfigLoaded):
        m.reload_ok.set(1)
        m.reload_at.set(at)
        m.config_hash.set(int(fact.digest[:12], 16) if re.fullmatch("[0-9a-f]{12,}", fact.digest) else 0)
