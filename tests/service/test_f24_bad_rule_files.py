"""F24: a rules file is input to be distrusted. Whatever is wrong with one, the old rules stay in force, and it is said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

GOOD = """\
version: 1
rules:
  - name: high-bounce-rate
    match: [alertname = HighBounceRate]
    group_by: [domain]
    when:
      expr: bounce_ratio{domain="{{ labels.domain }}"} > 0.2
      for: 2m
    guards:
      cooldown: 30m
      rate_limit: 2 per 6h
    mode: auto
    playbook: pause-domain
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: pause-domain
    params: { domain: domain }
    steps:
      - name: Pause
        action: kumomta.suspend
        with: { node: mta1, domain: "{{ params.domain }}", reason: bounces }
        undo: { after: 2h }
    verify:
      - expr: bounce_ratio{domain="{{ params.domain }}"} < 0.1
        within: 20m
"""
VALUES = [
    "[",
    "{",
    "&a x",
    "*a",
    "!!python/object:os.system x",
    "{{ labels.domain | upper }}",
    "{{ labels.",
    "-5",
    "1e999",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "{ a: 1, a: 2 }",
    "yes",
    '"\x00"',
    "1:30",
]
HUGE = "# " + "x" * 100 + "\n"


def bad_files() -> Iterator[str]:
    """Good text with one thing wrong; a few are wrong as a whole."""
    lines = GOOD.splitlines()
    for place, line in enumerate(lines):
        key, colon, _value = line.partition(": ")
        if colon:
            for value in VALUES:
                yield "\n".join([*lines[:place], f"{key}: {value}", *lines[place + 1 :]])
        if line.rstrip().endswith(":") or colon:
            yield "\n".join([*lines[: place + 1], line, *lines[place + 1 :]])  # a key that stands there twice
            yield "\n".join([*lines[:place], line.replace(":", "x:", 1), *lines[place + 1 :]])  # a misspelt key
        yield "\n".join([*lines[:place], "\t" + line, *lines[place + 1 :]])
    for end in range(40, len(GOOD) - 40, 25):
        yield GOOD[:end]
    yield from ("", "null", "[]", "version: 2", "\x00", "\ufeff[", GOOD + HUGE * 12_000, GOOD.replace("auto", "AUTO"))
    yield GOOD + "".join(f"a{one}: &a{one} [*a{one - 1}, *a{one - 1}]\n" for one in range(1, 20))


@pytest.mark.heavy
async def test_f24_no_bad_rules_file_replaces_the_rules_in_force(service: Any, home: Any) -> None:
    built = service.built
    home.write("rules.yml", GOOD)
    assert (await built.surface.reload(by="ana")).ok
    before = built.engine.parts.config
    refused = loaded = 0
    for text in itertools.islice(bad_files(), 3, None):
        (home.root / "rules.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
        view = await built.surface.reload(by="ana")
        if view.ok:
            loaded += 1  # the slip happened to mean something: then it is in force, whole
            home.write("rules.yml", GOOD)
            assert (await built.surface.reload(by="ana")).ok
            before = built.engine.parts.config
            continue
        refused += 1
        assert view.problems, "a refusal says what and where"
        assert built.engine.parts.config is before, "nothing of a refused file is in force"
    assert refused >= 300
    assert loaded < refused / 4
    assert (await service.metric("remediator_config_last_reload_successful"))[0].split()[1] in {"0.0", "1.0"}


async def test_f24_the_metric_and_the_journal_tell_of_a_refused_file(service: Any, home: Any) -> None:
    home.write("rules.yml", "version: 1\nrules: [")
    view = await service.built.surface.reload(by="ana")
    assert not view.ok
    (line,) = await service.metric("remediator_config_last_reload_successful ")
    assert line.split()[1] == "0.0"
    (told,) = await service.facts("config.refused")
    assert told.problems
    await service.fire()
    assert (await service.closed())[0]["rule"] == "high-bounce-rate", "the old rules go on working"
