"""monitoring/ with the tools it is written for: promtool, amtool, and a Prometheus that scrapes a simulated kumod.

promtool's tests pass vacuously when nothing is asked or fed. So every alert is asked again in wrong versions of itself:
one that never fires, and one for each condition that always lets through. Each must make a test fail.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from remediator.config.selectors import selectors

pytestmark = pytest.mark.e2e

PLACE = Path(__file__).resolve().parents[2] / "monitoring"
RULE_FILES = sorted([*PLACE.glob("*.rules.yml"), *PLACE.glob("*.alerts.yml")])
TEST_FILES = sorted(PLACE.glob("*.test.yml"))
# A comparison with a number, the condition of which a wrong version is rid of.
_CONDITION = re.compile(r"(?P<sign>==|>=|<=|>|<)\s*(?P<number>[0-9.]+)(?![0-9.]*\s*\))")
_ALWAYS = {"==": ">=", ">": "> -1e9 +", ">=": "> -1e9 +", "<": "< 1e9 +", "<=": "< 1e9 +"}
PATIENCE = 60.0

Tree = dict[str, object]


def tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(one) for one in arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def tree(path: Path) -> Tree:
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(whole, dict)
    return whole


def items(whole: object, key: str) -> list[Tree]:
    assert isinstance(whole, dict)
    found = whole.get(key, [])
    assert isinstance(found, list)
    return found


def rules() -> list[Tree]:
    return [rule for path in RULE_FILES for group in items(tree(path), "groups") for rule in items(group, "rules")]


@pytest.mark.heavy
def test_the_rules_do_what_their_tests_say() -> None:
    told = tool("promtool", "test", "rules", *TEST_FILES)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("SUCCESS") == len(TEST_FILES)
    assert "no file match" not in told.stdout + told.stderr


def test_the_files_are_what_their_programs_accept() -> None:
    checked = tool("promtool", "check", "rules", "--lint-fatal", *RULE_FILES)
    assert checked.returncode == 0, checked.stderr
    config = tool("promtool", "check", "config", PLACE / "prometheus.yml")
    assert config.returncode == 0, config.stderr
    routes = tool("amtool", "check-config", PLACE / "alertmanager.yml")
    assert routes.returncode == 0, routes.stderr


def versions(rule: Tree) -> Iterator[Tree]:
    """The rule as it is, as it never fires, and once for each of its conditions without that condition."""
    labels = rule["labels"]
    assert isinstance(labels, dict)
    name, expr = f"{rule['alert']}__{labels.get('sign', '')}", str(rule["expr"])
    yield rule | {"alert": f"{name}_same"}
    yield rule | {"alert": f"{name}_never", "expr": f"({expr}) and on () (vector(1) == 0)"}
    for place, found in enumerate(_CONDITION.finditer(expr)):
        loose = expr[: found.start()] + _ALWAYS[found["sign"]] + " " + found["number"] + expr[found.end() :]
        yield rule | {"alert": f"{name}_without_{place}", "expr": loose}


def needed(names: set[str], recorded: list[Tree]) -> list[Tree]:
    """Of the recording rules those that these series come from, in their order."""
    wanted = set(names)
    while True:
        found = [rule for rule in recorded if rule["record"] in wanted]
        more = {one.name for rule in found for one in selectors(str(rule["expr"]))}
        if more <= wanted:
            return found
        wanted |= more


def expected(case: Tree, rule: Tree) -> list[Tree]:
    """What a case expects of this one of several rules of the same name: the alerts that carry its labels."""
    labels = rule["labels"]
    assert isinstance(labels, dict)
    found = []
    for alert in items(case, "exp_alerts"):
        wanted = alert["exp_labels"]
        assert isinstance(wanted, dict)
        if labels.items() <= wanted.items():
            found.append(alert)
    return found


def planted(stem: Path, test: Tree, own: list[Tree], interval: object) -> tuple[Path, set[str]]:
    """One of the tests, asked about the versions of its alerts; and their names."""
    cases = items(test, "alert_rule_test")
    asked = {str(case["alertname"]) for case in cases}
    wrong = [one for rule in own if rule.get("alert") in asked for one in versions(rule)]
    names = {one.name for rule in wrong for one in selectors(str(rule["expr"]))}
    kept = needed(names, [rule for rule in own if "record" in rule])
    file = stem.with_suffix(".rules.yml")
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [*kept, *wrong]}]}), encoding="utf-8")
    asking = [
        case | {"alertname": str(rule["alert"]), "exp_alerts": expected(case, rule)}
        for case in cases
        for rule in wrong
        if str(rule["alert"]).partition("__")[0] == case["alertname"]
    ]
    only = {key: value for key, value in test.items() if key != "promql_expr_test"} | {"alert_rule_test": asking}
    path = stem.with_suffix(".test.yml")
    whole = {"rule_files": [file.name], "evaluation_interval": interval, "tests": [only]}
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return path, {str(one["alert"]) for one in wrong}


@pytest.mark.heavy
def test_every_condition_of_every_alert_is_one_that_a_test_would_miss(tmp_path: Path) -> None:
    written: list[Path] = []
    wrong = set[str]()
    for path in TEST_FILES:
        interval, files = tree(path)["evaluation_interval"], tree(path)["rule_files"]
        assert isinstance(files, list)
        own = [
            rule for name in files for group in items(tree(PLACE / name), "groups") for rule in items(group, "rules")
        ]
        for test in items(tree(path), "tests"):
            if items(test, "alert_rule_test"):
                file, names = planted(tmp_path / str(len(written)), test, own, interval)
                written.append(file)
                wrong |= names
    told = tool("promtool", "test", "rules", *written)
    missed = set(re.findall(r"alertname:\s*(\w+)", told.stdout + told.stderr))
    same = {name for name in wrong if name.endswith("_same")}
    assert len(wrong) >= 3 * len(same) - 1  # the Watchdog has no condition
    assert wrong - missed == same


def test_every_alert_goes_where_it_should() -> None:
    cases = yaml.safe_load((PLACE / "alertmanager.routes.yml").read_text(encoding="utf-8"))
    assert cases
    for case in cases:
        labels = [f"{name}={value}" for name, value in case["labels"].items()]
        wanted = ",".join(case["receivers"])
        told = tool(
            *("amtool", "config", "routes", "test", f"--config.file={PLACE / 'alertmanager.yml'}"),
            *(f"--verify.receivers={wanted}", *labels),
        )
        assert (labels, told.returncode, told.stdout.strip()) == (labels, 0, wanted)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def config(kumod: int) -> str:
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in RULE_FILES],
            "scrape_configs": [
                {
                    "job_name": "kumod",
                    "static_configs": [{"targets": [f"127.0.0.1:{kumod}"], "labels": {"instance": "mta1"}}],
                }
            ],
        }
    )


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[httpx.Client]:
    """A Prometheus with the shipped rules that scrapes a simulated kumod."""
    kumod, control, port = free_port(), free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(config(kumod), encoding="utf-8")
    node = [sys.executable, "-m", "remediator.demo.kumod", "--node", "mta1", "--seed", "7", "--rate", "40"]
    node += ["--listen", f"127.0.0.1:{kumod}", "--control", f"127.0.0.1:{control}"]
    node += ["--ledger", str(tmp_path / "ledger.jsonl")]
    server = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", "--log.level=warn"]
    server += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    server += [f"--web.external-url=http://127.0.0.1:{port}", "--web.route-prefix=/"]
    running = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (node, server)
    ]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0) as client:
            yield client
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=30)


class NotYetError(Exception):
    """Prometheus has not seen enough."""


def ask(client: httpx.Client, expr: str) -> list[object]:
    """The answer to a query, which must be one without a warning."""
    answer = client.get("/api/v1/query", params={"query": expr})
    whole = answer.json()
    assert (expr, whole["status"], whole.get("warnings")) == (expr, "success", None)
    found = whole["data"]["result"]
    assert isinstance(found, list)
    return found


@retry(
    wait=wait_fixed(0.2),
    stop=stop_after_delay(PATIENCE),
    retry=retry_if_exception_type((NotYetError, httpx.HTTPError, json.JSONDecodeError)),
)
def wait_for_mail(client: httpx.Client) -> None:
    """Until what takes the longest is there: a slope, a quantile and a ratio of a queue that is used."""
    for name in (
        "kumo:queue_growth:deriv15m",
        "kumo:delivery_latency_seconds:p95_10m",
        "kumo:queued_messages",
        "kumo:bounce_ratio:rate10m",
    ):
        if not ask(client, name):
            raise NotYetError


def test_a_real_prometheus_evaluates_every_rule_and_answers_every_panel(prometheus: httpx.Client) -> None:
    began = time.time()
    wait_for_mail(prometheus)
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    known = [rule for group in groups for rule in group["rules"]]
    assert len(known) == len(rules())
    assert [(rule["name"], rule.get("lastError")) for rule in known if rule["health"] == "err"] == []

    board = json.loads((PLACE / "grafana/dashboards/remediator.json").read_text(encoding="utf-8"))
    exprs = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    exprs += [one["expr"] for one in board["annotations"]["list"]]
    silent = {expr for expr in exprs if not ask(prometheus, expr)}
    elsewhere = ("remediator_", "campaign", "complaint", "kumo:ip_", "ALERTS")  # nobody exports these here
    assert {expr for expr in silent if not any(word in expr for word in elsewhere)} == set()
    end = time.time()
    drawn = prometheus.get("/api/v1/query_range", params={"query": exprs[0], "start": began, "end": end, "step": 1})
    assert drawn.status_code == 200
