"""How one entry changes the state: `fold(state, entry) -> state`. Total, pure, and the only place where state changes.

An entry that the state does not admit raises IllegalEntry and changes nothing; it means a bug of ours or a second writer,
and the service stops acting rather than going on wrong. What may follow what is the run machine's business (`runs.py`
says what comes next); this module checks only what would corrupt the record: two outcomes for one attempt, an effect
without a run, a second ending.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from remediator.core import entries as e
from remediator.core import leases
from remediator.core.clocks import moment_of, pulses_after
from remediator.core.fold_holds import clock_released, clock_stepped, safe_mode_entered, safe_mode_released, woken
from remediator.core.fold_runs import fold_run
from remediator.core.fold_schedules import schedule_due, schedule_set, without_unloaded
from remediator.core.forgetting import next_number, swept
from remediator.core.state import (
    Caution,
    Episode,
    EpisodeStatus,
    Incident,
    Matches,
    Moment,
    Outgoing,
    Pause,
    Pending,
    State,
    Storm,
    Tally,
)
from remediator.errors import IllegalEntry

replace = msgspec.structs.replace
F = TypeVar("F", bound=e.Fact)


def fold(state: State, entry: e.Entry) -> State:
    """The state after `entry`; IllegalEntry if `state` does not admit it."""
    if entry.seq != state.seq + 1:
        raise IllegalEntry(f"entry {entry.seq} cannot follow entry {state.seq}")
    folder = _FOLDERS.get(type(entry.fact))
    moment = moment_of(state, entry)
    after = folder(state, entry.fact, entry) if folder else fold_run(state, entry.fact, moment)
    silence = state.silence
    if state.last is not None and state.last.boot != entry.boot:
        silence = max(0.0, entry.at - state.last.at)
    return replace(after, seq=entry.seq, last=moment, silence=silence, pulses=pulses_after(state, moment))


def _opened(state: State, fact: e.JournalOpened, _entry: e.Entry) -> State:
    return replace(state, store_id=fact.store_id)


def _unchanged(state: State, _fact: e.Fact, _entry: e.Entry) -> State:
    return state


def _stopped(state: State, _fact: e.ServiceStopped, entry: e.Entry) -> State:
    return leases.left(state, entry.boot)


def _lease_taken(state: State, fact: e.LeaseTaken, entry: e.Entry) -> State:
    return leases.taken(state, fact, entry.boot)


def _config(state: State, fact: e.ConfigLoaded, _entry: e.Entry) -> State:
    longest = max(fact.longest_window, state.longest_window)
    state = without_unloaded(state, fact.rules)
    return replace(state, rules_digest=fact.digest, longest_window=longest)


def _service_started(state: State, fact: e.ServiceStarted, entry: e.Entry) -> State:
    """Care is due on a first start: what fires then has fired for who knows how long."""
    if fact.marked and not state.marked:
        state = replace(state, marked=True)
    if state.served:
        return state
    caution = Caution(since=moment_of(state, entry), reason="the first start on this journal")
    return replace(state, served=True, cautions=state.cautions.set("all", caution))


def _caution(state: State, fact: e.CautionBegan, entry: e.Entry) -> State:
    caution = Caution(since=moment_of(state, entry), reason=fact.reason)
    deaf_until = max(state.deaf_until, entry.at) if fact.outage else state.deaf_until
    return replace(state, cautions=state.cautions.set(fact.scope, caution), deaf_until=deaf_until)


def _storm_began(state: State, _fact: e.StormBegan, entry: e.Entry) -> State:
    return replace(state, storm=Storm(began=moment_of(state, entry)))


def _storm_ended(state: State, _fact: e.StormEnded, entry: e.Entry) -> State:
    if state.storm is None:
        return state
    return replace(state, storm=replace(state.storm, ended=moment_of(state, entry)))


def _received(state: State, fact: e.NotificationReceived, entry: e.Entry) -> State:
    tally = state.tally
    return replace(
        state,
        tally=Tally(
            received=tally.received + fact.alerts, disposed=tally.disposed, notifications=tally.notifications + 1
        ),
        pending=state.pending.set(entry.seq, Pending(seq=entry.seq, at=entry.at, fact=fact, holder=entry.boot)),
    )


def _disposed(state: State, fact: e.NotificationDisposed, entry: e.Entry) -> State:
    pending = state.pending.get(fact.notification)
    if pending is None:
        raise IllegalEntry(f"notification {fact.notification} was disposed of twice, or never received")
    if pending.fact.alerts != len(fact.alerts):
        raise IllegalEntry(
            f"notification {fact.notification} has {pending.fact.alerts} alerts, {len(fact.alerts)} got a disposition"
        )
    tally = replace(state.tally, disposed=state.tally.disposed + len(fact.alerts))
    state = replace(state, pending=state.pending.delete(fact.notification), tally=tally)
    for alert in fact.alerts:
        state = _alert_read(state, alert, pending.at)
    return _matched(state, fact, moment_of(state, entry))


_MATCHED = frozenset({"planned", "joined"})
# Of so many notifications the firings are remembered one by one; of earlier ones they count as of the oldest of these.
REMEMBERED = 256


def _matched(state: State, fact: e.NotificationDisposed, moment: Moment) -> State:
    """Remembers how many alerts began to fire that rules match: what a storm is made of."""
    episodes = sum(any(one.disposition in _MATCHED for one in alert.disposals) for alert in fact.alerts)
    if not episodes:
        return state
    matched = (*state.matched, Matches(at=moment, episodes=episodes))
    if len(matched) > REMEMBERED:
        merged = replace(matched[1], episodes=matched[0].episodes + matched[1].episodes)
        matched = (merged, *matched[2:])
    return replace(state, matched=matched)


def _alert_read(state: State, alert: e.AlertRead, at: float) -> State:
    for disposal in alert.disposals:
        if disposal.disposition == "joined" and disposal.incident in state.incidents:
            state = _join(state, disposal.incident, alert.identity)
    episode = state.episodes.get(alert.identity)
    if alert.status == "firing":
        return _firing(state, episode, alert, at)
    ends = any(disposal.disposition == "resolved" for disposal in alert.disposals)
    if episode is None or episode.status is not EpisodeStatus.OPEN or not ends:
        return state
    return _resolve(state, episode, alert.ends_at if alert.ends_at is not None else at, at)


def _firing(state: State, episode: Episode | None, alert: e.AlertRead, at: float) -> State:
    if not alert.identity:  # a malformed alert has no identity and no episode
        return state
    if episode is not None and episode.status is EpisodeStatus.OPEN:
        heard = replace(
            episode,
            last_heard=at,
            starts_at=min(episode.starts_at, alert.starts_at),
            latest_start=max(episode.latest_start, alert.starts_at),
        )
        return replace(state, episodes=state.episodes.set(alert.identity, heard))
    if not alert.labels:  # a late copy of a firing that is over: `stale`
        return state
    opened = Episode(
        identity=alert.identity,
        number=next_number(state, alert.identity),
        status=EpisodeStatus.OPEN,
        starts_at=alert.starts_at,
        latest_start=alert.starts_at,
        last_heard=at,
        labels=alert.labels,
        fingerprint=alert.fingerprint,
    )
    return replace(state, episodes=state.episodes.set(alert.identity, opened))


def _resolve(state: State, episode: Episode, ends_at: float, at: float) -> State:
    over = replace(episode, status=EpisodeStatus.RESOLVED, ends_at=ends_at, last_heard=at)
    state = replace(state, episodes=state.episodes.set(episode.identity, over))
    return _resolve_incidents(state, episode.identity, at)


def _resolve_incidents(state: State, identity: str, at: float) -> State:
    for name in state.incident_by_episode.get(identity, ()):
        incident = state.incidents.get(name)
        if incident is None or incident.resolved_at is not None:
            continue
        if all(_is_over(state, member) for member in incident.episodes):
            changed = replace(incident, resolved_at=at, changed_at=at)
            state = replace(state, incidents=state.incidents.set(name, changed))
    return state


def _is_over(state: State, identity: str) -> bool:
    episode = state.episodes.get(identity)
    return episode is None or episode.status is not EpisodeStatus.OPEN


def _join(state: State, name: str, identity: str) -> State:
    incident = state.incidents[name]
    known = state.incident_by_episode.get(identity, ())
    members = incident.episodes if identity in incident.episodes else (*incident.episodes, identity)
    changed = replace(incident, episodes=members, resolved_at=None)
    return replace(
        state,
        incidents=state.incidents.set(name, changed),
        incident_by_episode=state.incident_by_episode.set(identity, known if name in known else (*known, name)),
    )


def _lapsed(state: State, fact: e.EpisodeLapsed, entry: e.Entry) -> State:
    episode = state.episodes.get(fact.identity)
    if episode is None or episode.status is not EpisodeStatus.OPEN:
        return state
    over = replace(episode, status=EpisodeStatus.LAPSED, ends_at=entry.at)
    return replace(state, episodes=state.episodes.set(fact.identity, over))


def _incident_opened(state: State, fact: e.IncidentOpened, entry: e.Entry) -> State:
    incident = Incident(
        id=fact.incident,
        rule=fact.rule,
        target=fact.target,
        labels=fact.labels,
        severity=fact.severity,
        summary=fact.summary,
        episodes=(fact.episode.rpartition(".")[0],) if fact.episode else (),
        opened=moment_of(state, entry),
        changed_at=entry.at,
        by=fact.by,
        place=entry.seq,
    )
    key = (fact.rule, incident.target_text)
    if key in state.open_by_key:
        raise IllegalEntry(f"incident {state.open_by_key[key]} is open for {fact.rule} on {incident.target_text}")
    state = replace(
        state,
        incidents=state.incidents.set(incident.id, incident),
        open_by_key=state.open_by_key.set(key, incident.id),
    )
    for identity in incident.episodes:
        known = state.incident_by_episode.get(identity, ())
        state = replace(state, incident_by_episode=state.incident_by_episode.set(identity, (*known, incident.id)))
    return state


def _incident_closed(state: State, fact: e.IncidentClosed, _entry: e.Entry) -> State:
    incident = state.incidents.get(fact.incident)
    if incident is None:
        raise IllegalEntry(f"incident {fact.incident} is not open")
    by_episode = state.incident_by_episode
    for identity in incident.episodes:
        rest = tuple(name for name in by_episode.get(identity, ()) if name != incident.id)
        by_episode = by_episode.set(identity, rest) if rest else by_episode.delete(identity)
    key = (incident.rule, incident.target_text)
    return replace(
        state,
        incidents=state.incidents.delete(fact.incident),
        open_by_key=state.open_by_key.delete(key) if key in state.open_by_key else state.open_by_key,
        incident_by_episode=by_episode,
    )


def _escalated(state: State, fact: e.Escalated, entry: e.Entry) -> State:
    """What is escalated once is remembered by what it is about: an ordinary call for people must not stand in for it."""
    return replace(state, escalated=state.escalated.set(fact.about, entry.at)) if fact.about else state


def _paused(state: State, fact: e.PauseSet, entry: e.Entry) -> State:
    pause = Pause(
        scope=fact.scope, reason=fact.reason, by=fact.by, at=entry.at, until=fact.until, since=moment_of(state, entry)
    )
    return replace(state, pauses=state.pauses.set(fact.scope, pause))


def _resumed(state: State, fact: e.PauseCleared, _entry: e.Entry) -> State:
    """Whoever was held back until the pause was to end looks again now: it may have been ended before its time."""
    if fact.scope not in state.pauses:
        return state
    return woken(replace(state, pauses=state.pauses.delete(fact.scope)))


def _message(state: State, fact: e.MessageIntent, entry: e.Entry) -> State:
    outgoing = Outgoing(
        message=fact.message,
        receiver=fact.receiver,
        incident=fact.incident,
        subject=fact.subject,
        text=fact.text,
        attempt=fact.attempt,
        next_at=entry.at,
        holder=entry.boot,
        severity=fact.severity,
        call=fact.call,
        link=fact.link,
        target=fact.target,
        since=fact.since,
        thread=fact.thread,
        told=fact.told,
    )
    return _hears(replace(state, outbox=state.outbox.set(fact.message, outgoing)), outgoing, {})


def _hears(state: State, outgoing: Outgoing, thread: dict[str, object]) -> State:
    """A receiver is told of an incident; what it gave back for its first message stays."""
    incident = state.incidents.get(outgoing.incident)
    if incident is None or incident.told.get(outgoing.receiver):
        return state
    heard = replace(incident, told={**incident.told, outgoing.receiver: thread})
    return replace(state, incidents=state.incidents.set(heard.id, heard))


def _message_told(state: State, fact: e.MessageOutcome, _entry: e.Entry) -> State:
    outgoing = state.outbox.get(fact.message)
    if outgoing is None:
        return state
    if fact.outcome.receipt:
        state = _hears(state, outgoing, fact.outcome.receipt)
    if fact.next_at is None:
        return replace(state, outbox=state.outbox.delete(fact.message))
    again = replace(outgoing, attempt=fact.attempt + 1, next_at=fact.next_at)
    return replace(state, outbox=state.outbox.set(fact.message, again))


def _swept(state: State, fact: e.StateSwept, entry: e.Entry) -> State:
    return swept(state, fact, moment_of(state, entry))


def _pruned(state: State, fact: e.JournalPruned, _entry: e.Entry) -> State:
    if not state.pruned_seq < fact.seq <= state.seq:
        raise IllegalEntry(
            f"entries up to {fact.seq} cannot be pruned: {state.pruned_seq} were, and there are {state.seq}"
        )
    return replace(state, pruned_seq=fact.seq, pruned_mac=fact.mac)


def _schedule_set(state: State, fact: e.ScheduleSet, entry: e.Entry) -> State:
    return schedule_set(state, fact, entry.at)


def _schedule_due(state: State, fact: e.ScheduleDue, _entry: e.Entry) -> State:
    return schedule_due(state, fact)


_Folder = Callable[[State, F, e.Entry], State]
_FOLDERS: dict[type[e.Fact], Callable[..., State]] = {
    e.JournalOpened: _opened,
    e.ServiceStopped: _stopped,
    e.LeaseTaken: _lease_taken,
    e.ServiceStarted: _service_started,
    e.CautionBegan: _caution,
    e.StormBegan: _storm_began,
    e.StormEnded: _storm_ended,
    e.ConfigLoaded: _config,
    e.ConfigRefused: _unchanged,
    e.Quarantined: _unchanged,
    e.LateEvidence: _unchanged,
    e.VerifyLooked: _unchanged,
    e.NotificationReceived: _received,
    e.NotificationDisposed: _disposed,
    e.EpisodeLapsed: _lapsed,
    e.StateSwept: _swept,
    e.ScheduleSet: _schedule_set,
    e.ScheduleDue: _schedule_due,
    e.JournalPruned: _pruned,
    e.IncidentOpened: _incident_opened,
    e.IncidentClosed: _incident_closed,
    e.Escalated: _escalated,
    e.PauseSet: _paused,
    e.PauseCleared: _resumed,
    e.SafeModeEntered: safe_mode_entered,
    e.SafeModeReleased: safe_mode_released,
    e.ClockAnomaly: clock_stepped,
    e.ClockReleased: clock_released,
    e.MessageIntent: _message,
    e.MessageOutcome: _message_told,
}
