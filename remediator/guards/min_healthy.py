"""The healthy floor: so many members of the fleet stay healthy while targets are treated (peers.md F6, F5).

Whoever is being treated counts as unwell, whatever the metric says: a node that reboots may still look healthy, and one
that has just come back is not yet known to stay. That is this run's own target, the target of every live run of any rule,
and those that rest after one. Starts go one by one through the lane, each on the state that the earlier ones left, so the
floor holds however many are asked at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.core.brakes import Members
from remediator.core.facts import Facts
from remediator.core.plans import same_place
from remediator.core.state import Grant
from remediator.core.verdicts import Verdict, allow, defer, deny
from remediator.guards.evidence import ASK_AGAIN, is_stale

# A target counts as treated so long after its run at least (s): until the metric can have seen what became of it.
SETTLE = 60.0

Labels = Mapping[str, str]


class MinHealthyGuard:
    """Exact where the query names its members by the labels that targets have; else every treated target costs one."""

    name = "min_healthy"
    summary = "enough of the fleet stays healthy, all targets under treatment counted as unwell"

    def check(self, facts: Facts) -> Verdict | None:
        """Defers while this target would be one too many; what cannot be told is not enough."""
        brakes, asked, evidence = facts.limits.brakes, facts.run.plan.min_healthy, facts.evidence
        if not brakes.has_floor:
            return allow(self.name, "no number of healthy ones is promised")
        if asked is None or (brakes.percent and not asked.of):
            return deny(self.name, "the rule promises more now than when this was planned, and cannot be asked for it")
        if evidence is None:
            return None
        again = facts.moment.at + ASK_AGAIN
        if evidence.healthy is None or is_stale(evidence, facts):
            return defer(self.name, "Prometheus was not asked just now", facts.moment.at)
        fleet = evidence.fleet if asked.of else Members(count=evidence.healthy.number)
        fault = _fault(evidence.healthy, fleet)
        if fleet is None or fault:
            return defer(self.name, f"could not tell, so not acting: {fault}", again)
        treated = _treated(facts, evidence.healthy)
        left, floor = left_healthy(evidence.healthy, treated), brakes.floor(fleet.number)
        of = f" of {fleet.number}" if asked.of else ""
        sentence = f"{left}{of} stay healthy with {len(treated)} under treatment, this one included; {floor} have to"
        return allow(self.name, sentence) if left >= floor else defer(self.name, sentence, again)


def _fault(healthy: Members, fleet: Members | None) -> str:
    if healthy.fault:
        return f"who is healthy: {healthy.fault}"
    if fleet is None:
        return "how many there are was not asked"
    if fleet.fault:
        return f"how many there are: {fleet.fault}"
    if fleet.number < healthy.number:
        return f"{healthy.number} are healthy and there are only {fleet.number}; ask both for the same members"
    return ""


def left_healthy(healthy: Members, treated: Sequence[Labels]) -> int:
    """How many are healthy when all that are treated are not. `treated` has this run's own target first.

    A member is treated if it agrees with a treated target in every label that both have, and they have one. A target with
    no label that any member has costs one member, for it could be any; several with our own labels alike cost one together.
    """
    names = _names(healthy)
    mine = treated[0]
    unnamed = {
        tuple(sorted((name, value) for name, value in target.items() if name in mine))
        for target in treated
        if not names & target.keys()
    }
    well = [member for member in healthy.series if not any(same_place(member, target) for target in treated)]
    number = len(well) if healthy.count is None else healthy.count
    return max(0, number - len(unnamed))


def _names(healthy: Members) -> set[str]:
    return {name for member in healthy.series for name in member}


def _treated(facts: Facts, healthy: Members) -> list[Labels]:
    """The targets under treatment that could be of this fleet, each once, our own first."""
    mine = facts.run.plan.target
    related = _names(healthy) | mine.keys()
    found: dict[tuple[tuple[str, str], ...], Labels] = {tuple(sorted(mine.items())): mine}
    for rule, grants in facts.state.grants.items():
        rest = max(SETTLE, _cooldown(facts, rule))
        for grant in grants:
            where = _where(grant)
            if related & where.keys() and (grant.ended is None or facts.age(grant.ended) < rest):
                found.setdefault(tuple(sorted(where.items())), where)
    return list(found.values())


def _cooldown(facts: Facts, rule: str) -> float:
    if rule == facts.run.plan.rule:
        return facts.limits.cooldown
    loaded = facts.ruleset.rule(rule)
    return loaded.guards.cooldown if loaded is not None else 0.0


def _where(grant: Grant) -> Labels:
    """The labels of a place; one that an earlier version took has only their text."""
    return grant.where or dict(part.split("=", 1) for part in grant.target.split(", ") if "=" in part)
