"""The console in a real Chromium: live without a reload, honest when the stream is gone, usable without JavaScript."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

pytestmark = pytest.mark.e2e
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = ("/", "/incidents", "/incidents/inc-2aaaaaaa", "/rules")


@asynccontextmanager
async def served(house: Any) -> AsyncIterator[str]:
    """The house behind a real server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(house.app, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        house.app.stop()
        server.should_exit = True
        await serving
        listener.close()


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Any]:
    """A page of a new browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        try:
            found = await browser.new_context(**options)
            yield await found.new_page()
        finally:
            await browser.close()


async def test_a_page_follows_the_journal_without_a_reload_and_says_when_it_cannot(local: Any) -> None:
    local.surface.head = 6
    async with opened() as page:
        async with served(local) as url:
            await page.goto(url)
            await page.wait_for_selector("text=awaiting approval")
            await local.surface.waited_for.wait()  # the stream is open
            await page.evaluate("window.sameDocument = true")
            local.surface.busy, local.surface.head = False, 7
            local.surface.news.set()
            await page.wait_for_selector("text=Nothing to do.")
            assert await page.evaluate("window.sameDocument")
            assert not await page.is_visible("#stale")
        await page.wait_for_selector("#stale:not([hidden])", timeout=15_000)
        assert "Live updates stopped." in await page.inner_text("#stale")


async def test_what_a_person_types_is_not_swapped_away(local: Any) -> None:
    local.surface.head = 6
    async with served(local) as url, opened() as page:
        await page.goto(f"{url}/incidents/inc-2aaaaaaa")
        await local.surface.waited_for.wait()
        field = page.locator("#approve form >> nth=0 >> input[name=reason]")
        await field.fill("because")
        local.surface.waited_for.clear()
        local.surface.head = 7
        local.surface.news.set()
        await local.surface.waited_for.wait()  # the page has heard of it and waits for more
        await page.wait_for_timeout(1500)
        assert await field.input_value() == "because"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_scrolls_sideways_on_a_small_phone_or_breaks_its_own_policy(local: Any, scheme: str) -> None:
    local.surface.domain = "x" * 400
    async with served(local) as url, opened(viewport={"width": 320, "height": 640}, color_scheme=scheme) as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        for path in PAGES:
            await page.goto(url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert said == []


async def test_a_plan_is_approved_without_javascript(local: Any) -> None:
    async with served(local) as url, opened(java_script_enabled=False) as page:
        await page.goto(url)
        await page.click("text=Review")
        form = page.locator("#approve form >> nth=0")
        await form.locator("input[name=by]").fill("ana")
        async with page.expect_navigation():
            await form.locator("button").click()
        assert page.url == f"{url}/incidents/inc-2aaaaaaa"
    approved = [asked for asked in local.surface.asked if asked[0] == "approve"]
    assert [(asked[1], asked[3]) for asked in approved] == [("inc-2aaaaaaa", "ana")]
