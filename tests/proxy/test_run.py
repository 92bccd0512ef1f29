from __future__ import annotations

import gc
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detectors.model import Finding
from proxy import run
from proxy.records.audit import AuditError
from proxy.run import BadInput, build, main
from proxy.terminal import BAD_INPUT, NO_START, OK
from tests.proxy.guard_parts import PAN, message
from tests.sidecar import WHOLE, free_port, policy_document, write_policy

LANE = {"name": "logs", "upstream": "http://127.0.0.1:9", "role": "logging"}


@pytest.fixture
def server():
    """A slow origin: each answer takes as long as its path says, in hundredths of a second."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            begun.set()
            time.sleep(int(self.path[1:]) / 100)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    begun = threading.Event()
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.begun = begun
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def send(sidecar, path="/0", body=b"{}"):
    request = urllib.request.Request(sidecar.url("logs", path), body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wait_for(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def limits_of(pid):
    return Path(f"/proc/{pid}/limits").read_text()


def test_the_life_of_a_sidecar(start_sidecar, server):
    """Start, readiness, a refusal, a reload that is refused, one that is taken, and an end that loses nothing."""
    card = b'{"n": "5555555555554444"}'
    lane = {"name": "logs", "upstream": f"http://127.0.0.1:{server.server_port}", "role": "logging"}
    sidecar = start_sidecar([lane], program=WHOLE)
    assert json.loads(sidecar.admin("/readyz"))["lanes"] == {"logs": "listening"}
    assert re.search(r"^Max core file size +[01] +[01] ", limits_of(sidecar.process.pid), re.MULTILINE)
    assert send(sidecar) == (200, b"ok")
    assert send(sidecar, body=card)[0] == 403

    path = sidecar.base / "sekisho.yaml"
    good = path.read_text()
    path.write_text(good.replace('"role": "logging"', '"role": "loging"'))
    sidecar.process.send_signal(signal.SIGHUP)
    wait_for(lambda: 'reloads_total{result="error"} 1' in sidecar.admin("/metrics"))
    assert b"sekisho.yaml:" in sidecar.output()
    assert send(sidecar, body=card)[0] == 403

    path.write_text(good.replace('"mode": "enforce"', '"mode": "monitor"'))  # noticed without a signal
    wait_for(lambda: 'reloads_total{result="ok"} 1' in sidecar.admin("/metrics"))
    assert send(sidecar, body=card) == (200, b"ok")

    path.write_text(good.replace(sidecar.policy["admin"]["listen"], f"127.0.0.1:{free_port()}"))
    sidecar.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"admin cannot change while running" in sidecar.output())

    answers = []
    server.begun.clear()
    asking = threading.Thread(target=lambda: answers.append(send(sidecar, "/100")))
    asking.start()
    assert server.begun.wait(60)
    assert sidecar.stop() == OK
    asking.join()
    assert answers == [(200, b"ok")]
    kinds = [line["kind"] for line in sidecar.audit_lines()]
    assert (kinds[0], *kinds[-2:]) == ("start", "coverage", "stop")
    (lane,) = sidecar.audit_lines()[-2]["coverage"]["lanes"].values()
    assert lane["messages"] == {"allow": 5, "block": 2, "report": 1}
    assert "policy" in kinds


@pytest.fixture
def taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield f"127.0.0.1:{busy.getsockname()[1]}"


def refused(capsys, tmp_path, *lanes, **top):
    path = write_policy(tmp_path, policy_document(tmp_path, list(lanes), **top))
    code = main(path)
    return code, capsys.readouterr().err


def test_a_taken_port(tmp_path, capsys, taken):
    code, said = refused(capsys, tmp_path, {**LANE, "listen": taken})
    assert code == NO_START
    assert f"lane logs cannot listen on {taken}: Address already in use" in said


def test_what_is_loaded_at_the_start_is_not_collected_again_and_again(tmp_path, capsys, taken):
    gc.unfreeze()
    try:
        refused(capsys, tmp_path, {**LANE, "listen": taken})
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.freeze()  # as it was: see conftest.py


def test_a_taken_admin_port(tmp_path, capsys, taken):
    code, said = refused(capsys, tmp_path, LANE, admin={"listen": taken})
    assert code == NO_START
    assert taken in said


@pytest.mark.parametrize("content", [b"", b"not pem"])
def test_a_bad_ca_file(tmp_path, capsys, content):
    (tmp_path / "ca.pem").write_bytes(content)
    lane = {**LANE, "upstream": "https://es:9200", "tls": {"ca_file": "ca.pem"}}
    code, said = refused(capsys, tmp_path, lane)
    assert code == BAD_INPUT
    assert "ca.pem" in said


def test_a_missing_policy(tmp_path, capsys):
    assert main(tmp_path / "none.yaml") == BAD_INPUT
    assert "none.yaml" in capsys.readouterr().err


def test_an_audit_file_that_was_tampered_with(tmp_path, capsys):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "audit.jsonl").write_text('{"kind": "start"}\n')
    code, said = refused(capsys, tmp_path, LANE)
    assert code == NO_START
    assert "audit.jsonl" in said


def test_a_start_that_cannot_be_recorded(tmp_path, capsys, monkeypatch):
    """A disk that is full by then: no lane has listened, and the operator reads why."""

    def full(*_):
        raise AuditError("audit file audit.jsonl: No space left on device")

    started = []
    monkeypatch.setattr(run.JsonLinesAudit, "append", full)
    monkeypatch.setattr(run.Host, "start", started.append)
    code, said = refused(capsys, tmp_path, LANE)
    assert (code, started) == (NO_START, [])
    assert said == "sekisho: audit file audit.jsonl: No space left on device\n"


def test_the_start_is_on_record_before_a_lane_listens(tmp_path, capsys, taken):
    """And that it came to nothing."""
    assert refused(capsys, tmp_path, {**LANE, "listen": taken})[0] == NO_START
    lines = (tmp_path / "var" / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["start", "stop"]


def test_a_self_check_that_fails_is_not_ready(tmp_path, monkeypatch):
    def blind(_):
        raise RuntimeError("found nothing")

    monkeypatch.setattr(run.Inspector, "self_check", blind)
    sidecar = build(write_policy(tmp_path, policy_document(tmp_path, [LANE])))
    try:
        assert sidecar.self_check == "the inspector did not find a synthetic card number"
    finally:
        sidecar.audit.close()


def test_what_is_read_at_start_only_is_told_when_it_changes(tmp_path):
    """And is watched, as everything is that the policy names; a file that was only written again is the same."""
    (tmp_path / "own.yaml").write_text("recognizers: []\n")
    document = policy_document(tmp_path, [LANE], recognizers=["own.yaml"])
    sidecar = build(write_policy(tmp_path, document))
    try:
        rules = sidecar.guard.policy
        assert run.watched(sidecar) == (
            tmp_path / "sekisho.yaml",
            tmp_path / "secrets" / "fingerprint.key",
            tmp_path / "own.yaml",
        )
        for path in run.watched(sidecar)[1:]:
            before = path.read_bytes()
            path.write_bytes(before)
            run.check_fixed(sidecar, rules)
            path.write_bytes(before + b"# more")
            with pytest.raises(
                BadInput, match=rf"{path.name} changed, and is read at start only: put it back, or restart"
            ):
                run.check_fixed(sidecar, rules)
            path.unlink()
            os.mkfifo(path)
            with pytest.raises(BadInput, match=rf"{path.name} changed"):
                run.check_fixed(sidecar, rules)
            path.unlink()
            path.write_bytes(before)
    finally:
        sidecar.audit.close()


async def test_a_task_that_has_failed_does_not_keep_the_end_from_being_orderly(tmp_path, monkeypatch, caplog):
    async def fail(_probe):
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError(PAN)

    monkeypatch.setattr("proxy.probe.Probe.run", fail)
    lane = LANE | {"listen": "127.0.0.1:0"}
    document = policy_document(tmp_path, [lane], admin={"listen": f"127.0.0.1:{free_port()}"})
    sidecar = build(write_policy(tmp_path, document))
    try:
        assert await run._serve(sidecar) == OK
    finally:
        sidecar.audit.close()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "var" / "audit.jsonl").read_text().splitlines()]
    assert (kinds[0], kinds[-2:]) == ("start", ["coverage", "stop"])
    assert "a task had failed: ValueError at test_run.py:" in caplog.text
    assert PAN not in caplog.text


async def test_a_reload_that_fails_oddly_is_counted_and_told_without_a_word_of_it(tmp_path, monkeypatch, caplog):
    """It must not end the watch for the next one either."""
    sidecar = build(write_policy(tmp_path, policy_document(tmp_path, [LANE])))
    try:
        monkeypatch.setattr(run, "load", lambda _: int(f"x{PAN}"))
        assert await run.reload_once(sidecar, None) is False
        assert b'reloads_total{result="error"} 1' in sidecar.meter.render()[0]
    finally:
        sidecar.audit.close()
    (said,) = caplog.messages
    assert said.startswith("policy not reloaded, the former one stays in force: ValueError at test_run.py:")
    assert PAN not in caplog.text


def test_a_second_signal_ends_at_once(start_sidecar, server):
    sidecar = start_sidecar(
        [{"name": "logs", "upstream": f"http://127.0.0.1:{server.server_port}", "role": "logging"}],
        arguments=("--grace", "600"),
    )
    asking = threading.Thread(target=lambda: answers.append(cut(sidecar)))
    answers = []
    asking.start()
    assert server.begun.wait(60)
    sidecar.process.send_signal(signal.SIGTERM)
    wait_for(lambda: b"stopping: requests under way have 600 s" in sidecar.output())
    assert sidecar.stop() == OK
    asking.join()
    assert answers == ["cut"]


def cut(sidecar):
    """What becomes of a request that takes five seconds."""
    try:
        return send(sidecar, "/500")
    except (urllib.error.URLError, ConnectionError, http.client.HTTPException):
        return "cut"


def test_bad_recognizers(tmp_path):
    (tmp_path / "own.yaml").write_text("recognizers: 5\n")
    document = policy_document(tmp_path, [LANE], recognizers=["own.yaml"])
    with pytest.raises(BadInput):
        build(write_policy(tmp_path, document)).audit.close()


@pytest.mark.parametrize("content", ["recognizers: 5\n", "recognizers: [\n", "recognizers: [{name: x}]\n"])
def test_bad_recognizers_are_named(tmp_path, capsys, content):
    (tmp_path / "own.yaml").write_text(content)
    code, said = refused(capsys, tmp_path, LANE, recognizers=["own.yaml"])
    assert code == BAD_INPUT
    assert "own.yaml" in said


def test_entities_of_the_team_have_series_of_their_own(tmp_path):
    row = "{name: x, supported_entity: MY_ID, patterns: [{name: p, regex: 'ID-[0-9]{6}', score: 0.9}]}"
    (tmp_path / "own.yaml").write_text(f"recognizers: [{row}]\n")
    sidecar = build(write_policy(tmp_path, policy_document(tmp_path, [LANE], recognizers=["own.yaml"])))
    try:
        found = Finding(
            "MY_ID", "", "high", test=False, masked="***", fingerprint="", path="", trail=(), start=0, end=1
        )
        sidecar.meter.violation(message(b"", lane="logs"), "retention", found, "block", "")
        assert b'entity="MY_ID"' in sidecar.meter.render()[0]
    finally:
        sidecar.audit.close()


def test_a_start_says_what_listens_and_nothing_else(start_sidecar):
    """Libraries that name their parts at start would drown it."""
    sidecar = start_sidecar([LANE], program=WHOLE)
    said = sidecar.output().decode()
    assert "lane logs listens on" in said
    assert [line for line in said.splitlines() if " INFO " in line and " sekisho: " not in line] == []
    assert "recognizer" not in said.lower()
