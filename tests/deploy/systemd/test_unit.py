"""The unit as systemd's own tools judge it; `make unit-proof` starts it under a real systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.processes import supervisor
from proxy.run import BAD_INPUT, GRACE_SECONDS
from tests.sidecar import ROOT

UNIT = ROOT / "deploy" / "systemd" / "sekisho.service"
SETTINGS = re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
PAGE = (ROOT / "docs" / "systemd.md").read_text()


def setting(name: str) -> str:
    (value,) = [value for key, value in SETTINGS if key == name]
    return value


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("apt-get install --no-install-recommends systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_systemd_finds_no_fault(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/sekisho/bin/sekisho", sys.executable))
    judged = analyze("verify", unit)
    complaints = [line for line in (judged.stdout + judged.stderr).splitlines() if UNIT.name in line]
    assert (judged.returncode, complaints) == (0, [])


def test_its_exposure_is_low():
    """Of ten; what is left is the network and the device list, both of which it needs."""
    judged = analyze("security", "--offline=yes", "--threshold=15", "--no-pager", UNIT)
    assert judged.returncode == 0, judged.stdout
    (score,) = re.findall(r"exposure level for sekisho.service: ([\d.]+)", judged.stdout)
    assert f"{score} of 10" in PAGE


def test_the_drain_ends_before_systemd_ends_it():
    killed_after = GRACE_SECONDS + 5  # the supervisor's own patience with its workers
    assert f".grace + {killed_after - GRACE_SECONDS:.0f}" in Path(supervisor.__file__).read_text()
    assert float(setting("TimeoutStopSec")) > killed_after


def test_what_will_not_mend_itself_is_not_tried_again():
    assert setting("Restart") == "on-failure"
    assert setting("RestartPreventExitStatus").split() == [str(BAD_INPUT)]


def test_the_key_is_where_the_documentation_says():
    name, _, source = setting("LoadCredential").partition(":")
    assert source == "/etc/sekisho/secrets/fingerprint.key"
    assert f"/run/credentials/{UNIT.name}/{name}" in PAGE
    assert source in PAGE


def test_writable_memory_may_become_code():
    """pyOpenSSL's callbacks are made so: under MemoryDenyWriteExecute every intercepted handshake would fail."""
    assert "MemoryDenyWriteExecute" not in dict(SETTINGS)
