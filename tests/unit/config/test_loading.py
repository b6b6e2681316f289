"""What a good file becomes: the compiled rules, their defaults, modes, escaping and digest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from remediator.config import Loaded, load_rules
from remediator.core.brakes import Brakes, Inhibition, MinHealthy, Trust, Waves
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import EffectClass
from remediator.core.params import ParamType
from remediator.core.rendering import Sink, Template, fill, parse_template, references
from remediator.core.rules import Limit, Mode, OnError, OnFailure, OnUnknown
from remediator.core.schedules import Missed, parse_schedule
from remediator.errors import InvalidConfiguration
from remediator.ports import Catalogue

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
Load = Callable[[str], Loaded]

BOOK = """
playbooks:
  - name: look
    steps: [{ name: Report, action: prometheus.report, with: { expr: up } }]
    verify: [{ expr: up == 1 }]
"""


def rules(*lines: str, head: str = "") -> str:
    """A file with one rule that has these further lines."""
    body = "".join(f"    {line}\n" for line in lines)
    rule = "  - name: one\n    match: alertname = One\n    group_by: instance\n    playbook: look\n"
    return f"version: 1\n{head}rules:\n{rule}{body}{BOOK}"


def problems(load: Load, text: str) -> list[str]:
    """The names of all problems of a text that must be refused."""
    with pytest.raises(InvalidConfiguration) as refused:
        load(text)
    return [problem.name for problem in refused.value.problems]


def golden(directory: Path, name: str, catalogue: Catalogue) -> Loaded:
    """A good file, loaded on a server in mode auto from a copy that only we may write, however this one was checked out."""
    path = Path(shutil.copy(GOLDEN / name, directory))
    path.chmod(0o644)
    return load_rules([path], catalogue, server_mode=Mode.AUTO)


@pytest.fixture
def design(tmp_path: Path, catalogue: Catalogue) -> Loaded:
    """The example of the design."""
    return golden(tmp_path, "design.good.yml", catalogue)


@pytest.fixture
def everything(tmp_path: Path, catalogue: Catalogue) -> Loaded:
    """A file that has every key once."""
    return golden(tmp_path, "everything.good.yml", catalogue)


def test_the_printed_example_loads_as_it_reads(design: Loaded) -> None:
    rule = design.ruleset.rules[0]
    assert design.warnings == ()
    assert rule.name == "high-bounce-rate"
    assert rule.match == (parse_matcher("alertname=KumoBounceRateHigh"), parse_matcher("severity=critical"))
    assert rule.group_by == ("instance", "domain")
    assert rule.when is not None
    assert rule.when.hold == 120
    assert rule.guards.cooldown == 1800
    assert rule.guards.rate_limit == Limit(2, 21600)
    assert rule.guards.blast_radius == Limit(3, 3600)
    assert rule.guards.mute_time_intervals == ("weekly-maintenance",)
    assert rule.guards.require[0].because == "ten bounces of twenty messages are not a crisis"
    assert [rung.playbook for rung in rule.ladder] == ["pause-and-throttle-domain"]
    assert rule.source.endswith("design.good.yml:3")


def test_the_printed_playbook_loads_as_it_reads(design: Loaded) -> None:
    book = design.ruleset.playbooks["pause-and-throttle-domain"]
    suspend, report, throttle = book.steps
    assert book.params == {"node": ParamType.NAME, "domain": ParamType.DOMAIN}
    assert (suspend.action, suspend.undo_after, suspend.effect) == ("kumomta.suspend", 7200, EffectClass.KEYED)
    assert (report.on_error, report.undo_after) == (OnError.CONTINUE, None)
    assert throttle.arguments["rate"] == Template(("100/h",))
    assert (book.verify[0].probe, book.verify[0].hold, book.verify[0].within) == ("promql", 300, 1200)
    assert book.on_failure == (OnFailure.ROLLBACK, OnFailure.ESCALATE)
    assert "weekly-maintenance" in design.ruleset.time_intervals


def test_a_label_cannot_leave_the_quotes_of_a_query(design: Loaded) -> None:
    rule = design.ruleset.rules[0]
    assert rule.when is not None
    hostile = {"instance": 'a"} or vector(1) #', "domain": "example.com"}
    query = fill(rule.when.expr, {"labels": hostile})
    assert 'instance="a\\"} or vector(1) #"' in query


def test_a_blank_in_a_regular_expression_is_quoted_as_one(everything: Loaded) -> None:
    when = everything.ruleset.rules[1].when
    assert when is not None
    assert [reference.sink for reference in references(when.expr)] == [Sink.PROMQL_REGEX]
    assert "mta1\\\\.example:.*" in fill(when.expr, {"labels": {"instance": "mta1.example"}})


def test_every_brake_arrives_and_what_a_rule_does_not_say_its_file_says(everything: Loaded) -> None:
    ladder, *_own, last = everything.ruleset.rules
    shared = Brakes(
        failures=2,
        pause=7200.0,
        relapse=1800.0,
        at_least=2,
        percent=60,
        starting=300.0,
        waves=Waves(first=2, growth=3, rest=7200.0),
        max_targets=8,
        irreversible_after=300.0,
    )
    assert ladder.guards.brakes == msgspec.structs.replace(shared, inhibited_by=(Inhibition(rule="own-words"),))
    assert ladder.guards.trust is Trust.PROMETHEUS
    assert ladder.guards.min_healthy == MinHealthy(
        healthy=parse_template('up{job="kumod"} == 1'), of=parse_template('up{job="kumod"}')
    )
    first = (
        Inhibition(rule="ladder"),
        Inhibition(rule="own-words", equal=("cluster",)),
        Inhibition(rule="own-words", equal=()),
    )
    assert last.guards.brakes == msgspec.structs.replace(shared, inhibited_by=first, at_least=3, percent=0)
    assert last.guards.trust is Trust.UNCHECKED
    assert last.guards.min_healthy == MinHealthy(healthy=parse_template("count(up == 1)"))


@pytest.mark.parametrize(
    ("target", "line", "trust"),
    [
        ("instance", "summary: none", "unchecked"),
        ("instance", "when: { expr: 'queue{instance=\"{{ labels.instance }}\"} > 1' }", "target-if-scraped"),
        ("domain", "when: { expr: queue > 1 }", "prometheus"),
        ("instance", "when: { expr: 'up{instance=\"{{ labels.instance }}\"} == 0' }", "prometheus"),
        ("instance", "when: { expr: absent(queue) }", "prometheus"),
        ("instance", "when: { expr: 'kumo:up:rate{x=\"up\"} > 1' }", "target-if-scraped"),
        ("instance", "guards: { require: [{ expr: a > 1, because: so }] }", "target-if-scraped"),
        ("domain", "guards: { min_healthy: { expr: a > 1, at_least: 1 } }", "prometheus"),
        ("instance", "guards: { trust: target }", "target"),
    ],
)
def test_a_rule_trusts_as_much_as_makes_sense_for_it(load: Load, target: str, line: str, trust: str) -> None:
    text = rules(line).replace("group_by: instance", f"group_by: {target}")
    assert load(text).ruleset.rules[0].guards.trust == trust


def test_every_key_of_the_format_arrives(everything: Loaded) -> None:
    ladder, own, *_rest = everything.ruleset.rules
    assert [warning.name for warning in everything.warnings] == ["ratio-without-floor"]
    assert (ladder.mode, ladder.give_up, ladder.approval_timeout) == (Mode.APPROVE, 7200, 1800)
    assert (ladder.guards.cooldown, ladder.guards.concurrency) == (3600, 2)
    assert ladder.guards.require[0].hold == 60
    assert [sorted(rung.arguments) for rung in ladder.ladder] == [["node"], ["node", "rate"]]
    assert [lock.source for lock in ladder.locks] == ["node {{ labels.instance }}"]
    assert (own.mode, own.guards.cooldown, own.guards.require) == (Mode.OFF, 0, ())
    assert (own.guards.blast_radius, own.guards.mute_time_intervals) == (Limit(2, 3600), ())
    look, slow = everything.ruleset.playbooks["look"], everything.ruleset.playbooks["slow-down"]
    assert (look.limit, look.steps[0].effect, look.steps[1].action) == (1200, EffectClass.ONCE, "manual")
    assert (slow.steps[0].attempts, slow.steps[0].delay, slow.steps[0].timeout) == (3, 10, 60)
    assert [check.probe for check in slow.verify] == ["promql", "http", "command", "alert", "smtp.banner"]
    assert (slow.verify[0].every, slow.verify[0].samples) == (30, 5)


def test_a_schedule_arrives_with_its_target(everything: Loaded) -> None:
    clock, short = everything.ruleset.rules[2:4]
    assert clock.schedule is not None
    assert clock.schedule.text == "0 9,14,20 * * MON-FRI (Europe/Berlin)"
    assert (clock.schedule.missed, clock.schedule.within, clock.schedule.severity) == (Missed.RUN_ONCE, 1800, "warning")
    assert (clock.match, clock.group_by, clock.targets) == ((), ("instance",), ({"instance": "mta1"},))
    assert short.schedule == parse_schedule("0 3 * * SUN#1")
    assert everything.ruleset.index.matching({"instance": "mta1"}) == ()


@pytest.mark.parametrize(
    ("cron", "guards", "told"),
    [
        ("0 9,14,20 * * *", "", []),
        ("0 3 * * SUN#1", "cooldown: 1d", []),
        ("0 0 * 2 MON#5", "cooldown: 1d", []),
        ("0 * * * *", "", ["this comes up to 6 times in 6h, and rate_limit allows 2"]),
        ("*/15 * * * *", "rate_limit: 96 per 1d", ["this comes every 15m, and the cooldown is 30m"]),
        ("0 9 * * *", "cooldown: 1d, rate_limit: 2 per 1d", ["this comes every 1d, and the cooldown is 1d"]),
    ],
)
def test_a_schedule_that_the_rules_own_limits_hold_back_is_told(
    load: Load, cron: str, guards: str, told: list[str]
) -> None:
    text = rules(f"guards: {{ {guards} }}" if guards else "")
    match = next(line for line in text.splitlines() if line.strip().startswith("match:"))
    text = text.replace(match, f'    schedule: "{cron}"').replace("group_by: instance", "target: { instance: mta1 }")
    assert [one.sentence for one in load(text).warnings if one.name == "schedule-held-back"] == told


def test_literal_arguments_have_the_types_their_plug_in_declares(everything: Loaded) -> None:
    slow = everything.ruleset.playbooks["slow-down"]
    body = slow.steps[1].arguments["body"]
    assert isinstance(body, dict)
    assert [body["count"], body["ratio"], body["ok"], body["none"]] == [3, 0.5, True, None]
    assert body["text"] == Template(("3",))
    assert slow.steps[2].arguments["count"] == 2
    assert slow.verify[1].arguments["status"] == 200


def test_the_limit_of_a_run_leaves_room_for_its_verification(everything: Loaded) -> None:
    slow = everything.ruleset.playbooks["slow-down"]
    assert slow.limit == 3 * 60 + 2 * 10 + 30 + 30 + 2700 + 300


@pytest.mark.parametrize(
    ("server", "file", "rule", "effective"),
    [
        ("auto", "", "", "auto"),
        ("auto", "approve", "", "approve"),
        ("auto", "approve", "auto", "approve"),
        ("auto", "auto", "dry-run", "dry-run"),
        ("dry-run", "auto", "auto", "dry-run"),
        ("approve", "", "off", "off"),
    ],
)
def test_the_most_careful_mode_wins(
    server: str, file: str, rule: str, effective: str, tmp_path: Path, catalogue: Catalogue
) -> None:
    head = f"defaults: {{ mode: {file} }}\n" if file else ""
    path = tmp_path / "rules.yml"
    path.write_text(rules(f"mode: {rule}", head=head) if rule else rules(head=head))
    loaded = load_rules([path], catalogue, server_mode=Mode.parse(server))
    assert loaded.ruleset.rules[0].mode is Mode.parse(effective)


def test_playbooks_of_one_file_serve_the_rules_of_another(tmp_path: Path, catalogue: Catalogue) -> None:
    first, second = tmp_path / "a.yml", tmp_path / "b.yml"
    text = rules()
    first.write_text(text[: text.index("playbooks:")])
    second.write_text("version: 1\n" + text[text.index("playbooks:") :])
    loaded = load_rules([first, second], catalogue, server_mode=Mode.AUTO)
    assert loaded.ruleset.rules[0].ladder[0].playbook in loaded.ruleset.playbooks


def test_the_faults_of_all_files_are_told_at_once(tmp_path: Path, catalogue: Catalogue) -> None:
    paths = [tmp_path / name for name in ("a.yml", "b.yml", "missing.yml")]
    paths[0].write_text("version: 3\n")
    paths[1].write_text(rules("mode: never"))
    with pytest.raises(InvalidConfiguration) as refused:
        load_rules(paths, catalogue, server_mode=Mode.AUTO)
    told = [(Path(problem.position.file).name, problem.name) for problem in refused.value.problems]
    assert told == [("a.yml", "bad-version"), ("b.yml", "bad-mode"), ("missing.yml", "no-such-file")]


def test_the_digest_names_the_text_and_not_the_place(tmp_path: Path, catalogue: Catalogue) -> None:
    digests = []
    for directory, text in (("a", rules()), ("b", rules()), ("c", rules("mode: off"))):
        (tmp_path / directory).mkdir()
        path = tmp_path / directory / "rules.yml"
        path.write_text(text)
        digests.append(load_rules([path], catalogue, server_mode=Mode.AUTO).ruleset.digest)
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 16


def test_intervals_of_the_settings_may_be_named_by_rules(tmp_path: Path, catalogue: Catalogue, design: Loaded) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(rules("guards: { mute_time_intervals: [weekly-maintenance] }"))
    given = design.ruleset.time_intervals
    loaded = load_rules([path], catalogue, server_mode=Mode.AUTO, time_intervals=given)
    assert loaded.ruleset.time_intervals == given


def test_two_rules_for_the_same_alerts_are_told(load: Load) -> None:
    text = rules().replace("playbooks:", "", 1)
    twin = text[text.index("  - name: one") : text.index("  - name: look")].replace("one", "two")
    loaded = load(rules().replace("\nplaybooks:", f"{twin}\nplaybooks:", 1))
    assert [warning.name for warning in loaded.warnings] == ["unreachable-rule"]


def test_a_ratio_with_a_floor_is_not_warned_of(load: Load) -> None:
    floor = "guards: { require: [{ expr: n > 100, because: few say little }] }"
    assert load(rules("when: { expr: a / b > 0.2 }", floor)).warnings == ()
    assert [w.name for w in load(rules("when: { expr: a / b > 0.2 }")).warnings] == ["ratio-without-floor"]


def test_a_slash_in_a_value_is_no_ratio(load: Load) -> None:
    assert load(rules("when: { expr: 'up{path=\"/a/b\"} == 1' }")).warnings == ()


def test_one_bad_rule_hides_no_fault_of_another(load: Load) -> None:
    text = rules("gaurds: {}", "when: { expr: up == }").replace("with: { expr: up }", "with: { exp: up }")
    assert problems(load, text) == ["unknown-field", "bad-promql", "missing-argument", "unknown-argument"]


def test_an_unknown_action_is_told_even_if_nobody_uses_its_playbook(load: Load) -> None:
    text = "version: 1\nplaybooks:\n  - { name: a, steps: [{ name: x, action: nope }], verify: [{ expr: up }] }\n"
    assert problems(load, text) == ["unknown-action"]


def test_an_effect_may_be_made_stricter_and_never_milder(load: Load) -> None:
    strict = load(rules().replace("expr: up }", "expr: up }, effect: keyed", 1))
    assert strict.ruleset.playbooks["look"].steps[0].effect is EffectClass.KEYED
    assert problems(load, rules().replace("prometheus.report, with: { expr: up }", COMMAND)) == ["effect-too-lenient"]


@pytest.mark.parametrize("expr", ["(" * 3000 + "up" + ")" * 3000, "-" * 300 + "up", "zq0qz == 1", "up" + " + up" * 250])
def test_a_query_that_could_break_its_parser_is_not_given_to_it(load: Load, expr: str) -> None:
    assert problems(load, rules(f"when: {{ expr: '{expr}' }}")) == ["bad-promql"]


def test_no_rule_waits_longer_than_the_server_allows(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(rules("give_up: 3h"))
    waits = [load_rules([path], catalogue, server_mode=Mode.AUTO, max_wait=most) for most in (60.0, 86400.0)]
    assert [loaded.ruleset.rules[0].give_up for loaded in waits] == [60, 10800]


COMMAND = "command, with: { argv: [/usr/bin/true] }, effect: read"


@pytest.mark.parametrize(
    "matchers",
    ["[]", "'alertname =~ .*'", "'alertname =~ \".+\"'", "'team != a'", "['a =~ \"|b\"', 'team !~ x']"],
)
def test_a_rule_for_every_alert_is_refused(load: Load, matchers: str) -> None:
    assert problems(load, rules().replace("match: alertname = One", f"match: {matchers}")) == ["empty-selector"]


class TestFiles:
    """Whom we believe: reliability.md T24."""

    def write(self, directory: Path, mode: int = 0o644) -> Path:
        path = directory / "rules.yml"
        path.write_text(rules())
        path.chmod(mode)
        return path

    def refused(self, path: Path, catalogue: Catalogue) -> tuple[str, str]:
        with pytest.raises(InvalidConfiguration) as refused:
            load_rules([path], catalogue, server_mode=Mode.AUTO)
        (problem,) = refused.value.problems
        return problem.name, problem.fix

    @pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
    def test_a_file_that_others_may_write_is_refused(self, tmp_path: Path, catalogue: Catalogue, mode: int) -> None:
        path = self.write(tmp_path, mode)
        assert self.refused(path, catalogue) == ("writable-file", f"chmod go-w {path}")

    @pytest.mark.parametrize("mode", [0o644, 0o600, 0o440, 0o755])
    def test_a_file_that_only_its_owner_may_write_is_read(
        self, tmp_path: Path, catalogue: Catalogue, mode: int
    ) -> None:
        assert load_rules([self.write(tmp_path, mode)], catalogue, server_mode=Mode.AUTO).ruleset.rules

    def test_a_directory_that_others_may_write_is_refused(self, tmp_path: Path, catalogue: Catalogue) -> None:
        directory = tmp_path / "rules"
        directory.mkdir()
        path = self.write(directory)
        directory.chmod(0o775)
        assert self.refused(path, catalogue) == ("writable-directory", f"chmod go-w {directory}")

    def test_a_symbolic_link_is_not_followed(self, tmp_path: Path, catalogue: Catalogue) -> None:
        link = tmp_path / "link.yml"
        link.symlink_to(self.write(tmp_path))
        assert self.refused(link, catalogue)[0] == "symbolic-link"

    def test_a_named_pipe_does_not_make_us_wait(self, tmp_path: Path, catalogue: Catalogue) -> None:
        pipe = tmp_path / "pipe.yml"
        os.mkfifo(pipe, 0o600)
        assert self.refused(pipe, catalogue)[0] == "unreadable-file"

    def test_a_directory_is_no_file(self, tmp_path: Path, catalogue: Catalogue) -> None:
        assert self.refused(tmp_path, catalogue)[0] == "unreadable-file"

    def test_more_than_one_mebibyte_is_refused(self, tmp_path: Path, catalogue: Catalogue) -> None:
        path = self.write(tmp_path)
        path.write_text("#" * (1024 * 1024 + 1))
        assert self.refused(path, catalogue)[0] == "too-large"


# ── what the alert's end and an unknown outcome mean for a run ───────────────────────────────────────────────────────
def book(*lines: str) -> str:
    """A playbook of two steps that has these further lines."""
    more = "".join(f"    {line}\n" for line in lines)
    steps = "[{ name: Drain, action: prometheus.report, with: { expr: up } }, { name: Restart, action: command, with: "
    return (
        f"version: 1\nplaybooks:\n  - name: pair\n    steps: {steps}{{ argv: [/usr/bin/true] }} }}]\n"
        f"    verify: [{{ expr: up == 1 }}]\n{more}"
    )


def test_a_playbook_says_what_an_unknown_outcome_and_the_end_of_the_alert_mean(load: Load) -> None:
    plain = load(book()).ruleset.playbooks["pair"]
    assert (plain.on_unknown, plain.continue_on_resolve, plain.atomic_from) == (OnUnknown.HOLD, False, None)
    told = load(book("on_unknown: release", "continue_on_resolve: true", "atomic_from: Restart"))
    pair = told.ruleset.playbooks["pair"]
    assert (pair.on_unknown, pair.continue_on_resolve, pair.atomic_from) == (OnUnknown.RELEASE, True, 1)


def test_an_atomic_part_begins_at_the_one_step_that_is_called_so(load: Load) -> None:
    assert problems(load, book("atomic_from: Restrat")) == ["unknown-step"]
    assert problems(load, book("atomic_from: Restart").replace("Drain", "Restart")) == ["unknown-step"]


def test_retry_is_warned_of_where_nothing_is_ever_repeated(load: Load) -> None:
    text = book().replace("[/usr/bin/true] }", "[/usr/bin/true] }, retry: { attempts: 3 }")
    assert [problem.name for problem in load(text).warnings] == ["retry-of-once"]
    once = text.replace("attempts: 3", "attempts: 1")
    assert not load(once).warnings
