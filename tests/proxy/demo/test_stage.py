from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.demo import stage as module
from proxy.demo.stage import LANES, StageError, open_stage, write_policy
from proxy.policy import load

LISTEN = {name: f"127.0.0.1:{20000 + index}" for index, name in enumerate((*LANES, "admin"))}
UPSTREAMS = {name: f"127.0.0.1:{21000 + index}" for index, name in enumerate(LANES)}


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_the_policy_is_one_that_check_accepts(tmp_path: Path, mode: str):
    policy = load(write_policy(tmp_path, mode, LISTEN, UPSTREAMS))
    assert (policy.mode, policy.policy_id) == (mode, "sekisho-demo")
    assert {lane.name: lane.role for lane in policy.lanes} == {
        "app-logs": "logging",
        "search": "storage",
        "sessions": "storage",
        "gmo": "payment-gateway",
        "front": "shop",
    }
    assert [lane.name for lane in policy.lanes if lane.on_violation == "redact"] == ["app-logs"]
    assert stat.S_IMODE((tmp_path / "secrets" / "fingerprint.key").stat().st_mode) == 0o600


def left(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def test_free_addresses_differ():
    assert len(set(module._free_addresses(20))) == 20


async def test_a_sidecar_that_cannot_start_is_an_error_with_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "write_policy", lambda directory, *_: directory / "missing.yaml")
    with pytest.raises(StageError, match=r"(?s)exit code 2.*missing\.yaml"):
        async with open_stage("enforce"):
            pass
    assert left(tmp_path) == []
