"""A customer's browser on the shop's lane: Chromium fills in the checkout form and sends it, with a token and with a card."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import urllib.parse

import pytest

from tests.e2e.browser import CHROMIUM, FLAGS
from tests.e2e.clients.stage import PAN

TOKEN = "tok_9f3b1c7e5d2a4b60"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")


def test_checkout(stage, tmp_path):
    url = stage.url("shop", f"/checkout#{PAN}")
    # Virtual time stands still while a request is under way, so a slow machine changes nothing.
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom", url]
    home = os.environ | {"HOME": str(tmp_path)}
    run = subprocess.run(command, env=home, capture_output=True, check=False, timeout=280)
    found = re.search(r'<pre id="seen">(.+?)</pre>', run.stdout.decode(), re.DOTALL)
    assert found, "the page did not come to its end"
    seen = json.loads(html.unescape(found[1]))
    for case, text in seen.items():
        if case.endswith("token"):
            assert "ありがとうございます" in text, case
        else:
            status, _, rest = text.partition(" ") if case.startswith("fetch") else ("403", "", text)
            problem = json.loads(rest)
            assert (case, status, problem["status"]) == (case, "403", 403)
            assert "Card data must not reach the shop (通過)" in problem["detail"]
    posts = [received for received in stage.sinks["shop"].received if received.method == "POST"]
    assert [received.target for received in posts] == ["/checkout", "/checkout", "/api/pay"]
    form, multipart, fetched = posts
    assert dict(urllib.parse.parse_qsl(form.body.decode())) == {
        "order_id": "20261122-000123",
        "name": "山田 太郎",
        "tel": "090-1234-5678",
        "postal": "150-0002",
        "card": TOKEN,
    }
    assert multipart.header("content-type").startswith("multipart/form-data; boundary=")
    assert "領収書".encode() in multipart.body
    assert TOKEN.encode() in multipart.body
    assert fetched.json() == {"order_id": "20261122-000123", "card": {"token": TOKEN}}
    assert form.header("cookie") == "session=8d0f6c0a5b7e4d0f9a1b2c3d4e5f6071"
    assert len(seen) == 9
    assert stage.verdicts("shop") == ["block"] * 6
