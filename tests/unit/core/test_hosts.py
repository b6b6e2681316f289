"""Host names as people write them, and when two of them mean one machine."""

from __future__ import annotations

import pytest

from remediator.core.hosts import host_of, is_this_machine


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("mta1", "mta1"),
        ("mta1.example:8000", "mta1.example"),
        (" MTA1.Example. ", "mta1.example"),
        ("http://mta1.example:8000/metrics", "mta1.example"),
        ("https://user@mta1/x", "mta1"),
        ("10.0.0.5:25", "10.0.0.5"),
        ("[2001:db8::1]:25", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
    ],
)
def test_a_host_is_found_however_it_is_written(text: str, host: str) -> None:
    assert host_of(text) == host
    assert not is_this_machine(host_of(text))


@pytest.mark.parametrize(
    "text",
    ["localhost", "LOCALHOST:25", "127.0.0.1", "127.8.9.1:25", "[::1]:587", "::1", "0.0.0.0", "::",  # noqa: S104
     "::ffff:127.0.0.1",
     "ip6-localhost", "localhost.localdomain", "mail.localhost", "http://127.0.0.1:8000/"],
)  # fmt: skip
def test_every_way_to_say_this_machine_is_one(text: str) -> None:
    assert is_this_machine(host_of(text))
