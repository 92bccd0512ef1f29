"""The command in this process, and a policy for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy import cli
from tests.e2e.authority import authority


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("check", "file")`` → exit code, stdout, stderr of the command in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sekisho", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """Writes ``sekisho.yaml`` with a good key file into the working directory; arguments are further lines."""
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "k"
    key.write_text("k" * 40)
    key.chmod(0o600)
    authority(tmp_path, days=400)[1].rename(tmp_path / "ca")

    def write(*lines: str, lane: str = "") -> str:
        text = f"""\
version: 1
policy_id: shop-v7
audit: {{fingerprint_key_file: k}}
lanes:
  - {{name: logs, listen: "127.0.0.1:3100", upstream: "http://loki", role: logging{lane}}}
  - {{name: egress, listen: "127.0.0.1:3128", upstream: forward, tls: {{intercept_ca_file: ca}}, destinations: [{{hosts: ["*.mul-pay.jp"], role: payment-gateway}}]}}
"""
        Path("sekisho.yaml").write_text(text + "".join(f"{line}\n" for line in lines))
        return "sekisho.yaml"

    return write
