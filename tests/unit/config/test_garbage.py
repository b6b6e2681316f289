"""Whatever a file holds, it is loaded or refused with problems; nothing else ever comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediator.config import load_rules, load_settings
from remediator.config.documents import parse_document
from remediator.config.report import github_report, json_report, junit_report, read_sources, text_report
from remediator.core.rules import Mode
from remediator.errors import InvalidConfiguration
from remediator.ports import Catalogue

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
TEXTS = [path.read_text(errors="replace") for path in sorted(GOLDEN.glob("*.yml"))]
PIECES = sorted({piece for text in TEXTS for piece in text.replace("\n", " \n ").split(" ") if piece})

# Fragments that have broken readers of YAML before, and our own syntax.
ODD = [
    "&a",
    "*a",
    "!!x",
    "<<",
    "? ",
    "{{",
    "}}",
    "{{ labels.x }}",
    "|",
    ">",
    "%",
    "@",
    "`",
    "\t",
    "---",
    "...",
    "\\",
    '"',
    "'",
]

WORDS = st.sampled_from([*PIECES, *ODD])
KEYS = st.sampled_from(sorted({piece.rstrip(":") for piece in PIECES if piece.endswith(":")}))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), WORDS)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=30
)

often = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(path: Path, text: str, catalogue: Catalogue) -> None:
    """Loads the text as both kinds of files and renders what is wrong in all ways."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for load in (lambda: load_rules([path], catalogue, server_mode=Mode.AUTO), lambda: load_settings(path)):
        try:
            load()
        except InvalidConfiguration as refused:
            found = refused.problems
            assert found
            assert all(problem.sentence and problem.name and problem.position.line >= 1 for problem in found)
            text_report(found, read_sources(found)).encode()
            json.loads(json_report(found))
            github_report(found).encode()
            junit_report(found, [str(path)]).encode()


@often
@given(text=st.text(max_size=200))
@pytest.mark.heavy
def test_any_text_is_loaded_or_refused(tmp_path: Path, catalogue: Catalogue, text: str) -> None:
    check(tmp_path / "any.yml", text, catalogue)


@often
@given(words=st.lists(WORDS, max_size=60))
def test_any_words_of_our_language_are_loaded_or_refused(
    tmp_path: Path, catalogue: Catalogue, words: list[str]
) -> None:
    check(tmp_path / "words.yml", " ".join(words), catalogue)


@often
@given(tree=TREES, key=st.sampled_from(["rules", "playbooks", "time_intervals", "defaults", "targets", "web"]))
@pytest.mark.heavy
def test_any_tree_of_our_keys_is_loaded_or_refused(
    tmp_path: Path, catalogue: Catalogue, tree: object, key: str
) -> None:
    check(tmp_path / "tree.yml", json.dumps({"version": 1, key: tree}, ensure_ascii=False), catalogue)


@often
@given(
    choice=st.sampled_from(TEXTS),
    place=st.integers(0, 4000),
    length=st.integers(0, 12),
    word=WORDS | st.text(max_size=8),
)
@pytest.mark.heavy
def test_any_slip_in_a_real_file_is_loaded_or_refused(
    tmp_path: Path, catalogue: Catalogue, choice: str, place: int, length: int, word: str
) -> None:
    start = place % (len(choice) + 1)
    check(tmp_path / "slip.yml", choice[:start] + word + choice[start + length :], catalogue)


@pytest.mark.parametrize("depth", [1, 19, 20, 21, 200])
@given(text=st.text(alphabet="{}[]:,-?&*!|>'\"%@` \n\tab#", max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_punctuation_is_read_or_refused(depth: int, text: str) -> None:
    document = parse_document("f.yml", "[" * depth + text)
    assert document.problems or isinstance(document.value, list)
