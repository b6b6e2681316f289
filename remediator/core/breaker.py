"""The breaker: runs that did not help, counted in a row, per rule and target and per rule (reliability.md G5, peers.md F7).

What counts is what was verified, never that a step went well. Bad is a run that ended `failed`, `rolled_back`, `expired`
after it had begun, `unverified` although the playbook verifies, or `closed_by_person` (nobody could tell); and one that had
helped, or that nobody verified, when its alert came back within the rule's `relapse`. Good is `succeeded` alone. What was
denied, cancelled, simulated or ordered by hand says nothing.

`failures` bad ones in a row demote the rule one step (auto, approve, dry-run) on that target; the same number on several
targets demotes it everywhere. Each further bad run demotes it one step more. After its pause one run may try, and only one:
if it is good the rule is restored. A person can restore it at any time.
"""

from __future__ import annotations

import msgspec

from remediator.core import entries as e
from remediator.core.brakes import Brakes
from remediator.core.plans import target_text
from remediator.core.rules import Mode
from remediator.core.state import Moment, Run, RunStatus, State, Track

replace = msgspec.structs.replace

# Targets that fail together before it is the rule that fails.
SEVERAL = 2
# A bad run of a target on which nothing ran since is forgotten after this (s), so that tracks are bounded.
FORGOTTEN = 31 * 86_400.0

_BAD = frozenset({RunStatus.FAILED, RunStatus.ROLLED_BACK, RunStatus.EXPIRED, RunStatus.CLOSED_BY_PERSON})


def track_of(state: State, rule: str, target: str) -> Track | None:
    """How this rule has fared on this target; on all of them if it is empty."""
    return next((track for track in state.tracks.get(rule, ()) if track.target == target), None)


def demoted_tracks(state: State, rule: str, target: str) -> tuple[Track, ...]:
    """The demotions in force for a run of this rule on this target: of the whole rule, of the target, or both."""
    return tuple(track for track in state.tracks.get(rule, ()) if track.demoted and track.target in {"", target})


def trying(state: State, rule: str, track: Track, besides: str = "") -> str:
    """The live run that is under way where `track` looks, other than `besides`; empty if there is none."""
    grants = state.grants.get(rule, ())
    mine = (grant.run for grant in grants if grant.ended is None and track.target in {"", grant.target})
    return next((run for run in mine if run != besides), "")


def lowered(mode: Mode, state: State, rule: str, target: str, now: float) -> Mode:
    """The mode that a run planned now (unix s) gets: dry-run where the breaker says so, until one run may try again."""
    for track in demoted_tracks(state, rule, target):
        rested = track.since is not None and now - track.since.at >= track.pause
        if track.demoted == Mode.DRY_RUN.word and not (rested and not trying(state, rule, track)):
            return min(mode, Mode.DRY_RUN)
    return mode


def worth(run: Run, result: RunStatus) -> bool | None:
    """Whether a run that ended so was seen to help; None where nobody looked, or nothing can be said of it."""
    if result is RunStatus.SUCCEEDED:
        return True
    if result in _BAD or (result is RunStatus.UNVERIFIED and run.plan.verify):
        return False
    return None


# ── the fold ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def count_run(state: State, run: Run, result: RunStatus, moment: Moment) -> State:
    """The state after a live run that had begun ended so."""
    incident = state.incidents.get(run.incident)
    if incident is None or incident.by:
        return state
    seen = worth(run, result)
    if seen is None and result is not RunStatus.UNVERIFIED:
        return state
    good, bad = seen is True, seen is False
    for target in ("", incident.target_text):
        track = track_of(state, run.plan.rule, target) or Track(target=target, ended=moment)
        track = replace(track, last=run.id, ended=moment, lifted="", earlier=track.bad, may_relapse=not bad)
        if bad:
            track = _worse(track, track.bad, incident.target_text)
        elif good:
            track = replace(track, bad=0)
        state = _put(state, run.plan.rule, track, moment)
    return state


def _worse(track: Track, before: int, target: str) -> Track:
    """One bad run more; the targets are those of the bad ones in a row."""
    row = track.targets if before else ()
    return replace(track, bad=before + 1, targets=tuple(dict.fromkeys((*row, target))))


