"""What planning needs to know of an action, without the action itself. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from remediator.core.params import Json, ParamType

Arguments = Mapping[str, Json]


def _none(_arguments: Arguments) -> Sequence[str]:
    return ()


def _nowhere(_arguments: Arguments) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """Whether these arguments may pass, the action's sentence for them, what it touches, where it lives, what it empties."""

    params: Mapping[str, ParamType]
    faults: Callable[[Arguments], Sequence[str]]
    describe: Callable[[Arguments], str]
    places: Callable[[Arguments], Sequence[str]] = _none
    kept_in: Callable[[Arguments], str] = _nowhere
    forgets: Callable[[Arguments], Sequence[str]] = _none
