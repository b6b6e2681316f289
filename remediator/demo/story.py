"""The demo: the runbook's incidents happen to a simulated KumoMTA, and remediator deals with them, told line by line.

`remediator demo [--story all|dry-run|failure]`. Real Prometheus and Alertmanager raise the alerts; the effects are
counted by the simulated kumod in its own ledger. The exit status says whether the story came out right.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from remediator.demo.control import Control
from remediator.demo.narrator import Line, Narrator, StoryFault, kind_is
from remediator.demo.stage import NODE, Stage, StageFault

GMAIL = f"domain=gmail.com, instance={NODE}"
YAHOO = f"domain=yahoo.com, instance={NODE}"


def opened(rule: str, target: Callable[[Line], bool] = lambda _line: True) -> Callable[[Line], bool]:
    """Tells the opening of an incident of `rule`."""
    plain = kind_is("incident.opened", rule=rule)
    return lambda line: plain(line) and target(line)


def closed(incident: object, result: str) -> Callable[[Line], bool]:
    """Tells the last word on an incident."""
    return kind_is("incident.closed", incident=incident, result=result)


def effects(stage: Stage, *paths: str) -> list[dict[str, object]]:
    """What the simulated kumod applied, by its own ledger."""
    if not stage.ledger.exists():
        return []
    lines = [json.loads(text) for text in stage.ledger.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["applied"] and any(part in line["path"] for part in paths)]


def expect(true: object, what: str) -> None:
    """StoryFault unless it is so."""
    if not true:
        raise StoryFault(what)


# ── scenes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def bounces(stage: Stage, control: Control, narrator: Narrator) -> None:
    """Bounce rate above 20 %: the domain is paused and slowed down, the rest keeps flowing; both are taken back."""
    narrator.say("▲", "gmail.com begins to bounce 27 % of its mail")
    control.domain("gmail.com", bounce_ratio=0.27)
    incident = narrator.until(opened("high-bounce-rate"), "an incident for gmail.com", 45)["incident"]
    narrator.until(kind_is("step.outcome", incident=incident, step=2), "three steps", 30)
    suspended = effects(stage, "suspend/v1")
    expect(len(suspended) == 1, f"one suspension at kumod, not {len(suspended)}")
    narrator.say("✓", f"kumod's own ledger: {len(suspended)} suspension, of gmail.com")
    control.domain("gmail.com", bounce_ratio=0.02)
    narrator.say("▼", "the list is cleaned: bounces fall back to 2 %")
    narrator.until(closed(incident, "recovered"), "a verified recovery", 90)
    narrator.until(kind_is("undo.outcome", incident=incident, step=0), "the suspension taken back in time", 90)


def held_back(_stage: Stage, control: Control, narrator: Narrator) -> None:
    """The same again within the cooldown: nothing is done, and why is said."""
    seen = {line["incident"] for line in narrator.lines}
    narrator.say("▲", "gmail.com bounces again, ten minutes too soon for another run")
    control.domain("gmail.com", bounce_ratio=0.35)
    fresh = opened("high-bounce-rate", lambda line: line["incident"] not in seen)
    incident = narrator.until(fresh, "a second incident for gmail.com", 60)["incident"]
    held = narrator.until(kind_is("run.decided", incident=incident, answer="defer"), "a guard that holds back", 20)
    expect("cooldown" in str(held["sentence"]), f"the cooldown holds it back, not: {held['sentence']}")
    control.domain("gmail.com", bounce_ratio=0.02)
    narrator.say("▼", "bounces fall by themselves")
    narrator.until(closed(incident, "resolved"), "the end without an action", 60)


def queue(stage: Stage, control: Control, narrator: Narrator) -> None:
    """Queue above 5,000: the sending rate is raised for as long as the peak lasts."""
    narrator.say("▲", "a campaign pours 700 messages a second into yahoo.com, which may send 60")
    control.domain("yahoo.com", inject_per_s=700.0)
    incident = narrator.until(opened("high-queue-depth"), "an incident for yahoo.com", 60)["incident"]
    control.domain("yahoo.com", inject_per_s=30.0)
    narrator.until(closed(incident, "recovered"), "a drained queue", 90)
    expect(
        "2000/s" in (stage.root / "shaping.toml").read_text(encoding="utf-8"), "the raised limit in the shaping file"
    )
    narrator.say("✓", "the shaping file says 2000/s for yahoo.com, and 60/s again in a moment")
    narrator.until(kind_is("undo.outcome", incident=incident, step=1), "the old limit restored", 90)
    expect("60/s" in (stage.root / "shaping.toml").read_text(encoding="utf-8"), "the old limit in the shaping file")


def stopped(_stage: Stage, control: Control, narrator: Narrator) -> None:
    """Delivery stopped: kumod is restarted once, and mail is seen to flow again."""
    before = control.state()["online_since"]
    narrator.say("▲", f"{NODE} stops to deliver; mail piles up")
    control.stop_delivery()
    incident = narrator.until(opened("delivery-stopped"), "an incident for the node", 60)["incident"]
    narrator.until(closed(incident, "recovered"), "mail that flows again", 90)
    expect(control.state()["online_since"] != before, "kumod was restarted")
    narrator.say("✓", f"{NODE} was restarted once and delivers again")


def helpless(stage: Stage, control: Control, narrator: Narrator) -> None:
    """A remedy that works technically and changes nothing: rolled back, then people are called."""
    narrator.say("▲", "yahoo.com takes 5 messages a second, whatever we do; 700 a second come in")
    control.domain("yahoo.com", throttle_per_s=5.0, inject_per_s=700.0)
    incident = narrator.until(opened("high-queue-depth"), "an incident for yahoo.com", 60)["incident"]
    control.domain("yahoo.com", inject_per_s=100.0)
    narrator.until(kind_is("verify.concluded", incident=incident, verdict="not_recovered"), "a failed verification", 90)
    narrator.until(kind_is("undo.outcome", incident=incident), "the change taken back", 60)
    narrator.until(kind_is("incident.escalated", incident=incident), "people called", 30)
    narrator.until(closed(incident, "failed"), "the last word", 30)
    expect("60/s" in (stage.root / "shaping.toml").read_text(encoding="utf-8"), "the old limit in the shaping file")
    narrator.say("✓", "the shaping file is as it was, and on-call was told")


def rehearsal(stage: Stage, control: Control, narrator: Narrator) -> None:
    """The same bounces on a server in dry-run: everything is decided and told, nothing is touched."""
    narrator.say("▲", "gmail.com begins to bounce 27 % of its mail")
    control.domain("gmail.com", bounce_ratio=0.27)
    incident = narrator.until(opened("high-bounce-rate"), "an incident for gmail.com", 45)["incident"]
    narrator.until(closed(incident, "simulated"), "a simulated run", 60)
    touched = effects(stage, "/api/admin/")
    expect(not touched, f"kumod's ledger is empty, not {touched}")
    narrator.say("✓", "kumod's own ledger is empty: nothing was touched")


STORIES: dict[str, tuple[str, tuple[Callable[[Stage, Control, Narrator], None], ...]]] = {
    "all": ("auto", (bounces, queue, held_back, stopped)),
    "dry-run": ("dry-run", (rehearsal,)),
    "failure": ("auto", (helpless,)),
}


def play(stage: Stage, story: str) -> None:
    """Plays a story on a stage that is being built; StoryFault or StageFault if it does not come out right."""
    mode, scenes = STORIES[story]
    narrator = Narrator(stage.url)
    narrator.say(
        "·", f"kumod (simulated), Prometheus, Alertmanager and remediator start, mode {mode}, all on 127.0.0.1"
    )
    stage.mode = mode
    stage.build()
    narrator.say("·", f"console  {stage.url}/     files  {stage.root}")
    with Control(stage.control_url) as control:
        warm_up(control, narrator)
        for scene in scenes:
            scene(stage, control, narrator)
        verify_log(stage, narrator)


def warm_up(control: Control, narrator: Narrator) -> None:
    """Lets mail flow until there are numbers to look at."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        narrator.follow(0.5)
        domains = control.state()["domains"]
        if isinstance(domains, dict) and sum(int(one["delivered"]) for one in domains.values()) > 400:
            narrator.say("·", "mail flows: four domains, 40 messages a second each, 2 % bounces")
            return
    raise StoryFault("no mail flows at the simulated kumod")


