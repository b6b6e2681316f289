"""The action `redis.report`: whether a Redis answers, how much memory it uses of what it may, and what it throws away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import ClassVar, cast

from redis.exceptions import RedisError

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.redis_config import connection
from remediator.actions.targets import RedisTargets
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# What is kept of INFO.
KEPT = (
    "redis_version",
    "uptime_in_seconds",
    "used_memory",
    "used_memory_peak",
    "maxmemory",
    "maxmemory_policy",
    "mem_fragmentation_ratio",
    "evicted_keys",
    "rejected_connections",
    "connected_clients",
)
_MEBI = 1 << 20


class RedisReport(WithoutCheck, WithoutUndo):
    """Keeps the memory figures of one Redis."""

    kind: ClassVar[str] = "redis.report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "server": Param(type=ParamType.NAME, doc="The Redis, by its name in the settings.")
    }
    summary: ClassVar[str] = "Note whether a Redis answers, and its memory"

    def __init__(self, targets: RedisTargets | None) -> None:
        self._targets = targets

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown servers."""
        name = arguments.get("server")
        if not name:
            return ["no server"]
        if self._targets is None or name in self._targets.servers:
            return []
        known = ", ".join(sorted(self._targets.servers)) or "none"
        return [f"no Redis is called {name!r} (known: {known}); add it to the settings under redis"]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which server would be asked."""
        return f"ask Redis {arguments.get('server')} for its memory"

    async def perform(self, call: Call) -> Outcome:
        """Asks for INFO."""
        faults = self.faults(call.arguments)
        if faults or self._targets is None:
            return failed(faults[0] if faults else "no Redis is configured")
        server = self._targets.servers[str(call.arguments["server"])]
        try:
            async with asyncio.timeout(call.timeout), connection(server) as redis:
                told = await cast("Awaitable[Mapping[str, object]]", redis.info())
        except (RedisError, OSError, TimeoutError) as fault:
            return failed_for_now(f"{server.name} does not answer: {str(fault) or type(fault).__name__}")
        evidence: dict[str, object] = {name: told[name] for name in KEPT if name in told}
        used, most = _number(told, "used_memory"), _number(told, "maxmemory")
        share = f"{used / _MEBI:.0f} of {most / _MEBI:.0f} MiB" if most else f"{used / _MEBI:.0f} MiB without a limit"
        gone, policy = _number(told, "evicted_keys"), told.get("maxmemory_policy", "unknown")
        return ok(f"{server.name} uses {share}, policy {policy}, {gone:.0f} keys evicted so far", evidence=evidence)


def _number(told: Mapping[str, object], name: str) -> float:
    value = told.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
