"""Tests of rules tell the truth: what is as expected passes, everything else is told with its place."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from remediator.rehearsal import Outcome, rehearse, reporting
from tests.rehearsal.conftest import ALERT, FIXTURES, RULES, Rehearse


def found(outcome: Outcome) -> list[tuple[str, str, str]]:
    """What differs: about what, what was expected, what was found."""
    return [(one.about, one.expected, one.found) for result in outcome.results for one in result.differences]


def passes(outcome: Outcome) -> bool:
    """Whether it passes; what differs is shown if it does not."""
    assert outcome.problems == ()
    assert found(outcome) == []
    return outcome.passed


@pytest.mark.heavy
def test_the_tests_of_the_mail_rules_pass_and_have_seen_all_of_them() -> None:
    outcome = rehearse(FIXTURES / "mail_test.yml")
    assert passes(outcome)
    assert [str(one) for one in outcome.coverage.missing] == []
    assert outcome.coverage.percent == 100.0
    assert len(outcome.results) > 20


@pytest.mark.heavy
def test_a_threshold_that_was_changed_fails_a_test_that_names_rule_question_and_answer(tmp_path: Path) -> None:
    for name in ("mail.yml", "mail_test.yml"):
        shutil.copy(FIXTURES / name, tmp_path)
    rules = (tmp_path / "mail.yml").read_text(encoding="utf-8").replace("> 0.20", "> 0.30")
    (tmp_path / "mail.yml").write_text(rules, encoding="utf-8")
    outcome = rehearse(tmp_path / "mail_test.yml", re.compile("bouncing domain is paused"))
    assert len(outcome.results) == 1
    told = reporting.text([outcome])
    assert (
        "mail_test.yml:14:17: failed: a bouncing domain is paused and slowed down: decision of high-bounce-rate" in told
    )
    assert "      - run\n      + hold: when: the condition does not hold: 0.27\n" in told
    assert 'asked  when: kumo:bounce_ratio:rate10m{instance="mta1", domain="gmail.com"} > 0.30 = 0.27' in told


# ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_alert_is_played_from_plan_to_undo(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, verify: {{ 0s: 0.3, 2m: 0.05 }} }}
            expect:
              rule: bounces
              target: {{ domain: a.example }}
              incidents: 1
              disposition: planned
              decision: run
              guards: {{ when: allow, mode: allow }}
              steps: [Slow down]
              with: {{ kumomta.throttle: {{ rate: 100/h }}, Slow down: {{ domain: a.example }} }}
              result: succeeded
              results: [succeeded]
              closed: recovered
              undone: [kumomta.throttle]
              undo_at: {{ kumomta.throttle: 2h }}
              escalated: false
            """
        )
    )


def test_a_list_of_answers_is_said_in_the_order_asked_and_its_last_again_and_again(rehearsed: Rehearse) -> None:
    outcome = rehearsed(
        f"""
        {ALERT}
        answers: {{ when: [0.1, error, 0.27], verify: [0.3, absent, 0.05] }}
        actions: {{ Slow down: [retryable, ok] }}
        expect: {{ guards: {{ when: defer }}, result: succeeded }}
        """,
        rules=RULES.replace("undo: { after: 2h }", "undo: { after: 2h }\n        retry: { attempts: 2 }"),
    )
    assert passes(outcome)
    played = outcome.results[0].played
    assert played is not None
    assert [one.said for one in played.asked if one.word == "when"] == ["0.1", "error", "0.27"]
    assert [one.said for one in played.asked if one.word == "verify"][:4] == ["0.3", "absent", "0.05", "0.05"]


