"""Node's WebSocket (undici's) through a lane, to a server of another make."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.e2e.clients.stage import PAN
from tests.sidecar import Sidecar

SCRIPT = Path(__file__).with_name("node_websocket.mjs")
MISSING = [name for name in ("node", "npm") if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} missing: apt-get install nodejs npm")

CLEAN = ["hello", json.dumps({"order": "A-17", "note": "お届け" * 500})]
LEAK = json.dumps({"card": PAN})


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with undici from the registry in it."""
    base = tmp_path_factory.mktemp("node")
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent")
    subprocess.run(["npm", "install", *options, "undici@^6"], cwd=base, check=True, timeout=280)
    return base


async def talk(sidecar: Sidecar, packages: Path, messages: list[str]) -> dict[str, object]:
    """What Node heard, and how its WebSocket ended."""
    url = sidecar.url("lane", "/feed").replace("http:", "ws:")
    environment = os.environ | {"SENT": json.dumps(messages)}
    run = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), url, cwd=packages, env=environment, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await run.communicate()
    return dict(json.loads(out))


async def test_clean_messages_pass_and_a_leak_ends_it(packages, start_sidecar):
    heard: list[str | bytes] = []

    async def echo(connection):
        try:
            async for message in connection:
                heard.append(message)
                await connection.send(message)
        except ConnectionClosed:
            pass

    async with serve(echo, "127.0.0.1", 0) as server:
        upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        lanes = [{"name": "lane", "upstream": upstream, "role": "logging"}]
        sidecar = await asyncio.to_thread(start_sidecar, lanes)
        assert await talk(sidecar, packages, CLEAN) == {"heard": CLEAN, "code": 4001, "reason": "bye"}
        assert await talk(sidecar, packages, [*CLEAN, LEAK, "after"]) == {
            "heard": CLEAN,
            "code": 1008,
            "reason": "refused by policy",
        }
    assert heard == CLEAN * 2
    assert [line["protocol"] for line in sidecar.audit_lines()[1:]] == ["websocket"]
    assert PAN.encode() not in sidecar.output()