def verify_log(stage: Stage, narrator: Narrator) -> None:
    """The last proof: the journal's chain is whole, and every incident has its last word."""
    open_ones = {line["incident"] for line in narrator.lines if line["kind"] == "incident.opened"}
    ended = {line["incident"] for line in narrator.lines if line["kind"] == "incident.closed"}
    expect(open_ones == ended, f"every incident has its last word, not {open_ones - ended}")
    narrator.say("✓", f"{len(ended)} incidents, each with its last word; {narrator.after} entries in the journal")
    narrator.say(" ", f"read one:  remediator log show {min(map(str, ended))} --url {stage.url}")


def main(argv: Sequence[str] | None = None) -> int:
    """0 if the story came out right, 1 if not."""
    parser = argparse.ArgumentParser(prog="remediator demo")
    parser.add_argument("--story", choices=sorted(STORIES), default="all")
    parser.add_argument("--root", type=Path, default=None, help="where the files go (default: a new directory)")
    options = parser.parse_args(argv)
    root = options.root or Path(tempfile.mkdtemp(prefix="remediator-demo-"))
    stage = Stage(root.resolve())
    try:
        play(stage, options.story)
        print("\nThe story came out right.")
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"The console stays up at {stage.url}/ until Ctrl-C.")
            while stage.processes["remediator"].poll() is None:
                time.sleep(0.5)
    except KeyboardInterrupt:
        print()
    except (StoryFault, StageFault) as fault:
        print(f"\nThe story did not come out right: {fault}\n{_log_tails(stage)}", file=sys.stderr)
        return 1
    finally:
        stage.strike()
    return 0


def _log_tails(stage: Stage) -> str:
    names = [name for name in ("remediator", "prometheus", "alertmanager") if (stage.root / f"{name}.log").exists()]
    return "\n".join(f"── {name}.log\n{stage.log_end(name)}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
