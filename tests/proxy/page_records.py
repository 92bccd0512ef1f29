"""Audit records, and a policy, for the tests of the inspector page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from proxy.policy import Policy, load
from proxy.records.record import FIELDS

IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(100)]


def found(path: str = "$.card.number", **own: Any) -> dict[str, Any]:
    """A finding as a record has it."""
    values = {
        "entity": "PAN",
        "brand": "visa",
        "confidence": "high",
        "test": False,
        "masked": "************1111",
        "fingerprint": "f1" * 32,
        "part": "body",
        "path": path,
        "trail": [],
        "start": 19,
        "end": 35,
        "why": ["card key", "issuer", "length", "luhn"],
        "verdict": "block",
    }
    return values | own


def record(seq: int = 1, *findings: dict[str, Any], **own: Any) -> dict[str, Any]:
    """A record of a request to the log store."""
    empty: dict[str, Any] = dict.fromkeys(FIELDS, "")
    values = {
        "id": IDS[seq],
        "seq": seq,
        "ts": f"2026-11-22T16:20:{seq:02d}.123Z",
        "kind": "retention",
        "lane": "app-logs",
        "role": "logging",
        "direction": "request",
        "protocol": "http",
        "peer": "127.0.0.1:50000",
        "destination": "loki:3100",
        "method": "POST",
        "path": "/loki/api/v1/push",
        "status": 0,
        "verdict": "block",
        "findings": list(findings),
        "gaps": [],
        "coverage": {},
    }
    return empty | values | own


def policy(base: Path) -> Policy:
    """A policy with three lanes, read from a file in ``base``."""
    key = base / "key"
    key.write_text("k" * 48)
    key.chmod(0o600)
    document = {
        "version": 1,
        "policy_id": "shop <2026> & Co.",
        "audit": {"fingerprint_key_file": "key"},
        "lanes": [
            {
                "name": "app-logs",
                "listen": "127.0.0.1:3100",
                "upstream": "http://loki:3100",
                "role": "logging",
                "on_violation": "redact",
            },
            {
                "name": "gmo",
                "listen": "127.0.0.1:8443",
                "upstream": "https://p01.mul-pay.jp",
                "role": "payment-gateway",
            },
            {
                "name": "egress",
                "listen": "127.0.0.1:8081",
                "upstream": "forward",
                "destinations": [
                    {"hosts": ["a.example"], "role": "external", "mode": "monitor"},
                    {"hosts": ["b.example"], "role": "logging"},
                ],
            },
        ],
    }
    path = base / "policy.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path)
