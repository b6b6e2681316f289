"""Every playbook that is shipped, dry: no step of it trips a wire of the interpreter; live, every kind of step does (H7).

The kernel's account of a whole service, and of the playbooks of the incidents, is `tests/e2e/test_tripwire.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.by_hand import plan_by_hand
from remediator.core.params import ParamType
from remediator.engine.effects import key_of, token_of
from tests.kit.tripwire import tripwire

if TYPE_CHECKING:
    from remediator.core.plans import Plan, PlannedStep
    from remediator.core.rules import Playbook
    from remediator.engine.parts import Parts
    from tests.service.conftest import Home

RULES = Path(__file__).parents[2] / "rules"
SETS = {
    "all of the runbook": sorted(path for path in RULES.glob("*.yml") if not path.stem.endswith("_test")),
    "the command line": [RULES / "packs" / "command-line.yml"],
}
WORDS = {
    "node": "mta1",
    "ip": "192.0.2.10",
    "container": "kumod",
    "server": "cache",
    "redis": "cache",
    "instance": "mta1",
}
TYPES = {
    ParamType.DOMAIN: "gmail.com", ParamType.IP: "192.0.2.10", ParamType.NAME: "spring", ParamType.TEXT: "a test",
    ParamType.DURATION: "10m", ParamType.RATE: "100/h", ParamType.INT: "3", ParamType.NUMBER: "3", ParamType.BOOL: "true",
    ParamType.QUEUE: "spring:acme@gmail.com", ParamType.URL: "http://127.0.0.1:9/x", ParamType.PATH: "x",
}  # fmt: skip
SETTINGS = """\
mode: dry-run
rule_files: [all/*.yml]
storage: { path: data }
prometheus: { url: "http://127.0.0.1:9" }
alertmanager: { url: "http://127.0.0.1:9" }
targets:
  kumomta:
    nodes: { mta1: { url: "http://127.0.0.1:9" } }
    shaping_files: { mta1: shaping.toml }
    sources: { 192.0.2.10: { node: mta1, source: ip-1 } }
  docker: { socket: docker.sock, allow: [kumod, mta1, redis] }
  redis: { cache: { url: "redis://127.0.0.1:9" } }
  http: { allow: ["http://127.0.0.1:9/"] }
  command: { allow: [/bin/echo, /usr/bin/docker] }
"""


def parts_of(home: Home, rules: list[Path]) -> Parts:
    """The parts of a service with these rules; nothing of it runs."""
    (home.root / "all").mkdir(mode=0o700)
    for path in rules:
        home.write(f"all/{path.name}", path.read_text(encoding="utf-8"))
    home.write("remediator.yml", SETTINGS)
    home.write("shaping.toml", "")
    return home.build().engine.parts


def plan_of(parts: Parts, playbook: Playbook) -> Plan:
    """What a person would start."""
    params = {name: WORDS.get(name, TYPES[kind]) for name, kind in playbook.params.items()}
    facts = plan_by_hand(parts.planner, playbook.name, params, by="ana", reason="to see", seq=1, now=1_790_000_000.0)
    (planned,) = [fact for fact in facts if isinstance(fact, e.RunPlanned)]
    return planned.plan


async def issue(parts: Parts, plan: Plan, place: int, *, dry: bool) -> list[str]:
    """The wires that one step trips."""
    now = parts.clock.now()
    intent = e.StepIntent(
        incident="inc-1", run="inc-1.1", step=place, attempt=1, action=plan.steps[place].action,
        key=key_of("inc-1.1", place), issue_by=now + 5.0, timeout=5.0, dry=dry,
        undo_at=now + 600.0,
    )  # fmt: skip
    entry = e.Entry(seq=1, id="e-1", at=now, mono=parts.clock.monotonic(), boot="b", replica="r", fact=intent)
    with tripwire() as tripped:
        await parts.effects[dry].issue(token_of(entry), plan.steps[place])
    return list(tripped)


def changes(step: PlannedStep) -> bool:
    """Whether it is more than a look, which a dry run may take."""
    return step.effect != "read"


@pytest.mark.parametrize("rules", SETS.values(), ids=SETS)
async def test_no_step_of_a_shipped_playbook_trips_a_wire_in_dry_run_and_every_kind_of_step_does_live(
    home: Home, rules: list[Path]
) -> None:
    parts = parts_of(home, rules)
    playbooks = parts.config.ruleset.playbooks
    assert playbooks
    kinds: set[str] = set()
    live: set[str] = set()
    for playbook in playbooks.values():
        plan = plan_of(parts, playbook)
        for place, step in enumerate(plan.steps):
            if changes(step):
                assert await issue(parts, plan, place, dry=True) == [], f"{playbook.name}, step {place + 1}"
                kinds.add(step.action)
                live |= {step.action} if await issue(parts, plan, place, dry=False) else set()
    assert live == kinds, f"the control trips no wire for {sorted(kinds - live)}"
