"""A real Prometheus reads an escaped label value as exactly that value, and as nothing else.

`absent(m{l="…"})` gives back the labels of its equality matchers, so Prometheus itself says what it read.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from remediator.core.rendering import Reference, Sink, Template, fill
from remediator.demo.stage import free_port

pytestmark = pytest.mark.e2e

HOSTILE = [
    '"} or vector(1) #',
    'x"} or on() vector(1) or m{l="',
    "\\",
    '\\"',
    'a\\"b\\\\"c',
    "new\nline",
    "tab\tand\rreturn",
    "{{ labels.domain }}",
    "`backtick`",
    "'single'",
    "$1 $labels.x %s",
    "é ü 漢 🚨",
    "\u202eright to left",
    "\u2028line separator",
    "\x01\x07\x7f",
    "a.b|c*(d)[e]^$?+",
    "x" * 4000,
]


def values() -> list[str]:
    """The hostile ones, and some that nobody thought of."""
    rng = random.Random(7)
    alphabet = "\"\\\n\t{}()|`'=~!,.*#$ aé漢\u2028\x01"
    return HOSTILE + ["".join(rng.choices(alphabet, k=rng.randint(1, 40))) for _ in range(150)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty Prometheus."""
    root: Path = tmp_path_factory.mktemp("prometheus")
    (root / "prometheus.yml").write_text("scrape_configs: []\n", encoding="utf-8")
    port = free_port()
    command = ["prometheus", f"--config.file={root}/prometheus.yml", f"--storage.tsdb.path={root}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", f"--web.external-url=http://127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "--web.route-prefix=/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{base}/-/ready", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        yield base
    finally:
        process.terminate()
        process.wait()


def ask(client: httpx.Client, url: str, expr: str) -> list[dict[str, str]]:
    """The label sets of the answer."""
    answer = client.post(f"{url}/api/v1/query", data={"query": expr}).json()
    assert answer["status"] == "success", f"{expr!r}: {answer}"
    return [series["metric"] for series in answer["data"]["result"]]


def filled(before: str, sink: Sink, value: str, after: str) -> str:
    """The query that a rule with this blank would ask."""
    template = Template((before, Reference("labels", "l", sink=sink), after))
    return fill(template, {"labels": {"l": value}})


def test_prometheus_reads_back_exactly_the_value(url: str) -> None:
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        for value in values():
            expr = filled('absent(m{l="', Sink.PROMQL, value, '"})')
            assert ask(client, url, expr) == [{"l": value}], value


def test_in_a_regex_a_value_means_only_itself(url: str) -> None:
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        for value in values():
            series = filled('absent(m{l="', Sink.PROMQL, value, '"})')
            for other, labels in ((series, {"l": value, "hit": "yes"}), ('absent(m{l="other"})', {"l": "other"})):
                asked = filled(f'label_replace({other}, "hit", "yes", "l", "', Sink.PROMQL_REGEX, value, '")')
                assert ask(client, url, asked) == [labels], value
