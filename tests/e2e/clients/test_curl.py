"""curl: uploads from a file and from a pipe, ``Expect: 100-continue``, ``-F``, ``--json`` and ``--compressed``."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.clients.exchanges import ASKED, Reply, assert_redacted, assert_refused, assert_unharmed, csv, order
from tests.e2e.clients.stage import PAN

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: apt-get install curl")

HEAD = re.compile(rb"HTTP/1\.1 (\d+)[^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


def curl(url: str, *arguments: str, standard_input: bytes | None = None) -> Reply:
    """One call; the last head is that of the answer, after ``100 Continue`` and redirects."""
    command = ["curl", "-q", "-sS", "-i", "-L", "--compressed", "--max-time", "20", *arguments, url]
    run = subprocess.run(command, input=standard_input, capture_output=True, check=True)
    rest = run.stdout
    while match := HEAD.match(rest):
        status, head, rest = int(match[1]), match[2].decode(), rest[match.end() :]
    fields = [line.partition(": ")[::2] for line in head.splitlines()]
    headers = {name.lower(): ", ".join(value for key, value in fields if key == name) for name, value in fields}
    return Reply(status, headers, rest)


@pytest.fixture
def send_all(tmp_path: Path):
    def send_all(base: str, value: str) -> dict[str, Reply]:
        file, packed = tmp_path / "orders.csv", tmp_path / "orders.csv.gz"
        file.write_text(csv(value))
        packed.write_bytes(gzip.compress(csv(value).encode(), mtime=0))
        octets = ("-H", "Content-Type: application/octet-stream")
        calls = {
            "json": ("--json", json.dumps(order(value))),
            "form": ("--data-urlencode", f"CardNo={value}", "-d", "Method=1", "--data-urlencode", "name=山田"),
            "multipart": ("-F", "shop=1", "-F", f"file=@{file};type=text/csv"),
            "bytes": ("-T", str(file), "-H", "Expect: 100-continue", *octets),
            "chunked": ("-T", "-", *octets),
            "gzip": ("--data-binary", f"@{packed}", "-H", "Content-Encoding: gzip"),
            "query": ("-G", "--data-urlencode", f"card_number={value}", "-d", "page=2"),
            "header": ("-H", f"X-Card: {value}"),
        }
        made = {
            f"call/{name}": curl(f"{base}/call/{name}", *arguments, standard_input=csv(value).encode())
            for name, arguments in calls.items()
        }
        return made | {f"answer/{name}": curl(f"{base}/answer/{name}") for name in ASKED}

    return send_all


def test_clean(stage, send_all):
    assert_unharmed(stage, send_all)


def test_refused(stage, send_all):
    assert_refused(stage, send_all)


def test_redacted(stage, send_all):
    assert_redacted(stage, send_all)


def test_large_upload_after_100_continue(stage, tmp_path):
    """curl waits for the 100 by itself when a body is large."""
    file = tmp_path / "large.csv"
    file.write_text(csv("none") * 300)
    reply = curl(stage.url("store", "/large"), "-T", str(file), "--expect100-timeout", "10")
    assert reply.status == 200
    assert stage.sinks["store"].only().body == file.read_bytes()


def test_fail_with_body_tells_the_reason(stage):
    command = ["curl", "-q", "-sS", "--fail-with-body", "--json", json.dumps(order(PAN)), stage.url("store")]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode == 22
    assert json.loads(run.stdout)["findings"][0]["where"] == "body $.card.number"
