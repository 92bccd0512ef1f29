"""``sekisho ca`` as its user meets it: what is made, printed and refused, and that real clients then trust it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.authority import Authority, make, may_sign_for, pem, read_authority
from proxy.commands.ca import how_to_trust
from tests.e2e.authority import authority, client_context, pair, server_context
from tests.e2e.origin import OK, get, origin, read_response
from tests.e2e.plane import ScriptedGuard, plane, policy

KEY = b"PRIVATE KEY"


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def signing(file: str = "ca.pem"):
    return read_authority(Path(file)).signing.chain[0]


def test_init(run):
    code, out, err = run("ca", "init", "ca.pem", "--name", "Our shop", "--days", "90")
    assert (code, err) == (0, "")
    assert re.match(r"ca\.pem:\n  CN=Our shop [0-9a-f]{8} until \S+, signs, SHA-256 (?:[0-9A-F]{2}:){31}", out)
    assert "next: set tls.intercept_ca_file" in out
    assert Path("ca.pem").stat().st_mode & 0o777 == 0o600
    left = signing().not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)


def test_init_never_overwrites(run):
    run("ca", "init", "ca.pem")
    former = Path("ca.pem").read_bytes()
    code, out, err = run("ca", "init", "ca.pem")
    assert (code, out) == (2, "")
    assert "is there already, and never overwritten" in err
    assert Path("ca.pem").read_bytes() == former


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nowhere/ca.pem",), "make it: install -d -m 700 nowhere"),
        (("open/ca.pem",), "anybody can put files there (run: chmod o-w open)"),
        (("ca.pem", "--only", "a b"), "--only: a b is neither a host name nor a network"),
        (("ca.pem", "--name", "x" * 51), "--name has 1 to 50"),
        (("ca.pem", "--days", "0"), "Invalid value for '--days'"),
    ],
)
def test_init_refuses(run, arguments, why):
    Path("open").mkdir()
    Path("open").chmod(0o777)
    code, out, err = run("ca", "init", *arguments)
    assert (code, out) == (2, "")
    assert why in re.sub(r"\s*\n\s*", " ", err)
    assert not list(Path.cwd().rglob("ca.pem"))


def test_a_rotation_from_its_first_step_to_its_last(run):
    run("ca", "init", "ca.pem", "--only", "mul-pay.jp")
    old = signing()
    assert run("ca", "rotate", "ca.pem", "switch")[::2] == (2, "ca.pem: prepare comes first\n")
    assert run("ca", "rotate", "ca.pem", "prepare")[0] == 0
    assert signing() == old
    again = run("ca", "rotate", "ca.pem", "prepare")
    assert again[::2] == (2, "ca.pem: a rotation is under way: switch or finish it\n")
    assert run("ca", "export", "ca.pem", "--out", "both.crt")[0] == 0
    both = Path("both.crt").read_bytes()
    assert both.count(b"BEGIN CERTIFICATE") == 2
    _, out, _ = run("ca", "rotate", "ca.pem", "switch")
    assert out.count("signs") == out.count("stands by") == 1
    new = signing()
    assert new != old
    assert new.extensions[-1].value == old.extensions[-1].value
    run("ca", "export", "ca.pem", "--out", "after.crt")
    assert sorted(Path("after.crt").read_bytes().split(b"-----")) == sorted(both.split(b"-----"))
    assert run("ca", "rotate", "ca.pem", "finish")[0] == 0
    assert [signing(), len(read_authority(Path("ca.pem")).pairs)] == [new, 1]
    assert Path("ca.pem").stat().st_mode & 0o777 == 0o600


def test_a_switch_can_be_taken_back(run):
    run("ca", "init", "ca.pem")
    old = signing()
    for step in ("prepare", "switch", "switch", "finish"):
        run("ca", "rotate", "ca.pem", step)
    assert signing() == old


def test_a_rotation_to_other_names(run):
    run("ca", "init", "ca.pem", "--only", "mul-pay.jp")
    assert run("ca", "rotate", "ca.pem", "prepare", "--only", "mul-pay.jp", "--only", "sentry.io")[0] == 0
    old, new = read_authority(Path("ca.pem")).pairs
    assert [may_sign_for(one, "o1.sentry.io") for one in (old, new)] == [False, True]
    code, _, err = run("ca", "rotate", "ca.pem", "switch", "--only", "sentry.io")
    assert (code, err) == (2, "--only is for the step prepare\n")
    run("ca", "rotate", "ca.pem", "finish")
    refused = run("ca", "rotate", "ca.pem", "prepare", "--only", "a b")
    assert refused[::2] == (2, "ca.pem: a b is neither a host name nor a network\n")


def test_export_prints_certificates_and_tells_the_rest_aside(run):
    run("ca", "init", "ca.pem")
    code, out, err = run("ca", "export", "ca.pem")
    assert (code, out.count("-----BEGIN CERTIFICATE-----"), "PRIVATE" in out + err) == (0, 1, False)
    assert out.startswith("-----BEGIN")
    assert out.endswith("-----END CERTIFICATE-----\n")
    for word in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "JAVA_TOOL_OPTIONS"):
        assert f"export {word}=" in err


def test_export_for_machines(run):
    run("ca", "init", "ca.pem")
    run("ca", "rotate", "ca.pem", "prepare", "--json")
    code, out, err = run("ca", "export", "ca.pem", "--json")
    told = json.loads(out)
    assert (code, err, told["file"]) == (0, "", "ca.pem")
    assert [row["role"] for row in told["certificates"]] == ["signs", "stands by"]
    assert told["pem"].count("BEGIN") == 2
    assert "PRIVATE" not in out


def test_export_never_writes_over_a_key(run):
    run("ca", "init", "ca.pem")
    Path("link.crt").symlink_to("ca.pem")
    for out in ("ca.pem", "link.crt"):
        code, _, err = run("ca", "export", "ca.pem", "--out", out)
        assert (code, err) == (2, f"{out}: holds a private key, and is not overwritten\n")
    assert KEY in Path("ca.pem").read_bytes()


def test_export_of_what_has_ended(run):
    _, private = authority(Path.cwd(), days=-1)
    code, out, err = run("ca", "export", str(private))
    assert (code, out) == (2, "")
    assert "every certificate in it has ended" in err


def test_files_that_cannot_be_used(run, tmp_path):
    authority(tmp_path)
    certificate, key = pair(tmp_path, "server")
    for arguments in (("export", str(key)), ("rotate", str(certificate), "prepare"), ("export", "none.pem")):
        code, out, err = run("ca", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
    run("ca", "init", "ca.pem")
    Path("ca.pem").chmod(0o640)
    assert "can be read by others (mode 0640)" in run("ca", "export", "ca.pem")[2]


# Clients.

PYTHON = """
import ssl, sys, socket
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as plain:
    plain.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n" % int(sys.argv[2]))
    assert plain.recv(65536).startswith(b"HTTP/1.1 200")
    with ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1") as inner:
        inner.sendall(b"GET /a HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
        print(inner.recv(65536).rpartition(b"\\r\\n")[2].decode(), end="")
"""


async def trusted_by(kind: str, running, port: int, bundle: Path) -> bool:
    """Whether a client that was told what to trust reaches the origin through the forward lane."""
    proxy, url = f"http://127.0.0.1:{running.port()}", f"https://127.0.0.1:{port}/a"
    if kind == "curl":
        command = ["curl", "-q", "-sS", "--max-time", "20", "-x", proxy, url]
        variable = "CURL_CA_BUNDLE"
    else:
        command = [sys.executable, "-c", PYTHON, str(running.port()), str(port)]
        variable = "SSL_CERT_FILE"
    environment = {"PATH": os.environ["PATH"], "no_proxy": "", variable: str(bundle)}
    options = {"capture_output": True, "text": True, "timeout": 30, "check": False, "env": environment}
    return (await asyncio.to_thread(subprocess.run, command, **options)).stdout == "ok"


def intercepting(base, ca: Path, port: int):
    public, _ = authority(base)
    tls = {"intercept_ca_file": str(ca), "ca_file": str(public)}
    destinations = [{"hosts": ["127.0.0.1"], "role": "external"}]
    return policy(base, {"upstream": "forward", "destinations": destinations, "tls": tls})


@pytest.mark.parametrize("kind", ["curl", "python"])
async def test_clients_trust_the_bundle_all_through_a_rotation(tmp_path, run, kind):
    run("ca", "init", "ca.pem", "--only", "127.0.0.0/8")
    run("ca", "export", "ca.pem", "--out", "old.crt")
    ca = tmp_path / "ca.pem"
    async with (
        origin(tls=server_context(tmp_path, "127.0.0.1")) as server,
        plane(ScriptedGuard(intercepting(tmp_path, ca, server.port))) as running,
    ):

        async def now() -> list[bool]:
            await running.host.reload(intercepting(tmp_path, ca, server.port))
            files = (tmp_path / name for name in ("old.crt", "both.crt") if (tmp_path / name).exists())
            return [await trusted_by(kind, running, server.port, file) for file in files]

        assert await now() == [True]
        run("ca", "rotate", "ca.pem", "prepare")
        run("ca", "export", "ca.pem", "--out", "both.crt")
        assert await now() == [True, True]
        run("ca", "rotate", "ca.pem", "switch")
        assert await now() == [False, True]
        run("ca", "rotate", "ca.pem", "finish")
        assert await now() == [False, True]


async def test_an_authority_that_is_switched_leaves_open_tunnels_alone(tmp_path, run):
    run("ca", "init", "ca.pem")
    ca = tmp_path / "ca.pem"
    run("ca", "export", "ca.pem", "--out", "old.crt")
    async with (
        origin(tls=server_context(tmp_path, "127.0.0.1")) as server,
        plane(ScriptedGuard(intercepting(tmp_path, ca, server.port))) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(client_context(tmp_path / "old.crt"), server_hostname="127.0.0.1")
        run("ca", "rotate", "ca.pem", "prepare")
        run("ca", "rotate", "ca.pem", "switch")
        await running.host.reload(intercepting(tmp_path, ca, server.port))
        writer.write(get("/a"))
        assert await read_response(reader) == OK
        writer.close()


def test_java_takes_the_bundle_as_told(tmp_path):
    if shutil.which("keytool") is None:
        pytest.skip("apt-get install --no-install-recommends default-jre-headless")
    both = Authority((*make("one", 30).pairs, *make("two", 30).pairs))
    (tmp_path / "ca.crt").write_bytes(pem(both.trusted))
    script = [line for line in how_to_trust(tmp_path / "ca.crt") if line.startswith("csplit")]
    subprocess.run(["bash", "-ec", *script], cwd=tmp_path, check=True, capture_output=True)
    command = ["keytool", "-list", "-keystore", "truststore.p12", "-storepass", "changeit"]
    listed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert listed.count("trustedCertEntry") == 2
