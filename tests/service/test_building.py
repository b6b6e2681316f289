"""What may start, and what is refused with a sentence that says what to write."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.config import load_settings
from remediator.core.rules import Mode
from remediator.errors import InvalidConfiguration, StoreRefused
from remediator.service.access import secrets_of
from remediator.service.reloading import Overrides
from remediator.service.wiring import build
from remediator.web.listening import CannotStart, address_of

if TYPE_CHECKING:
    from tests.service.conftest import Home

TOKEN = "w" * 32
PERSON = "p" * 32


def guarded(home: Home, *, webhook: str = TOKEN, person: str = PERSON) -> None:
    home.write("webhook", f"{webhook}\n")
    home.write("ana", f"{person}\n")
    home.add("web: { bearer_token_file: webhook, people: [{ name: ana, token_file: ana, scope: admin }] }\n")


def test_good_settings_give_a_service_and_touch_only_the_state_directory(home: Home) -> None:
    before = {path.name for path in home.root.iterdir()}
    built = home.build()
    assert [rule.name for rule in built.engine.parts.config.ruleset.rules] == ["high-bounce-rate"]
    assert built.engine.parts.config.mode is Mode.DRY_RUN
    assert built.listen == "127.0.0.1:9097"
    assert built.storage == home.data
    assert {path.name for path in home.root.iterdir()} - before == {"data", "data.key"}
    assert stat.S_IMODE(home.data.stat().st_mode) == 0o700
    assert built.surface.ready() == ()


def test_the_key_lies_beside_the_directory_and_only_its_owner_may_read_it(home: Home) -> None:
    home.build()
    key = home.root / "data.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert len(bytes.fromhex(key.read_text().strip())) == 32
    first = key.read_bytes()
    home.build()
    assert key.read_bytes() == first, "the key is made once"


def test_a_listener_that_others_reach_is_refused_until_it_is_guarded(home: Home) -> None:
    with pytest.raises(CannotStart, match=r"0\.0\.0\.0:9097 can be reached") as refused:
        home.build(listen="0.0.0.0:9097")
    assert "web.bearer_token_files: [" in str(refused.value)
    assert "web.people: [{ name:" in str(refused.value)
    assert not home.data.exists(), "a service that may not start leaves nothing behind"
    guarded(home)
    assert home.build(listen="0.0.0.0:9097").listen == "0.0.0.0:9097"


@pytest.mark.parametrize(
    ("webhook", "person", "sentence"),
    [
        ("short", PERSON, "a webhook token has 5 characters; expected at least 16"),
        (TOKEN, "short", "the token of 'ana' has 5 characters"),
        (TOKEN, TOKEN, "one token is given twice"),
    ],
)
def test_weak_credentials_are_refused_also_on_loopback(home: Home, webhook: str, person: str, sentence: str) -> None:
    guarded(home, webhook=webhook, person=person)
    with pytest.raises(CannotStart, match=sentence) as refused:
        home.build()
    assert PERSON not in str(refused.value)


def test_a_secret_file_that_is_missing_or_empty_is_refused_by_its_place(home: Home) -> None:
    guarded(home)
    (home.root / "webhook").write_text("\n")
    with pytest.raises(InvalidConfiguration, match=r"webhook:1:1: error\[no-secret\]"):
        home.build()


def test_a_journal_without_its_key_is_refused(home: Home) -> None:
    home.data.mkdir()
    (home.data / "journal.db").write_bytes(b"a journal of an earlier life")
    with pytest.raises(StoreRefused, match=r"data\.key is missing; restore the key, or move the journal away"):
        home.build()
    assert not (home.root / "data.key").exists()


@pytest.mark.parametrize("text", ["", "abcd", "no hex at all", "é" * 40])
def test_a_key_that_is_none_is_refused_and_kept(home: Home, text: str) -> None:
    key = home.write("data.key", text)
    with pytest.raises(StoreRefused, match="holds no key of 32 bytes in hex"):
        home.build()
    assert key.read_text() == text


def test_a_key_that_cannot_be_read_is_refused_with_a_sentence(home: Home) -> None:
    (home.root / "data.key").mkdir()
    with pytest.raises(StoreRefused, match=r"data\.key cannot be read: Is a directory"):
        home.build()


def test_a_state_directory_that_cannot_be_is_refused_with_a_sentence(home: Home) -> None:
    home.write("data", "a file")
    with pytest.raises(CannotStart, match=r"data: File exists; storage\.path must be a directory"):
        home.build()


@pytest.mark.parametrize(
    ("file", "flag", "mode"),
    [
        ("auto", "dry-run", Mode.DRY_RUN),
        ("auto", None, Mode.AUTO),
        ("dry-run", "auto", Mode.DRY_RUN),
        ("approve", "off", Mode.OFF),
        ("off", "approve", Mode.OFF),
    ],
)
def test_the_mode_of_the_command_line_makes_it_only_more_careful(
    home: Home, file: str, flag: str | None, mode: Mode
) -> None:
    home.write("remediator.yml", home.settings.read_text().replace("dry-run", file))
    assert home.build(mode=flag).engine.parts.config.mode is mode


def test_broken_rules_are_refused_with_every_problem_and_leave_nothing_behind(home: Home) -> None:
    rules = (home.root / "rules.yml").read_text()
    home.write("rules.yml", rules.replace("kumomta.suspend", "kumomta.suspnd").replace("mode: auto", "mdoe: auto"))
    with pytest.raises(InvalidConfiguration) as refused:
        home.build()
    told = str(refused.value)
    assert "rules.yml:7:5: error[unknown-field]" in told
    assert "error[unknown-action]" in told
    assert not (home.root / "data.key").exists()


def test_a_service_without_settings_is_built_and_says_that_it_has_no_rules(tmp_path: Path) -> None:
    built = build(None, Overrides(storage=tmp_path / "state"))
    assert built.engine.parts.config.mode is Mode.DRY_RUN
    assert built.surface.ready() == ("no rules are loaded",)
    assert (tmp_path / "state.key").exists()


def test_the_flags_come_before_the_file(home: Home, tmp_path: Path) -> None:
    built = home.build(storage=tmp_path / "there", listen="[::1]:1234", external_url="https://remediator.example.com")
    assert built.storage == tmp_path / "there"
    assert built.listen == "[::1]:1234"
    assert built.engine.parts.config.routing.base_url == "https://remediator.example.com"


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9097", ("127.0.0.1", 9097)), ("[::1]:0", ("::1", 0)), (":80", ("", 80))],
)
def test_an_address_has_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "a:b:1", "h:²"])
def test_what_is_no_address_is_refused_before_anything_is_made(home: Home, text: str) -> None:
    with pytest.raises(CannotStart, match="is not an address to listen on; write for example"):
        address_of(text)
    if text:
        with pytest.raises(CannotStart, match="is not an address"):
            home.build(listen=text)
        assert not home.data.exists()


def test_every_file_of_a_secret_is_among_the_secrets(home: Home) -> None:
    names = ["webhook", "user", "ana", "prometheus", "alertmanager", "kumod", "hook_url", "hook", "redis_url"]
    for name in names:
        home.write(name, f"canary-of-{name}\n")
    home.write("redis_url", "redis://:p%40ss-of-redis@127.0.0.1:6379\n")
    home.write("kumod", "  canary-of-kumod  \n")
    home.write(
        "remediator.yml",
        """
web:
  bearer_token_file: webhook
  basic_auth: { username: alertmanager, password_file: user }
  people: [{ name: ana, token_file: ana, scope: read }]
prometheus: { url: "http://127.0.0.1:1", basic_auth: { username: u, password_file: prometheus } }
alertmanager: { url: "http://127.0.0.1:2", basic_auth: { username: u, password_file: alertmanager } }
targets:
  kumomta:
    nodes:
      mta1: { url: "http://127.0.0.1:3", basic_auth: { username: u, password_file: kumod } }
      mta2: { url: "http://127.0.0.1:4" }
  redis: { cache: { url_file: redis_url }, other: { url: "redis://127.0.0.1:6379" } }
receivers:
  - name: chat
    webhook_configs: [{ url_file: hook_url, credentials_file: hook }, { url: "http://127.0.0.1:5" }]
""",
    )
    secrets = secrets_of(load_settings(home.settings))
    found = {name for name in names for secret in secrets if secret == f"canary-of-{name}"}
    assert found == set(names) - {"redis_url"}
    assert {"p%40ss-of-redis", "p@ss-of-redis"} <= set(secrets)
