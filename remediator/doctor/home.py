"""Checks of our own house: rules, journal's place, people who are told."""

from __future__ import annotations

import os
import shutil

from remediator.core.outcomes import Look
from remediator.core.rules import Mode
from remediator.doctor.case import Case
from remediator.doctor.findings import Finding, bad, good, untold
from remediator.receivers.several import look_at

# Below this the journal may soon find no room (bytes).
LEAST_ROOM = 512 * 1024 * 1024


async def rules(case: Case) -> list[Finding]:
    """What is loaded, and how far it may go."""
    settings, loaded = case.settings, case.ruleset.rules
    if not loaded:
        return [bad("rules", "no rule is loaded: every alert is recorded, and nothing is done", "set rule_files")]
    automatic = sum(min(rule.mode, settings.mode) is Mode.AUTO for rule in loaded)
    told = f"{len(loaded)} rules are valid; mode {settings.mode.word}, {automatic} act by themselves"
    return [good("rules", told), *(untold("rules", str(one)) for one in settings.warnings)]


async def journal(case: Case) -> list[Finding]:
    """The journal's directory can be written and has room."""
    path = case.settings.storage.path
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK):
        return [bad("journal", f"{path} cannot be written", f"let our user write {there}, or set storage.path")]
    free = shutil.disk_usage(there).free
    if free < LEAST_ROOM:
        return [bad("journal", f"{path} has only {free >> 20} MiB left", "make room: without it no alert is taken")]
    return [good("journal", f"{path} can be written, {free >> 30} GiB free")]


async def people(case: Case) -> list[Finding]:
    """Every receiver can be reached, and every gravity has one."""
    found = [
        bad("people", f"nobody is told of what is {gravity}", f"set notify.{gravity} to names of receivers")
        for gravity in ("critical", "warning")
        if not case.settings.notify.get(gravity)
    ]
    if not case.settings.escalate:
        found.append(bad("people", "nobody is called when a run fails or needs a person", "set escalate"))
    for name, receiver in case.receivers.items():
        seen = await look_at(receiver)
        match seen.look:
            case Look.GOOD:
                found.append(good("people", f"{name}: {seen.sentence}"))
            case Look.BAD:
                fix = "see receivers in the settings; until then its messages are not delivered"
                found.append(bad("people", f"{name}: {seen.sentence}", fix))
            case _:
                found.append(untold("people", f"{name}: {seen.sentence}"))
    return found
