"""The demo's parts without the sidecar: every lane leads straight to what stands behind it, so nothing is stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from proxy.demo.shop import Lanes
from proxy.demo.stage import Stage, open_parts


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        parts = await open_parts(stack, Lanes("", "", "", ""))
        urls = {name: f"http://{address}" for name, address in parts.addresses.items()}
        parts.shop.lanes = Lanes(urls["app-logs"], urls["search"], urls["sessions"], urls["gmo"], urls["front"])
        browser = await stack.enter_async_context(aiohttp.ClientSession())
        yield Stage(
            lanes=urls,
            admin="",
            token_server=f"http://{parts.token_server}",
            shop=parts.shop,
            sinks=parts.sinks,
            browser=browser,
            audit=tmp_path / "audit.jsonl",
        )
