"""Why, for an alert that need not exist: what every rule would say to it now. Asks, and appends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from remediator.core.breaker import lowered
from remediator.core.entries import RunPlanned
from remediator.core.facts import ask_guards
from remediator.core.misses import nearest_miss, stops
from remediator.core.planning import Unplannable, plan_run, target_of
from remediator.core.plans import target_text
from remediator.core.rules import Mode, Rule
from remediator.core.schedules import Schedule
from remediator.core.state import Incident, Run
from remediator.core.telling import clock_time
from remediator.core.verdicts import Answer, Decision
from remediator.core.views import ExplanationView, MatchView
from remediator.engine.admission import Admission
from remediator.engine.parts import Parts
from remediator.errors import RefusedRequest

_WOULD = {Answer.ALLOW: "run", Answer.ASK: "ask", Answer.DEFER: "hold", Answer.DENY: "refuse"}
# With more rules than this, those that do not match are left out, the nearest apart.
SHOW_ALL = 50


class Explainer:
    """Explains."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._admission = Admission(parts)

    async def explain(self, labels: Mapping[str, str], rule: str = "") -> list[ExplanationView]:
        """What each rule would say: those that match first, then the nearest miss, then the others if they are few.

        With `rule`, what that one says; one that starts by a schedule tells what would be done if it came due now.
        """
        ruleset = self._parts.config.ruleset
        if rule:
            return await self._alone(rule, labels)
        matching = set(ruleset.index.matching(labels))
        miss = ruleset.index.nearest(labels) if not matching else None
        told = await self._all_matched([ruleset.rules[place] for place in sorted(matching)], labels)
        rest = [place for place in range(len(ruleset.rules)) if place not in matching]
        if miss is not None:
            rest = [miss.rule, *(place for place in rest if place != miss.rule)]
        if len(rest) > SHOW_ALL:
            rest = rest[:1] if miss is not None else []
        told.extend(self._missed(ruleset.rules[place], labels) for place in rest)
        if miss is not None:
            told[0] = _with(told[0], nearest_miss=True)
        if not told:
            sentence = nearest_miss(ruleset, labels)
            told.append(ExplanationView(rule="", source="", would="no_match", sentence=sentence, matches=()))
        return told

    async def _alone(self, name: str, labels: Mapping[str, str]) -> list[ExplanationView]:
        rule = self._parts.config.ruleset.rule(name)
        if rule is None:
            raise RefusedRequest(404, f"there is no rule {name!r}")
        if rule.schedule is not None:
            return [await self._matched(rule, target) for target in rule.targets]
        if all(matcher.matches(labels) for matcher in rule.match):
            return [await self._matched(rule, labels)]
        return [self._missed(rule, labels)]

    def _missed(self, rule: Rule, labels: Mapping[str, str]) -> ExplanationView:
        if rule.schedule is None:
            return _missed(rule, labels)
        sentence = f"no alert starts it; {self._schedule_text(rule.schedule)}"
        return ExplanationView(
            rule=rule.name, source=rule.source, would="no_match", sentence=sentence, matches=(), mode=rule.mode.word
        )

    def _schedule_text(self, schedule: Schedule) -> str:
        following = schedule.following(self._parts.clock.now())
        after = f", next {clock_time(following)}" if following is not None else ""
        return f"it starts by its schedule {schedule.text}{after}"

    async def _all_matched(self, rules: Sequence[Rule], labels: Mapping[str, str]) -> list[ExplanationView]:
        """In file order; those after a rule that takes the alert on and says stop are not asked."""
        told: list[ExplanationView] = []
        stopped = ""
        for rule in rules:
            if stopped:
                told.append(_stopped(rule, labels, stopped))
                continue
            told.append(await self._matched(rule, labels))
            stopped = rule.name if rule.stop and told[-1].plan is not None else ""
        return told

    async def _matched(self, rule: Rule, labels: Mapping[str, str]) -> ExplanationView:
        mode = min(rule.mode, self._parts.config.mode)
        base = ExplanationView(
            rule=rule.name,
            source=rule.source,
            would="refuse",
            sentence="",
            matches=_matches(rule, labels),
            mode=mode.word,
            schedule=self._schedule_text(rule.schedule) if rule.schedule is not None else "",
        )
        if mode is Mode.OFF:
            return _with(base, sentence="its mode is off")
        try:
            target = target_of(rule, labels)
            moment = self._parts.journal.moment()
            mode = lowered(mode, self._parts.journal.state, rule.name, target_text(target), moment.at)
            planned = plan_run(self._parts.planner, rule, 0, labels, incident="inc-explain", number=1, mode=mode)
        except Unplannable as fault:
            return _with(base, sentence=str(fault))
        base = _with(base, target=target, mode=mode.word, plan=planned.plan, digest=planned.digest)
        running = self._parts.journal.state.open_by_key.get((rule.name, target_text(target)))
        if running is not None:
            return _with(base, would="join", sentence=f"{running} is at work on {target_text(target)}")
        decision = await self._decision(labels, target, planned, "" if rule.schedule is not None else "explain")
        strict = decision.strictest
        sentence = (
            f"{len(decision.verdicts)} guards pass"
            if decision.answer is Answer.ALLOW
            else f"{strict.guard}: {strict.sentence}"
        )
        return _with(base, would=_WOULD[decision.answer], sentence=sentence, verdicts=decision.verdicts)

    async def _decision(
        self, labels: Mapping[str, str], target: dict[str, str], planned: RunPlanned, episode: str
    ) -> Decision:
        moment = self._parts.journal.moment()
        run = Run(
            id=planned.run,
            incident=planned.incident,
            plan=planned.plan,
            digest=planned.digest,
            dry=planned.dry,
            mode=planned.mode,
            planned=moment,
        )
        incident = Incident(
            id=planned.incident,
            rule=planned.plan.rule,
            target=target,
            labels=dict(labels),
            episodes=(episode,) if episode else (),
            opened=moment,
            changed_at=moment.at,
        )
        state = self._parts.journal.state
        shown = msgspec.structs.replace(state, incidents=state.incidents.set(incident.id, incident))
        facts = self._parts.facts(shown, run, moment)
        alert = await self._admission.alert(labels) if episode else None
        evidence = replace(await self._admission.gather(run), alert=alert)
        return ask_guards(self._parts.guards, replace(facts, evidence=evidence))


def _matches(rule: Rule, labels: Mapping[str, str]) -> tuple[MatchView, ...]:
    return tuple(
        MatchView(matcher=str(matcher), ok=matcher.matches(labels), got=labels.get(matcher.label, ""))
        for matcher in rule.match
    )


def _stopped(rule: Rule, labels: Mapping[str, str], by: str) -> ExplanationView:
    return ExplanationView(
        rule=rule.name,
        source=rule.source,
        would="refuse",
        sentence=stops(by),
        matches=_matches(rule, labels),
        mode=rule.mode.word,
    )


def _missed(rule: Rule, labels: Mapping[str, str]) -> ExplanationView:
    failed = next(match for match in _matches(rule, labels) if not match.ok)
    return ExplanationView(
        rule=rule.name,
        source=rule.source,
        would="no_match",
        sentence=f"{failed.matcher} (got {failed.got!r})",
        matches=_matches(rule, labels),
        mode=rule.mode.word,
    )


def _with(view: ExplanationView, **changes: object) -> ExplanationView:
    changed: ExplanationView = msgspec.structs.replace(view, **changes)
    return changed
