"""The README documents what the code offers, row by row, and its snippets work. Rows are collected from the code's tables."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from proxy import cli, stock
from proxy.metrics.series import GAP_REASONS, SERIES
from proxy.policy import Policy, load
from proxy.policy.model import Defaults, LaneLimits, Overrides
from proxy.problem import STATUS
from proxy.refusals import REFUSALS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def rows(first: str) -> list[str]:
    """The table rows whose first cell is ``first`` in backticks."""
    return [line for line in README.splitlines() if line.startswith(f"| `{first}` |")]


def model_in(annotation) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := model_in(part))), None)


def options(model: type[BaseModel], prefix: str = "") -> list[tuple[str, object]]:
    """(dotted name, default) of each option; what a lane or destination overrides is documented where its default is."""
    found: list[tuple[str, object]] = []
    for name, field in model.model_fields.items():
        overriding = issubclass(model, Overrides) and name in Overrides.model_fields
        if overriding and (name in Defaults.model_fields or name in Policy.model_fields):
            continue
        inner = model_in(field.annotation)
        if inner is LaneLimits:
            continue
        listed = "[]" if "tuple" in str(field.annotation) else ""
        if inner is not None:
            found += options(inner, f"{prefix}{name}{listed}.")
        else:
            found.append((f"{prefix}{name}", field.default))
    return found


@pytest.mark.parametrize(
    ("name", "default"), options(Policy), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_policy_option_has_a_row_with_its_default(name, default):
    (row,) = rows(name)
    shown = row.split(" | ")[1].strip(" |")
    if default is PydanticUndefined:
        assert shown == "required"
    elif default is None or default == ():
        assert shown == ""
    elif isinstance(default, bool):
        assert shown == f"`{str(default).lower()}`"
    elif isinstance(default, int | float) and shown.strip("`").replace(".", "").isdigit():
        assert float(shown.strip("`")) == default
    elif isinstance(default, int):
        number, unit = re.fullmatch(r"`(\d+)(KiB|MiB)`", shown).groups()
        assert int(number) * {"KiB": 1024, "MiB": 1024**2}[unit] == default
    else:
        assert shown == f"`{default}`"


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_every_metric_has_a_row_with_its_labels(series):
    (row,) = rows(series.name)
    assert row.split(" | ")[1] == (", ".join(f"`{label}`" for label in series.labels) or "–")


def test_no_metric_is_documented_that_is_not_there():
    named = set(re.findall(r"^\| `(sekisho_\w+)` \|", README, re.MULTILINE))
    assert named == {series.name for series in SERIES}
    mentioned = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsekisho_\w+", README)}
    assert mentioned <= named | {stock.OPTION}


@pytest.mark.parametrize("reason", sorted(GAP_REASONS))
def test_every_gap_reason_is_explained(reason):
    assert len([row for row in rows(reason) if not row.split(" | ")[1].isdigit()]) == 1


ANSWERS = {uri.rpartition(":")[2]: status for uri, status in STATUS.items()} | {
    w: r.status for w, r in REFUSALS.items()
}


@pytest.mark.parametrize("word", ANSWERS)
def test_every_refusal_has_a_row_with_its_status(word):
    (status,) = [cell for row in rows(word) if (cell := row.split(" | ")[1]).isdigit()]
    assert int(status) == ANSWERS[word]


def commands(app: typer.Typer, prefix: str = "sekisho") -> list[tuple[str, set[str]]]:
    """(command line, its options) of each command."""

    def walk(command, name):
        if inner := getattr(command, "commands", None):
            return [found for key, sub in inner.items() for found in walk(sub, f"{name} {key}")]
        flags = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
        return [(name, flags - {"--help", "--install-completion", "--show-completion"})]

    return walk(typer.main.get_command(app), prefix)


@pytest.mark.parametrize(
    ("command", "flags"), commands(cli.app), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_a_row_with_its_options(command, flags):
    found = [line for line in README.splitlines() if re.match(rf"\| `{command}[ `]", line)]
    assert len(found) == 1
    assert {flag for flag in flags if flag not in found[0]} == set()


@pytest.mark.parametrize("limit", stock.LIMITS)
def test_every_limit_of_a_stock_mitmproxy_is_named(limit):
    assert f"- {limit}\n" in README


@pytest.mark.parametrize("code", [0, 1, 2, 3, 70])
def test_every_exit_code_has_a_row(code):
    assert len(rows(str(code))) == 1


def yaml_snippets() -> list[str]:
    return [text for language, text in SNIPPETS if language == "yaml" and "version: 1" in text]


@pytest.mark.parametrize("text", [*yaml_snippets(), (ROOT / "deploy" / "sekisho.yaml").read_text()])
def test_every_policy_shown_is_a_good_one(text, tmp_path):
    (tmp_path / "secrets").mkdir()
    key = tmp_path / "secrets" / "fingerprint.key"
    key.write_text("k" * 48)
    key.chmod(0o600)
    for name in re.findall(r"\b([\w-]+\.(?:pem|yaml))\b", "\n".join(line.split(" #")[0] for line in text.splitlines())):
        source = ROOT / "tests" / "data" / name
        (tmp_path / name).write_bytes(source.read_bytes() if source.exists() else b"")
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    assert load(path).lanes


def test_the_policy_examples_are_there():
    assert len(yaml_snippets()) >= 2


def test_json_snippets_are_json():
    found = [json.loads(text) for language, text in SNIPPETS if language == "json"]
    assert any(document.get("findings") for document in found)


def test_python_snippets_run():
    """As a reader would run them; their output is a masked number and where it stands."""
    python_snippets = [text for language, text in SNIPPETS if language == "python"]
    runs = [
        subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
        for text in python_snippets
    ]
    assert [run.stdout for run in runs] == ["411111******1111 $.card\n"]


def test_make_targets_named_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for language, text in SNIPPETS
        if language == "console"
        for line in text.splitlines()
        if line.startswith("$ make ")
        for word in shlex.split(line, comments=True)[2:]
        if re.fullmatch(r"[a-z]+", word)
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.stem
)
def test_files_named_exist(page):
    for name in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / name).exists(), name


def test_schema_for_editors_is_current():
    shipped = json.loads((ROOT / "deploy" / "sekisho.schema.json").read_text())
    assert shipped == json.loads(cli_schema())


def cli_schema() -> str:
    from proxy.policy import schema

    made = schema()
    return made if isinstance(made, str) else json.dumps(made)
