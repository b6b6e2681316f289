"""What exporter.yml becomes, and what is wrong with it at which place."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config.exporter_settings import (
    DnsSettings,
    ExporterSettings,
    ExporterWeb,
    ListSettings,
    LogRecordSettings,
    ReputationSettings,
    load_exporter_settings,
)
from remediator.config.schema import exporter_schema
from remediator.errors import InvalidConfiguration

WHOLE = """
web: { listen_address: "0.0.0.0:9925", bearer_token_file: [hook, old], scrape_token_file: scrape }
log_records: { names: 10, quiet: 1h, client_domain: header, body: 1MiB, body_deadline: 5s }
dns:
  nameservers: [127.0.0.1, "127.0.0.1:5353", "::1", "[::1]:54"]
  timeout: 2s
  min_interval: 20m
  max_interval: 2h
  rate: 10 per 1m
  keep: 12h
reputation:
  ips: [{ ip: 192.0.2.25, egress_source: ip-1 }, { ip: "2001:DB8::1" }]
  sender_score_zone: Score.example.
  lists:
    - { name: zen, zone: zen.spamhaus.org, codes: [127.0.0.2, 127.0.0.3], test_points: false }
    - { name: spamcop, zone: bl.spamcop.net }
"""


def written(directory: Path, text: str) -> Path:
    for name in ("hook", "old", "scrape"):
        (directory / name).write_text("x" * 32)
        (directory / name).chmod(0o600)
    path = directory / "exporter.yml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_everything_that_can_be_written_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    assert load_exporter_settings(path) == ExporterSettings(
        source=str(path),
        web=ExporterWeb(
            listen_address="0.0.0.0:9925",
            bearer_token_files=(tmp_path / "hook", tmp_path / "old"),
            scrape_token_files=(tmp_path / "scrape",),
        ),
        log_records=LogRecordSettings(
            names=10, quiet=3600.0, client_domain="header", body=1024 * 1024, body_deadline=5.0
        ),
        dns=DnsSettings(
            nameservers=(("127.0.0.1", 53), ("127.0.0.1", 5353), ("::1", 53), ("::1", 54)),
            timeout=2.0, min_interval=1200.0, max_interval=7200.0, gap=6.0, keep=43200.0,
        ),
        reputation=ReputationSettings(
            ips=(("192.0.2.25", "ip-1"), ("2001:db8::1", "")),
            sender_score_zone="score.example",
            lists=(
                ListSettings(
                    name="zen", zone="zen.spamhaus.org", codes=("127.0.0.2", "127.0.0.3"), test_points=False
                ),
                ListSettings(name="spamcop", zone="bl.spamcop.net"),
            ),
        ),
    )  # fmt: skip


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "# nothing\n")
    assert load_exporter_settings(path) == ExporterSettings(source=str(path))


def test_sender_score_can_be_left_out(tmp_path: Path) -> None:
    assert load_exporter_settings(written(tmp_path, "reputation: { sender_score: false }\n")).reputation == (
        ReputationSettings(sender_score_zone="")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reputation: { ips: [{ ip: 192.0.2.25 }] }", "1:15: error[missing-field]: addresses are to be looked up"),
        ("dns: { nameservers: resolver.example }", "1:21: error[bad-address]: nameservers: 'resolver.example' is not"),
        ("dns: { nameservers: [127.0.0.1, [x]] }", "error[bad-address]"),
        ("dns: { nameservers: \"127.0.0.1:70000\" }", "error[bad-address]"),
        ("reputation: { ips: [{ ip: 192.0.2 }] }", "1:27: error[bad-address]: ip: '192.0.2' is not an IP address"),
        ("reputation: { ips: [{ ip: [1] }] }", "error[bad-address]: ip: a list is not an IP address"),
        ("reputation: { lists: [{ name: a, zone: localhost }] }", "error[bad-zone]: zone: 'localhost' is not a DNS zone"),
        ("reputation: { lists: [{ name: a, zone: a.example, codes: 10.0.0.1 }] }", "is no answer of a list"),
        ("reputation: { lists: [{ name: senderscore, zone: a.example }] }", "is the name of Sender Score"),
        (
            "reputation: { lists: [{ name: a, zone: a.example }, { name: a, zone: b.example }] }",
            "1:61: error[duplicate-name]: 'a' stands here a second time",
        ),
        ("dns: { min_interval: 5h, keep: 1d }", "min_interval is longer than max_interval"),
        ("dns: { keep: 4h }", "1:14: error[bad-limit]: an answer is forgotten (keep) before"),
        ("log_records: { names: 2000 }", "2000 names of each kind are more series"),
        ("log_records: { client_domain: senders }", "did you mean 'sender'?"),
        ("log_recrods: { names: 5 }", "did you mean 'log_records'?"),
        ("web: { bearer_token: abc }", "error["),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        load_exporter_settings(written(tmp_path, text + "\n"))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dns: { nameservers: 8.8.8.8 }", "public-resolver"),
        ("web: { bearer_token_file: gone }", "missing-secret"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path, text: str, name: str) -> None:
    (warning,) = load_exporter_settings(written(tmp_path, text + "\n")).warnings
    assert warning.name == name


def test_the_schema_describes_every_key() -> None:
    schema = exporter_schema()
    assert set(schema["properties"]) == {"web", "log_records", "dns", "reputation"}
    for shape in (schema, *schema["definitions"].values()):
        assert all(field["description"] for field in shape["properties"].values())
