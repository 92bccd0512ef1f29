"""A sidecar sees what other users' processes open to its sinks, and leaves what goes through it alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.records.record import FIELDS

AROUND = Path(__file__).with_name("around.py")

pytestmark = [
    pytest.mark.skipif(shutil.which("iptables") is None, reason="apt-get install --no-install-recommends iptables"),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="network namespaces and other users: sudo .venv/bin/python -m pytest tests/e2e/test_bypass.py",
    ),
]


def scene(base: Path, *clients: str, workers: int = 1) -> dict:
    run = subprocess.run(
        ["unshare", "--net", sys.executable, str(AROUND), str(base), str(workers), *clients],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout.splitlines()[-1])


AROUND_IT = (
    "54001:tcp:127.0.0.1:{sink}",
    "54001:tcp:127.0.0.1:{sink}",
    "54002:tcp:127.0.0.1:{sink}",
    "54002:tcp:93.184.216.34:443",
    "54003:udp:93.184.216.34:443",
)
NOT_AROUND_IT = (
    "54001:tcp:127.0.0.1:{lane}",
    "54001:tcp:127.0.0.1:{admin}",
    "54999:tcp:127.0.0.1:{sink}",  # one of bypass.allowed_uids
    "54005:tcp:127.0.0.1:{sink}",  # whose connections the kernel redirects to the lane
    "54005:tcp:93.184.216.34:443",
    "54002:udp:93.184.216.34:53",
    "54002:tcp:10.8.0.77:5432",
)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_goes_around_and_what_does_not(tmp_path, workers):
    found = scene(tmp_path, *NOT_AROUND_IT, *AROUND_IT, workers=workers)
    assert found["counted"] == [["direct", "app-logs", "3.0"], ["egress", "other", "1.0"], ["quic", "other", "1.0"]]
    assert found["moments"] == [["direct", "app-logs"], ["egress", "other"], ["quic", "other"]]
    sink = f"127.0.0.1:{found['ports']['sink']}"
    told = [(row["outcome"], row["lane"], row["uid"], row["destination"]) for row in found["records"]]
    assert sorted(told) == [
        ("direct", "app-logs", 54001, sink),
        ("direct", "app-logs", 54002, sink),
        ("egress", "", 54002, "93.184.216.34:443"),
        ("quic", "", 54003, "93.184.216.34:443"),
    ]
    assert all(row.keys() == FIELDS.keys() and row["policy_id"] == "test" for row in found["records"])
    assert {row["peer"].rpartition(":")[0] for row in found["records"]} == {"127.0.0.1", "10.9.0.5"}