def _put(state: State, rule: str, track: Track, moment: Moment) -> State:
    rest = tuple(
        one
        for one in state.tracks.get(rule, ())
        if one.target != track.target and (one.demoted or moment.since(one.ended) <= FORGOTTEN)
    )
    return replace(state, tracks=state.tracks.set(rule, (*rest, track)))


def fold_breaker(state: State, fact: e.RunRelapsed | e.RuleDemoted | e.RuleRestored, moment: Moment) -> State:
    """The state after a relapse, a demotion or its end."""
    match fact:
        case e.RunRelapsed():
            for target in ("", fact.target):
                if (track := track_of(state, fact.rule, target)) is not None:
                    state = _put(state, fact.rule, _relapsed(track, fact), moment)
            return state
        case e.RuleDemoted():
            track = track_of(state, fact.rule, fact.target) or Track(target=fact.target, ended=moment)
            return _put(
                state,
                fact.rule,
                replace(track, demoted=fact.mode, since=moment, pause=fact.pause, reason=fact.reason, lifted=""),
                moment,
            )
        case _:
            return _restored(state, fact, moment)


def _relapsed(track: Track, fact: e.RunRelapsed) -> Track:
    """As if the run had been bad when it ended; a later run's end is not undone by that."""
    if track.last != fact.run:
        return _worse(track, track.bad, fact.target)
    return replace(_worse(track, track.earlier, fact.target), may_relapse=False)


def _restored(state: State, fact: e.RuleRestored, moment: Moment) -> State:
    track = track_of(state, fact.rule, fact.target)
    if track is None:
        return state
    free = replace(track, lifted=track.demoted if fact.run else "", demoted="", since=None, pause=0.0, reason="")
    if not fact.run:  # a person's word: it begins anew
        free = replace(free, bad=0, targets=(), earlier=0, may_relapse=False)
    return _put(state, fact.rule, free, moment)


# ── what follows ─────────────────────────────────────────────────────────────────────────────────────────────────────
def relapse_of(before: State, fact: e.IncidentOpened, opened: Moment, window: float) -> e.RunRelapsed | None:
    """The relapse that this incident is, if the last run of its rule on its target had helped less than `window` s ago."""
    target = target_text(fact.target)
    track = track_of(before, fact.rule, target)
    if fact.by or not fact.episode or track is None or not track.may_relapse or window <= 0:
        return None
    after = opened.since(track.ended)
    if after > window:
        return None
    return e.RunRelapsed(
        incident=fact.incident, run=track.last, rule=fact.rule, target=target, after=round(max(0.0, after), 3)
    )


def demotions(
    after: State, *, rule: str, target: str, run: str, incident: str, why: str, brakes: Brakes, mode: Mode
) -> list[e.RuleDemoted]:
    """The demotion that a bad run leads to: of the whole rule where several targets failed, else on its target."""
    for place in ("", target):
        track = track_of(after, rule, place)
        if track is None or not (track.demoted or _enough(track, brakes)):
            continue
        where = f"on {len(track.targets)} targets" if not place else f"on {target}"
        return [
            e.RuleDemoted(
                rule=rule,
                target=place,
                mode=_next_mode(track, mode).word,
                reason=f"{track.bad} runs in a row did not help {where}; the last, {run}, {why}"[:500],
                pause=brakes.pause,
                incident=incident,
                run=run,
            )
        ]
    return []


def _enough(track: Track, brakes: Brakes) -> bool:
    return track.bad >= brakes.failures and (bool(track.target) or len(track.targets) >= SEVERAL)


def _next_mode(track: Track, mode: Mode) -> Mode:
    word = track.demoted or track.lifted
    return Mode(max(Mode.DRY_RUN, (Mode.parse(word) if word else mode) - 1))


def is_new(demoted: e.RuleDemoted, before: State) -> bool:
    """Whether this demotion takes something away, and does not only begin the pause anew: people are told of it once."""
    track = track_of(before, demoted.rule, demoted.target)
    return track is None or track.demoted != demoted.mode


def restorations(after: State, rule: str, target: str, run: str) -> list[e.RuleRestored]:
    """What a good run restores: its target, and the whole rule."""
    return [
        e.RuleRestored(rule=rule, target=track.target, run=run, reason="it helped, as was seen")
        for track in demoted_tracks(after, rule, target)
    ]
