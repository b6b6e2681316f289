"""Alert text is data (G23): every payload at every place where text leaves, read back by a parser that is not ours."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import promql_parser
import pytest
import re2
import respx
from redis.connection import Connection

from remediator.actions.http import url_fault
from remediator.actions.http_client import HttpClient, Request, clean, deadline, final_url
from remediator.core.params import Json, ParamType, parse_value
from remediator.core.rendering import (
    MissingValue,
    Reference,
    Sink,
    Template,
    fill,
    fill_tree,
    parse_template,
    parse_tree,
)
from remediator.observe.log import Log
from remediator.observe.redaction import Redactor
from remediator.ports import Message
from remediator.receivers.webhook import WebhookReceiver, WebhookTarget
from tests.kit.payloads import PAYLOADS

BENIGN = "example.com"
SINKS: list[Callable[..., object]] = []


def scope(value: str) -> dict[str, dict[str, str]]:
    return {"labels": {"x": value}}


def filled(template: str, value: str) -> str | None:
    """The text, or None where the value is refused."""
    try:
        return fill(parse_template(template), scope(value))
    except MissingValue:
        return None


def sink(test: Callable[..., object]) -> Callable[..., object]:
    """Counts a place at which text leaves."""
    SINKS.append(test)
    return test


def test_there_are_enough_payloads_and_places() -> None:
    assert len(PAYLOADS) >= 400
    assert len(PAYLOADS) * len(SINKS) >= 3600


@sink
def test_an_argument_stays_one_argument_of_a_real_process() -> None:
    echo = [sys.executable, "-S", "-c", "import sys, json; print(json.dumps([len(sys.argv), sys.argv[-1]]))"]
    taken = [value for value in PAYLOADS if _argument(value) is not None]
    assert 50 < len(taken) < len(PAYLOADS), "some are fit for an argument, some are refused"
    for value in taken[:: max(1, len(taken) // 25)]:  # a process each: a sample of what is taken
        argv = _argument(value)
        assert argv is not None
        told = subprocess.run([*echo, *argv], capture_output=True, check=True).stdout
        assert json.loads(told) == [3, os.fsdecode(os.fsencode(argv[-1]))]


def _argument(value: str) -> list[str] | None:
    tree = fill_tree(parse_tree(["--domain", "{{ labels.x }}"]), scope(value))
    try:
        argv = parse_value(ParamType.ARGV, tree)
    except ValueError:
        return None
    assert isinstance(argv, list)
    assert argv == ["--domain", value], "never split, joined or shortened"
    return [str(part) for part in argv]


@sink
@pytest.mark.parametrize("kind", [ParamType.DOMAIN, ParamType.NAME, ParamType.QUEUE, ParamType.IP, ParamType.RATE])
def test_a_narrow_parameter_takes_only_what_is_plain_in_every_sink(kind: ParamType) -> None:
    plain = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:@/+\[\]-]*")
    for value in PAYLOADS:
        try:
            taken = parse_value(kind, value)
        except ValueError:
            continue
        assert plain.fullmatch(str(taken)), (kind, value)


@sink
def test_a_url_keeps_host_depth_and_query() -> None:
    allow = ["https://api.example/v1/"]
    for value in PAYLOADS:
        url = filled("https://api.example/v1/{{ labels.x }}/pause", value)
        try:
            whole = parse_value(ParamType.URL, url)
        except ValueError:
            continue
        if url_fault(str(whole), allow):
            continue
        parts = urlsplit(final_url(str(whole)))
        assert (parts.scheme, parts.netloc) == ("https", "api.example"), value
        assert parts.path.startswith("/v1/"), value
        assert not {".", ".."} & set(parts.path.split("/")), value


@sink
async def test_a_query_value_stays_one_value() -> None:
    with respx.mock:
        route = respx.get(url__startswith="http://api.example/q").mock(httpx.Response(200))
        for value in (one for one in PAYLOADS if _encodable(one)):
            request = Request(method="GET", url="http://api.example/q", query=(("domain", value), ("last", "1")))
            await HttpClient().send(request, until=deadline(5))
            sent = urlsplit(str(route.calls.last.request.url))
            assert parse_qsl(sent.query, keep_blank_values=True) == [("domain", value), ("last", "1")]


@sink
def test_a_json_body_keeps_its_shape() -> None:
    tree = parse_tree({"domain": "{{ labels.x }}", "list": ["{{ labels.x }}", 3], "keep": {"a": True}})
    for value in PAYLOADS:
        told = json.loads(json.dumps(fill_tree(tree, scope(value))))
        assert told == {"domain": value, "list": [value, 3], "keep": {"a": True}}


def _promql(sink_of: Sink, operator: str) -> Iterator[tuple[str, str]]:
    for value in PAYLOADS:
        template = Template((f'sum(x{{domain{operator}"', Reference("labels", "x", None, sink_of), '"}) > 0.2'))
        try:
            yield value, fill(template, scope(value))
        except ValueError:
            assert not _encodable(value) or not value, "only what PromQL cannot hold is refused"


def _selectors(query: str) -> list[tuple[str, str, str]]:
    parsed: Any = promql_parser.parse(query)
    return [(one.name, str(one.op), one.value) for one in parsed.lhs.expr.matchers.matchers]


@sink
def test_a_promql_string_holds_exactly_the_value() -> None:
    count = 0
    for value, query in _promql(Sink.PROMQL, "="):
        found = _selectors(query)
        assert [(name, text) for name, _op, text in found] == [("domain", value)], query
        count += 1
    assert count >= 400


@sink
def test_a_promql_regex_matches_the_value_and_nothing_else() -> None:
    for value, query in _promql(Sink.PROMQL_REGEX, "=~"):
        ((_name, _op, pattern),) = _selectors(query)
        try:
            compiled = re2.compile(f"(?s)^(?:{pattern})$")
        except re2.error:
            assert "\x00" in value or not value.isprintable(), (value, pattern)
            continue
        assert compiled.fullmatch(value), (value, pattern)
        assert not compiled.fullmatch(value + "x")
        assert value == BENIGN or not compiled.fullmatch(BENIGN)


@sink
def test_a_redis_command_keeps_its_arguments() -> None:
    wire: Any = Connection(host="localhost")  # type: ignore[no-untyped-call]
    for value in (one for one in PAYLOADS if _encodable(one)):
        packed = b"".join(wire.pack_command("CONFIG", "SET", "maxmemory-policy", value))
        assert _resp(packed) == [b"CONFIG", b"SET", b"maxmemory-policy", value.encode()]


def _resp(raw: bytes) -> list[bytes]:
    """What a Redis server reads: by counted lengths, never by line ends."""
    stream = io.BytesIO(raw)
    count = int(stream.readline()[1:])
    found = []
    for _ in range(count):
        length = int(stream.readline()[1:])
        found.append(stream.read(length))
        assert stream.read(2) == b"\r\n"
    assert not stream.read()
    return found


@sink
def test_a_log_line_stays_one_line_with_the_same_keys() -> None:
    for form in ("json", "logfmt"):
        for value in PAYLOADS:
            out = io.StringIO()
            Log(Redactor(()), form=form, stream=out).line(
                "warning", 0.0, f"held: {value}", kind="run.decided", rule=value
            )
            (line,) = out.getvalue().splitlines()
            assert not [sign for sign in line if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
            if form == "json":
                assert set(json.loads(line)) <= {"ts", "level", "kind", "rule", "sentence"}
                assert json.loads(line)["level"] == "warning"


@sink
async def test_a_message_keeps_its_fields() -> None:
    with respx.mock:
        route = respx.post("http://chat.example/hook").mock(httpx.Response(200))
        receiver = WebhookReceiver("chat", WebhookTarget(url="http://chat.example/hook"), http=HttpClient())
        for value in (one for one in PAYLOADS if _encodable(one)):
            await receiver.send(Message(id="m1", subject=value, text=value, incident="inc-1", severity="critical"))
            told: dict[str, Json] = json.loads(route.calls.last.request.content)
            ours: dict[str, Json] = {"call": "", "link": "", "target": {}, "since": None, "footer": ""}
            text: dict[str, Json] = {
                "id": "m1",
                "subject": value,
                "text": value,
                "incident": "inc-1",
                "severity": "critical",
            }
            assert told == text | ours


@sink
def test_what_a_target_says_is_quoted_on_one_line() -> None:
    for value in PAYLOADS:
        assert clean(f"answered {value}").isprintable() or not value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
