"""Every bad file beside its exact report: what operators read is the product."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remediator.config import load_rules, load_settings
from remediator.config.report import read_sources, summary_line, text_report
from remediator.core.rules import Mode
from remediator.errors import InvalidConfiguration
from remediator.ports import Catalogue

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
BAD = sorted(path.name for path in GOLDEN.glob("*.bad.yml"))


def test_there_are_enough_bad_files() -> None:
    assert len(BAD) >= 25


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_exactly_this_report(name: str, tmp_path: Path, catalogue: Catalogue) -> None:
    path = Path(shutil.copy(GOLDEN / name, tmp_path))
    path.chmod(0o644)
    is_settings = name.startswith("settings")
    with pytest.raises(InvalidConfiguration) as refused:
        load_settings(path) if is_settings else load_rules([path], catalogue, server_mode=Mode.AUTO)
    problems = refused.value.problems
    report = text_report(problems, read_sources(problems)) + summary_line(problems, name)
    assert report.replace(f"{tmp_path}/", "") == (GOLDEN / name.replace(".bad.yml", ".txt")).read_text()


@pytest.mark.parametrize("name", BAD)
def test_no_message_speaks_the_language_of_our_libraries(name: str) -> None:
    report = (GOLDEN / name.replace(".bad.yml", ".txt")).read_text().lower()
    for jargon in ("pydantic", "errors.", "traceback", "validation error", "value_error", "nonetype", "str_type"):
        assert jargon not in report
