"""Certificates that are rotated under a running sidecar, the way Kubernetes does it: a symlink is led elsewhere."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path

import pytest

from tests.e2e.authority import authority, client_context, pair
from tests.e2e.origin import OK, get, origin, read_response


def mount(base: Path, version: str, subject: str) -> None:
    """Files as a Secret's volume has them, the next version put in their place in one step."""
    (base / version).mkdir()
    pair(base / version, "tls", subject=subject)
    (base / "..tmp").symlink_to(version)
    (base / "..tmp").rename(base / "..data")


async def seen(port: int, context: ssl.SSLContext) -> str:
    """Whose certificate a new client is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    ((shown,),) = writer.get_extra_info("ssl_object").getpeercert()["subject"]
    writer.close()
    return shown[1]


async def until_seen(port: int, context: ssl.SSLContext, subject: str) -> None:
    async with asyncio.timeout(60):
        while await seen(port, context) != subject:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)


def counted(sidecar, result: str) -> float:
    (found,) = re.findall(rf'sekisho_policy_reloads_total{{result="{result}"}} (\S+)', sidecar.admin("/metrics"))
    return float(found)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_rotated_secret_needs_no_restart_and_drops_no_connection(tmp_path, start_sidecar, workers):
    public, _ = authority(tmp_path)
    context = client_context(public)
    mount(tmp_path, "one", "first")
    tls = {"certificate_file": str(tmp_path / "..data/tls.crt"), "key_file": str(tmp_path / "..data/tls.key")}
    async with origin() as server:
        lane = {"name": "logs", "upstream": server.url, "role": "logging", "tls": tls}
        sidecar = await asyncio.to_thread(start_sidecar, [lane], arguments=("--workers", workers))
        port = sidecar.port("logs")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)

        async def lives() -> bool:
            writer.write(get("/a"))
            return await read_response(reader) == OK

        assert await lives()
        mount(tmp_path, "two", "second")
        await until_seen(port, context, "second")
        assert await lives()

        certificate, key = pair(tmp_path, "other", subject="third")
        (tmp_path / "two/tls.crt").write_bytes(certificate.read_bytes())  # and its key has not arrived yet
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(counted, sidecar, "error"):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)
        assert await seen(port, context) == "second"
        (tmp_path / "two/tls.key").write_bytes(key.read_bytes())
        await until_seen(port, context, "third")
        assert await lives()
        writer.close()
