"""A headless Chromium, driven over its DevTools protocol: opens pages, evaluates expressions, takes pictures."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)
SECONDS = 60


class Tab:
    """One tab. ``complaints`` are what the browser has logged: errors, warnings, and whatever a policy has stopped."""

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self._connection = connection
        self._session = session
        self._number = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and what the browser answers."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters, "sessionId": self._session}
        self._connection.send(json.dumps(asked))
        while (told := json.loads(self._connection.recv(SECONDS))).get("id") != self._number:
            self._hear(told)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]

    def open(self, url: str) -> None:
        """Goes there, and waits until it is loaded."""
        said = self.call("Page.navigate", url=url)
        if said.get("errorText"):
            raise RuntimeError(said["errorText"])
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What ``expression`` is in the page; a promise is waited for."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(said["exceptionDetails"]["exception"].get("description", "it raised"))
        return said["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until ``expression`` holds, on whatever page is open by then."""
        ends = time.monotonic() + SECONDS
        look = f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"
        while True:
            try:
                if self.value(look):
                    return
            except RuntimeError:  # the page is on its way to another one
                pass
            if time.monotonic() > ends:
                raise RuntimeError(f"never: {expression}")
            time.sleep(0.02)

    def press(self, key: str = "Enter", code: int = 13) -> None:
        """Presses and releases a key, as a person does."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            own = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **own)

    def size(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """As on a window, or a phone, of that size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        said = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, optimizeForSpeed=False)
        path.write_bytes(base64.b64decode(said["data"]))

    def _hear(self, told: dict[str, Any]) -> None:
        what, given = told.get("method"), told.get("params", {})
        if what == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        elif what == "Runtime.exceptionThrown":
            self.complaints.append(given["exceptionDetails"]["text"])
        elif what == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(given["args"]))
        elif what == "Audits.issueAdded" and given["issue"]["code"] != "GenericIssue":
            self.complaints.append(json.dumps(given["issue"]))


@contextmanager
def browser(home: Path) -> Iterator[Tab]:
    """A browser of its own, and a tab in it."""
    command = [CHROMIUM, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | {"HOME": str(home)}, stderr=log, stdout=log)
    try:
        with connect(_address(process, home / "log"), max_size=None) as connection:
            connection.send(json.dumps({"id": 0, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
            target = _answer(connection)["targetId"]
            attach = {"targetId": target, "flatten": True}
            connection.send(json.dumps({"id": 0, "method": "Target.attachToTarget", "params": attach}))
            yield Tab(connection, _answer(connection)["sessionId"])
    finally:
        process.terminate()
        process.wait(SECONDS)


def _answer(connection: ClientConnection) -> dict[str, Any]:
    while "result" not in (told := json.loads(connection.recv(SECONDS))):
        pass
    return told["result"]


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    with log.open("rb") as lines:
        while process.poll() is None:
            if found := re.search(rb"DevTools listening on (ws://\S+)", lines.readline()):
                return found[1].decode()
    raise RuntimeError(f"Chromium has ended: {log.read_text()[-500:]}")
