"""The receiver `slack`: by an incoming webhook, or by an app that edits its one message about an incident.

All text stands in `plain_text` blocks, in which Slack reads neither mentions nor links. An edit notifies nobody, so where
people are needed the message is an answer below the first one that the whole channel sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.actions.http_client import Answer, Credentials, HttpClient, Reply, Request, deadline, judge
from remediator.core.outcomes import Look, Observation, Outcome, Result, failed, failed_for_now, not_issued, ok
from remediator.people import Message
from remediator.receivers.secrets import LOOK_TIMEOUT, NoSecret, look_at_host, url_in, without_secret
from remediator.receivers.wording import ends_of, lines_of, link_of, shortened, subject_of

# How long an answer may take (s).
TIMEOUT = 8.0
API = "https://slack.com/api"
# Slack's own limits (characters): of a header, of a text in a section, of the text beside the blocks.
HEADER, SECTION, TEXT = 150, 3000, 3000
_MAY_PASS = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"})
Body = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackTarget:
    """Either the file with an incoming webhook's URL, or the one with an app's token; then the channel is needed too."""

    api_url_file: Path | None = None
    app_token_file: Path | None = None
    channel: str = ""
    username: str = ""
    icon_emoji: str = ""
    icon_url: str = ""
    api: str = API


class SlackReceiver:
    """Posts to one channel."""

    def __init__(self, name: str, target: SlackTarget, *, http: HttpClient) -> None:
        self.name = name
        self._target = target
        self._http = http

    async def send(self, message: Message) -> Outcome:
        """Posts, or edits what was posted of the incident before."""
        body = self._look() | body_of(message)
        if self._target.app_token_file is not None:
            return await self._by_app(message, body)
        try:
            url = url_in("", self._target.api_url_file)
        except NoSecret as fault:
            return not_issued(str(fault))
        request = Request(method="POST", url=url, json=body)
        return judge(await self._http.send(request, until=deadline(TIMEOUT)), f"message to {self.name}")

    async def probe(self) -> Observation:
        """Asks whether the token is good, or whether the webhook's host answers."""
        if self._target.app_token_file is not None:
            reply = await self._call("auth.test", {}, LOOK_TIMEOUT)
            outcome = self._judge(reply)
            good = outcome.result is Result.OK
            return Observation(look=Look.GOOD if good else Look.BAD, sentence=outcome.sentence)
        try:
            url = url_in("", self._target.api_url_file)
        except NoSecret as fault:
            return without_secret(fault)
        return await look_at_host(self._http, url)

    def _look(self) -> Body:
        target = self._target
        wanted = {
            "channel": target.channel,
            "username": target.username,
            "icon_emoji": target.icon_emoji,
            "icon_url": target.icon_url,
        }
        return {name: value for name, value in wanted.items() if value}

    async def _by_app(self, message: Message, body: Body) -> Outcome:
        first = _first(message.thread)
        if first and message.call != "begin":
            edited = self._judge(await self._call("chat.update", body | first, TIMEOUT))
            if edited.result is Result.OK or edited.evidence.get("error") not in _GONE:
                return edited
        if first and message.call == "begin":
            body = body | {"channel": first["channel"], "thread_ts": first["ts"], "reply_broadcast": True}
        return self._judge(await self._call("chat.postMessage", body, TIMEOUT))

    async def _call(self, method: str, body: Body, seconds: float) -> Reply:
        credentials = Credentials(username="", password_file=self._target.app_token_file)
        request = Request(method="POST", url=f"{self._target.api}/{method}", json=body, credentials=credentials)
        return await self._http.send(request, until=deadline(seconds))

    def _judge(self, reply: Reply) -> Outcome:
        """Slack says no with status 200, and why in `error`."""
        outcome = judge(reply, f"message to {self.name}")
        if outcome.result is not Result.OK or not isinstance(reply, Answer):
            return outcome
        try:
            said = reply.json()
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return failed(f"message to {self.name}: what answered is not Slack")
        if said.get("ok") is True:
            receipt = {name: said[name] for name in ("ts", "channel") if isinstance(said.get(name), str)}
            return ok(f"message to {self.name}: taken", receipt=receipt if len(receipt) == 2 else None)
        error = str(said.get("error"))[:60]
        sentence = f"message to {self.name}: Slack says {error!r}"
        return (failed_for_now if error in _MAY_PASS else failed)(sentence, evidence={"error": error})


def body_of(message: Message) -> Body:
    """The message as blocks, and as one escaped line for notifications."""
    blocks: list[Body] = [{"type": "header", "text": _plain(shortened(subject_of(message), HEADER))}]
    blocks += [{"type": "section", "text": _plain(part)} for part in _parts("\n".join(lines_of(message)))]
    link = link_of(message)
    if link:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{_escaped(link)}>", "verbatim": True}})
    ends = ends_of(message)
    if ends:
        blocks.append({"type": "context", "elements": [_plain("\n".join(ends)[:SECTION])]})
    return {
        "text": _escaped(subject_of(message))[:TEXT],
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def _first(thread: Mapping[str, object]) -> Body:
    """The channel and time by which Slack knows the first message; empty if there is none."""
    channel, at = thread.get("channel"), thread.get("ts")
    return {"channel": channel, "ts": at} if isinstance(channel, str) and isinstance(at, str) else {}


def _plain(text: str) -> Body:
    return {"type": "plain_text", "text": text or "-", "emoji": False}


def _parts(text: str) -> list[str]:
    return [text[start : start + SECTION] for start in range(0, max(1, len(text)), SECTION)]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
