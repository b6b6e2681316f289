"""What lies outside of the site: DNS, the gateways that reach people, the on-call service. A thread of its own on loopback.

Everything that a test's processes would ask of the world is answered here, and what they sent is kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.kit.dns_double import DnsDouble, Says, dns_double


@dataclass(slots=True, kw_only=True)
class Outside:
    """`posts` are (path, body) of what was posted to `web` (host:port), oldest first; `dns` says what a test tells it."""

    web: str
    dns: DnsDouble
    posts: list[tuple[str, str]] = field(default_factory=list)

    def to(self, path: str) -> list[str]:
        """What was posted to a path."""
        return [body for at, body in self.posts if at == path]

    def says(self, name: str, *addresses: str) -> None:
        """What DNS answers from now on, and that it may be asked again in a second; no addresses: no such name."""
        if addresses:
            self.dns.says[name] = Says(addresses=addresses, ttl=1)
        else:
            self.dns.says.pop(name, None)


@contextmanager
def outside() -> Iterator[Outside]:
    """The world, until the end of the block."""
    posts: list[tuple[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _sink(posts))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    serving.start()
    with _dns() as dns:
        try:
            yield Outside(web=f"127.0.0.1:{server.server_port}", dns=dns, posts=posts)
        finally:
            server.shutdown()
            server.server_close()
            serving.join()


def _sink(posts: list[tuple[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Sink(BaseHTTPRequestHandler):
        """Takes all posts."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            posts.append((self.path, body.decode()))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that the class prescribes
            """Says nothing."""

    return Sink


@contextmanager
def _dns() -> Iterator[DnsDouble]:
    loop, up, doubles = asyncio.new_event_loop(), threading.Event(), list[DnsDouble]()
    over = asyncio.Event()

    async def serve() -> None:
        async with dns_double() as double:
            doubles.append(double)
            up.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert up.wait(10), "the DNS double did not come up"
        yield doubles[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
