"""`remediator test`: tests of rules, on the real engine in virtual time. Needs no service, and touches nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remediator.cli.options import FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.rehearsal import Outcome

DEFAULT = Path("rules")


def _pattern(_ctx: click.Context, _param: click.Parameter, text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as fault:
        raise click.BadParameter(f"{text!r} is not a regular expression: {fault}") from fault


@click.command(
    epilog="\b\nExamples:\n  remediator test rules/mail_test.yml\n"
    "  remediator test --coverage --coverage-min 100\n"
    "  remediator test --run 'bouncing' --debug"
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[FILE]...")
@click.option("--run", "only", metavar="REGEX", callback=_pattern, help="Only the tests whose names this finds.")
@click.option(
    "--debug", is_flag=True, help="Tell everything that happened in the tests that failed, or in those of --run."
)
@click.option("--coverage", is_flag=True, help="Which rules, steps, guards and failures the tests have seen.")
@click.option(
    "--coverage-min", "--coverage-threshold", "least", type=click.FloatRange(0, 100), metavar="PERCENT",
    help="Exit 1 if the tests together have seen less of the rules.",
)  # fmt: skip
@click.option("--junit", "report", type=FILE, help="Write a JUnit report to this file, too.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json", "junit"]),
    default="text",
    show_default=True,
    help="Form.",
)
@click.pass_context
def test(
    ctx: click.Context,
    paths: tuple[Path, ...],
    only: re.Pattern[str] | None,
    report: Path | None,
    least: float | None,
    form: str,
    *,
    debug: bool,
    coverage: bool,
) -> None:
    """Tests rules: alerts and answers in, and what comes of them.

    FILE is a file of tests (*_test.yml) or a directory of them; without one, those below rules/. The real engine runs in
    virtual time over a world that only answers; no neighbour is asked. Exits 1 if a test fails.
    """
    from remediator.config.cases import case_files
    from remediator.rehearsal import Coverage, rehearse, reporting

    files = case_files(paths or (DEFAULT,))
    if not files:
        raise click.UsageError(f"there is no *_test.yml below {', '.join(map(str, paths or (DEFAULT,)))}")
    outcomes = [rehearse(path, only) for path in files]
    seen = Coverage.of_all(outcome.coverage for outcome in outcomes)
    if report is not None:
        report.write_text(reporting.junit(outcomes), encoding="utf-8")
    match form:
        case "json":
            click.echo(reporting.as_json(outcomes), nl=False)
        case "junit":
            click.echo(reporting.junit(outcomes), nl=False)
        case _:
            click.echo(
                reporting.text(outcomes, stories=_stories(outcomes, every=only is not None) if debug else ()), nl=False
            )
            if coverage or least is not None:
                click.echo(reporting.coverage_text(seen), nl=False)
    enough = least is None or seen.percent >= least
    ctx.exit(0 if enough and all(outcome.passed for outcome in outcomes) else 1)


def _stories(outcomes: Sequence[Outcome], *, every: bool) -> list[str]:
    return [result.case.name for one in outcomes for result in one.results if every or not result.passed]
