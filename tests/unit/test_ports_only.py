"""Time, chance, waiting and the network come in through the ports: else no seed of the simulator could be replayed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "remediator"
# What a simulated engine consists of: everything here runs under its clock, its chance and its store.
INSIDE = ("core", "engine", "guards", "ports.py", "errors.py")
MODULES = {"time", "random", "secrets", "uuid", "socket", "subprocess", "httpx", "redis", "threading", "os", "select"}
CALLS = {("asyncio", "to_thread"), ("asyncio", "open_connection"), ("asyncio", "create_subprocess_exec")}


def reaches(text: str) -> list[str]:
    """What of this module's text goes past the ports; `asyncio.sleep(0)` only lets others run."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(name), names=names):
                found += [name] if name.partition(".")[0] in MODULES else []
                found += [f"{name}.{one.name}" for one in names if (name, one.name) in {*CALLS, ("asyncio", "sleep")}]
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr), args=given):
                found += [f"{owner}.{attr}"] if (owner, attr) in CALLS else []
                if (owner, attr) == ("asyncio", "sleep") and not _is_zero(given):
                    found.append("asyncio.sleep")
            case ast.Attribute(value=ast.Name(id="datetime"), attr="now" | "utcnow" | "today"):
                found.append(f"datetime.{node.attr}")
            case _:
                pass
    return found


def _is_zero(given: list[ast.expr]) -> bool:
    return len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value == 0


def inside() -> list[Path]:
    """The modules that a simulated engine consists of."""
    return [
        path for name in INSIDE for path in ([SOURCE / name] if name.endswith(".py") else (SOURCE / name).rglob("*.py"))
    ]


def test_no_module_of_the_engine_reaches_past_the_ports() -> None:
    paths = inside()
    assert len(paths) > 50, "the modules are not where this test looks"
    found = {
        str(path.relative_to(SOURCE)): past for path in paths if (past := reaches(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "import uuid",
        "import random as r",
        "async def f():\n    await asyncio.sleep(1)",
        "async def f():\n    await asyncio.sleep(n)",
        "from asyncio import sleep",
        "import httpx",
        "from redis.asyncio import Redis",
        "import subprocess, json",
        "x = datetime.now()",
        "async def f():\n    await asyncio.to_thread(g)",
    ],
)
def test_each_way_past_the_ports_is_seen(text: str) -> None:
    assert reaches(text)


def test_letting_others_run_is_no_waiting() -> None:
    assert not reaches("async def f():\n    await asyncio.sleep(0)")