def test_a_ladder_goes_on_to_its_next_playbook(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, ratio: 0.3, stopped: 1 }}
            expect: {{ steps: [kumomta.throttle, kumomta.suspend], results: [rolled_back, succeeded] }}
            """
        )
    )


def test_a_rule_comes_due_by_its_schedule(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            """
            schedule: hourly
            answers: { verify: 1 }
            expect:
              rule: hourly
              disposition: planned
              steps: [kumomta.suspend]
              result: succeeded
              undo_at: 1h
              messages: [{ to: info, subject: recovered }]
            """
        )
    )


def test_an_alert_and_a_schedule_may_meet(rehearsed: Rehearse) -> None:
    outcome = rehearsed(
        """
        schedule: hourly
        alert: { labels: { alertname: Bounces, domain: b.example } }
        answers: { when: 0.27, "< 0.10": 0.05, stopped: 1 }
        expect:
          - { rule: bounces, target: { domain: b.example }, result: succeeded }
          - { rule: hourly, target: { domain: b.example }, guards: { target_lock: defer }, result: succeeded }
        """
    )
    assert passes(outcome)


def test_an_alert_is_not_disturbed_by_the_schedules_of_other_rules(rehearsed: Rehearse) -> None:
    assert passes(rehearsed(f"{ALERT}\nanswers: {{ when: 0.27, verify: 0.05 }}\nlasts: 5h\nexpect: {{ incidents: 1 }}"))


@pytest.mark.parametrize(
    ("policy", "disposition"), [("missed: run_once, within: 2h", "planned"), ("missed: skip", "missed")]
)
def test_what_a_stop_made_a_schedule_miss_is_seen(rehearsed: Rehearse, policy: str, disposition: str) -> None:
    assert passes(
        rehearsed(
            f"""
            schedule: {{ rule: hourly }}
            stop: {{ for: 90m }}
            answers: {{ verify: 1 }}
            lasts: 100m
            expect: {{ rule: hourly, disposition: {disposition}, reason: late }}
            """,
            rules=RULES.replace("missed: run_once, within: 2h", policy),
        )
    )


def test_a_stop_in_the_middle_of_a_run_is_survived(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            stop: {{ at: 30s, for: 1m }}
            answers: {{ when: 0.27, verify: {{ 0s: 0.3, 2m: 0.05 }} }}
            expect: {{ result: succeeded, steps: [kumomta.throttle] }}
            """
        )
    )


@pytest.mark.parametrize(
    ("people", "expect"),
    [
        ("{ approve: yes please }", "result: succeeded, guards: { mode: ask }, decision: run"),
        ("{ at: 1m, reject: later }", "result: denied, reason: later, steps: []"),
        ("{ at: 2h, resume: true, rule: bounces }", "result: expired, escalated: true"),
    ],
)
def test_people_decide_what_waits_for_them(rehearsed: Rehearse, people: str, expect: str) -> None:
    rules = RULES.replace("group_by: [domain]", "group_by: [domain]\n    mode: approve")
    outcome = rehearsed(
        f"""
        {ALERT}
        answers: {{ when: 0.27, verify: 0.05 }}
        people: [{people.replace("{ ", "{ at: 1m, ", 1) if "at:" not in people else people}]
        expect: {{ {expect} }}
        """,
        rules=rules,
    )
    if "resume" in people:
        assert found(outcome) == [("people", "done", "refused: rule:bounces is not paused")]
    else:
        assert passes(outcome)


def test_a_pause_holds_back_until_it_ends_and_an_undo_by_hand_is_made(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, verify: 0.05 }}
            people: [{{ pause: a look, for: 10m }}, {{ at: 5m, resume: true }}, {{ at: 30m, undo: true }}]
            expect: {{ guards: {{ pause: defer }}, result: succeeded, undo_at: 30m }}
            """.replace("alert: { labels", "alert: { at: 1s, labels")
        )
    )


def test_a_person_ends_a_doubt(rehearsed: Rehearse) -> None:
    rules = RULES.replace("undo: { after: 2h }", "undo: { after: 2h }\n        effect: once")
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, verify: 0.05 }}
            actions: {{ Slow down: unknown }}
            people: [{{ at: 10m, decide: mark_done, rule: bounces }}]
            expect: {{ result: succeeded, escalated: true }}
            """,
            rules=rules,
        )
    )


def test_without_a_person_a_doubt_stays_open(rehearsed: Rehearse) -> None:
    rules = RULES.replace("undo: { after: 2h }", "undo: { after: 2h }\n        effect: once")
    outcome = rehearsed(
        f"{ALERT}\nanswers: {{ when: 0.27 }}\nactions: {{ Slow down: not_issued }}\nexpect: {{ result: x }}",
        rules=rules,
    )
    assert found(outcome)[0][2].startswith("failed")
    outcome = rehearsed(
        f"{ALERT}\nanswers: {{ when: 0.27 }}\nactions: {{ Slow down: unknown }}\nlasts: 1h\nexpect: {{ result: x }}",
        rules=rules,
    )
    assert found(outcome) == [("result", "x", "needs_person")]


