"""Which requirements a report supports, and by which of its figures. Content in own words; PCI DSS v4.0.1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STOPPED = ("block", "redact")

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row: what is asked for, and how the records support it."""

    id: str
    asks: str
    ja: str
    supports: str
    figures: Callable[[Figures], Figures]


def _handled(document: Figures, **wanted: Sequence[str]) -> dict[str, int]:
    rows = [
        row
        for row in document["violations"]["rows"]
        if row["confidence"] == "high" and all(row[name] in values for name, values in wanted.items())
    ]
    return {
        "stopped": _sum(row for row in rows if row["verdict"] in STOPPED),
        "forwarded": _sum(row for row in rows if row["verdict"] not in STOPPED),
    }


def _sum(rows: Iterable[Figures]) -> int:
    return sum(row["count"] for row in rows)


def _lanes(document: Figures) -> dict[str, int]:
    lanes = document["lanes"].values()
    return {
        "lanes": len(document["lanes"]),
        "messages": sum(sum(lane["messages"].values()) for lane in lanes),
        "inspected_bytes": sum(lane["inspected_bytes"] for lane in lanes),
        "uninspected_bytes": sum(lane["uninspected_bytes"] for lane in lanes),
    }


def _chain(document: Figures) -> dict[str, Any]:
    chains = document["chains"]
    return {"verified_lines": sum(chain["lines"] for chain in chains), "whole": all(chain["ok"] for chain in chains)}


REQUIREMENTS = (
    Requirement(
        "非保持化: 通過",
        "Card data does not pass the merchant's own equipment or networks, not even for an instant.",
        "カード情報が自社の機器・ネットワークを通過しない",
        "Card data on the shop and payment gateway lanes. That it was stopped does not undo it: each is an incident.",
        lambda document: _handled(document, kind=("passthrough",)),
    ),
    Requirement(
        "非保持化: 保存",
        "Card data is not stored on the merchant's own equipment.",
        "カード情報を自社の機器に保存しない",
        "Card data on its way to logs, stores and third parties, and card data that came back from them.",
        lambda document: _handled(document, kind=("retention", "stored")),
    ),
    Requirement(
        "PCI DSS 3.2.1",
        "Stored account data is kept to a minimum.",
        "保存するアカウントデータを最小限にする",
        "What would have been stored, and was not.",
        lambda document: _handled(document, kind=("retention",)),
    ),
    Requirement(
        "PCI DSS 3.3.1.1",
        "Full track data is not retained after authorization.",
        "全トラックデータを承認後に保持しない",
        "Track data found.",
        lambda document: _handled(document, entity=("TRACK_1", "TRACK_2")),
    ),
    Requirement(
        "PCI DSS 3.3.1.2",
        "The card verification code is not retained after authorization.",
        "カード検証コード（セキュリティコード）を承認後に保持しない",
        "Security codes found.",
        lambda document: _handled(document, entity=("SECURITY_CODE",)),
    ),
    Requirement(
        "PCI DSS 3.3.1.3",
        "PIN and PIN block are not retained after authorization.",
        "PIN・PINブロックを承認後に保持しない",
        "PIN blocks found.",
        lambda document: _handled(document, entity=("PIN_BLOCK",)),
    ),
    Requirement(
        "PCI DSS 10.2.1, 10.2.2",
        "Audit logs are enabled; entries say what happened, when, where from and with what result.",
        "監査ログを有効にし、事象・時刻・発生元・結果を記録する",
        "Records of the period.",
        lambda document: {"records": document["records"]["total"]},
    ),
    Requirement(
        "PCI DSS 10.3.2, 10.3.4",
        "Audit logs are protected from modification, and changes are detected.",
        "監査ログを改ざんから保護し、変更を検知する",
        "The keyed hash chain over all records.",
        _chain,
    ),
    Requirement(
        "PCI DSS 10.4.1, 10.4.1.1",
        "Audit logs are reviewed daily, by automated mechanisms.",
        "監査ログを毎日、自動化された仕組みでレビューする",
        "This report, and what it says was inspected.",
        _lanes,
    ),
    Requirement(
        "PCI DSS 10.5.1",
        "Audit log history is retained for at least 12 months.",
        "監査ログの履歴を少なくとも12か月保持する",
        "Time of the oldest record that is there.",
        lambda document: {"oldest_record": min((chain["since"] for chain in document["chains"]), default="")},
    ),
    Requirement(
        "PCI DSS 12.10.7",
        "Incident response is initiated on detection of stored card numbers where they are not expected.",
        "想定外の場所でのカード番号の保存を検知したら対応手順を開始する",
        "Card data that a store or log gave back: it is at rest there.",
        lambda document: _handled(document, kind=("stored",)),
    ),
    Requirement(
        "PCI DSS A3.2.6",
        "Mechanisms detect and prevent clear-text card numbers leaving by an unauthorized channel.",
        "カード番号が平文で許可されない経路から出るのを検知・防止する",
        "Aligned with it (it binds designated entities only): card numbers found, and the self-probes' results.",
        lambda document: {
            **_handled(document, entity=("PAN",)),
            "probes_passed": sum(lane["probes"].get("passed", 0) for lane in document["lanes"].values()),
            "probes_failed": sum(lane["probes"].get("failed", 0) for lane in document["lanes"].values()),
        },
    ),
)


def requirements(document: Figures) -> list[dict[str, Any]]:
    """The rows for a report's document, each with its figures. Doubtful findings (confidence low) are not in them."""
    return [
        {"id": row.id, "asks": row.asks, "ja": row.ja, "supports": row.supports, "figures": row.figures(document)}
        for row in REQUIREMENTS
    ]
