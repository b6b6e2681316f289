"""The guards in force, in the order in which people read them. A new guard is one file and one line here."""

from __future__ import annotations

from remediator.core.facts import Guard
from remediator.guards.blast_radius import BlastRadiusGuard
from remediator.guards.breaker import BreakerGuard
from remediator.guards.budget import BudgetGuard
from remediator.guards.clock import ClockGuard
from remediator.guards.concurrency import ConcurrencyGuard
from remediator.guards.cooldown import CooldownGuard
from remediator.guards.evidence import RequireGuard, StillFiringGuard, WhenGuard
from remediator.guards.first_runs import FirstRunsGuard
from remediator.guards.forgets import ForgetsGuard
from remediator.guards.inhibited_by import InhibitedByGuard
from remediator.guards.irreversible import IrreversibleGuard
from remediator.guards.max_targets import MaxTargetsGuard
from remediator.guards.min_healthy import MinHealthyGuard
from remediator.guards.mode import ModeGuard
from remediator.guards.pause import PauseGuard
from remediator.guards.rate_limit import RateLimitGuard
from remediator.guards.room import RoomGuard
from remediator.guards.safe_mode import SafeModeGuard
from remediator.guards.signal_trust import SignalTrustGuard
from remediator.guards.storm import StormGuard
from remediator.guards.target_lock import TargetLockGuard
from remediator.guards.time_intervals import TimeIntervalsGuard
from remediator.guards.waves import WavesGuard


def all_guards() -> tuple[Guard, ...]:
    """Every built-in guard."""
    return (
        ModeGuard(),
        PauseGuard(),
        SafeModeGuard(),
        ClockGuard(),
        RoomGuard(),
        BreakerGuard(),
        InhibitedByGuard(),
        StillFiringGuard(),
        SignalTrustGuard(),
        WhenGuard(),
        RequireGuard(),
        IrreversibleGuard(),
        CooldownGuard(),
        RateLimitGuard(),
        ConcurrencyGuard(),
        TargetLockGuard(),
        BlastRadiusGuard(),
        WavesGuard(),
        MaxTargetsGuard(),
        ForgetsGuard(),
        MinHealthyGuard(),
        TimeIntervalsGuard(),
        StormGuard(),
        BudgetGuard(),
        FirstRunsGuard(),
    )
