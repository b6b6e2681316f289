"""`each: node`: what a rule or a step says once of every node that the settings name. Pure.

The blank `{{ each.node }}` is filled when the rules are compiled, so a plan shows names and nothing is chosen later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from remediator.core.rendering import Reference, Template, Tree, fill, parse_template

SCOPE = "each"
# What may stand in a blank of this scope.
BLANKS = {SCOPE: frozenset({"node"})}
# Rules that are looked at without settings are compiled as for one node of this name.
UNKNOWN_NODES = ("node",)


class Each(StrEnum):
    """Of what a rule or a step speaks once for every one."""

    NODE = "node"


def says_each(tree: Tree) -> bool:
    """Whether something in `tree` is to be filled with a node's name."""
    match tree:
        case Template():
            return any(reference.scope == SCOPE for reference in tree.references)
        case list():
            return any(map(says_each, tree))
        case dict():
            return any(map(says_each, tree.values()))
        case _:
            return False


def for_node(tree: Tree, node: str) -> Tree:
    """`tree` with the node's name in its blanks, escaped for the place it stands at; other blanks stay."""
    match tree:
        case Template():
            return template_for(tree, node)
        case list():
            return [for_node(part, node) for part in tree]
        case dict():
            return {key: for_node(value, node) for key, value in tree.items()}
        case _:
            return tree


def template_for(template: Template, node: str) -> Template:
    """One text with the node's name in its blanks."""
    scope = {SCOPE: {"node": node}}
    return Template(
        tuple(
            fill(Template((part,)), scope) if isinstance(part, Reference) and part.scope == SCOPE else part
            for part in template.parts
        )
    )


def targets_of(target: Mapping[str, str], each: str | None, nodes: Sequence[str]) -> tuple[Mapping[str, str], ...]:
    """The targets of a scheduled rule: the one that is written, or one for every node."""
    if each is None:
        return (dict(target),) if target else ()
    return tuple(
        {name: fill(parse_template(value), {SCOPE: {"node": node}}) for name, value in target.items()} for node in nodes
    )
