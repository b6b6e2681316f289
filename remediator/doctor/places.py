"""Checks of what actions touch: kumod with its rights, Docker, Redis, programs, HTTP; nothing is changed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from remediator.actions.http_client import Answer, deadline
from remediator.actions.kumomta.client import SUSPEND, Kumod, Unreadable
from remediator.actions.redis_config import connection
from remediator.actions.targets import DockerTarget, Node, RedisServer
from remediator.doctor.case import PATIENCE, Case
from remediator.doctor.findings import Finding, bad, good, untold

LIVENESS = "/api/check-liveness/v1"
RIGHT = (
    "add our address to trusted_hosts of kumod's HTTP listener, "
    "or give our user group kumomta:http-listener-trusted-ip, or the right to /api/admin by an ACL"
)


async def kumods(case: Case) -> list[Finding]:
    """Every kumod is alive, and lets us ask for its orders, which is the right that orders need."""
    kumo = case.targets.kumo
    client = Kumod(kumo, http=case.http, clock=case.clock)
    found: list[Finding] = []
    for node in kumo.nodes.values() if kumo is not None else ():
        found += await _kumod(client, node)
    return found


async def _kumod(client: Kumod, node: Node) -> list[Finding]:
    alive = await client.get(node, LIVENESS, until=deadline(PATIENCE))
    if not isinstance(alive, Answer):
        fix = f"start it, or correct targets.kumomta.nodes.{node.name}.url"
        return [bad("kumod", f"{node.name} at {node.url} does not answer: {alive.sentence}", fix)]
    found = []
    if alive.status != 200:
        found.append(bad("kumod", f"{node.name} is not well: {alive.status} {alive.text!r}", "see kumod's own log"))
    orders = await client.entries(node, SUSPEND, until=deadline(PATIENCE))
    if isinstance(orders, Unreadable):
        refused = "401" in orders.sentence
        fix = RIGHT if refused else f"is {node.url} the HTTP listener of a kumod?"
        return [*found, bad("kumod", f"{node.name} answers, but does not let us give orders: {orders.sentence}", fix)]
    described = await client.describe(node, until=deadline(PATIENCE))
    version = described.version if not isinstance(described, Unreadable) else "unknown"
    return [
        *found,
        good("kumod", f"{node.name} is alive, takes our orders, version {version}, {len(orders)} suspensions"),
    ]


async def shaping_files(case: Case) -> list[Finding]:
    """The files by which rates are changed can be changed."""
    kumo = case.targets.kumo
    found = []
    for name, path in kumo.shaping_files.items() if kumo is not None else ():
        if not path.is_file():
            found.append(
                bad(
                    "kumod", f"{path}, the shaping file of {name}, is not there", "create it, and load it in the policy"
                )
            )
        elif not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            found.append(
                bad("kumod", f"{path} cannot be replaced by us", f"let our user write {path.parent} and the file")
            )
        else:
            found.append(good("kumod", f"{path} can be changed for {name}"))
    return found


async def docker(case: Case) -> list[Finding]:
    """The Engine, or the proxy before it, answers about the containers that may be restarted."""
    target = case.targets.docker
    if target is None:
        return []
    found = []
    for name in sorted(target.allow):
        status, told = await _engine(target, f"/containers/{name}/json")
        if not status:
            fix = "is Docker running, and may our user use the socket? a proxy in front of it is safer"
            return [bad("docker", f"{target.socket} does not answer: {told}", fix)]
        found.append(_container(name, status))
    return found or [untold("docker", f"no container may be restarted through {target.socket}")]


def _container(name: str, status: int) -> Finding:
    if status == 200:
        return good("docker", f"container {name} is there")
    if status == 404:
        return bad("docker", f"there is no container {name}", "correct targets.docker.allow, or create it")
    return bad("docker", f"container {name} cannot be asked about: the answer is {status}", "let the proxy allow it")


async def _engine(target: DockerTarget, path: str) -> tuple[int, str]:
    """The status of one question on the socket, 0 and why where there is none."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(target.socket)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nhost: docker\r\nconnection: close\r\n\r\n".encode())
                first = (await reader.readline()).decode("latin-1").split()
            finally:
                writer.close()
    except (OSError, TimeoutError) as fault:
        return 0, str(fault) or "no answer in time"
    if len(first) < 2 or not first[1].isdigit():
        return 0, "it does not speak HTTP"
    return int(first[1]), ""


async def redis(case: Case) -> list[Finding]:
    """Every Redis answers, and does not throw away what kumod keeps there."""
    servers = case.targets.redis.servers if case.targets.redis is not None else {}
    found: list[Finding] = []
    for server in servers.values():
        found += await _redis(server)
    return found


async def _redis(server: RedisServer) -> list[Finding]:
    try:
        async with asyncio.timeout(PATIENCE), connection(server) as client:
            policy = str((await client.config_get("maxmemory-policy")).get("maxmemory-policy", "unknown"))
            memory = await client.info("memory")
    except (RedisError, OSError, TimeoutError) as fault:
        why = str(fault) or type(fault).__name__
        fix = f"start it, correct targets.redis.{server.name}, or let our user CONFIG GET"
        return [bad("redis", f"{server.name} at {server.host}:{server.port} does not answer: {why}", fix)]
    used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    told = f"{server.name} answers, policy {policy}, {used >> 20} MiB of {most >> 20 or 'no limit'}"
    if policy.startswith("allkeys"):
        why = f"{told}: when it is full it drops kumod's throttles, and more is sent than was allowed"
        return [untold("redis", why, "volatile-lru or noeviction keeps what has no end")]
    return [good("redis", told)]


async def commands(case: Case) -> list[Finding]:
    """Every program that may be started is there."""
    allow = case.targets.command.allow if case.targets.command is not None else ()
    return [_program(Path(path)) for path in allow]


def _program(path: Path) -> Finding:
    if path.is_file() and os.access(path, os.X_OK):
        return good("commands", f"{path} can be started")
    return bad("commands", f"{path} cannot be started", "install it, or take it out of targets.command.allow")


async def http(case: Case) -> list[Finding]:
    """Every HTTP target listens."""
    prefixes = case.targets.http.allow if case.targets.http is not None else ()
    return [await _listens(prefix) for prefix in prefixes]


async def _listens(prefix: str) -> Finding:
    parts = urlsplit(prefix)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
    except (OSError, TimeoutError) as fault:
        return bad(
            "http",
            f"{prefix} does not listen: {str(fault) or 'no answer in time'}",
            "start it, or correct targets.http.allow",
        )
    return good("http", f"{prefix} listens")
