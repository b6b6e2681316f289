"""Steers a simulated kumod from demo scripts and tests, over its control listener. Synchronous: a script reads down.

It speaks HTTP only and imports nothing of the simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

FaultKind = Literal["hang", "reset_before", "reset_after_apply", "status:500_after_apply", "drip"]
Json = dict[str, object]


class Control:
    """One control listener. Every call raises `httpx.HTTPError` if it does not answer or refuses."""

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        """`url` is the root of the listener, such as `http://127.0.0.1:8001`."""
        self._client = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        """For `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def domain(self, name: str, **changes: float | bool | str | None) -> Json:
        """Change a destination: inject_per_s, bounce_ratio, transfail_ratio, throttle_per_s, latency_s, blocked, burst,
        complaint_ratio, oob_ratio.

        An unknown one is added, with `provider` and `site` if they are given. Returns its state.
        """
        return self._post("domain", {"domain": name, **changes})

    def campaign(self, name: str, *, bounce_ratio: float | None) -> None:
        """Let the mail of one campaign bounce in a ratio of its own, to all destinations; None takes that back."""
        self._post("campaign", {"campaign": name, "bounce_ratio": bounce_ratio})

    def stop_delivery(self) -> None:
        """Nothing is sent any more; queues grow. A restart ends it, as it ends a stuck process."""
        self._post("stop_delivery", {"stopped": True})

    def resume_delivery(self) -> None:
        """Sending goes on."""
        self._post("stop_delivery", {"stopped": False})

    def disk(self, free_percent: float) -> None:
        """How much of the disk is free; below 10 the node takes no mail."""
        self._post("disk", {"free_percent": free_percent})

    def memory(self, used_percent: float | None) -> None:
        """How much of the memory limit is used; from 100 on the node sheds load. None: follows the queues again."""
        self._post("memory", {"used_percent": used_percent})

    def restart(self, *, startup_s: float = 3.0, down_s: float = 0.0) -> None:
        """Restart the process: no listener for `down_s` seconds, then `startup_s` seconds of reading the spool."""
        self._post("restart", {"startup_s": startup_s, "down_s": down_s})

    def faults(self, path_prefix: str, kind: FaultKind, *, count: int = 1) -> None:
        """Let the next `count` requests under a path go wrong; 0 takes that back."""
        self._post("faults", {"path_prefix": path_prefix, "kind": kind, "count": count})

    def state(self) -> Json:
        """What is true now: queues, deliveries, suspensions."""
        answer = self._client.get("/control/state")
        answer.raise_for_status()
        found = answer.json()
        if not isinstance(found, dict):
            raise httpx.DecodingError(f"/control/state: expected an object, found {type(found).__name__}")
        return found

    def ledger(self) -> list[Json]:
        """Every state-changing request that arrived, oldest first."""
        answer = self._client.get("/control/ledger")
        answer.raise_for_status()
        return [entry for entry in answer.json() if isinstance(entry, dict)]

    def _post(self, command: str, body: Json) -> Json:
        answer = self._client.post(f"/control/{command}", json=body)
        if answer.status_code == 422:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        answer.raise_for_status()
        found = answer.json()
        return found if isinstance(found, dict) else {}
