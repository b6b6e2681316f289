"""One entry as people read it: a word and a sentence, the same in log, console, messages and `log show`."""

from __future__ import annotations

from datetime import UTC, datetime

from remediator.core import entries as e
from remediator.core.durations import format_duration
from remediator.core.outcomes import Result


def clock_time(at: float) -> str:
    """A moment in UTC, to the second: `2026-11-24 04:31:00Z`; a number that is no date of ours as it is."""
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"second {at:g}"


def tell(fact: e.AnyFact) -> tuple[str, str]:
    """A word (`alert`, `decided`, `step 1`, `verified` …) and a sentence."""
    told = _tell_run(fact) or _tell_step(fact) or _tell_people(fact) or _tell_rest(fact)
    return told if told is not None else (e.kind_of(fact), "")


def _tell_run(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.IncidentOpened():
            where = ", ".join(f"{name}={value}" for name, value in sorted(fact.target.items()))
            by = f", by {fact.by}" if fact.by else ""
            return "opened", f"{fact.rule} on {where}{by}" + (f": {fact.summary}" if fact.summary else "")
        case e.RunPlanned():
            dry = " (dry-run: nothing will be touched)" if fact.dry else ""
            return "planned", f"{fact.plan.playbook}, plan {fact.digest}, {len(fact.plan.steps)} steps{dry}"
        case e.RunDecided():
            return "decided", _decided(fact)
        case e.RunStarted():
            return "started", f"until {clock_time(fact.deadline)} at the latest; holds {', '.join(fact.locks)}"
        case e.RunEnded():
            return "ended", f"{fact.result}: {fact.reason}"
        case e.RollbackStarted():
            return "rollback", fact.reason
        case e.RunParked():
            return "needs person", fact.reason
        case e.RunReminded():
            return "needs person", f"still, call {fact.number + 1}: {fact.reason}"
        case e.IncidentClosed():
            return "closed", f"{fact.result}: {fact.reason}"
        case _:
            return None


def _decided(fact: e.RunDecided) -> str:
    if fact.answer == "allow":
        return f"run: {len(fact.verdicts)} guards passed"
    word = {"ask": "ask a person", "defer": "not now", "deny": "no"}.get(fact.answer, fact.answer)
    strict = max(fact.verdicts, key=lambda verdict: verdict.answer, default=None)
    return f"{word}: {strict.guard}: {strict.sentence}" if strict is not None else word


def _tell_step(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.StepIntent():
            undo = f"; will be taken back {clock_time(fact.undo_at)}" if fact.undo_at is not None else ""
            again = f", attempt {fact.attempt}" if fact.attempt > 1 else ""
            ordered = f", ordered by {fact.by}" if fact.by else ""
            return f"step {fact.step + 1}", f"{fact.action}{again}{ordered}{undo}"
        case e.StepOutcome():
            would = "would: " if fact.simulated else ""
            took = f" ({fact.seconds:.1f}s)" if fact.seconds else ""
            how = ", told by the target's own record" if fact.reconciled else ""
            return f"step {fact.step + 1}", f"{would}{fact.outcome.result}{how}: {fact.outcome.sentence}{took}"
        case e.LateEvidence():
            return f"step {fact.step + 1}", f"late: {fact.outcome.result}: {fact.outcome.sentence}"
        case e.VerifyStarted():
            return "verify", f"only what is newer than {clock_time(fact.after)} counts"
        case e.VerifyLooked():
            return "verify", f"{fact.observation.look}: {fact.observation.sentence}"
        case e.VerifyConcluded():
            return "verified", f"{fact.verdict.replace('_', ' ')}: {fact.sentence}"
        case e.EffectLost():
            again = f"; {fact.again} makes it again" if fact.again else ""
            return "lost", f"step {fact.step + 1}, forgotten by {fact.place} with {fact.by_run}: {fact.reason}{again}"
        case e.UndoIntent():
            by = f" by {fact.by}" if fact.by else ""
            return "undo", f"step {fact.step + 1}, {fact.cause}{by}"
        case e.UndoConcluded():
            again = f"; again {clock_time(fact.next_at)}" if fact.next_at is not None else ""
            return "undo", f"step {fact.step + 1}: {fact.outcome.result}: {fact.outcome.sentence}{again}"
        case _:
            return None


def _tell_people(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.ApprovalRequested():
            return "approval", f"wanted for plan {fact.digest}, until {clock_time(fact.expires)}"
        case e.ApprovalGiven():
            return "approval", f"given by {fact.by}" + (f": {fact.reason}" if fact.reason else "")
        case e.ApprovalRefused():
            return "approval", f"refused by {fact.by}" + (f": {fact.reason}" if fact.reason else "")
        case e.ApprovalExpired():
            return "approval", "nobody answered in time"
        case e.PersonDecided():
            return "person", f"{fact.by} decided {fact.decision}: {fact.reason}"
        case e.Escalated():
            return "escalated", fact.reason
        case e.MessageIntent():
            instead = f", instead of {fact.instead_of}" if fact.instead_of else ""
            return "message", f"to {fact.receiver}: {fact.subject}{instead}"
        case e.MessageOutcome():
            over = "; given up" if fact.next_at is None and fact.outcome.result is not Result.OK else ""
            return "notified", f"{fact.receiver} {fact.outcome.result}: {fact.outcome.sentence}{over}"
        case _:
            return None


def _tell_rest(fact: e.AnyFact) -> tuple[str, str] | None:
    return _tell_intake(fact) or _tell_service(fact) or _tell_journal(fact)


def _tell_journal(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.LeaseTaken():
            gone = ", ".join(holder or "a process that has stopped" for holder in fact.holders)
            return "lease", f"{fact.epoch}: goes on with what was left by {gone}"
        case e.JournalOpened():
            return "journal", f"opened, store {fact.store_id}"
        case e.JournalPruned():
            kept = f", kept in {fact.archive}" if fact.archive else ""
            return "pruned", f"{fact.count} entries up to {fact.seq}{kept}; the chain goes on from {fact.mac[:16]}"
        case e.SafeModeEntered():
            return "safe mode", f"{fact.reason}; no effects until somebody releases it (remediator release)"
        case e.SafeModeReleased():
            when = "at once" if fact.at_once else "effects begin when the longest limiter window has passed"
            return "safe mode", f"released by {fact.by}, {when}: {fact.reason}"
        case e.ClockAnomaly():
            return "clock", f"{fact.reason}; what is limited is held for {length(fact.lasts)} (remediator release)"
        case e.ClockReleased():
            return "clock", f"released by {fact.by}: {fact.reason}"
        case _:
            return None


def _tell_intake(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.NotificationReceived():
            return "notification", f"{fact.alerts} alerts from {fact.peer or 'nowhere'}"
        case e.NotificationDisposed():
            return "alerts", _disposed(fact)
        case e.EpisodeLapsed():
            return "lapsed", fact.reason
        case e.StateSwept():
            return "forgot", f"what was over before {clock_time(fact.before)}"
        case e.ScheduleSet():
            return "schedule", f"{fact.rule} starts by {fact.cron} ({fact.time_zone}) from here on"
        case e.ScheduleDue():
            return "due", f"{fact.rule}, {clock_time(fact.due)}: {fact.disposition}: {fact.reason}"
        case _:
            return None


def _tell_service(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.ConfigLoaded():
            return "config", f"{len(fact.rules)} rules, digest {fact.digest}, mode {fact.mode}"
        case e.ConfigRefused():
            return "config", f"refused, the rules in force did not change: {'; '.join(fact.problems[:3])}"
        case e.ServiceStarted():
            return "service", f"started, version {fact.version}, mode {fact.mode}"
        case e.ServiceStopped():
            return "service", f"stopped: {fact.reason}"
        case e.CautionBegan():
            return "caution", f"{fact.scope}: {fact.reason}; few runs begin at first"
        case e.StormBegan():
            within = length(fact.window)
            return "storm", f"began: {fact.episodes} alerts within {within}, limit {fact.limit}; no new runs begin"
        case e.StormEnded():
            return "storm", f"ended: {fact.reason}"
        case _:
            return _tell_stops(fact)


def _tell_stops(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.PauseSet():
            end = f" until {clock_time(fact.until)}" if fact.until is not None else ""
            return "paused", f"{fact.scope} by {fact.by}{end}: {fact.reason}"
        case e.PauseCleared():
            return "resumed", f"{fact.scope} by {fact.by}"
        case e.Quarantined():
            return "quarantined", f"{fact.what}: {fact.reason}"
        case _:
            return _tell_brakes(fact)


def _tell_brakes(fact: e.AnyFact) -> tuple[str, str] | None:
    match fact:
        case e.RunRelapsed():
            return "relapsed", f"{fact.run} did not help after all: the alert came back after {length(fact.after)}"
        case e.RuleDemoted():
            where = f" on {fact.target}" if fact.target else ""
            sentence = f"{fact.rule}{where} to {fact.mode}: {fact.reason}; one run may try after {length(fact.pause)}"
            return "demoted", sentence
        case e.RuleRestored():
            where = f" on {fact.target}" if fact.target else ""
            who = f"by {fact.by}" if fact.by else f"by {fact.run}"
            return "restored", f"{fact.rule}{where} {who}: {fact.reason}"
        case _:
            return None


def _disposed(fact: e.NotificationDisposed) -> str:
    counts: dict[str, int] = {}
    for alert in fact.alerts:
        for disposal in alert.disposals:
            counts[disposal.disposition] = counts.get(disposal.disposition, 0) + 1
    words = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    cut = f"; the sender withheld {fact.truncated} more" if fact.truncated else ""
    return f"{words or 'no alerts'}{cut}"


def length(seconds: float) -> str:
    """A length of time in whole seconds."""
    return format_duration(float(max(0, round(seconds))))
