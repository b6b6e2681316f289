"""What may be forgotten, and what must be kept for it: the memory of the state, and the oldest entry that is still needed.

Pure. What is forgotten is decided by an entry (`state.swept`), so that the state stays a function of the journal.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from remediator.core.entries import StateSwept
from remediator.core.rules import Rule
from remediator.core.state import Episode, EpisodeStatus, Grant, Map, Moment, State

# Windows are remembered a little longer than they are enforced (1.01 W + 1 s, reliability.md G5).
MEMORY_FACTOR = 1.05
# Episodes are kept for a day at least (s; reliability.md 4.5).
LEAST = 86_400.0
# An alert that lapsed may fire all the while, silenced in Alertmanager over a weekend: it is remembered longer.
LAPSED_FACTOR = 7.0


def keep_for(rules: Iterable[Rule], repeat: float) -> float:
    """Seconds for which episodes that are over are remembered: a day, twice the longest cooldown, or `repeat`.

    `repeat` is twice Alertmanager's repeat interval; later copies of a firing are told by the age of its start.
    """
    return max([LEAST, repeat, *(2 * rule.guards.cooldown for rule in rules)])


def next_number(state: State, identity: str) -> int:
    """The number of this alert's next firing; never one that an earlier firing of it had, also if that is forgotten."""
    known = state.episodes.get(identity)
    return known.number + 1 if known is not None else state.firings + 1


def opened_at(state: State, incident: str) -> int:
    """The entry that opened an incident; the present end for one that is closed."""
    known = state.incidents.get(incident)
    return known.place if known is not None else state.seq


def is_live(state: State, grant: Grant, moment: Moment) -> bool:
    """Whether a limiter may still have to count this place."""
    return grant.ended is None or moment.since(grant.ended) <= _horizon(state)


def _horizon(state: State) -> float:
    return state.longest_window * MEMORY_FACTOR + 60.0


# ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────────
def sweep(state: State, moment: Moment, keep: float) -> list[StateSwept]:
    """The entry that forgets what is over for `keep` seconds, if there is anything to forget."""
    fact = StateSwept(
        before=moment.at - keep,
        lapsed_before=moment.at - keep * LAPSED_FACTOR,
        escalated_before=moment.at - _horizon(state),
    )
    return [fact] if _size(swept(state, fact, moment)) < _size(state) else []


def swept(state: State, fact: StateSwept, moment: Moment) -> State:
    """The state after forgetting."""
    over = [one for one in state.episodes.values() if _is_forgotten(state, one, fact)]
    with state.episodes.mutate() as episodes:
        for one in over:
            del episodes[one.identity]
        kept = episodes.finish()
    ends = [one.ends_at for one in over if one.status is EpisodeStatus.RESOLVED and one.ends_at is not None]
    return msgspec.structs.replace(
        state,
        episodes=kept,
        firings=max([state.firings, *(one.number for one in over)]),
        forgotten_until=max([state.forgotten_until, *ends]),
        grants=_live_grants(state, moment),
        escalated=Map({rule: at for rule, at in state.escalated.items() if at >= fact.escalated_before}),
    )


def _is_forgotten(state: State, episode: Episode, fact: StateSwept) -> bool:
    if episode.status is EpisodeStatus.OPEN or episode.identity in state.incident_by_episode:
        return False
    last = max(episode.last_heard, episode.ends_at or 0.0)
    return last < (fact.before if episode.status is EpisodeStatus.RESOLVED else fact.lapsed_before)


def _live_grants(state: State, moment: Moment) -> Map[str, tuple[Grant, ...]]:
    live = {
        rule: tuple(grant for grant in grants if is_live(state, grant, moment)) for rule, grants in state.grants.items()
    }
    return Map({rule: grants for rule, grants in live.items() if grants})


def _size(state: State) -> int:
    return len(state.episodes) + len(state.escalated) + sum(1 + len(grants) for grants in state.grants.values())


# ── pruning ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def needed_from(state: State, moment: Moment) -> int:
    """The oldest entry that something open still rests on: incidents, undos, places in limiters, undecided notifications.

    All entries before it may be pruned, as far as a snapshot holds what they say.
    """
    return min(
        (
            state.seq + 1,
            *(incident.place for incident in state.incidents.values()),
            *(undo.place for undo in state.undos.values()),
            *(grant.place for grants in state.grants.values() for grant in grants if is_live(state, grant, moment)),
            *state.pending,
        )
    )
