"""The action `redis.config_set`: one setting of one Redis, and back again. The only module here that opens a Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError

from remediator.actions.defaults import WithoutCheck
from remediator.actions.targets import RedisServer, RedisTargets
from remediator.core.outcomes import EffectClass, Outcome, UndoOutcome, UndoResult, failed, not_issued, ok, unknown
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call


class RedisConfigSet(WithoutCheck):
    """Sets one allowed parameter by CONFIG SET; it holds until Redis restarts."""

    kind: ClassVar[str] = "redis.config_set"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {
        "server": Param(
            type=ParamType.NAME, doc="The Redis, by its name in the settings; never the one of our own journal."
        ),
        "parameter": Param(
            type=ParamType.NAME, doc="The setting, such as maxmemory; it must be allowed in the settings."
        ),
        "value": Param(type=ParamType.TEXT, doc="Its new value, as CONFIG SET takes it: allkeys-lru, 1500mb, 300."),
    }
    summary: ClassVar[str] = "Change one setting of a Redis"

    def __init__(self, targets: RedisTargets | None) -> None:
        self._targets = targets

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """That Redis."""
        return (f"redis {arguments.get('server')}",)

    def kept_in(self, arguments: Mapping[str, Json]) -> str:
        """Its memory: CONFIG SET writes no file."""
        return next(iter(self.places(arguments)))

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown servers, our own journal's, and settings that are not allowed."""
        found = [f"no {name}" for name in ("server", "parameter", "value") if not arguments.get(name)]
        if found or self._targets is None:
            return found
        server = self._targets.servers.get(str(arguments["server"]))
        if server is None:
            known = ", ".join(sorted(self._targets.servers)) or "none"
            found.append(
                f"no Redis is called {arguments['server']!r} (known: {known}); add it to the settings under redis"
            )
        elif self._targets.store == (server.host, server.port):
            found.append(f"{server.name} holds our own journal; its settings are never changed by a rule")
        if str(arguments["parameter"]) not in self._targets.parameters:
            allowed = ", ".join(sorted(self._targets.parameters))
            found.append(f"the setting {arguments['parameter']!r} is not allowed (allowed: {allowed})")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which setting of which server."""
        return f"set {arguments.get('parameter')} of Redis {arguments.get('server')} to {arguments.get('value')}"

    async def perform(self, call: Call) -> Outcome:
        """Notes the present value, sets the new one, and reads it back as Redis spells it."""
        server = self._server(call)
        if isinstance(server, str):
            return failed(server)
        name, value = str(call.arguments["parameter"]), str(call.arguments["value"])
        sent = False
        try:
            async with asyncio.timeout(call.timeout), connection(server) as redis:
                prior = await _get(redis, name)
                if prior is None:
                    return failed(f"{server.name} knows no setting {name}")
                sent = True
                await redis.config_set(name, value)
                now = await _get(redis, name)
        except ResponseError as fault:
            return failed(f"{server.name} refused {name} = {value}: {fault}")
        except (RedisError, OSError, TimeoutError) as fault:
            told = f"{server.name}: {str(fault) or type(fault).__name__}"
            return (
                unknown(f"{told}; the setting may have been changed")
                if sent
                else not_issued(f"{told}; nothing was set")
            )
        receipt: dict[str, object] = {"server": server.name, "parameter": name, "prior": prior, "wrote": now}
        return ok(f"{name} of {server.name} is {now}, was {prior}", receipt=receipt)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Sets the earlier value, if the present one is ours."""
        server = self._server(call)
        if isinstance(server, str):
            return UndoOutcome(result=UndoResult.FAILED, sentence=server)
        prior, wrote, name = receipt.get("prior"), receipt.get("wrote"), str(call.arguments["parameter"])
        if not isinstance(prior, str) or not isinstance(wrote, str):
            sentence = f"what {name} of {server.name} was before is not known; set it by hand"
            return UndoOutcome(result=UndoResult.FOREIGN, sentence=sentence)
        try:
            async with asyncio.timeout(call.timeout), connection(server) as redis:
                now = await _get(redis, name)
                if now == prior:
                    return UndoOutcome(result=UndoResult.GONE, sentence=f"{name} of {server.name} is {prior} again")
                if now != wrote:
                    sentence = f"{name} of {server.name} is now {now}, which is not ours; left alone"
                    return UndoOutcome(result=UndoResult.FOREIGN, sentence=sentence)
                await redis.config_set(name, prior)
        except (RedisError, OSError, TimeoutError) as fault:
            return UndoOutcome(
                result=UndoResult.UNKNOWN, sentence=f"{server.name}: {str(fault) or type(fault).__name__}"
            )
        return UndoOutcome(result=UndoResult.UNDONE, sentence=f"{name} of {server.name} is {prior} again")

    def _server(self, call: Call) -> RedisServer | str:
        faults = self.faults(call.arguments)
        if faults or self._targets is None:
            return faults[0] if faults else "no Redis is configured"
        return self._targets.servers[str(call.arguments["server"])]


@asynccontextmanager
async def connection(server: RedisServer) -> AsyncIterator[Redis]:
    """A connection of its own, without retries: a command that may have been carried out is not sent again unseen."""
    try:
        password = _password(server)
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it holds no URL"
        raise NoConnection(f"the password file cannot be read ({why})") from None
    redis = Redis(
        host=server.host,
        port=server.port,
        username=server.username or None,
        password=password,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield redis
    finally:
        await redis.aclose()


def _password(server: RedisServer) -> str | None:
    if server.url_file is not None:
        return unquote(urlsplit(server.url_file.read_text(encoding="utf-8").strip()).password or "") or None
    return server.password_file.read_text(encoding="utf-8").strip() if server.password_file else None


async def _get(redis: Redis, name: str) -> str | None:
    found = await cast("Awaitable[Mapping[str, str]]", redis.config_get(name))
    return found.get(name)
