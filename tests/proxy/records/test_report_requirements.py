from __future__ import annotations

from proxy.records.report_requirements import REQUIREMENTS, requirements


def row(count, **own):
    return {"kind": "retention", "entity": "PAN", "confidence": "high", "verdict": "block", "count": count, **own}


DOCUMENT = {
    "records": {"total": 9},
    "chains": [{"lines": 7, "ok": True, "since": "2026-11-05T00:00:00.000Z"}],
    "lanes": {
        "logs": {
            "messages": {"allow": 3, "block": 2},
            "inspected_bytes": 40,
            "uninspected_bytes": 5,
            "probes": {"passed": 6, "failed": 1},
        }
    },
    "violations": {
        "rows": [
            row(1, kind="passthrough"),
            row(2, kind="passthrough", verdict="report"),
            row(4, verdict="redact"),
            row(8, entity="SECURITY_CODE"),
            row(16, entity="TRACK_2", kind="stored"),
            row(32, entity="PIN_BLOCK", verdict="report"),
            row(64, confidence="low", verdict="report"),
        ]
    },
}


def test_each_requirement_has_its_figures():
    assert {found["id"]: found["figures"] for found in requirements(DOCUMENT)} == {
        "非保持化: 通過": {"stopped": 1, "forwarded": 2},
        "非保持化: 保存": {"stopped": 28, "forwarded": 32},
        "PCI DSS 3.2.1": {"stopped": 12, "forwarded": 32},
        "PCI DSS 3.3.1.1": {"stopped": 16, "forwarded": 0},
        "PCI DSS 3.3.1.2": {"stopped": 8, "forwarded": 0},
        "PCI DSS 3.3.1.3": {"stopped": 0, "forwarded": 32},
        "PCI DSS 10.2.1, 10.2.2": {"records": 9},
        "PCI DSS 10.3.2, 10.3.4": {"verified_lines": 7, "whole": True},
        "PCI DSS 10.4.1, 10.4.1.1": {"lanes": 1, "messages": 5, "inspected_bytes": 40, "uninspected_bytes": 5},
        "PCI DSS 10.5.1": {"oldest_record": "2026-11-05T00:00:00.000Z"},
        "PCI DSS 12.10.7": {"stopped": 16, "forwarded": 0},
        "PCI DSS A3.2.6": {"stopped": 5, "forwarded": 2, "probes_passed": 6, "probes_failed": 1},
    }


def test_it_supports_and_certifies_nothing():
    for requirement in REQUIREMENTS:
        words = f"{requirement.asks} {requirement.supports}".lower()
        assert not any(word in words for word in ("certif", "complian", "complies"))
