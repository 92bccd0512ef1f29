"""``sekisho doctor`` beside a real sidecar: a good set-up, and what it says of broken ones."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.authority import Authority, leaf, make, pem, write
from tests.e2e.origin import origin
from tests.published_numbers import card_numbers_in
from tests.sidecar import ROOT, free_port, launch, policy_document, write_policy

RUNTIMES = ("node", "curl")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, RUNTIMES)), reason="apt-get install -y --no-install-recommends nodejs curl"
)


def dated(ahead: float = 0):
    """An upstream whose clock is ``ahead`` of ours, by so many seconds."""

    def reply(_: bytes) -> bytes:
        date = formatdate(time.time() + ahead, usegmt=True)
        return f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()

    return reply


class Found:
    """What one run of the command said."""

    def __init__(self, ended: subprocess.CompletedProcess[str]) -> None:
        assert card_numbers_in(ended.stdout + ended.stderr) == []
        assert ended.stderr == ""
        self.code = ended.returncode
        self.rows = {f"{row['check']} {row['about']}".rstrip(): row for row in json.loads(ended.stdout)["rows"]}

    def state(self, name: str) -> str:
        return str(self.rows[name]["state"])

    def broken(self) -> list[str]:
        return [name for name, row in self.rows.items() if row["state"] == "broken"]


@pytest.fixture
def examined(tmp_path):
    """Runs the command as a user would; the only runtimes on its PATH are those that start fast."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in RUNTIMES:
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "python3").symlink_to(sys.executable)
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}

    async def run(*arguments: str, **environment: str) -> Found:
        command = [sys.executable, "-m", "proxy", "doctor", "--json", *arguments]
        own = {"PATH": str(programs), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return Found(
            await asyncio.to_thread(
                subprocess.run,
                command,
                cwd=tmp_path,
                env={**kept, **own, **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        )

    return run


def serving(base: Path, made: Authority) -> ssl.SSLContext:
    """A server for localhost, by that authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (base / "server.pem").write_bytes(own + pem([leaf("localhost", key, made.signing)]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(base / "server.pem")
    return context


@asynccontextmanager
async def running(base: Path, *, issuer: str = "shop CA", ahead: float = 0):
    """A sidecar with a lane of each kind; its policy and whatever listens behind it."""
    made = make("shop CA", 365)
    write(base / "ca.pem", made, new=True)
    (base / "ca.crt").write_bytes(pem(made.trusted))
    tls = serving(base, made if issuer == "shop CA" else make(issuer, 365))
    async with origin(dated(ahead)) as logs, origin(dated(), tls=tls) as gateway:
        destinations = [{"hosts": ["*.mul-pay.jp"], "role": "payment-gateway"}]
        lanes = [
            {"name": "logs", "upstream": logs.url, "role": "logging"},
            {
                "name": "gmo",
                "upstream": f"https://localhost:{gateway.port}",
                "role": "payment-gateway",
                "tls": {"ca_file": "ca.crt"},
            },
            {
                "name": "egress",
                "upstream": "forward",
                "destinations": destinations,
                "tls": {"intercept_ca_file": "ca.pem"},
            },
        ]
        document = policy_document(base, lanes, limits={"connections": 64})
        sidecar = await asyncio.to_thread(launch, base, document)
        try:
            yield sidecar, logs, gateway
        finally:
            await asyncio.to_thread(sidecar.stop)


def trusted(base: Path) -> dict[str, str]:
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
    return dict.fromkeys(names, str(base / "ca.crt"))


async def test_a_good_set_up_and_the_same_without_the_variables(tmp_path, examined):
    async with running(tmp_path) as (sidecar, logs, gateway):
        lane = sidecar.url("egress")
        environment = trusted(tmp_path) | {"HTTP_PROXY": lane, "HTTPS_PROXY": lane}
        found = await examined("--card", "--client", "node", "--client", "curl", "--client", "python", **environment)
        assert (found.code, found.broken()) == (0, [])
        well = {name for name in found.rows if found.state(name) == "ok"}
        assert well >= {
            *("policy", "sidecar", "policy-in-force"),
            *(
                f"{check} {name}"
                for check in ("lane", "lane-probe", "lane-refusal")
                for name in ("logs", "gmo", "egress")
            ),
            *(f"{check} 127.0.0.1:{logs.port}" for check in ("upstream", "clock")),
            *(f"{check} localhost:{gateway.port}" for check in ("upstream", "clock")),
            *(
                "trust python",
                "trust node",
                "trust curl",
                "certificate egress interception",
                "certificate gmo upstream-ca",
                "clock sidecar",
            ),
            *("bypass", "proxy-variable HTTP_PROXY", "proxy-variable HTTPS_PROXY", "descriptors"),
            *("file sekisho.yaml", "file fingerprint.key", "file ca.pem", "audit-file audit.jsonl"),
        }
        assert found.state("trust java") == "skipped"
        assert {request.split(b" ")[0] for request in logs.requests + gateway.requests} == {b"OPTIONS"}
        kinds = [line["kind"] for line in sidecar.audit_lines()]
        assert sorted(kinds) == ["passthrough", "passthrough", "retention", "start"]
        found = await examined("--client", "node")
    assert (found.code, found.broken()) == (1, ["trust node"])
    assert found.rows["trust node"]["fix"].endswith("; export NODE_EXTRA_CA_CERTS=$PWD/ca.crt")
    assert (found.state("trust python"), found.state("trust curl")) == ("warning", "warning")
    assert found.rows["trust curl"]["fix"].endswith("; export CURL_CA_BUNDLE=$PWD/ca.crt")


async def test_an_upstream_of_another_authority_whose_clock_is_wrong(tmp_path, examined):
    async with running(tmp_path, issuer="another", ahead=-600) as (_, logs, gateway):
        found = await examined()
    upstream, clock = f"upstream localhost:{gateway.port}", f"clock 127.0.0.1:{logs.port}"
    assert (found.code, found.broken()) == (1, [clock, upstream])
    assert "unable to get local issuer certificate (for localhost, issued by another " in found.rows[upstream]["seen"]
    assert found.rows[upstream]["fix"] == "name the authority's file in the lane's tls.ca_file"
    assert found.rows[clock]["fix"] == "on the machine that is wrong: timedatectl set-ntp true"


def has_tried(sidecar) -> None:
    """Returns once the sidecar has read the policy and could not use it."""
    ends = time.monotonic() + 60
    while 'sekisho_policy_reloads_total{result="error"} 1.0' not in sidecar.admin("/metrics"):
        assert time.monotonic() < ends
        time.sleep(0.05)


async def test_another_policy_in_force_and_then_a_key_that_everybody_reads(tmp_path, examined):
    async with running(tmp_path) as (sidecar, _, _):
        # What the sidecar cannot take over while it runs.
        write_policy(tmp_path, sidecar.policy | {"audit": {**sidecar.policy["audit"], "path": "var/other.jsonl"}})
        await asyncio.to_thread(has_tried, sidecar)
        found = await examined()
        assert (found.code, found.broken()) == (1, ["policy-in-force"])
        row = found.rows["policy-in-force"]
        assert row["seen"].startswith("the sidecar runs another policy than this file: test (sha256 ")
        assert row["fix"].startswith("sekisho check sekisho.yaml; if it is good, restart the sidecar: ")
        (tmp_path / "secrets" / "fingerprint.key").chmod(0o644)
        found = await examined()
    assert found.code == 2
    (row,) = found.rows.values()
    assert (row["check"], row["state"]) == ("policy", "broken")
    assert row["seen"].startswith("the key file can be read by others (mode 0644)")
    assert row["fix"] == f"chmod 600 {tmp_path}/secrets/fingerprint.key"


async def test_a_lane_whose_port_another_program_has(tmp_path, examined):
    async with origin(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n") as stranger:
        listen = f"127.0.0.1:{stranger.port}"
        lane = {"name": "logs", "listen": listen, "upstream": f"http://127.0.0.1:{free_port()}", "role": "logging"}
        write_policy(tmp_path, policy_document(tmp_path, [lane]))
        found = await examined("--card")
        assert b"POST" not in stranger.received
    assert found.code == 1
    assert found.state("sidecar") == "broken"
    assert found.rows["sidecar"]["fix"] == "sekisho run -c sekisho.yaml"
    row = found.rows["lane logs"]
    assert row["seen"] == f"what answers on {listen} is not Sekisho: another program has this port"
    assert row["fix"] == f"see which: ss -ltnp 'sport = :{stranger.port}'; stop it, or change the lane's listen"
    assert found.state("lane-refusal logs") == "skipped"
