"""doctor on a site that runs: real Prometheus and Alertmanager, a simulated kumod and Docker, the service itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from remediator.demo.stage import NODE, Stage

pytestmark = pytest.mark.e2e


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    one = Stage(tmp_path / "stage")
    try:
        one.build()
        yield one
    finally:
        one.strike()


@retry(wait=wait_fixed(0.2), stop=stop_after_delay(60), retry=retry_if_result(lambda found: not found))
def recorded(stage: Stage) -> object:
    """What Prometheus has recorded of kumod; a moment after its start that is nothing."""
    url = f"http://127.0.0.1:{stage.ports.prometheus}/api/v1/query"
    return httpx.get(url, params={"query": "kumo:bounce_ratio"}, trust_env=False).json()["data"]["result"]


def examined(stage: Stage, *more: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit code, and for each area the marks and sentences."""
    settings = str(stage.root / "remediator.yml")
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "remediator",
            "doctor",
            "--config.file",
            settings,
            "--url",
            stage.url,
            "-o",
            "json",
            *more,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert told.stdout, told.stderr
    areas: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(told.stdout):
        areas.setdefault(one["area"], []).append((one["mark"], one["sentence"]))
    return told.returncode, areas


def test_a_site_that_runs_is_found_well_in_every_area(stage: Stage) -> None:
    recorded(stage)
    code, areas = examined(stage, "--send-test")
    assert [mark for mark, _ in areas["send-test"]] == ["good"], areas
    assert "Alertmanager → webhook → decision (unmatched) in " in areas["send-test"][0][1]
    for area in ("prometheus", "alerts", "nodes", "alertmanager", "routes", "kumod", "docker", "journal", "clock"):
        assert {mark for mark, _ in areas[area]} == {"good"}, areas[area]
    assert f"container {NODE} is there" in [sentence for _, sentence in areas["docker"]]
    bad = {area for area, told in areas.items() if any(mark == "bad" for mark, _ in told)}
    assert (code, bad) == (0, set()), areas
