"""The records that a node's log hook would post, in the shape that kumod documents, and how many wait for it. Pure.

One record a message, as the real hook sends them: an attempt on a hundred messages leaves a hundred. Whoever posts takes a
batch, and gives it up only once the receiver has said 2xx; until then the same bytes come again.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.demo.kumod.names import QueueName

# Records that may wait; kumod would spool them, we forget the newest beyond these.
MOST_WAITING = 50_000
SUSPENDED = "KumoMTA internal: scheduled queue is suspended"
_REPLIES = {
    "Delivery": (250, "OK"),
    "Bounce": (550, "5.1.1 no such user"),
    "TransientFailure": (451, "4.7.1 try again later"),
    "Expiration": (551, "5.4.7 KumoMTA internal: expired in queue"),
    "AdminBounce": (551, "5.7.1 Administrator bounced"),
    "OOB": (550, "5.1.1 user unknown"),
    "Feedback": (250, "OK"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """From which source to which site an attempt went."""

    name: str
    pool: str
    site: str


NOWHERE = Source(name="", pool="", site="")


class LogHook:
    """What waits to be posted. `at` is the wall time of what happens now; whoever ticks the node sets it."""

    def __init__(self, node: str) -> None:
        """Nothing waits."""
        self.at = 0.0
        self.forgotten = 0
        self._node = node
        self._serial = 0
        self._waiting: deque[bytes] = deque()

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._waiting)

    def log(
        self, kind: str, queue: QueueName, count: int, *, source: Source = NOWHERE, attempts: int = 0, said: str = ""
    ) -> None:
        """`count` messages of a queue came to the same end."""
        room = min(count, MOST_WAITING - len(self._waiting))
        self.forgotten += count - room
        for _ in range(room):
            self._serial += 1
            record = self._record(kind, queue, source, attempts, said)
            self._waiting.append(json.dumps(record, separators=(",", ":")).encode())

    def batch(self, most: int) -> Sequence[bytes]:
        """The oldest records; they stay until `posted` says that they have arrived."""
        return [self._waiting[place] for place in range(min(most, len(self._waiting)))]

    def posted(self, count: int) -> None:
        """So many of the oldest have arrived."""
        for _ in range(count):
            self._waiting.popleft()

    def _record(self, kind: str, queue: QueueName, source: Source, attempts: int, said: str) -> dict[str, object]:
        code, content = _REPLIES[kind]
        sender = f"bounces@{queue.tenant or 'unknown'}.example"
        record: dict[str, object] = {
            "type": kind,
            "id": f"{self._serial:032x}",
            "sender": sender,
            "recipient": f"user{self._serial % 1000}@{queue.domain}",
            "queue": str(queue),
            "site": f"{source.name}->{source.site}@smtp_client" if source.name else "",
            "size": 2048,
            "response": {"code": code, "content": said or content, "command": None},
            "timestamp": round(self.at, 3),
            "created": round(self.at, 3),
            "num_attempts": attempts,
            "bounce_classification": "InvalidRecipient" if kind in {"Bounce", "OOB"} else "Uncategorized",
            "egress_pool": source.pool or None,
            "egress_source": source.name or None,
            "feedback_report": None,
            "meta": {},
            "headers": {},
            "delivery_protocol": "ESMTP" if source.name else None,
            "reception_protocol": "ESMTP",
            "nodeid": self._node,
        }
        match kind:
            case "OOB":  # its queue is that of the report, which came to the sender's own domain
                record |= {"queue": f"{queue.tenant or 'unknown'}.example", "egress_source": None, "egress_pool": None}
                record["meta"] = {"tenant": queue.tenant, "campaign": queue.campaign}
            case "Feedback":
                record |= {"sender": "fbl@receiver.example", "queue": "fbl.example", "egress_source": None}
                trace = {"recipient": record["recipient"], "tenant": queue.tenant, "campaign": queue.campaign}
                record["feedback_report"] = {
                    "feedback_type": "abuse",
                    "user_agent": "kumod-sim",
                    "original_mail_from": f"<{sender}>",
                    "supplemental_trace": trace,
                }
        return record
