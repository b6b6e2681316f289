"""A reload takes all of it or nothing, says which, and holds while the journal cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.chain import Head
from remediator.core.entries import Record
from remediator.core.rules import Mode
from remediator.errors import NotCommitted, StoreError
from remediator.ports import IncidentRow
from remediator.service import running
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from tests.service.conftest import Home, Service, Work

OK_METRIC = "remediator_config_last_reload_successful"
MORE = """\
  - name: queue-too-long
    match: [alertname = QueueTooLong]
    group_by: [domain]
    playbook: pause-domain
    with: { domain: "{{ labels.domain }}" }
playbooks:
"""


class FullStore(SqliteStore):
    """A store whose disk is full while the test says so."""

    full = ""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.refused = asyncio.Event()

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Appends, if there is room."""
        if self.full:
            self.refused.set()
            raise NotCommitted(self.full)
        return await super().append(expect, records, rows)


def add_rule(home: Home) -> None:
    rules = (home.root / "rules.yml").read_text(encoding="utf-8")
    home.write("rules.yml", rules.replace("playbooks:\n", MORE, 1))


def names(service: Service) -> list[str]:
    return [rule.name for rule in service.built.engine.parts.config.ruleset.rules]


async def test_good_then_bad_then_good_again(home: Home, service: Service) -> None:
    await service.fire({"alertname": "QueueTooLong", "domain": "a.example"})
    await service.until(lambda: service.built.journal.state.tally.disposed == 1)
    assert not service.built.journal.state.open_by_key

    add_rule(home)
    good = await service.client.post("/-/reload?by=ana")
    assert good.status_code == 200
    assert good.text.startswith("2 rules are in force, digest ")
    assert names(service) == ["high-bounce-rate", "queue-too-long"]
    assert await service.metric(f"{OK_METRIC} ") == [f"{OK_METRIC} 1.0"]
    loaded = (await service.facts("config.loaded"))[-1]
    assert isinstance(loaded, e.ConfigLoaded)
    assert (loaded.by, loaded.rules) == ("ana", ("high-bounce-rate", "queue-too-long"))
    digest = loaded.digest
    assert await service.metric('remediator_runs_in_progress{rule="queue-too-long"}') == [
        'remediator_runs_in_progress{rule="queue-too-long"} 0.0'
    ]

    whole = (home.root / "rules.yml").read_text(encoding="utf-8")
    home.write("rules.yml", whole.replace("kumomta.suspend", "kumomta.suspnd").replace("mode: auto", "mode: atuo"))
    bad = await service.client.post("/-/reload")
    assert bad.status_code == 500
    assert "the rules in force did not change" in bad.text
    assert "rules.yml:7:11: error[bad-mode]" in bad.text
    assert "error[unknown-action]" in bad.text
    assert names(service) == ["high-bounce-rate", "queue-too-long"]
    assert await service.metric(f"{OK_METRIC} ") == [f"{OK_METRIC} 0.0"]
    (refused,) = await service.facts("config.refused")
    assert isinstance(refused, e.ConfigRefused)
    assert len(refused.problems) >= 2
    assert all(problem in bad.text for problem in refused.problems)
    assert service.built.surface.status().rules_digest == digest

    await service.fire({"alertname": "QueueTooLong", "domain": "b.example"})
    (row,) = await service.closed()
    assert row["rule"] == "queue-too-long", "the last good rules go on"

    home.write("rules.yml", whole)
    assert (await service.client.post("/-/reload")).status_code == 200
    assert await service.metric(f"{OK_METRIC} ") == [f"{OK_METRIC} 1.0"]
    assert service.built.surface.status().rules_digest == digest


