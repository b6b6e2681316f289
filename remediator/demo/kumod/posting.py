"""Posts what waits in the log hook: batches of records as one JSON list, again and again until the receiver says 2xx."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from pathlib import Path

    from remediator.demo.kumod.log_hook import LogHook

BATCH = 500
_EVERY_S = 0.2
_RETRY_S = 1.0


class Poster:
    """Posts the records of `hook` to `url`, with the bearer token in `token_file` if there is one."""

    def __init__(self, hook: LogHook, url: str, token_file: Path | None) -> None:
        """Nothing is read or posted yet."""
        self._hook = hook
        self._url = url
        self._token_file = token_file
        self._complained = False

    async def run(self) -> None:
        """Posts until cancelled. A receiver that is away or refuses is told on stderr once, and tried again."""
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            while True:
                done = await self.once(client)
                await asyncio.sleep(_RETRY_S if not done else 0 if len(self._hook) >= BATCH else _EVERY_S)

    async def once(self, client: httpx.AsyncClient) -> bool:
        """Posts one batch; whether it was taken, or there was none."""
        records = self._hook.batch(BATCH)
        if records and not await self._post(client, b"[" + b",".join(records) + b"]"):
            return False
        self._hook.posted(len(records))
        return True

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> bool:
        headers = {"Content-Type": "application/json"}
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"
        try:
            answer = await client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as fault:
            self._complain(f"{type(fault).__name__}: {fault}")
            return False
        if not answer.is_success:
            self._complain(f"{answer.status_code}: {answer.text[:200]}")
        self._complained = self._complained and not answer.is_success
        return answer.is_success

    def _complain(self, why: str) -> None:
        if not self._complained:
            print(f"kumod-sim: the log hook's receiver {self._url} does not take records: {why}", file=sys.stderr)
        self._complained = True
