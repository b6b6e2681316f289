"""What a rule's own brakes are set to: inhibition, breaker, relapse, healthy floor, trust in the signal. Values only.

`Brakes` stands in the rule and, unchanged, in the plan, so that at the effect the stricter of the two counts (G19).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from remediator.core.rendering import Template


class Inhibition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another rule whose open incidents hold this one back.

    `equal` None: those on the same target, that is, with equal values of all labels that both targets have, one at least.
    Otherwise: those whose alert has equal values of these labels, as in Alertmanager's inhibit_rules; with none named, all.
    """

    rule: str
    equal: tuple[str, ...] | None = None


class Waves(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many targets are taken on together: `first`, and after each wave that was seen to help `growth` times as many.

    After `rest` seconds without a run of the rule they begin with `first` again.
    """

    first: int = 1
    growth: int = 2
    rest: float = 3600.0


class Brakes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The numbers. `failures` in a row open the breaker (reliability.md G5: 3), for `pause` seconds until one run may try.

    An alert that comes back within `relapse` seconds after a run helped makes that run one of those (0: never). At least
    `at_least` and at least `percent` of the fleet stay healthy, whichever leaves more. A target that came up within
    `starting` seconds is left alone. Many targets are taken on in `waves`, and at most `max_targets` are under treatment or
    under a temporary effect at once; no plan names more places than that. What cannot be taken back waits until its alert
    has fired for `irreversible_after` seconds.
    """

    inhibited_by: tuple[Inhibition, ...] = ()
    failures: int = 3
    pause: float = 3600.0
    relapse: float = 3600.0
    at_least: int = 0
    percent: int = 0
    starting: float = 120.0
    waves: Waves = Waves()
    max_targets: int = 5
    irreversible_after: float = 120.0

    @property
    def has_floor(self) -> bool:
        """Whether any number of healthy ones is promised."""
        return self.at_least > 0 or self.percent > 0

    def floor(self, total: int) -> int:
        """How many of `total` have to stay healthy: rounded up, for on a small fleet half a node is a node."""
        return max(self.at_least, -(-total * self.percent // 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class MinHealthy:
    """PromQL: who is healthy, and who there is (`of`; not needed where no share is promised)."""

    healthy: Template
    of: Template | None = None


class Trust(StrEnum):
    """What has to be in order before a rule's evidence is believed."""

    UNCHECKED = "unchecked"
    PROMETHEUS = "prometheus"  # it answers, and its clock agrees with ours
    IF_SCRAPED = "target-if-scraped"  # and so does the scrape of the target, where there is one under this name
    TARGET = "target"  # and the scrape of the target works, on a fresh sample, and not only just now


class Members(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who was found of a fleet: the labels of each, or, where a query gives only a number, that; or why nobody can tell."""

    series: tuple[dict[str, str], ...] = ()
    count: int | None = None
    fault: str = ""

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.series) if self.count is None else self.count


def stricter_brakes(planned: Brakes, loaded: Brakes) -> Brakes:
    """Both at once: every inhibition, the smaller numbers, the longer times, the higher floors.

    What was seen to help counts for the shorter time, so a shorter rest of the waves is the stricter one.
    """
    return Brakes(
        inhibited_by=tuple(dict.fromkeys((*planned.inhibited_by, *loaded.inhibited_by))),
        failures=min(planned.failures, loaded.failures),
        pause=max(planned.pause, loaded.pause),
        relapse=max(planned.relapse, loaded.relapse),
        at_least=max(planned.at_least, loaded.at_least),
        percent=max(planned.percent, loaded.percent),
        starting=max(planned.starting, loaded.starting),
        waves=Waves(
            first=min(planned.waves.first, loaded.waves.first),
            growth=min(planned.waves.growth, loaded.waves.growth),
            rest=min(planned.waves.rest, loaded.waves.rest),
        ),
        max_targets=min(planned.max_targets, loaded.max_targets),
        irreversible_after=max(planned.irreversible_after, loaded.irreversible_after),
    )