async def test_settings_that_are_broken_or_gone_are_refused_too(home: Home, service: Service) -> None:
    good = home.settings.read_text(encoding="utf-8")
    home.write("remediator.yml", "mdoe: auto\n")
    assert "remediator.yml:1:1: error[unknown-field]" in (await service.client.post("/-/reload")).text
    home.settings.unlink()
    gone = await service.client.post("/-/reload")
    assert gone.status_code == 500
    assert "remediator.yml" in gone.text
    home.write("remediator.yml", good.replace("[rules.yml]", "[no-such-*.yml]"))
    assert "there is no such file" in (await service.client.post("/-/reload")).text
    assert names(service) == ["high-bounce-rate"]


async def test_a_reload_takes_mode_routing_and_limits_and_never_above_the_flag(home: Home, work: Work) -> None:
    home.add("receivers: [{ name: chat }]\nescalate: [chat]\n")
    good = home.settings.read_text(encoding="utf-8")
    async with work(home.build(mode="approve", external_url="https://r.example.com")) as service:
        parts = service.built.engine.parts
        home.write("remediator.yml", good.replace("dry-run", "auto"))
        assert (await service.client.post("/-/reload")).status_code == 200
        assert parts.config.mode == Mode.APPROVE
        more = "limits: { max_runs: 3, queue: 7, lapse_after: 1h }\nnotify: { critical: [chat] }\n"
        home.write("remediator.yml", good.replace("dry-run", "off") + more)
        assert (await service.client.post("/-/reload")).status_code == 200
        assert service.built.surface.status().mode == "off"
        assert (parts.config.max_runs, parts.config.queue, parts.config.lapse_after) == (3, 7, 3600.0)
        assert parts.config.routing.by_severity["critical"] == ("chat",)
        assert parts.config.routing.escalate == ("chat",)
        assert parts.config.routing.base_url == "https://r.example.com"
        assert await service.metric('remediator_mode{mode="off"}') == ['remediator_mode{mode="off"} 1.0']
        await service.fire()
        await service.until(lambda: service.built.journal.state.tally.disposed == 1)
        (disposed,) = await service.facts("notification.disposed")
        assert isinstance(disposed, e.NotificationDisposed)
        assert disposed.alerts[0].disposals[0].disposition == "suppressed"


async def test_a_receiver_that_is_not_built_is_not_taken(home: Home, service: Service) -> None:
    home.add("receivers: [{ name: chat }]\nescalate: [chat]\n")
    answer = await service.client.post("/-/reload")
    assert answer.status_code == 500
    assert "error[needs-restart]: the receiver 'chat' is new" in answer.text
    assert service.built.engine.parts.config.routing.escalate == ()


async def test_what_waits_for_a_restart_is_told(home: Home, work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    async with work(home.build()) as service:
        home.add('prometheus: { url: "http://127.0.0.1:9" }\nlimits: { grace: 5s }\n')
        assert (await service.client.post("/-/reload")).status_code == 200
    assert "changed, and in force only after a restart: prometheus, limits.grace" in capsys.readouterr().err


async def test_while_the_journal_cannot_be_written_the_old_rules_stay(
    home: Home, work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    built = home.build()
    store = FullStore(home.data / "journal.db")
    built.journal.store = store
    async with work(built) as service:
        built.surface._store = store
        add_rule(home)
        store.full = "no space left on device"
        answer = await service.client.post("/-/reload")
        assert answer.status_code == 503
        assert "no space left on device" in answer.text
        assert names(service) == ["high-bounce-rate"], "what no entry says is not in force"
        home.write("rules.yml", "version: 1\nrules: 7\n")
        with pytest.raises(StoreError):
            await built.reload("SIGHUP")
        async with asyncio.timeout(20):
            await _signal_twice(service, store)
        assert "not reloaded, the rules in force did not change" in capsys.readouterr().err
        store.full = ""


async def _signal_twice(service: Service, store: FullStore) -> None:
    """SIGHUP, and SIGHUP again: a watch that hears the second has survived the first."""
    asked = asyncio.Event()
    watch = asyncio.ensure_future(running._reload_on_signal(service.built, asked))
    for _ in range(2):
        store.refused.clear()
        asked.set()
        await store.refused.wait()
    watch.cancel()
