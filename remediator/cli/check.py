"""`remediator check`: all faults of settings and rules at once, for people and for CI. Needs no service, and asks nobody but
the Prometheus of --prometheus.url."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remediator.cli.client import Unreachable
from remediator.cli.options import FILE
from remediator.cli.text import plural
from remediator.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.config import Settings
    from remediator.core.rules import Ruleset
    from remediator.errors import Problem

SETTINGS = Path("remediator.yml")
LINT = 3
_TESTS = ("_test.yml", "_test.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in which files; `ruleset` is None where an error kept it from being built."""

    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    ruleset: Ruleset | None = None
    settings: Settings | None = None

    @property
    def failed(self) -> bool:
        """Whether there is an error, not only warnings."""
        return any(problem.severity == "error" for problem in self.problems)


@click.command(
    epilog="\b\nExamples:\n  remediator check rules/incidents.yml\n"
    "  remediator check --config.file remediator.yml --lint-fatal -o github"
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH]...")
@click.option("--config.file", "config_file", type=FILE, envvar="REMEDIATOR_CONFIG_FILE", help="Settings.")
@click.option(
    "--prometheus.url", "prometheus_url", metavar="URL",
    help="Also ask this Prometheus whether the series and alerts exist that the rules rest on.",
)  # fmt: skip
@click.option("--lint-fatal", is_flag=True, help="Exit 3 if there are warnings and no errors.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["text", "json", "github", "junit"]), default="text", show_default=True,
    help="Form; github makes annotations, junit a report.",
)  # fmt: skip
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[Path, ...],
    config_file: Path | None,
    prometheus_url: str | None,
    form: str,
    *,
    lint_fatal: bool,
) -> None:
    """Finds faults in settings and rules, before the service does.

    PATH is a file of rules or a directory of them; without one, the files that the settings name. Exits 1 if there are
    errors.
    """
    checked = _checked(paths, config_file)
    if prometheus_url is not None:
        checked = _asked(checked, prometheus_url)
    click.echo(_report(checked, form), nl=False)
    ctx.exit(1 if checked.failed else LINT if lint_fatal and checked.problems else 0)


def _checked(paths: Sequence[Path], config_file: Path | None) -> Checked:
    from remediator.config import load_rules, load_settings, rule_paths
    from remediator.config.each import UNKNOWN_NODES
    from remediator.core.rules import Mode
    from remediator.plugins import describe_catalogue

    if not paths and config_file is None:
        if not SETTINGS.is_file():
            raise click.UsageError(f"there is no {SETTINGS} here; name rules files or --config.file")
        config_file = SETTINGS
    files = [str(path) for path in _rules_files(paths)]
    problems: list[Problem] = []
    settings = None
    try:
        if config_file is not None:
            files.insert(0, str(config_file))
            settings = load_settings(config_file)
            problems += settings.warnings
            files += [str(path) for path in rule_paths(settings)] if not paths else []
        loaded = load_rules(
            [Path(name) for name in files[1 if config_file is not None else 0 :]],
            describe_catalogue(),
            server_mode=settings.mode if settings is not None else Mode.AUTO,
            time_intervals=settings.time_intervals if settings is not None else None,
            nodes=settings.nodes if settings is not None else UNKNOWN_NODES,
        )
    except InvalidConfiguration as fault:
        return Checked(files=tuple(files), problems=(*problems, *fault.problems))
    return Checked(
        files=tuple(files), problems=(*problems, *loaded.warnings), ruleset=loaded.ruleset, settings=settings
    )


def _asked(checked: Checked, url: str) -> Checked:
    """With what Prometheus does not have; Unreachable if it does not answer."""
    if checked.ruleset is None:
        return checked
    from remediator.doctor.building import for_prometheus
    from remediator.doctor.linting import problems

    found = asyncio.run(problems(for_prometheus(checked.ruleset, url, checked.settings)))
    if isinstance(found, str):
        raise Unreachable(found)
    return replace(checked, problems=(*checked.problems, *found))


def _rules_files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [file for file in sorted(path.rglob("*.y*ml")) if not file.name.endswith(_TESTS)]
        if not inside:
            raise click.UsageError(f"{path} holds no rules: there is no *.yml below it")
        found += inside
    return list(dict.fromkeys(found))


def _report(checked: Checked, form: str) -> str:
    from remediator.config import report

    match form:
        case "json":
            return report.json_report(checked.problems)
        case "github":
            return report.github_report(checked.problems)
        case "junit":
            return report.junit_report(checked.problems, checked.files)
        case _:
            text = report.text_report(checked.problems, report.read_sources(checked.problems))
            return text + report.summary_line(checked.problems, _what(checked))


def _what(checked: Checked) -> str:
    if checked.ruleset is None:
        return plural(len(checked.files), "file")
    playbooks = checked.ruleset.playbooks.values()
    counts = [
        plural(len(checked.files), "file"),
        plural(len(checked.ruleset.rules), "rule"),
        plural(len(playbooks), "playbook"),
        plural(sum(len(playbook.steps) for playbook in playbooks), "step"),
    ]
    return ", ".join(counts)
