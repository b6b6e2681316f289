"""Ways to tell people, built from the settings. One receiver may have several parts; all of them are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from remediator.actions.http_client import Credentials, HttpClient
from remediator.config import Settings, read_secret
from remediator.config.settings import ReceiverSettings, WebhookSettings
from remediator.core.outcomes import Outcome, Result, ok
from remediator.ports import Clock, Message, Receiver
from remediator.receivers.log import LogReceiver
from remediator.receivers.webhook import WebhookReceiver


class Several:
    """A receiver with several parts; it has told people when each part has."""

    def __init__(self, name: str, parts: tuple[Receiver, ...]) -> None:
        self.name = name
        self._parts = parts

    async def send(self, message: Message) -> Outcome:
        """Tells every part; the first that fails is the outcome, and the engine tries all again."""
        failures = [outcome for part in self._parts if (outcome := await part.send(message)).result is not Result.OK]
        return failures[0] if failures else ok(f"told {len(self._parts)} of {len(self._parts)}")


def build_receivers(settings: Settings, clock: Clock, redact: Callable[[str], str]) -> Mapping[str, Receiver]:
    """The receivers by name. `redact` takes configured secrets out of what their answers are quoted as."""
    http = HttpClient(rest=clock.sleep, redact=redact)
    return {one.name: _receiver(one, http) for one in settings.receivers}


def _receiver(settings: ReceiverSettings, http: HttpClient) -> Receiver:
    parts: list[Receiver] = [_webhook(settings.name, hook, http) for hook in settings.webhooks]
    if not parts:
        parts.append(LogReceiver(settings.name))
    return parts[0] if len(parts) == 1 else Several(settings.name, tuple(parts))


def _webhook(name: str, hook: WebhookSettings, http: HttpClient) -> Receiver:
    url = hook.url or (read_secret(hook.url_file) if hook.url_file is not None else "")
    credentials = (
        Credentials(username="", password_file=hook.credentials_file) if hook.credentials_file is not None else None
    )
    return WebhookReceiver(name, url, http=http, credentials=credentials)
