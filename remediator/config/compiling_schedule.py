"""Shapes to core values: how a rule starts, by alerts or by a schedule, and the target that a schedule needs. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from remediator.config.compiling_brakes import Site
from remediator.config.each import BLANKS, says_each
from remediator.config.placeholders import Blanks, plain_text, read_template
from remediator.config.rules_model import RuleShape
from remediator.core.durations import format_duration
from remediator.core.params import check_scope
from remediator.core.rules import Guards
from remediator.core.schedules import Missed, Schedule, parse_schedule

WITHIN = 3600.0
SEVERITY = "info"
# So many occurrences, of so long (s), are looked at for a schedule's rhythm.
LOOKED_AT = 200
LOOKED_BEYOND = 400 * 86_400.0


def target_labels(shape: RuleShape) -> list[str]:
    """The labels that make the rule's target, whichever way it starts."""
    return list(shape.target or ()) if shape.schedule is not None else list(shape.group_by or ())


def check_start(site: Site, shape: RuleShape) -> None:
    """Tells what is missing or too much: `match` and `group_by`, or `schedule` and `target`, and never both."""
    raw = site.document.get(site.path)
    written = raw if isinstance(raw, dict) else {}
    if shape.schedule is None and "schedule" in written:
        return  # told already: the schedule itself has a fault
    wanted, other = ("match", "group_by"), ("schedule", "target")
    if shape.schedule is not None:
        wanted, other = other, wanted
    for key in wanted:
        if key not in written:
            fix = f"add {key}: …"
            site.faults.error(site.document.key(site.path), "missing-field", f"a rule has no '{key}'", fix)
    for key in (*other, *(("each",) if shape.schedule is None else ())):
        if getattr(shape, key) is not None:
            site.faults.error(site.document.key((*site.path, key)), "unknown-field", *_WHY_NOT[key])


_WHY_NOT = {
    "match": ("'match' beside 'schedule': a rule starts by alerts or by the clock", "make two rules of it"),
    "group_by": (
        "'group_by' beside 'schedule': it takes the target from an alert's labels, and no alert starts this rule",
        "write the target out: target: { instance: … }",
    ),
    "schedule": ("", ""),
    "target": (
        "'target' without 'schedule': the target of an alert's rule is what its labels say",
        "name the labels in group_by",
    ),
    "each": (
        "'each' without 'schedule': an alert is about the node that its labels name",
        "write each at the steps that are made on every node",
    ),
}


def compile_schedule(site: Site, shape: RuleShape) -> Schedule | None:
    """When the rule comes due; None where it starts by alerts, or after telling what is wrong."""
    written = shape.schedule
    if written is None:
        return None
    _check_target(site, shape)
    path, missed = (*site.path, "schedule"), Missed(written.missed)
    if written.within is not None and missed is Missed.SKIP:
        sentence = "'within' says how late a missed occurrence is made up for, and missed: skip makes up for none"
        site.faults.error(
            site.document.key((*path, "within")), "unused-field", sentence, "write missed: run_once, or leave it out"
        )
    try:
        return parse_schedule(
            written.cron,
            time_zone=written.time_zone or "UTC",
            missed=missed,
            within=written.within if written.within is not None else WITHIN,
            severity=written.severity or SEVERITY,
        )
    except ValueError as fault:
        sentence, _, fix = str(fault).partition("; ")
        inner = "time_zone" if "time zone" in sentence else "cron"
        place = (*path, inner) if (*path, inner) in site.document.spots else path
        site.faults.error(site.document.at(place), "bad-schedule", sentence, fix)
        return None


def warn_of_rhythm(site: Site, schedule: Schedule | None, guards: Guards) -> None:
    """Tells where the rule's own limits hold back what its schedule starts."""
    moments = _moments(schedule) if schedule is not None else []
    limit, position = guards.rate_limit, site.document.key((*site.path, "schedule"))
    most = max((sum(0 <= other - first < limit.window for other in moments) for first in moments), default=0)
    if most > limit.count:
        window = format_duration(limit.window)
        sentence = f"this comes up to {most} times in {window}, and rate_limit allows {limit.count}"
        fix = f"write for example guards: {{ rate_limit: {most} per {window} }}"
        site.faults.warning(position, "schedule-held-back", sentence, fix)
    gap = min((later - first for first, later in itertools.pairwise(moments)), default=math.inf)
    if gap <= guards.cooldown:
        sentence = f"this comes every {format_duration(gap)}, and the cooldown is {format_duration(guards.cooldown)}"
        site.faults.warning(position, "schedule-held-back", sentence, "write guards: { cooldown: 0 }")


def warn_of_number(site: Site, nodes: Sequence[str], guards: Guards) -> None:
    """Tells where there are no nodes, or more of them than the rule's own limits let it touch."""
    position = site.document.key((*site.path, "each"))
    if not nodes:
        site.faults.warning(
            position, "no-nodes", "the settings name no node, so this comes due for none", "add targets.kumomta.nodes"
        )
    limit, number, most = guards.blast_radius, len(nodes), guards.brakes.max_targets
    if number > limit.count:
        window = format_duration(limit.window)
        sentence = f"this comes due for {number} nodes, and blast_radius lets {limit.count} be touched per {window}"
        fix = f"write guards: {{ blast_radius: {number} per {window} }}"
        site.faults.warning(position, "schedule-held-back", sentence, fix)
    if number > most:
        sentence = f"this comes due for {number} nodes, and max_targets lets {most} be under a temporary effect at once"
        site.faults.warning(position, "schedule-held-back", sentence, f"write guards: {{ max_targets: {number} }}")


def _moments(schedule: Schedule) -> list[float]:
    """The first occurrences ever, as far as they show its rhythm."""
    first = schedule.following(0.0)
    end = (first if first is not None else 0.0) + LOOKED_BEYOND
    near = itertools.takewhile(lambda at: at < end, schedule.occurrences(0.0))
    return list(itertools.islice(near, LOOKED_AT))


def _check_target(site: Site, shape: RuleShape) -> None:
    if shape.target is not None and not shape.target:
        sentence = "target is empty: without one there is nothing to lock, to count or to leave alone"
        position = site.document.at((*site.path, "target"))
        site.faults.error(position, "empty-selector", sentence, "name one: target: { fleet: mail }")
    blanks = Blanks(names=BLANKS, place="target", labels_in="target")
    said = False
    for name, value in (shape.target or {}).items():
        path = (*site.path, "target", name)
        if shape.each is not None:
            template = read_template(site.document, path, value, blanks, site.faults)
            said = said or template is None or says_each(template)
            if template is None or says_each(template):
                continue
        plain_text(site.document, path, value, site.faults)
        try:
            check_scope(f"target.{name}", value)
        except ValueError as fault:
            sentence, _, fix = str(fault).partition("; ")
            site.faults.error(site.document.at(path), "empty-selector", sentence, fix)
    if shape.each is not None and not said and shape.target:
        sentence = "'each' makes a target for every node, and target does not say which: all would be one"
        position = site.document.key((*site.path, "each"))
        site.faults.error(position, "unused-field", sentence, 'write target: { instance: "{{ each.node }}" }')
