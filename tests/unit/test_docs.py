"""The documents against the code: what they show loads, what they point at is there, and nothing is left out."""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from remediator.cli.root import COMMANDS, root
from remediator.config import load_rules, load_settings, rule_paths
from remediator.core import planning
from remediator.core.entries import AnyFact
from remediator.core.rules import Mode
from remediator.demo.stage import FILES, Ports
from remediator.exporter.series import DESCRIBED
from remediator.guards.all_guards import all_guards
from remediator.observe import Metrics
from remediator.plugins import describe_catalogue

HOUSE = Path(__file__).resolve().parents[2]
PAGES = sorted([*HOUSE.glob("*.md"), *HOUSE.glob("docs/**/*.md")])
REFERENCE = HOUSE / "docs" / "reference"
NAMES = [str(page.relative_to(HOUSE)) for page in PAGES]

_FENCE = re.compile(r"^```ya?ml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<to>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """The YAML blocks of all pages, with the place of each."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _FENCE.finditer(text):
            line = text[: block.start()].count("\n") + 2
            found.append((f"{page.relative_to(HOUSE)}:{line}", block["text"]))
    return found


RULE_BLOCKS = [block for block in blocks() if block[1].lstrip().startswith("version: 1")]


def written(tmp_path: Path, name: str, text: str) -> Path:
    """A copy that only its owner may write, whatever the mask of this checkout was."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    """What is found in a rules file that is as good as it can be: warnings; an error is raised."""
    loaded = load_rules([written(tmp_path, "rules.yml", text)], describe_catalogue(), server_mode=Mode.AUTO)
    assert loaded.ruleset.rules
    assert loaded.ruleset.playbooks
    return [str(warning) for warning in loaded.warnings]


def test_the_pages_show_rules_at_all() -> None:
    assert any(place.startswith("README.md") for place, _ in RULE_BLOCKS)


@pytest.mark.parametrize(("place", "text"), RULE_BLOCKS, ids=[place for place, _ in RULE_BLOCKS])
def test_the_rules_that_the_pages_show_load_without_a_word(place: str, text: str, tmp_path: Path) -> None:
    assert faults(tmp_path, textwrap.dedent(text)) == []


@pytest.mark.parametrize(("place", "text"), blocks(), ids=[place for place, _ in blocks()])
def test_what_the_pages_show_as_yaml_is_yaml(place: str, text: str) -> None:
    assert yaml.safe_load(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_points_at_something(name: str) -> None:
    page = HOUSE / name
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    dead = []
    for link in _LINK.finditer(text):
        target, _, anchor = link["to"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = page if not target else page.parent / target
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            dead.append(link["to"])
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as the usual renderers make them of headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


def test_every_test_file_that_a_page_names_is_there() -> None:
    known = {path.name for path in HOUSE.glob("tests/**/*.py")}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        missing = set(re.findall(r"`(?:[a-z0-9_/]+/)?(test_[a-z0-9_]+\.py)`", text)) - known
        places = {one for one in re.findall(r"`(tests/[a-z0-9_/.*]+)`", text) if not list(HOUSE.glob(one))}
        assert (page.name, sorted(missing | places)) == (page.name, [])


def test_every_file_that_the_readme_names_in_a_sentence_is_there() -> None:
    text = (HOUSE / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:rules|monitoring|docs|scripts|remediator)/[a-z_./-]*)`", text):
        assert (HOUSE / name).exists(), name


def all_commands(command: click.Command, name: str) -> Iterator[str]:
    yield name
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from all_commands(found, f"{name} {below}")


def headings(page: str) -> list[str]:
    return re.findall(r"^## (.+)$", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def first_cells(page: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_action_and_probe_is_in_the_reference_and_no_other() -> None:
    catalogue = describe_catalogue()
    assert headings("actions.md") == [f"`{kind}`" for kind in sorted(catalogue.actions)]
    assert headings("probes.md") == [f"`{kind}`" for kind in sorted(catalogue.probes)]


def test_every_parameter_of_an_action_is_in_the_reference() -> None:
    text = (REFERENCE / "actions.md").read_text(encoding="utf-8")
    for kind, action in describe_catalogue().actions.items():
        section = text.partition(f"## `{kind}`\n")[2].partition("\n## ")[0]
        assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == list(action.params), kind


def test_every_guard_is_in_the_reference_and_no_other() -> None:
    assert first_cells("guards.md") == [guard.name for guard in all_guards()]


def test_every_kind_of_entry_is_in_the_reference_and_no_other() -> None:
    tags = {str(one.__struct_config__.tag) for one in typing.get_args(AnyFact)}
    assert len(tags) > 20
    assert {heading.split("`")[1] for heading in headings("entries.md")} == tags


def test_every_metric_is_in_the_reference_and_no_other() -> None:
    assert first_cells("metrics.md") == sorted(name for name, *_ in Metrics().described)


def test_every_series_of_the_exporter_is_in_the_reference() -> None:
    found = [name for name in first_cells("exporter.md") if name.startswith("kumo_")]
    assert found == [name for name, *_ in DESCRIBED]


def test_every_command_is_in_the_reference_and_no_other() -> None:
    top = click.Context(root, info_name="remediator")
    wanted = []
    for name in COMMANDS:
        command = root.get_command(top, name)
        assert command is not None
        wanted += list(all_commands(command, f"remediator {name}"))
    assert headings("cli.md") == wanted


def glossary() -> dict[str, str]:
    text = (HOUSE / "docs" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| ([a-z][a-z, ]+?) \| (.+) \|$", text, re.MULTILINE))


def test_the_glossary_has_every_disposition_that_planning_gives_and_no_other() -> None:
    given = set(re.findall(r'disposition="([a-z]+)"', inspect.getsource(planning)))
    assert len(given) >= 5
    assert set(re.findall(r"`([a-z]+)`", glossary()["disposition"])) == given


def test_the_glossary_has_the_modes_in_their_order() -> None:
    assert " < ".join(mode.word for mode in sorted(Mode)) in glossary()["mode"]


def test_every_metric_that_a_page_names_exists() -> None:
    known = {name for name, *_ in Metrics().described}
    for page in PAGES:
        named = set(re.findall(r"\bremediator_[a-z_]+\b", page.read_text(encoding="utf-8")))
        assert (page.name, sorted(named - known)) == (page.name, [])


def test_the_shipped_rules_load_together(tmp_path: Path) -> None:
    paths = [path for path in sorted(HOUSE.glob("rules/*.yml")) if not path.name.endswith("_test.yml")]
    copies = [written(tmp_path, path.name, path.read_text(encoding="utf-8")) for path in paths]
    loaded = load_rules(copies, describe_catalogue(), server_mode=Mode.AUTO)
    assert loaded.ruleset.rules
    assert [str(warning) for warning in loaded.warnings] == []


@pytest.mark.parametrize("name", ["incidents.yml", "packs/command-line.yml"])
def test_incidents_load_alone(name: str, tmp_path: Path) -> None:
    assert faults(tmp_path, (HOUSE / "rules" / name).read_text(encoding="utf-8")) == []


def test_the_rules_of_the_demo_load(tmp_path: Path) -> None:
    assert faults(tmp_path, (FILES / "rules.yml").read_text(encoding="utf-8")) == []


def test_the_settings_of_the_house_load_and_name_its_rules(tmp_path: Path) -> None:
    path = written(tmp_path, "remediator.yml", (HOUSE / "remediator.yml").read_text(encoding="utf-8"))
    settings = load_settings(path)
    assert settings.mode is Mode.DRY_RUN, "what is shipped touches nothing"
    assert settings.warnings == ()
    (tmp_path / "rules").mkdir()
    for rules in HOUSE.glob("rules/*.yml"):
        written(tmp_path / "rules", rules.name, rules.read_text(encoding="utf-8"))
    assert rule_paths(settings)


def test_the_settings_of_the_demo_load(tmp_path: Path) -> None:
    text = (FILES / "remediator.yml.in").read_text(encoding="utf-8")
    values = {field: str(getattr(Ports(), field)) for field in Ports.__slots__}
    for name, value in {**values, "root": str(tmp_path), "node": "kumod-1", "mode": "auto"}.items():
        text = text.replace(f"@{name}@", value)
    assert "@" not in text
    assert load_settings(written(tmp_path, "remediator.yml", text)).mode is Mode.AUTO


# ── the failures of others ───────────────────────────────────────────────────────────────────────────────────────────
STORIES = range(1, 25)
_TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_STORY = re.compile(r"^\| F(?P<number>[0-9]+) \|.*\| `(?P<test>test_\w+)` \|$", re.MULTILINE)


def test_every_failure_story_has_a_test_with_its_number_and_a_row_that_names_one() -> None:
    tests = {name for path in HOUSE.glob("tests/**/test_*.py") for name in _TEST.findall(path.read_text("utf-8"))}
    rows = [
        (int(row["number"]), row["test"])
        for row in _STORY.finditer((HOUSE / "docs" / "guarantees.md").read_text("utf-8"))
    ]
    assert [number for number, _ in rows] == list(STORIES)
    assert [number for number in STORIES if not any(f"_f{number:02}_" in name for name in tests)] == []
    assert [test for number, test in rows if f"_f{number:02}_" not in test or test not in tests] == []
