"""Neighbours as plain values: what the settings name may be touched, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.config import Settings, load_settings
from remediator.errors import InvalidConfiguration
from remediator.service.neighbours import targets_of

if TYPE_CHECKING:
    from tests.service.conftest import Home

STORAGE = Path("/var/lib/remediator")


def test_what_is_not_named_may_not_be_touched() -> None:
    targets = targets_of(Settings(), STORAGE)
    assert targets.kumo is not None
    assert targets.kumo.nodes == {}
    assert targets.docker is None
    assert targets.redis is not None
    assert targets.redis.servers == {}
    assert targets.http is not None
    assert targets.http.allow == ()
    assert targets.command is not None
    assert targets.command.allow == ()
    assert targets.command.locks == STORAGE / "locks"
    assert targets.alertmanager is None
    assert targets.prometheus is None


def test_what_is_named_keeps_its_name_url_and_credentials(home: Home) -> None:
    home.write("secret", "s" * 20)
    home.write("redis_url", "redis://cache.example:6380/0\n")
    auth = "basic_auth: { username: ops, password_file: secret }"
    home.write(
        "remediator.yml",
        f"""
prometheus: {{ url: "http://127.0.0.1:9090/", max_age: 90s, timeout: 3s, {auth} }}
alertmanager: {{ url: "http://127.0.0.1:9093", {auth} }}
targets:
  kumomta:
    nodes:
      mta1: {{ url: "http://127.0.0.1:8000/", {auth} }}
      mta2: {{ url: "http://127.0.0.1:8001", container: kumod }}
    shaping_files: {{ mta1: shaping.toml }}
  docker: {{ socket: docker.sock, allow: [kumod] }}
  redis: {{ cache: {{ url_file: redis_url }}, near: {{ url: "redis://127.0.0.1" }} }}
  http: {{ allow: ["http://127.0.0.1:1/a"] }}
  command: {{ allow: [/usr/bin/true] }}
""",
    )
    targets = targets_of(load_settings(home.settings), STORAGE)
    secret = home.root / "secret"
    assert targets.kumo is not None
    first, second = targets.kumo.nodes["mta1"], targets.kumo.nodes["mta2"]
    assert (first.name, first.url, first.username, first.password_file) == (
        "mta1",
        "http://127.0.0.1:8000",
        "ops",
        secret,
    )
    assert (second.username, second.password_file) == ("", None)
    assert targets.kumo.shaping_files == {"mta1": home.root / "shaping.toml"}
    assert targets.docker is not None
    assert (targets.docker.socket, targets.docker.allow) == (home.root / "docker.sock", frozenset({"kumod"}))
    assert targets.docker.nodes == {"mta1": ("mta1",), "kumod": ("mta2",)}  # by its own name where none is written
    assert targets.redis is not None
    cache, near = targets.redis.servers["cache"], targets.redis.servers["near"]
    assert (cache.name, cache.host, cache.port) == ("cache", "cache.example", 6380)
    assert (near.host, near.port) == ("127.0.0.1", 6379)
    assert targets.http is not None
    assert targets.http.allow == ("http://127.0.0.1:1/a",)
    assert targets.command is not None
    assert targets.command.allow == ("/usr/bin/true",)
    assert targets.alertmanager is not None
    assert (targets.alertmanager.url, targets.alertmanager.username) == ("http://127.0.0.1:9093", "ops")
    assert targets.prometheus is not None
    assert (targets.prometheus.url, targets.prometheus.max_age, targets.prometheus.timeout) == (
        "http://127.0.0.1:9090",
        90.0,
        3.0,
    )
    assert targets.prometheus.password_file == secret


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rediss://127.0.0.1:6379", "asks for TLS"),
        ("rediss://ops:hush-hush@127.0.0.1:6379", "asks for TLS"),
        ("redis://ops@127.0.0.1:6379", "names a user without a password"),
        ("redis://127.0.0.1:70000", "has a port that is no number"),
        ("redis://127.0.0.1:0", "is not a Redis URL"),
        ("http://127.0.0.1:6379", "is not a Redis URL"),
        ("127.0.0.1:6379", "is not a Redis URL"),
    ],
)
def test_a_redis_that_cannot_be_reached_as_asked_is_refused_without_its_secret(
    home: Home, url: str, sentence: str
) -> None:
    home.write("redis_url", url)
    home.write("remediator.yml", "targets: { redis: { cache: { url_file: redis_url } } }\n")
    with pytest.raises(InvalidConfiguration, match=sentence) as refused:
        targets_of(load_settings(home.settings), STORAGE)
    assert "redis_url:1:1: error[bad-url]" in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_redis_with_a_user_keeps_its_password_in_the_file(home: Home) -> None:
    home.write("redis_url", "redis://op%73:hush%2Fhush@redis:6380/0\n")
    home.write("remediator.yml", "targets: { redis: { cache: { url_file: redis_url } } }\n")
    targets = targets_of(load_settings(home.settings), STORAGE).redis
    assert targets is not None
    server = targets.servers["cache"]
    assert (server.host, server.port, server.username) == ("redis", 6380, "ops")
    assert server.url_file is not None
    assert server.url_file.name == "redis_url"
    assert "hush" not in repr(server)
