"""The shape of remediator.yml: which keys there are, what each may hold, and what it means (shown by editors).

No secret stands in this file: where one is needed, the key ends in `_file` and names a file that holds it.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.common_shapes import BasicAuthShape, FilePath, FilePaths, plain_text
from remediator.config.documents import Bare
from remediator.config.receivers_model import NotifyShape, ReceiverShape
from remediator.config.rules_model import IntervalsShape
from remediator.config.shapes import (
    Count,
    Misspelt,
    ModeWord,
    Name,
    Names,
    Percent,
    PerWindow,
    PositiveSeconds,
    Seconds,
    Shape,
    Text,
    Texts,
    Url,
    kind_of,
    one_of,
    one_or_many,
)
from remediator.core.params import ParamType, parse_value
from remediator.core.rules import Limit

SCOPES = ("read", "approve", "admin")
_LISTEN = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]|):(?P<port>[0-9]{1,5})")
_SIZE = re.compile(r"(?P<number>[0-9]{1,6})\s?(?P<unit>B|KiB|MiB|GiB)")
_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024, "GiB": 1024 * 1024 * 1024}
_REDIS = re.compile(r"rediss?://[A-Za-z0-9.\-\[\]:]+(?:/[0-9]{1,2})?")


def _listen(raw: object) -> str:
    text = plain_text(raw)
    found = _LISTEN.fullmatch(text)
    if not found or int(found["port"]) > 65535:
        raise Misspelt("bad-address", f"'{text}' is not an address to listen on", "write for example 127.0.0.1:9097")
    return text


def _target_name(raw: object) -> str:
    try:
        return str(parse_value(ParamType.NAME, plain_text(raw)))
    except Misspelt:
        raise
    except ValueError as fault:
        raise Misspelt("bad-name", str(fault)) from None


def _address(raw: object) -> str:
    try:
        return str(parse_value(ParamType.IP, plain_text(raw)))
    except Misspelt:
        raise
    except ValueError as fault:
        raise Misspelt("bad-address", str(fault)) from None


def _redis_url(raw: object) -> str:
    text = plain_text(raw)
    if "@" in text:
        sentence = "has a password in it"
        raise Misspelt("literal-secret", sentence, "write the whole URL to a file and name it: url_file")
    if not _REDIS.fullmatch(text):
        raise Misspelt("bad-url", "is not a Redis URL", "write for example redis://127.0.0.1:6379")
    return text


def _program(raw: object) -> str:
    text = plain_text(raw)
    if not text.startswith("/") or "/../" in text or text.endswith("/"):
        raise Misspelt("bad-path", f"'{text}' is not the absolute path of a program", "write for example /usr/bin/true")
    return text


def _size(raw: object) -> int:
    found = _SIZE.fullmatch(plain_text(raw))
    if not found or int(found["number"]) == 0:
        raise Misspelt("bad-size", f"{kind_of(raw)} is not a size", "write for example 8MiB")
    return int(found["number"]) * _UNITS[found["unit"]]


def _queue(raw: object) -> int:
    if isinstance(raw, Bare) and re.fullmatch(r"[1-9][0-9]{0,6}", raw):
        return int(raw)
    raise Misspelt("wrong-type", f"must be a whole number from 1 on, not {kind_of(raw)}", "write for example 50000")


TargetName = Annotated[str, BeforeValidator(_target_name), WithJsonSchema({"type": "string"})]
Address = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string"})]
Listen = Annotated[str, BeforeValidator(_listen), WithJsonSchema({"type": "string"})]
RedisUrl = Annotated[str, BeforeValidator(_redis_url), WithJsonSchema({"type": "string", "format": "uri"})]
Program = Annotated[str, BeforeValidator(_program), WithJsonSchema({"type": "string", "pattern": "^/"})]
Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$"})
]


class PrometheusShape(Shape):
    """Where conditions are asked."""

    noun: ClassVar[str] = "'prometheus'"
    url: Url = Field(description="Its base URL.")
    timeout: PositiveSeconds = Field(default=10.0, description="Bounds one question. Default 10s.")
    max_age: PositiveSeconds = Field(default=120.0, description="An older sample is no evidence. Default 2m.")
    basic_auth: BasicAuthShape | None = Field(default=None, description="How we say who we are.")


class AlertmanagerShape(Shape):
    """Where the present state of alerts is asked."""

    noun: ClassVar[str] = "'alertmanager'"
    url: Url = Field(description="Its base URL.")
    basic_auth: BasicAuthShape | None = Field(default=None, description="How we say who we are.")


class StorageShape(Shape):
    """Where the journal lives."""

    noun: ClassVar[str] = "'storage'"
    path: FilePath = Field(default="data", description="A directory on a local disk. Default data, beside this file.")
    retention: PositiveSeconds = Field(
        default=90 * 86_400.0, description="How long entries are kept at least, if there is room. Default 90d."
    )
    max_size: Size = Field(
        default=1024 * 1024 * 1024,
        description="Above it the oldest entries go earlier, but none that is still needed. Default 1GiB.",
    )
    archive: FilePath | None = Field(
        default=None, description="A directory that gets entries as gzip files before they are deleted."
    )
    anchor_file: FilePath | None = Field(
        default=None,
        description="A file that gets a line with the journal's end every 5m and at each end of a run; best far away.",
    )
    min_free: Size = Field(
        default=200 * 1024 * 1024, description="With less free on this disk nothing new begins. Default 200MiB."
    )
    min_free_percent: Percent = Field(
        default=5, description="The same in per cent of the disk; whichever of the two is more counts. Default 5."
    )


class PersonShape(Shape):
    """Somebody who may look, approve or administer."""

    noun: ClassVar[str] = "an item of 'people'"
    name: Text = Field(description="Stands in the journal beside what they did.")
    token_file: FilePath = Field(description="A file that holds their token, at least 16 characters.")
    scope: Annotated[str, one_of(*SCOPES), WithJsonSchema({"enum": list(SCOPES)})] = Field(
        description="read, approve (may also approve and pause) or admin (may also run and undo)."
    )


class WebShape(Shape):
    """What we serve, and to whom."""

    noun: ClassVar[str] = "'web'"
    listen_address: Listen = Field(default="127.0.0.1:9097", description="Default 127.0.0.1:9097.")
    external_url: Url | None = Field(
        default=None, description="Under which people reach the console; used in messages."
    )
    hosts: Texts = Field(default_factory=list, description="Host names under which the console may be asked for.")
    bearer_token_file: FilePaths = Field(
        default_factory=list, description="Files with the tokens Alertmanager may use; several while one is changed."
    )
    basic_auth: BasicAuthShape | None = Field(default=None, description="A user that Alertmanager may use.")
    people: list[PersonShape] = Field(default_factory=list, description="Who may use the console and the API.")


class StormShape(Shape):
    """When so many alerts fire at once that it is one fault, and nothing new is begun."""

    noun: ClassVar[str] = "'storm'"
    episodes: PerWindow = Field(
        default=Limit(50, 60.0),
        description="More alerts that begin to fire than this, as far as rules match them, are a storm. Default 50 per 1m.",
    )
    ends_below: Count = Field(
        default=10, description="It ends with fewer than this in the same window; less than begins it. Default 10."
    )
    cooldown: Seconds = Field(
        default=600.0, description="How long nothing new is begun after it; a new storm begins this anew. Default 10m."
    )


class FirstRunsShape(Shape):
    """How carefully work begins after a first start, an outage or a long pause."""

    noun: ClassVar[str] = "'first_runs'"
    runs: Count = Field(default=3, description="Live runs that may begin at first. Default 3.")
    within: PositiveSeconds = Field(default=900.0, description="For how long no more may. Default 15m.")
    after: PositiveSeconds = Field(
        default=3600.0, description="An outage or a pause of this length is a long one. Default 1h."
    )


class LimitsShape(Shape):
    """How much is done at once, and how long anything may take."""

    noun: ClassVar[str] = "'limits'"
    max_runs: Count = Field(default=10, description="Runs at the same time, over all rules. Default 10.")
    budget: PerWindow = Field(
        default=Limit(20, 3600.0),
        description="Live runs that may begin in any such window, over all rules and targets. Default 20 per 1h.",
    )
    storm: StormShape = Field(default_factory=StormShape, description="When nothing new is begun at all.")
    first_runs: FirstRunsShape = Field(
        default_factory=FirstRunsShape, description="How carefully work begins after a first start or an outage."
    )
    max_alert_age: PositiveSeconds = Field(
        default=900.0,
        description="An alert that waited longer for a decision must be seen to fire in Alertmanager. Default 15m.",
    )
    max_wait: PositiveSeconds = Field(
        default=4 * 3600.0, description="The most a run may wait for its guards, whatever its rule says. Default 4h."
    )
    queue: Annotated[int, BeforeValidator(_queue), WithJsonSchema({"type": "integer"})] = Field(
        default=50_000, description="Notifications that may wait for a decision before we answer 503. Default 50000."
    )
    clock_hold: PositiveSeconds | None = Field(
        default=None,
        description="The most that a step of a clock holds back what is limited. Default one longest limiter window.",
    )
    lapse_after: PositiveSeconds = Field(
        default=28_800.0, description="A firing alert that is not repeated for so long counts as gone. Default 8h."
    )
    body: Size = Field(default=8 * 1024 * 1024, description="The largest notification we take. Default 8MiB.")
    body_deadline: PositiveSeconds = Field(default=10.0, description="How long its sender may take. Default 10s.")
    grace: PositiveSeconds = Field(default=30.0, description="What running steps get after SIGTERM. Default 30s.")


class NodeShape(Shape):
    """One kumod."""

    noun: ClassVar[str] = "a node"
    url: Url = Field(description="Its own HTTP listener, never a load balancer's.")
    basic_auth: BasicAuthShape | None = Field(default=None, description="How we say who we are.")
    container: Name | None = Field(
        default=None,
        description="The container it runs in: its restart loses this node's suspensions. Default: the node's name.",
    )


class SourceShape(Shape):
    """An egress source of one kumod."""

    noun: ClassVar[str] = "a source"
    node: TargetName = Field(description="The kumod that has it, by its name under nodes.")
    source: TargetName = Field(description="Its name in that kumod's policy, such as ip-1.")


class KumoShape(Shape):
    """The kumods we may act on."""

    noun: ClassVar[str] = "'kumomta'"
    nodes: dict[TargetName, NodeShape] = Field(
        default_factory=dict, description="Each kumod by the name that alerts give it in their label instance."
    )
    shaping_files: dict[TargetName, FilePath] = Field(
        default_factory=dict, description="For nodes whose shaping may be edited: the TOML file they read."
    )
    sources: dict[Address, SourceShape] = Field(
        default_factory=dict, description="The egress source that sends from each address, for kumomta.suspend_source."
    )


class DockerShape(Shape):
    """The containers we may restart."""

    noun: ClassVar[str] = "'docker'"
    socket: FilePath = Field(default="/run/docker.sock", description="The Engine's Unix socket, or that of a proxy.")
    allow: Names = Field(description="Names of the containers that may be restarted.")


class RedisShape(Shape):
    """One Redis that may be configured; exactly one of url and url_file."""

    noun: ClassVar[str] = "a Redis"
    url: RedisUrl | None = Field(default=None, description="redis://host:port, without a password.")
    url_file: FilePath | None = Field(default=None, description="A file that holds the URL with its password.")


class HttpShape(Shape):
    """The URLs we may call."""

    noun: ClassVar[str] = "'http'"
    allow: Annotated[list[Url], BeforeValidator(one_or_many)] = Field(
        description="Prefixes of URLs that may be called."
    )


class CommandShape(Shape):
    """The programs we may start."""

    noun: ClassVar[str] = "'command'"
    allow: Annotated[list[Program], BeforeValidator(one_or_many)] = Field(description="Absolute paths of programs.")


class TargetsShape(Shape):
    """What actions may touch; what is not named here is refused."""

    noun: ClassVar[str] = "'targets'"
    kumomta: KumoShape | None = Field(default=None, description="The kumods we may act on.")
    docker: DockerShape | None = Field(default=None, description="The containers we may restart.")
    redis: dict[TargetName, RedisShape] = Field(default_factory=dict, description="The Redis servers we may configure.")
    http: HttpShape | None = Field(default=None, description="The URLs we may call.")
    command: CommandShape | None = Field(default=None, description="The programs we may start.")


class SettingsFile(Shape):
    """remediator.yml."""

    noun: ClassVar[str] = "the settings file"
    mode: ModeWord | None = Field(
        default=None, description="The most that any rule may do: off, dry-run (default), approve or auto."
    )
    rule_files: FilePaths = Field(default_factory=list, description="Rules files; * and ** stand for names.")
    prometheus: PrometheusShape | None = Field(default=None, description="Where conditions are asked.")
    alertmanager: AlertmanagerShape | None = Field(default=None, description="Where the state of alerts is asked.")
    storage: StorageShape = Field(default_factory=StorageShape, description="Where the journal lives.")
    web: WebShape = Field(default_factory=WebShape, description="What we serve, and to whom.")
    limits: LimitsShape = Field(default_factory=LimitsShape, description="How much at once, and for how long.")
    receivers: list[ReceiverShape] = Field(default_factory=list, description="The ways to tell people.")
    notify: NotifyShape = Field(default_factory=NotifyShape, description="Who is told, by severity.")
    escalate: Names = Field(default_factory=list, description="Receivers when a person is needed.")
    time_intervals: list[IntervalsShape] = Field(default_factory=list, description="When hands stay off.")
    targets: TargetsShape = Field(default_factory=TargetsShape, description="What actions may touch.")
