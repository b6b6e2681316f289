"""`each: node`: one target, or one step, for every node that the settings name, and nothing to edit in the rules for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.config import Loaded, load_rules
from remediator.config.each import for_node, says_each
from remediator.core.promql import regex_quote
from remediator.core.rendering import Reference, Sink, Template, fill, parse_tree
from remediator.core.rules import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from remediator.core.params import Json
    from remediator.ports import Catalogue

TEXT = """version: 1
rules:
  - name: nightly
    schedule: "0 2 * * *"
    each: node
    target: { instance: "{{ each.node }}", job: kumod }
    guards: { GUARDS }
    playbook: look
    with: { node: "{{ labels.instance }}" }
playbooks:
  - name: look
    params: { node: name }
    atomic_from: Last
    steps:
      - { name: First, action: prometheus.report, each: node, with: { expr: 'up{instance="{{ each.node }}"}' } }
      - name: Second
        manual: "Look at {{ each.node }}, then at {{ params.node }}"
        each: node
        forgets: ["{{ each.node }}"]
      - { name: Last, action: prometheus.report, with: { expr: up } }
    verify: []
    on_failure: []
"""


def loaded(tmp_path: Path, catalogue: Catalogue, nodes: Sequence[str] | None, guards: str = "") -> Loaded:
    path = tmp_path / "rules.yml"
    path.write_text(TEXT.replace("GUARDS", guards))
    path.chmod(0o644)
    if nodes is None:
        return load_rules([path], catalogue, server_mode=Mode.AUTO)
    return load_rules([path], catalogue, server_mode=Mode.AUTO, nodes=nodes)


def sentences(one: Loaded) -> list[str]:
    return [warning.sentence for warning in one.warnings]


def test_a_scheduled_rule_has_a_target_for_each_node_in_their_order(tmp_path: Path, catalogue: Catalogue) -> None:
    found = loaded(tmp_path, catalogue, ["out2", "out1"])
    assert found.ruleset.rules[0].targets == (
        {"instance": "out2", "job": "kumod"},
        {"instance": "out1", "job": "kumod"},
    )
    assert found.warnings == ()


def test_a_step_is_made_for_each_node_and_says_for_which(tmp_path: Path, catalogue: Catalogue) -> None:
    book = loaded(tmp_path, catalogue, ["out2", "out1"]).ruleset.playbooks["look"]
    names = ["First (out2)", "First (out1)", "Second (out2)", "Second (out1)", "Last"]
    assert [step.name for step in book.steps] == names
    assert book.steps[1].arguments["expr"] == Template(('up{instance="', "out1", '"}'))
    (sentence,) = book.steps[3].arguments.values()
    assert isinstance(sentence, Template)
    assert fill(sentence, {"params": {"node": "out3"}}) == "Look at out1, then at out3"
    assert [fill(one, {}) for one in book.steps[3].forgets] == ["out1"]
    assert book.atomic_from == 4


def test_with_one_node_a_step_keeps_its_name(tmp_path: Path, catalogue: Catalogue) -> None:
    steps = loaded(tmp_path, catalogue, ["out1"]).ruleset.playbooks["look"].steps
    assert [step.name for step in steps] == ["First", "Second", "Last"]


def test_without_settings_rules_are_looked_at_as_for_one_node(tmp_path: Path, catalogue: Catalogue) -> None:
    found = loaded(tmp_path, catalogue, None)
    assert found.ruleset.rules[0].targets == ({"instance": "node", "job": "kumod"},)
    assert found.warnings == ()


def test_settings_without_a_node_are_told_to_whoever_says_each(tmp_path: Path, catalogue: Catalogue) -> None:
    found = loaded(tmp_path, catalogue, [])
    assert found.ruleset.rules[0].targets == ()
    assert [step.name for step in found.ruleset.playbooks["look"].steps] == ["Last"]
    assert sentences(found) == [
        "the settings name no node, so this comes due for none",
        "the settings name no node, so step 'First' is made for none",
        "the settings name no node, so step 'Second' is made for none",
    ]


def test_more_nodes_than_the_rules_own_limits_let_it_touch_are_told(tmp_path: Path, catalogue: Catalogue) -> None:
    nodes = [f"out{number}" for number in range(6)]
    assert sentences(loaded(tmp_path, catalogue, nodes)) == [
        "this comes due for 6 nodes, and blast_radius lets 3 be touched per 1h",
        "this comes due for 6 nodes, and max_targets lets 5 be under a temporary effect at once",
    ]
    assert loaded(tmp_path, catalogue, nodes, "blast_radius: 6 per 1h, max_targets: 6").warnings == ()


@pytest.mark.parametrize("raw", [{"a": ["x", 3, "{{ each.node }}"]}, "{{ each.node }}"])
def test_a_name_is_found_and_filled_at_any_depth(raw: Json) -> None:
    tree = parse_tree(raw)
    assert says_each(tree)
    assert not says_each(for_node(tree, "out1"))


def test_a_name_in_a_pattern_is_a_name_and_other_blanks_are_left() -> None:
    node, other = Reference("each", "node", sink=Sink.PROMQL_REGEX), Reference("params", "x")
    assert for_node(Template((node, " ", other)), "out.1") == Template((regex_quote("out.1"), " ", other))
