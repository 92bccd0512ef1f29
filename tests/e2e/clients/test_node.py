"""Node: its own fetch, undici and axios."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.clients.exchanges import ASKED, Reply, assert_redacted, assert_refused, assert_unharmed, csv, order

SCRIPT = Path(__file__).with_name("node_calls.mjs")
PACKAGES = ("undici@^6", "axios@^1")
MISSING = [name for name in ("node", "npm") if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} missing: apt-get install nodejs npm")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the packages from the registry in it."""
    base = tmp_path_factory.mktemp("node")
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent")
    subprocess.run(["npm", "install", *options, *PACKAGES], cwd=base, check=True, timeout=280)
    return base


@pytest.fixture(params=["fetch", "undici", "axios"])
def send_all(request, packages):
    def send_all(url: str, value: str) -> dict[str, Reply]:
        sent = {"asked": ASKED, "order": order(value), "csv": csv(value)}
        run = subprocess.run(
            ["node", str(SCRIPT), request.param, url, value],
            cwd=packages,
            env=os.environ | {"SENT": json.dumps(sent)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr.decode()[-2000:].replace(value, "?")
        made = json.loads(run.stdout)
        return {name: Reply(one["status"], one["headers"], base64.b64decode(one["body"])) for name, one in made.items()}

    return send_all


def test_clean(stage, send_all):
    assert_unharmed(stage, send_all)


def test_refused(stage, send_all):
    assert_refused(stage, send_all)


def test_redacted(stage, send_all):
    assert_redacted(stage, send_all)
