"""The inspector page of a real sidecar in a real browser.

``SEKISHO_PICTURES=docs/images`` takes the pictures that the documents show, anew.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.e2e.browser import CHROMIUM, browser
from tests.published_numbers import card_numbers_in
from tests.sidecar import free_port

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")

PAN = "4111111111111111"
LOG = {"streams": [{"stream": {"app": "shop"}, "values": [["1", f"order paid with {PAN}"]]}]}
LIVE = "document.getElementById('live').textContent.startsWith(document.getElementById('live').dataset.live)"
CONTRASTS = """(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (el) => {
    for (; el; el = el.parentElement) {
      const found = parts(getComputedStyle(el).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((el) => [...el.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((el) => el.getClientRects().length)
    .map((el) => {
      const [one, other] = [light(parts(getComputedStyle(el).color)), light(ground(el))].sort((a, b) => b - a);
      return [(one + 0.05) / (other + 0.05), el.outerHTML.slice(0, 80)];
    })
    .filter(([ratio]) => ratio < 4.5);
})()"""
"""Texts with a contrast below WCAG 2.2 level AA (1.4.3)."""


class _Ok(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def sink():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ok) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture
def start(start_sidecar, sink):
    def start(*arguments: str):
        lanes = [
            {"name": "app-logs", "upstream": sink, "role": "logging", "on_violation": "redact"},
            {"name": "search", "upstream": sink, "role": "storage"},
            {"name": "gmo", "upstream": sink, "role": "payment-gateway"},
            {"name": "front", "upstream": sink, "role": "shop", "mode": "monitor"},
        ]
        return start_sidecar(lanes, arguments=arguments, policy_id="shop-privacy-policy-2026-11")

    return start


@pytest.fixture
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab
        tab.value("1")
        assert tab.complaints == []


def send(sidecar, lane: str, path: str, body: bytes, **headers: str) -> None:
    names = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        urllib.request.urlopen(urllib.request.Request(sidecar.url(lane, path), body, names), timeout=60).close()
    except urllib.error.HTTPError as error:
        error.close()


def leak(sidecar) -> None:
    send(sidecar, "app-logs", "/loki/api/v1/push", json.dumps(LOG).encode())


def tell_all(sidecar) -> None:
    """Some of everything: clean, redacted, blocked, not inspected, only reported."""
    form = {"content_type": "application/x-www-form-urlencoded"}
    send(sidecar, "app-logs", "/loki/api/v1/push", json.dumps({"order": "ROKI-1", "text": "paid " * 200}).encode())
    send(sidecar, "gmo", "/payment/ExecTran.idPass", f"CardNo={PAN}&Expire=2911&SecurityCode=123".encode(), **form)
    send(sidecar, "search", "/orders/_doc", json.dumps({"payment": {"card_number": PAN}}).encode())
    send(sidecar, "search", "/orders/_doc", b"?" * 40, content_encoding="zip2")
    send(sidecar, "front", "/checkout", json.dumps({"card": {"number": PAN}}).encode())


def address(sidecar) -> str:
    return f"http://{sidecar.policy['admin']['listen']}"


def take(tab, name: str) -> None:
    """A picture for the documents, if they are asked for."""
    if folder := os.environ.get("SEKISHO_PICTURES"):
        tab.picture(Path(folder) / f"{name}.png")


def check_looks(tab) -> None:
    """Readable in light and dark, and no wider than the window; whatever can be used has a name."""
    for scheme in ("dark", "light"):
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert tab.value(CONTRASTS) == []
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    usable = [node for node in nodes if node.get("role", {}).get("value") in ("link", "button", "combobox")]
    assert [node for node in usable if not node["name"]["value"].strip()] == []
    assert len(usable) > 3


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_violation_appears_by_itself(start, tab, arguments):
    sidecar = start(*arguments)
    tab.open(f"{address(sidecar)}/?lang=en")
    tab.until(LIVE)
    assert tab.value("document.querySelectorAll('#violations tr').length") == 0
    leak(sidecar)
    tab.until("document.querySelectorAll('#violations tr').length === 1")
    (record,) = [record for record in sidecar.audit_lines() if record["kind"] == "retention"]
    assert tab.value("[...document.querySelectorAll('#violations [data-cell]')].map(cell => cell.textContent)") == [
        record["ts"][:19].replace("T", " "),
        "app-logs",
        "retention (保持)",
        "card number",
        "body $.streams[0].values[0][1]",
        "redacted",
    ]
    assert tab.value("document.querySelector('#violations a').pathname") == f"/violations/{record['id']}"


def test_a_violation_is_found_and_read_with_the_keyboard(start, tab):
    sidecar = start()
    tell_all(sidecar)
    tab.size(1100, 800)
    tab.open(f"{address(sidecar)}/?lang=en")
    tab.until(LIVE)
    leak(sidecar)
    tab.until("document.querySelector('tr.new')")
    assert tab.value("document.querySelectorAll('#violations tr').length") == 5
    check_looks(tab)
    take(tab, "inspector")
    send(sidecar, "search", "/orders/_doc", json.dumps({"<img src=x onerror=alert(1)>": {"number": PAN}}).encode())
    tab.until("document.querySelector('#violations tr').textContent.includes('<img src=x onerror=alert(1)>')")
    assert tab.value("document.querySelectorAll('img').length") == 0
    tab.value("document.querySelector('select[name=lane]').value = 'search'")
    tab.value("document.querySelector('form button').focus()")
    tab.press()
    tab.until(f"location.search.includes('lane=search') && {LIVE}")
    assert tab.value("[...document.querySelectorAll('#violations tr td:nth-child(3)')].length") == 3
    tab.value("[...document.querySelectorAll('#violations a')].at(-1).focus()")
    tab.press()
    tab.until("document.getElementById('suppression') && document.readyState === 'complete'")
    shown = tab.value("document.querySelector('main').innerText")
    for words in ("$.payment.card_number = ************1111", "Keep GMO's MemberID and CardSeq", "right check digit"):
        assert words in shown
    assert not card_numbers_in(tab.value("document.documentElement.outerHTML"))
    (made,) = yaml.safe_load(tab.value("document.getElementById('suppression').textContent"))["suppress"]
    assert (made["lane"], made["path"], made["entity"]) == ("search", "$.payment.card_number", "PAN")
    check_looks(tab)
    take(tab, "violation")
    tab.value("document.querySelector('[data-copy=suppression]').focus()")
    tab.press()
    tab.until(
        "document.querySelector('[data-copy=suppression]').textContent === 'Copied'"
        " || getSelection().toString().includes('card_number')"
    )


def test_on_a_phone_and_in_japanese(start, tab):
    sidecar = start()
    tell_all(sidecar)
    tab.size(390, 844, is_phone=True)
    tab.open(f"{address(sidecar)}/?lang=en")
    tab.until(LIVE)
    check_looks(tab)
    tab.value("document.querySelector('nav a').focus()")
    tab.press()
    tab.until(f"document.documentElement.lang === 'ja' && {LIVE}")
    check_looks(tab)
    take(tab, "inspector-phone-ja")
    tab.value("[...document.querySelectorAll('#violations a')].at(-1).focus()")
    tab.press()
    tab.until("document.getElementById('suppression') && document.readyState === 'complete'")
    shown = tab.value("document.querySelector('main').innerText")
    for words in ("対処方法", "CardNo", "セキュリティコード", "遮断"):
        assert words in shown
    check_looks(tab)
    take(tab, "violation-phone-ja")


def test_the_browser_is_told_to_run_nothing_else(start, tab):
    sidecar = start()
    tab.open(f"{address(sidecar)}/")
    for attack in (
        "document.body.innerHTML = '<img src=x>'",
        "document.createElement('script').textContent = 'done = 1'",
        "document.createElement('script').src = '/static/page.js'",
    ):
        with pytest.raises(RuntimeError, match="This document requires 'Trusted"):
            tab.value(attack)
    assert tab.value("fetch('https://example.com/').then(() => 'sent', () => 'stopped')") == "stopped"
    assert any("violates the following Content Security Policy directive" in said for said in tab.complaints)
    tab.complaints.clear()


def test_off_loopback_the_browser_asks_for_the_token(start_sidecar, sink, tab, tmp_path):
    (tmp_path / "secrets").mkdir()
    token = tmp_path / "secrets" / "page.token"
    token.write_text("t" * 40 + "\n")
    token.chmod(0o600)
    port = free_port()
    admin = {"listen": f"0.0.0.0:{port}", "token_file": "secrets/page.token"}
    sidecar = start_sidecar(
        [{"name": "app-logs", "upstream": sink, "role": "logging"}], admin=admin, arguments=("--workers", "2")
    )
    sidecar.admin("/metrics")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        sidecar.admin("/")
    tab.open(f"http://anyone:{'t' * 40}@127.0.0.1:{port}/?lang=en")
    tab.open(f"http://127.0.0.1:{port}/?lang=en")
    tab.until(LIVE)
    leak(sidecar)
    tab.until("document.querySelector('tr.new')")
    assert b"tttt" not in sidecar.output()