def test_which_incident_a_person_means_has_to_be_said(rehearsed: Rehearse) -> None:
    people = "people: [{ at: 1m, undo: true, rule: hourly }]"
    outcome = rehearsed(f"{ALERT}\nanswers: {{ when: 0.1 }}\n{people}\nlasts: 5m\nexpect: {{ incidents: 1 }}")
    assert found(outcome) == [("people", "done", "refused: which incident? There are none; say rule: …")]


def test_a_playbook_is_run_by_hand(rehearsed: Rehearse) -> None:
    lines = """
        by_hand: { playbook: stop, with: { domain: c.example }, at: 1m }
        answers: { verify: 1 }
        expect: { rule: "by-hand:stop", target: { domain: c.example }, steps: [Stop], result: succeeded, undo_at: 61m }
        """
    outcome = rehearsed(lines)
    assert passes(outcome)
    assert "stop: Stop" not in map(str, outcome.coverage.missing)
    refused = rehearsed(lines.replace("domain: c.example }, at", "domian: c }, at"))
    assert found(refused)[0] == ("by_hand", "done", "refused: stop has no parameter 'domian'; it has domain")


@pytest.mark.parametrize(
    ("word", "undone"), [("failed", "[]"), ("foreign", "[]"), ("[failed, undone]", "[kumomta.throttle]")]
)
def test_taking_back_comes_to_what_the_test_says(rehearsed: Rehearse, word: str, undone: str) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, verify: 0.05 }}
            undo: {{ kumomta.throttle: {word} }}
            lasts: 3h
            expect: {{ undone: {undone} }}
            """
        )
    )


@pytest.mark.parametrize(
    ("said", "decision"), [("true", "run"), ("false", "hold"), ("absent", "hold"), ("error", "hold")]
)
def test_alertmanager_is_asked_where_the_test_has_one(rehearsed: Rehearse, said: str, decision: str) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            alertmanager: {said}
            answers: {{ when: 0.27, verify: 0.05 }}
            lasts: 10m
            expect: {{ decision: {decision} }}
            """
        )
    )


