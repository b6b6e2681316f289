"""exporter.yml as plain frozen values. Reads the file it is given and looks at the modes of the secrets it names.

Paths that are relative in the file are taken as relative to its directory. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath

from remediator.config.documents import Document, Path, parse_document
from remediator.config.exporter_model import MAX_NAMES, ExporterFile, ExporterWebShape
from remediator.config.faults import Faults, read_shape
from remediator.config.files import decode, read_file
from remediator.config.settings import secret_warning
from remediator.errors import Problem

# Resolvers that answer for everybody. Spamhaus and others answer them with 127.255.255.254 or not at all.
PUBLIC_RESOLVERS = frozenset(
    {"1.0.0.1", "1.1.1.1", "4.2.2.1", "4.2.2.2", "8.8.4.4", "8.8.8.8", "9.9.9.9", "149.112.112.112", "208.67.220.220"}
    | {"208.67.222.222", "2001:4860:4860::8844", "2001:4860:4860::8888", "2606:4700:4700::1001", "2606:4700:4700::1111"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterWeb:
    """Where it listens, and the files with the tokens of the log hook and of Prometheus."""

    listen_address: str = "127.0.0.1:9925"
    bearer_token_files: tuple[FilePath, ...] = ()
    scrape_token_files: tuple[FilePath, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecordSettings:
    """How log records are counted: `names` of each kind, `quiet` seconds until a place may be given to another."""

    names: int = 50
    quiet: float = 6 * 3600.0
    client_domain: str = "sender"
    body: int = 8 * 1024 * 1024
    body_deadline: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """How DNS is asked. `gap` is the time between two questions of any kind, the rest is per question."""

    nameservers: tuple[tuple[str, int], ...] = ()
    timeout: float = 5.0
    min_interval: float = 900.0
    max_interval: float = 4 * 3600.0
    gap: float = 2.0
    keep: float = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """A DNS list; without `codes` every answer from 127.0.0.2 on, but the errors, is a listing."""

    name: str
    zone: str
    codes: tuple[str, ...] = ()
    test_points: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationSettings:
    """Addresses with the egress source of each (empty if it has no name), and whom to ask about them.

    `sender_score_zone` is empty where Sender Score is not asked.
    """

    ips: tuple[tuple[str, str], ...] = ()
    sender_score_zone: str = "score.senderscore.com"
    lists: tuple[ListSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSettings:
    """exporter.yml; `warnings` is what is probably not meant."""

    source: str = ""
    web: ExporterWeb = ExporterWeb()
    log_records: LogRecordSettings = LogRecordSettings()
    dns: DnsSettings = DnsSettings()
    reputation: ReputationSettings = ReputationSettings()
    warnings: tuple[Problem, ...] = ()


def load_exporter_settings(path: FilePath) -> ExporterSettings:
    """The settings of one file; all its faults are raised together as InvalidConfiguration."""
    faults = Faults()
    document = parse_document(str(path), decode(path, read_file(path)))
    faults.take(document.problems)
    if document.value is None and not document.problems:
        return ExporterSettings(source=str(path))
    shape = read_shape(ExporterFile, document, (), faults) if document.value is not None else None
    settings = _settings(document, path.parent, shape, faults) if shape else ExporterSettings()
    faults.raise_errors()
    return settings


def _settings(document: Document, directory: FilePath, shape: ExporterFile, faults: Faults) -> ExporterSettings:
    _check(document, shape, faults)
    records, dns, reputation = shape.log_records, shape.dns, shape.reputation
    return ExporterSettings(
        source=document.file,
        web=_web(document, directory, shape.web, faults),
        log_records=LogRecordSettings(
            names=records.names,
            quiet=records.quiet,
            client_domain=records.client_domain,
            body=records.body,
            body_deadline=records.body_deadline,
        ),
        dns=DnsSettings(
            nameservers=tuple(_host_and_port(text) for text in dns.nameservers),
            timeout=dns.timeout,
            min_interval=dns.min_interval,
            max_interval=dns.max_interval,
            gap=dns.rate.window / dns.rate.count,
            keep=dns.keep,
        ),
        reputation=ReputationSettings(
            ips=tuple((one.ip, one.egress_source or "") for one in reputation.ips),
            sender_score_zone=reputation.sender_score_zone if reputation.sender_score else "",
            lists=tuple(
                ListSettings(name=one.name, zone=one.zone, codes=tuple(one.codes), test_points=one.test_points)
                for one in reputation.lists
            ),
        ),
        warnings=faults.sorted(),
    )


def _web(document: Document, directory: FilePath, shape: ExporterWebShape, faults: Faults) -> ExporterWeb:
    for key, names in (("bearer_token_file", shape.bearer_token_file), ("scrape_token_file", shape.scrape_token_file)):
        for place, name in enumerate(names):
            warned = secret_warning(directory / name)
            if warned:
                faults.warning(document.at(("web", key, place)), *warned)
    return ExporterWeb(
        listen_address=shape.listen_address,
        bearer_token_files=tuple(directory / name for name in shape.bearer_token_file),
        scrape_token_files=tuple(directory / name for name in shape.scrape_token_file),
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _check(document: Document, shape: ExporterFile, faults: Faults) -> None:
    """What is wrong between the parts."""
    dns, reputation = shape.dns, shape.reputation
    if shape.log_records.names > MAX_NAMES:
        sentence = f"{shape.log_records.names} names of each kind are more series than Prometheus should keep for this"
        faults.error(document.at(("log_records", "names")), "out-of-range", sentence, f"write at most {MAX_NAMES}")
    asked = bool(reputation.ips) and (reputation.sender_score or bool(reputation.lists))
    if asked and not dns.nameservers:
        sentence = "addresses are to be looked up, and no resolver is named: the lists refuse the public ones"
        faults.error(
            document.key(("reputation", "ips")), "missing-field", sentence, "write dns.nameservers: [127.0.0.1]"
        )
    for place, text in enumerate(dns.nameservers):
        if _host_and_port(text)[0] in PUBLIC_RESOLVERS:
            sentence = f"{_host_and_port(text)[0]} is a public resolver, which Spamhaus and others answer with an error"
            fix = "name your own recursive resolver"
            faults.warning(document.at(("dns", "nameservers", place)), "public-resolver", sentence, fix)
    if dns.min_interval > dns.max_interval:
        sentence = "min_interval is longer than max_interval"
        faults.error(document.at(("dns", "min_interval")), "bad-limit", sentence, "make it shorter")
    if dns.keep <= dns.max_interval:
        sentence = (
            "an answer is forgotten (keep) before it is asked for again (max_interval), so its series comes and goes"
        )
        faults.error(document.at(("dns", "keep")), "bad-limit", sentence, "write a keep of at least twice max_interval")
    _check_unique(document, ("reputation", "ips"), "ip", [one.ip for one in reputation.ips], faults)
    _check_unique(document, ("reputation", "lists"), "name", [one.name for one in reputation.lists], faults)
    for place, one in enumerate(reputation.lists):
        if one.name == "senderscore":
            position = document.at(("reputation", "lists", place, "name"))
            faults.error(position, "duplicate-name", "senderscore is the name of Sender Score", "choose another name")


def _check_unique(document: Document, path: Path, key: str, values: list[str], faults: Faults) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            position = document.at((*path, place, key))
            faults.error(position, "duplicate-name", f"'{value}' stands here a second time", "keep one of them")
