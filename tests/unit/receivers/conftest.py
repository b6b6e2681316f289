"""What tests of receivers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import respx


@pytest.fixture
def web() -> Iterator[respx.MockRouter]:
    """HTTP neighbours; what nobody expects fails the test."""
    with respx.mock as router:
        yield router