@pytest.mark.parametrize(
    ("healthy", "of", "trust", "guard"),
    [
        ("3", "4", "true", "min_healthy: allow"),
        ("2", "4", "true", "min_healthy: defer"),
        ("absent", "4", "true", "min_healthy: defer"),
        ("0.5", "4", "true", "min_healthy: defer"),
        ("3", "4", "false", "signal_trust: defer"),
    ],
)
def test_a_fleet_and_trust_are_answered_too(rehearsed: Rehearse, healthy: str, of: str, trust: str, guard: str) -> None:
    floor = 'guards: { min_healthy: { expr: "up == 1", of: up, at_least: 50% }, trust: prometheus, cooldown: 30m }'
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: 0.27, verify: 0.05, healthy: {healthy}, of: {of}, trust: {trust} }}
            lasts: 10m
            expect: {{ guards: {{ {guard} }} }}
            """,
            rules=RULES.replace("guards: { cooldown: 30m }", floor),
        )
    )


def test_the_file_and_the_test_say_mode_and_start(rehearsed: Rehearse) -> None:
    said = f"{ALERT}\nanswers: {{ when: 0.27 }}"
    head = 'mode: dry-run\nstart: "2026-11-24T02:00:00+01:00"\n'
    lines = f"{said}\nexpect: {{ result: simulated, steps: [kumomta.throttle] }}"
    assert passes(rehearsed(lines, head=head))
    off = f"mode: off\n{said}\nexpect: {{ disposition: suppressed, incidents: 0 }}"
    assert passes(rehearsed(off, head=head))


# ── what differs ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("expect", "about", "expected", "told"),
    [
        ("disposition: joined", "disposition", "joined", "planned: plan"),
        ("incidents: 2", "incidents", "2", "1: bounces on domain=a.example"),
        ("decision: hold", "decision", "hold", "run"),
        ("reason: no such words", "reason", "no such words", "[0.05, plan "),
        ("target: { domain: b.example }", "target", "b.example", "a.example"),
        ("target: { node: mta1 }", "target", "mta1", "no such label"),
        ("guards: { when: defer }", "guards", "defer", "[allow: 0.27]"),
        ("guards: { nobody: allow }", "guards", "allow", "it was not asked"),
        ("steps: [kumomta.suspend]", "steps", "[kumomta.suspend]", "[kumomta.throttle]"),
        ("steps: []", "steps", "nothing", "[kumomta.throttle]"),
        ("with: { kumomta.throttle: { rate: 5/h } }", "with", "5/h", "100/h"),
        ("with: { kumomta.throttle: { site: x } }", "with", "x", "nothing"),
        ("with: { docker.restart: { container: x } }", "with", "a step docker.restart", "[kumomta.throttle]"),
        ("result: failed", "result", "failed", "succeeded: "),
        ("results: [succeeded, failed]", "results", "[succeeded, failed]", "[succeeded]"),
        ("closed: open", "closed", "open", "recovered: "),
        ("undone: []", "undone", "nothing", "[kumomta.throttle]"),
        ("undo_at: 3h", "undo_at", "3h", "kumomta.throttle after 2h"),
        ("undo_at: 1h", "undo_at", "1h", "kumomta.throttle after 2h"),
        ("undo_at: { kumomta.suspend: 2h }", "undo_at", "2h", "nothing is to be taken back"),
        (
            "messages: [{ to: info, subject: a, text: b }]",
            "messages",
            "to info, subject a, text b",
            "to warning: [recovered]",
        ),
        ("escalated: true", "escalated", "people are called", "nothing"),
    ],
)
def test_what_is_not_as_expected_is_told(
    rehearsed: Rehearse, expect: str, about: str, expected: str, told: str
) -> None:
    outcome = rehearsed(f"{ALERT}\nanswers: {{ when: 0.27, verify: 0.05 }}\nexpect:\n  {expect}")
    ((word, wanted, was),) = found(outcome)
    assert (word, wanted) == (about, expected)
    assert told in was
    assert outcome.results[0].differences[0].position.line == 8
    assert not outcome.passed


def test_an_expectation_of_an_incident_that_never_was_says_what_came_in(rehearsed: Rehearse) -> None:
    outcome = rehearsed(f"{ALERT.replace('Bounces', 'Other')}\nexpect: {{ result: succeeded, rule: bounces }}")
    assert found(outcome) == [("result", "an incident of bounces", "none; what came in was nothing")]


def test_of_several_incidents_the_one_that_is_meant_has_to_be_said(rehearsed: Rehearse) -> None:
    alerts = ", ".join(f"{{ labels: {{ alertname: Bounces, domain: {name}.example }} }}" for name in "ab")
    two = f"alerts: [{alerts}]"
    answers = "answers: { when: 0.27, verify: 0.05 }"
    outcome = rehearsed(f"{two}\n{answers}\nexpect: {{ result: succeeded }}")
    assert "2 of them, say which by rule and target" in found(outcome)[0][2]
    both = (f"{{ rule: bounces, target: {{ domain: {name}.example }}, result: succeeded }}" for name in "ab")
    assert passes(rehearsed(f"{two}\n{answers}\nexpect: [{', '.join(both)}]"))


def test_a_part_of_a_question_or_an_action_that_nothing_asked_for_is_told(rehearsed: Rehearse) -> None:
    outcome = rehearsed(
        f"""
        {ALERT}
        answers: {{ when: 0.27, verify: 0.05, raito: 1 }}
        actions: {{ Slow dwon: failed }}
        undo: {{ kumomta.trottle: failed }}
        expect: {{ result: succeeded }}
        """
    )
    assert [about for about, _, _ in found(outcome)] == ["raito", "Slow dwon", "kumomta.trottle"]
    assert {told for _, _, told in found(outcome)} == {"nothing asked for it"}


def test_a_word_before_its_time_is_no_data(rehearsed: Rehearse) -> None:
    assert passes(
        rehearsed(
            f"""
            {ALERT}
            answers: {{ when: {{ 5m: 0.27 }}, verify: {{ 0s: true }} }}
            expect: {{ guards: {{ when: defer }}, reason: yes, result: succeeded }}
            """.replace("reason: yes", 'reason: "yes, says the test"')
        )
    )
