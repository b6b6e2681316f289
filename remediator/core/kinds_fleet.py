"""The kinds of entries about all rules together: storms of alerts, and care after an outage. Pure; see `kinds`."""

from __future__ import annotations

from remediator.core.kinds import Fact


class CautionBegan(Fact, frozen=True, kw_only=True, tag="caution.began"):
    """After an outage or a long pause work begins with care: few runs at first. `scope` is `all` or `rule:NAME`.

    `outage` (s) is how long nothing could be heard; 0 after a pause, during which alerts were heard.
    """

    scope: str
    reason: str
    outage: float = 0.0


class StormBegan(Fact, frozen=True, kw_only=True, tag="storm.began"):
    """Too many alerts at once to be many separate faults: no new runs begin. `limit` firings in `window` s are allowed."""

    episodes: int
    limit: int
    window: float


class StormEnded(Fact, frozen=True, kw_only=True, tag="storm.ended"):
    """The alerts have calmed down; new runs wait for the rest that follows. `episodes` came in the last window."""

    episodes: int
    reason: str
