"""What makes the shipped files quick touches waits alone, and refuses a file that is not as it is known."""

from __future__ import annotations

import difflib

import pytest
import yaml

from tests.kit.quick import OFFSET, WINDOW, Unknown, Wait, quick, replaced
from tests.kit.stack import COMPOSE, HOUSE
from tests.kit.whole_site import MONITORING, filled_in, filled_in_exporter, quick_monitoring, quick_rules

RULES = HOUSE / "rules/incidents.yml"


def test_a_minute_becomes_a_second_and_nothing_becomes_shorter_than_prometheus_can_see() -> None:
    text = "expr: a[10m] > b offset 1h\nfor: 2m\nevery: 15s\ngroup_wait: 0s\n{ after: 2h, within: 45m }"
    waits = dict.fromkeys((WINDOW, OFFSET, "for", "every", "group_wait"), Wait.SHORTER)
    told = quick(text, {**waits, "after": Wait.MUCH_SHORTER, "within": Wait.AS_IT_IS})
    assert told == "expr: a[10s] > b offset 1m\nfor: 2s\nevery: 500ms\ngroup_wait: 0s\n{ after: 30s, within: 45m }"


@pytest.mark.parametrize(
    "text", ["for: 5m\ndelay: 2m", "for: 5m\nexpr: a[5m]", "for: 5m\nexpr: a offset 5m", "within: 5m"]
)
def test_a_duration_that_nobody_has_decided_on_and_one_that_is_gone_are_refused(text: str) -> None:
    with pytest.raises(Unknown):
        quick(text, {"for": Wait.SHORTER})


def test_names_of_series_and_limits_within_a_window_are_no_waits() -> None:
    text = "expr: kumo:bounce_ratio:rate10m > 0.20\nrate_limit: 2 per 6h\nfor: 5m"
    assert quick(text, {"for": Wait.SHORTER}) == text.replace("5m", "5s")


@pytest.mark.parametrize("text", ["", "mode: auto, mode: auto"])
def test_only_what_is_there_once_is_replaced(text: str) -> None:
    with pytest.raises(Unknown):
        replaced(text, "mode: auto", "mode: off")


def changed(before: str, after: str) -> list[tuple[str, str]]:
    """The words that differ."""
    old, new = before.split(), after.split()
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return [(" ".join(old[a:b]), " ".join(new[c:d])) for word, a, b, c, d in matcher.get_opcodes() if word != "equal"]


def test_of_the_shipped_rules_nothing_but_waits_and_the_sunday_changes() -> None:
    for old, new in changed(RULES.read_text(encoding="utf-8"), quick_rules()):
        sunday = "mute_time_intervals" in old
        assert sunday or len(old.split()) == len(new.split()), (old, new)
    before, after = yaml.safe_load(RULES.read_text(encoding="utf-8")), yaml.safe_load(quick_rules())
    assert [rule["name"] for rule in after["rules"]] == [rule["name"] for rule in before["rules"]]
    for mine, theirs in zip(after["rules"], before["rules"], strict=True):
        assert {key: mine.get(key) for key in ("match", "group_by", "mode", "playbook", "guards", "with")} == {
            key: theirs.get(key) for key in ("match", "group_by", "mode", "playbook", "guards", "with")
        }


@pytest.mark.parametrize("name", MONITORING)
def test_of_the_shipped_monitoring_nothing_but_durations_changes(name: str) -> None:
    before = (HOUSE / "monitoring" / name).read_text(encoding="utf-8")
    for old, new in changed(before, quick_monitoring(name, before)):
        assert len(old.split()) == len(new.split()), (old, new)


def test_the_settings_are_filled_in_where_the_shipped_ones_leave_room() -> None:
    settings = yaml.safe_load(filled_in((COMPOSE / "remediator.yml").read_text(encoding="utf-8"), "127.0.0.1:1"))
    assert settings["mode"] == "auto"
    assert settings["targets"]["kumomta"]["sources"] == {"192.0.2.25": {"node": "mta1", "source": "ip-1"}}
    exporter = yaml.safe_load(filled_in_exporter((COMPOSE / "exporter.yml").read_text(encoding="utf-8"), 53))
    assert exporter["reputation"]["ips"] == [{"ip": "192.0.2.25", "egress_source": "ip-1"}]
