from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectors import decoders
from detectors.iin import BRANDS
from proxy.gmo import review as gmo_review
from proxy.judge import Kind
from proxy.message import Action, Direction
from proxy.metrics.series import BOUNDS, OTHER, SERIES, gap_reason
from proxy.policy import routes as policy_routes

OWN = {"lane", "policy_id", "sha256", "mode", "version", "python"}
"""Labels whose values come from the policy in force or from the program: one at a time, or one a lane."""


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_names_follow_the_conventions(series):
    assert series.name.startswith("sekisho_")
    assert (series.type == "counter") == series.name.endswith("_total")
    assert (series.type == "histogram") == bool(series.buckets)
    assert (series.unit == "seconds") == series.name.endswith("_seconds")
    assert series.name.endswith("_timestamp_seconds") == (series.type == "gauge" and series.unit == "seconds")
    assert series.help.endswith(".")
    assert list(series.buckets) == sorted(set(series.buckets))


def test_no_name_comes_twice():
    assert len({series.name for series in SERIES}) == len(SERIES)


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_every_label_is_bounded(series):
    unbounded = [
        label for label in series.labels if label not in OWN | BOUNDS[""].keys() | BOUNDS.get(series.name, {}).keys()
    ]
    assert unbounded == []


def test_histograms_start_where_the_work_does():
    starts = {series.name: series.buckets[0] for series in SERIES if series.buckets}
    assert starts == {"sekisho_inspect_seconds": 1e-5, "sekisho_added_latency_seconds": 1e-4}


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("role", typing.get_args(policy_routes.Role)),
        ("direction", typing.get_args(Direction)),
        ("verdict", tuple(Action)),
        ("kind", typing.get_args(Kind)),
        ("brand", BRANDS),
        ("entity", (gmo_review.TOKEN,)),
    ],
)
def test_what_the_code_can_say_is_no_other(label, values):
    assert set(values) - BOUNDS[""][label] == set()


ROOT = Path(__file__).resolve().parents[2]
GAP_CALLS = {"Gap": 0, "set_gap": 2, "request_gap": 0, "response_gap": 0}
"""Calls that give a gap's reason, and which argument it is."""


def reasons_in(path: Path) -> Iterator[str]:
    """Every reason that the file gives as a literal; of ``f"{fault}-{name}"`` nothing."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            arguments = node.args[GAP_CALLS[name] :][:1] if name in GAP_CALLS else []
            # Of ``"a" if x == "b" else "c"`` only what may come of it.
            asked = {
                id(part)
                for found in arguments
                for node in ast.walk(found)
                if isinstance(node, ast.IfExp)
                for part in ast.walk(node.test)
            }
            for inner in (found for argument in arguments for found in ast.walk(argument) if id(found) not in asked):
                text = inner.value if isinstance(inner, ast.Constant) else ""
                if isinstance(text, str) and len(text) > 1 and text[0] != "-":  # the rest of f"{fault}-protobuf"
                    yield text


def test_every_gap_reason_in_the_source_is_known():
    found = {
        r for package in ("detectors", "proxy") for path in (ROOT / package).rglob("*.py") for r in reasons_in(path)
    }
    assert {"archive", "body-too-large"} <= found
    assert {reason for reason in found if gap_reason(reason) == OTHER} == set()
    assert {reason for reason in decoders.GAP_REASONS | gmo_review.GAPS if gap_reason(reason) == OTHER} == set()


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("archive", "archive"),
        ("truncated-gzip", "truncated"),
        ("corrupt-br", "corrupt"),
        ("too-large", "too-large"),
        ("too-many-cooks", "other"),
        ("", "other"),
        ("1234", "other"),
    ],
)
def test_gap_reason(reason, row):
    assert gap_reason(reason) == row
