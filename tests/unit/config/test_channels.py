"""The receivers of remediator.yml: every key arrives, the runbook's table can be written, secrets are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config import load_settings
from remediator.config.channels import (
    AlertmanagerChannelSettings,
    BasicAuth,
    EmailSettings,
    ReceiverSettings,
    SlackSettings,
    SmsSettings,
    WebhookSettings,
)

WHOLE = """
notify: { critical: [sms, email, slack], warning: [email, slack], info: slack }
escalate: [on-call, sms]
receivers:
  - name: slack
    slack_configs:
      - { api_url_file: slack, channel: "#ops", username: remediator, icon_emoji: ":wrench:", icon_url: "https://i.example/x" }
      - { app_token_file: token, channel: C1 }
  - name: email
    send_started: true
    email_configs:
      - to: "ops@example.com, boss@example.com,ops@example.com"
        from: remediator@example.com
        smarthost: "smtp.example.com:587"
        hello: remediator.example.com
        auth_username: us
        auth_password_file: mail
        tls_config: { ca_file: ca.pem }
        headers: { X-Team: mail }
      - { to: [ops@example.com], from: r@example.com, smarthost: "[::1]:25", require_tls: false, auth_username: us, auth_password_file: mail }
  - name: sms
    sms_configs:
      - { to: ["+1 555 0100", "+15550101"], url_file: gate, to_field: phone, text_field: text, fields: { From: "+1555" }, basic_auth: { username: us, password_file: sms }, max_length: 153 }
      - { to: "+15550100", url: "https://sms.example.com/send", credentials_file: sms_token }
  - name: on-call
    alertmanager_configs: [{ url: "http://127.0.0.1:9093/", labels: { team: mail }, basic_auth: { username: us, password_file: am } }]
  - name: both
    slack_configs: [{ api_url_file: slack }]
    webhook_configs: [{ url: "https://hooks.example.com/x", credentials_file: hook }]
"""  # noqa: E501
SECRETS = ("slack", "token", "mail", "gate", "sms", "sms_token", "am", "hook")


@pytest.fixture
def receivers(tmp_path: Path) -> dict[str, ReceiverSettings]:
    """The receivers of the whole file, by name."""
    for name in SECRETS:
        (tmp_path / name).write_text("0123456789abcdef\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "remediator.yml").write_text(WHOLE)
    settings = load_settings(tmp_path / "remediator.yml")
    assert settings.warnings == ()
    assert settings.notify["critical"] == ("sms", "email", "slack")
    return {one.name: one for one in settings.receivers}


def test_every_key_of_slack_and_mail_arrives(receivers: dict[str, ReceiverSettings], tmp_path: Path) -> None:
    assert receivers["slack"].slack == (
        SlackSettings(
            api_url_file=tmp_path / "slack", channel="#ops", username="remediator", icon_emoji=":wrench:",
            icon_url="https://i.example/x",
        ),
        SlackSettings(app_token_file=tmp_path / "token", channel="C1"),
    )  # fmt: skip
    assert receivers["email"].email == (
        EmailSettings(
            to=("ops@example.com", "boss@example.com"), sender="remediator@example.com", host="smtp.example.com", port=587,
            hello="remediator.example.com", auth_username="us", auth_password_file=tmp_path / "mail",
            ca_file=tmp_path / "ca.pem", headers={"X-Team": "mail"},
        ),
        EmailSettings(
            to=("ops@example.com",), sender="r@example.com", host="::1", port=25, auth_username="us",
            auth_password_file=tmp_path / "mail", require_tls=False,
        ),
    )  # fmt: skip


def test_every_key_of_the_others_arrives(receivers: dict[str, ReceiverSettings], tmp_path: Path) -> None:
    assert receivers["sms"].sms == (
        SmsSettings(
            to=("+15550100", "+15550101"), url_file=tmp_path / "gate", to_field="phone", text_field="text",
            fields={"From": "+1555"}, basic_auth=BasicAuth(username="us", password_file=tmp_path / "sms"), max_length=153,
        ),
        SmsSettings(to=("+15550100",), url="https://sms.example.com/send", credentials_file=tmp_path / "sms_token"),
    )  # fmt: skip
    assert receivers["on-call"].alertmanager == (
        AlertmanagerChannelSettings(
            url="http://127.0.0.1:9093",
            labels={"team": "mail"},
            basic_auth=BasicAuth(username="us", password_file=tmp_path / "am"),
        ),
    )
    assert receivers["both"].webhooks == (
        WebhookSettings(url="https://hooks.example.com/x", credentials_file=tmp_path / "hook"),
    )


def test_only_slack_hears_of_the_start_unless_it_is_written(receivers: dict[str, ReceiverSettings]) -> None:
    assert {name for name, one in receivers.items() if one.send_started} == {"slack", "email"}


def test_every_secret_is_known(receivers: dict[str, ReceiverSettings], tmp_path: Path) -> None:
    known = {path for one in receivers.values() for path in one.secret_files}
    assert known == {tmp_path / name for name in SECRETS}
