"""The breaker: a remedy that did not help several times in a row is not tried again by itself (reliability.md G5, F7)."""

from __future__ import annotations

from remediator.core.breaker import demoted_tracks, track_of, trying
from remediator.core.facts import Facts
from remediator.core.plans import target_text
from remediator.core.rules import Mode
from remediator.core.state import Track
from remediator.core.verdicts import Verdict, allow, ask, defer, deny
from remediator.guards.wording import clock_time


class BreakerGuard:
    """Demoted to approve it asks a person, demoted to dry-run it denies; after the pause one run may try, and only one."""

    name = "breaker"
    summary = "fewer than N runs in a row did not help, as was verified, or the alert came back"

    def check(self, facts: Facts) -> Verdict:
        """The strictest of what the demotions of the target and of the whole rule say."""
        if facts.incident.by and not facts.incident.episodes:
            return allow(self.name, f"ordered by {facts.incident.by}")
        rule, target = facts.run.plan.rule, target_text(facts.run.plan.target)
        found = demoted_tracks(facts.state, rule, target)
        if not found:
            track = track_of(facts.state, rule, target)
            return allow(
                self.name,
                f"{track.bad if track else 0} runs in a row did not help here; {facts.limits.brakes.failures} may not",
            )
        if facts.run.dry:
            return allow(self.name, f"demoted to {found[0].demoted}, and a dry run touches nothing")
        return max((self._of(facts, track) for track in found), key=lambda verdict: verdict.answer)

    def _of(self, facts: Facts, track: Track) -> Verdict:
        rule, run = facts.run.plan.rule, facts.run
        why = f"the breaker is open (demoted to {track.demoted}): {track.reason}"
        rested = track.since is not None and facts.age(track.since) >= track.pause
        if rested and (other := trying(facts.state, rule, track, run.id)):
            return defer(self.name, f"one run at a time may try whether it helps again, and {other} does")
        if run.approved_by and (rested or track.demoted == Mode.APPROVE.word):
            return allow(self.name, f"approved by {run.approved_by}, although {why}")
        if track.demoted == Mode.APPROVE.word:
            if rested:
                return allow(
                    self.name, f"half open: this one run may try whether it helps again; before, {track.reason}"
                )
            return ask(self.name, f"a person has to say yes until {self._end(track)}, for {why}")
        if rested:
            return ask(self.name, f"half open: one run may try again if a person says yes; before, {track.reason}")
        return deny(self.name, f"nothing is tried before {self._end(track)}, for {why}")

    def _end(self, track: Track) -> str:
        return clock_time(track.since.at + track.pause) if track.since is not None else "somebody restores it"
