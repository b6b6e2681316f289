"""The rules of the house that no linter knows: sizes, banned names, broad excepts, where the environment is read."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "remediator"
MAX_MODULE = 400
MAX_FUNCTION = 40
BANNED = re.compile(r"(?:^|_)(event|manager|handler|helper|util|utils|processor|base|context|data|info|factory)(?:_|$)")
# Places where a plug-in is called, or a loop is supervised: whatever breaks there becomes a value (DESIGN §5).
BROAD_EXCEPT = {
    "core/facts.py": 1,
    "engine/boundary.py": 1,
    "engine/effects.py": 1,
    "engine/planner.py": 1,
    "engine/drafts.py": 1,
    "plugins.py": 1,
}
ENVIRONMENT = {"cli"}
# Names that a library or a protocol prescribes.
ALLOWED = {"StoreInfo", "data_received", "pipe_data_received", "get_extra_info"}


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """All modules with their name below the package and their tree."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield str(path.relative_to(SOURCE)), path, ast.parse(path.read_text(encoding="utf-8"))


def sizes(name: str, path: Path, tree: ast.Module) -> Iterator[str]:
    """Modules and functions that are too long."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_MODULE:
        yield f"{name}: {lines} lines; at most {MAX_MODULE}"
    if not ast.get_docstring(tree):
        yield f"{name}: has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines; at most {MAX_FUNCTION}"


def names(name: str, _path: Path, tree: ast.Module) -> Iterator[str]:
    """Definitions whose name says nothing."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name not in ALLOWED:
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
            if BANNED.search(snake):
                yield f"{name}:{node.lineno}: {node.name} has a banned word in its name"


def environment(name: str, _path: Path, tree: ast.Module) -> Iterator[str]:
    """Reads of the environment outside the one place."""
    if name.split("/", maxsplit=1)[0] in ENVIRONMENT:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
            yield f"{name}:{node.lineno}: reads the environment; only the command line may"


def flags(name: str, _path: Path, tree: ast.Module) -> Iterator[str]:
    """Public functions that take a positional bool."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            for argument in node.args.args:
                if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "bool":
                    yield f"{name}:{node.lineno}: {node.name} takes a flag ({argument.arg})"


def broad_excepts() -> Iterator[str]:
    """`except Exception` beyond the counted places."""
    for name, path, _tree in modules():
        found = path.read_text(encoding="utf-8").count("except Exception")
        allowed = BROAD_EXCEPT.get(name, 0)
        if found != allowed:
            yield f"{name}: {found} broad excepts, {allowed} are agreed (scripts/house.py)"


def main() -> int:
    """Prints what is wrong; 1 if anything is."""
    faults = [fault for name, path, tree in modules() for rule in RULES for fault in rule(name, path, tree)]
    faults += broad_excepts()
    for fault in faults:
        print(fault)
    print(f"house rules: {len(faults)} faults")
    return 1 if faults else 0


RULES = (sizes, names, environment, flags)

if __name__ == "__main__":
    sys.exit(main())
