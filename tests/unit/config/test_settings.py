"""What remediator.yml becomes, and how secrets are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config import load_settings, read_secret, rule_paths
from remediator.config.settings import (
    BasicAuth,
    PersonSettings,
    RedisSettings,
    Settings,
    SourceSettings,
    WebhookSettings,
)
from remediator.core.fleet import FirstRuns, FleetLimits, StormLimits
from remediator.core.rules import Limit, Mode
from remediator.core.space import SpaceLimits
from remediator.errors import InvalidConfiguration

WHOLE = """
mode: auto
rule_files: [rules/*.yml, /etc/remediator/extra.yml]
prometheus: { url: http://127.0.0.1:9090/, timeout: 5s, basic_auth: { username: us, password_file: secret } }
alertmanager: { url: http://127.0.0.1:9093 }
storage: { path: journal, retention: 30d }
web:
  listen_address: "[::1]:9098"
  external_url: https://remediator.example.com/
  hosts: remediator.example.com
  bearer_token_file: [secret, other]
  basic_auth: { username: alertmanager, password_file: secret }
  people:
    - { name: Ada, token_file: secret, scope: admin }
limits:
  budget: 5 per 2h
  storm: { episodes: 9 per 2m, ends_below: 3, cooldown: 5m }
  first_runs: { runs: 1, within: 5m, after: 30m }
  max_alert_age: 20m
  max_runs: 3
  max_wait: 1h
  queue: 100
  lapse_after: 1d
  body: 512KiB
  body_deadline: 5s
  grace: 10s
receivers:
  - name: on-call
    webhook_configs:
      - { url: "https://hooks.example.com/x", credentials_file: secret }
      - { url_file: secret }
notify: { critical: [on-call], info: on-call }
escalate: [on-call]
time_intervals:
  - { name: nights, time_intervals: [{ times: [{ start_time: "22:00", end_time: "24:00" }] }] }
targets:
  kumomta:
    nodes:
      mta1.example:8000: { url: http://mta1.example:8000/, basic_auth: { username: us, password_file: secret } }
    shaping_files: { mta1.example:8000: shaping.toml }
    sources: { 192.0.2.10: { node: mta1.example:8000, source: ip-1 } }
  docker: { socket: /run/docker.sock, allow: [kumod] }
  redis: { cache: { url: redis://127.0.0.1:6379 }, other: { url_file: secret } }
  http: { allow: http://127.0.0.1:8000/ }
  command: { allow: [/usr/bin/logger] }
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with two secrets that only we may read."""
    for name in ("secret", "other"):
        (tmp_path / name).write_text("0123456789abcdef\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def write(directory: Path, text: str) -> Path:
    """The text as remediator.yml."""
    path = directory / "remediator.yml"
    path.write_text(text)
    return path


def test_every_key_arrives_with_paths_beside_the_file(directory: Path) -> None:
    settings = load_settings(write(directory, WHOLE))
    secret = directory / "secret"
    assert settings.warnings == ()
    assert settings.mode is Mode.AUTO
    assert settings.rule_files == (f"{directory}/rules/*.yml", "/etc/remediator/extra.yml")
    assert settings.prometheus is not None
    assert (settings.prometheus.url, settings.prometheus.timeout) == ("http://127.0.0.1:9090", 5)
    assert settings.prometheus.basic_auth == BasicAuth(username="us", password_file=secret)
    assert settings.alertmanager is not None
    assert (settings.storage.path, settings.storage.retention) == (directory / "journal", 30 * 86400)
    assert settings.web.bearer_token_files == (secret, directory / "other")
    assert settings.web.people == (PersonSettings(name="Ada", token_file=secret, scope="admin"),)
    assert (settings.web.external_url, settings.web.hosts) == (
        "https://remediator.example.com",
        ("remediator.example.com",),
    )
    assert (settings.limits.max_runs, settings.limits.max_wait, settings.limits.body) == (3, 3600, 512 * 1024)
    assert settings.limits.fleet == FleetLimits(
        budget=Limit(5, 7200),
        storm=StormLimits(episodes=Limit(9, 120), ends_below=3, cooldown=300),
        first_runs=FirstRuns(runs=1, within=300, after=1800),
        max_alert_age=1200,
    )
    assert settings.receivers[0].webhooks[1] == WebhookSettings(url_file=secret)
    assert settings.notify == {"critical": ("on-call",), "warning": (), "info": ("on-call",)}
    assert settings.escalate == ("on-call",)
    assert list(settings.time_intervals) == ["nights"]


def test_a_storm_cannot_end_above_where_it_begins(directory: Path) -> None:
    text = "limits: { storm: { episodes: 5 per 1m, ends_below: 6 } }\n"
    with pytest.raises(InvalidConfiguration, match="cannot end below 6"):
        load_settings(write(directory, text))
    assert load_settings(write(directory, "mode: auto\n")).limits.fleet == FleetLimits()


def test_targets_arrive_and_what_is_not_named_is_not_there(directory: Path) -> None:
    targets = load_settings(write(directory, WHOLE)).targets
    assert targets.kumomta is not None
    assert targets.kumomta.nodes["mta1.example:8000"].url == "http://mta1.example:8000"
    assert targets.kumomta.shaping_files == {"mta1.example:8000": directory / "shaping.toml"}
    assert targets.kumomta.sources == {"192.0.2.10": SourceSettings(node="mta1.example:8000", source="ip-1")}
    assert targets.docker is not None
    assert targets.docker.allow == ("kumod",)
    assert targets.redis["cache"] == RedisSettings(url="redis://127.0.0.1:6379")
    assert (targets.http, targets.command) == (("http://127.0.0.1:8000/",), ("/usr/bin/logger",))
    bare = load_settings(write(directory, "mode: auto\n")).targets
    assert (bare.kumomta, bare.docker, bare.http, bare.command, dict(bare.redis)) == (None, None, None, None, {})


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "rule_files: []\n"])
def test_a_server_that_is_told_no_mode_runs_in_dry_run(directory: Path, text: str) -> None:
    settings = load_settings(write(directory, text))
    assert settings.mode is Mode.DRY_RUN
    assert settings.web.listen_address == "127.0.0.1:9097"


def test_mode_off_needs_no_quotes(directory: Path) -> None:
    assert load_settings(write(directory, "mode: off\n")).mode is Mode.OFF


def test_a_secret_that_others_may_read_is_a_warning(directory: Path) -> None:
    (directory / "other").chmod(0o644)
    (warning,) = load_settings(write(directory, WHOLE)).warnings
    assert (warning.name, warning.severity, warning.position.line) == ("readable-secret", "warning", 11)
    assert warning.fix == f"chmod go= {directory / 'other'}"


def test_what_stops_new_work_and_where_heads_are_published_can_be_set(directory: Path) -> None:
    text = "storage: { path: data, anchor_file: ../far/anchors, min_free: 64MiB, min_free_percent: 0 }\n"
    settings = load_settings(write(directory, text))
    assert settings.storage.space == SpaceLimits(free=64 * 1024 * 1024, percent=0)
    assert settings.storage.anchor_file == directory / "../far/anchors"
    assert settings.warnings == ()
    assert load_settings(write(directory, "mode: off\n")).storage.space == SpaceLimits(free=200 * 1024**2, percent=5)


@pytest.mark.parametrize("place", ["data/anchors", "far/../data/x/anchors", "./data/anchors"])
def test_anchors_beside_the_journal_are_a_warning(place: str, directory: Path) -> None:
    (warning,) = load_settings(write(directory, f"storage: {{ path: data, anchor_file: {place} }}\n")).warnings
    assert (warning.name, warning.severity, warning.position.line) == ("near-anchors", "warning", 1)
    assert "whoever rewrites the one can rewrite the other" in warning.sentence


@pytest.mark.parametrize("percent", ["51", "-1", "five", "5%"])
def test_a_share_of_the_disk_is_a_whole_number_up_to_half(percent: str, directory: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"out-of-range|wrong-type"):
        load_settings(write(directory, f"storage: {{ min_free_percent: {percent} }}\n"))


def test_a_missing_secret_is_a_warning_until_it_is_read(directory: Path) -> None:
    (directory / "other").unlink()
    (warning,) = load_settings(write(directory, WHOLE)).warnings
    assert warning.name == "missing-secret"
    with pytest.raises(InvalidConfiguration, match="no-secret"):
        read_secret(directory / "other")


@pytest.mark.parametrize(
    ("raw", "secret"),
    [(b"abc\n", "abc"), (b"abc", "abc"), (b"abc\r\n", "abc"), (b"abc\n\n", "abc\n"), (b" abc ", " abc ")],
)
def test_a_secret_loses_one_newline_and_nothing_else(tmp_path: Path, raw: bytes, secret: str) -> None:
    (tmp_path / "secret").write_bytes(raw)
    assert read_secret(tmp_path / "secret") == secret


@pytest.mark.parametrize("raw", [b"", b"\n", b"  \n", b"\xff", b"a" * 70_000])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "secret").write_bytes(raw)
    with pytest.raises(InvalidConfiguration) as refused:
        read_secret(tmp_path / "secret")
    assert "aaaa" not in str(refused.value)


def test_patterns_find_rules_in_order_and_leave_out_their_tests(directory: Path) -> None:
    rules = directory / "rules"
    rules.mkdir()
    for name in ("b.yml", "a.yml", "a_test.yml", "notes.txt"):
        (rules / name).write_text("version: 1\n")
    settings = load_settings(write(directory, "rule_files: [rules/*.yml, rules/b.yml]\n"))
    assert rule_paths(settings) == (rules / "a.yml", rules / "b.yml")


def test_a_pattern_that_finds_nothing_is_a_fault(directory: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="no-such-file"):
        rule_paths(Settings(rule_files=(f"{directory}/none/*.yml",)))


def test_a_settings_file_that_others_may_write_is_refused(directory: Path) -> None:
    path = write(directory, "mode: auto\n")
    path.chmod(0o666)
    with pytest.raises(InvalidConfiguration, match="writable-file"):
        load_settings(path)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("192.0.2.10: { node: mta2, source: ip-1 }", "there is no node 'mta2'"),
        ("mx.example: { node: mta1, source: ip-1 }", "mx.example"),
    ],
)
def test_a_source_is_of_a_known_node_and_has_an_address(directory: Path, source: str, told: str) -> None:
    kumo = f"targets: {{ kumomta: {{ nodes: {{ mta1: {{ url: http://mta1 }} }}, sources: {{ {source} }} }} }}\n"
    with pytest.raises(InvalidConfiguration, match=told):
        load_settings(write(directory, kumo))
