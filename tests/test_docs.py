"""README and docs/ document what the code offers, row by row; snippets work, links lead somewhere. Rows come from the code's tables."""

from __future__ import annotations

import functools
import itertools
import json
import os
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
from proxy.texts import TEXTS

ROOT = Path(__file__).resolve().parent.parent
FRONT, INDEX = "README.md", "docs/README.md"
PAGES = {
    str(page.relative_to(ROOT)): page.read_text() for page in [ROOT / FRONT, *sorted((ROOT / "docs").rglob("*.md"))]
}
SNIPPETS = [
    found for text in PAGES.values() for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]


def prose(text: str) -> str:
    """Without what stands in fences, where a ``#`` begins a comment."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


@functools.cache
def tables(head: str) -> list[tuple[str, list[str]]]:
    """(page, cells) of each row of the tables whose first column is called so, wherever they are."""
    found: list[tuple[str, list[str]]] = []
    for page, text in PAGES.items():
        wanted = False
        for line, below in itertools.pairwise([*text.splitlines(), ""]):
            if not line.startswith("|"):
                wanted = False
                continue
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if below.startswith("|---"):
                wanted = cells[0] == head
            elif wanted and not line.startswith("|---"):
                found.append((page, cells))
    return found


def row(page: str, head: str, first: str) -> list[str]:
    """The cells of the one row for ``first``, in backticks. It is on that page, and on no other under that head."""
    ((there, cells),) = [(there, cells) for there, cells in tables(head) if cells[0] == f"`{first}`"]
    assert there == page
    return cells


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
    shown = row("docs/policy.md", "option", name)[1]
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


def test_no_option_is_documented_that_is_not_there():
    named = {cells[0].strip("`") for page, cells in tables("option") if page == "docs/policy.md"}
    assert named == {name for name, _default in options(Policy)}


@pytest.mark.parametrize("series", SERIES, ids=lambda series: series.name)
def test_every_metric_has_a_row_with_its_labels(series):
    shown = row("docs/metrics.md", "metric", series.name)[1]
    assert shown == (", ".join(f"`{label}`" for label in series.labels) or "–")


def test_no_metric_is_documented_that_is_not_there():
    named = {cells[0].strip("`") for _page, cells in tables("metric")}
    assert named == {series.name for series in SERIES}
    text = "\n".join(PAGES.values())
    mentioned = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsekisho_\w+", text)}
    assert mentioned <= named | {stock.OPTION}


@pytest.mark.parametrize("reason", sorted(GAP_REASONS))
def test_every_gap_reason_is_explained(reason):
    assert row("docs/refusals.md", "gap", reason)[1]


def test_no_gap_reason_is_explained_that_is_not_there():
    assert {cells[0].strip("`") for _page, cells in tables("gap")} == GAP_REASONS


TYPE = "`type`: `urn:sekisho:problem:`"
ANSWERS = {uri.rpartition(":")[2]: status for uri, status in STATUS.items()} | {
    w: r.status for w, r in REFUSALS.items()
}


@pytest.mark.parametrize("word", ANSWERS)
def test_every_refusal_has_a_row_with_its_status(word):
    assert int(row("docs/refusals.md", TYPE, word)[1]) == ANSWERS[word]


def test_no_refusal_is_documented_that_is_not_there():
    assert {cells[0].strip("`") for _page, cells in tables(TYPE)} == set(ANSWERS)


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
    ((page, cells),) = [found for found in tables("command") if re.match(rf"`{command}[ `]", found[1][0])]
    assert page == "docs/commands.md"
    assert {flag for flag in flags if flag not in " ".join(cells)} == set()


@pytest.mark.parametrize("limit", stock.LIMITS)
def test_every_limit_of_a_stock_mitmproxy_is_named(limit):
    assert [page for page, text in PAGES.items() if f"- {limit}\n" in text] == ["docs/limits.md"]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 70])
def test_every_exit_code_has_a_row(code):
    assert row("docs/commands.md", "exit code", str(code))[1]


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
    path.write_text(text.replace("/run/credentials/sekisho.service/", "secrets/"))  # where systemd puts the key
    assert load(path).lanes


def test_the_policy_examples_are_there():
    assert len(yaml_snippets()) >= 4


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


def links(page: str) -> list[tuple[str, str]]:
    """(file, anchor) of each link into the tree; the file is relative to the tree."""
    found = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", prose(PAGES[page]))
    here = (ROOT / page).parent
    return [(os.path.relpath(here / name, ROOT) if name else page, anchor) for name, anchor in found]


def anchors(page: str) -> set[str]:
    """What GitHub makes of the headings: lower case, letters, digits and hyphens; all of them different."""
    titles = re.findall(r"^#+ (.+?) *$", prose(PAGES[page]), re.MULTILINE)
    made = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return {name if not made[:at].count(name) else f"{name}-{made[:at].count(name)}" for at, name in enumerate(made)}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for name, anchor in links(page):
        assert (ROOT / name).exists(), name
        assert not anchor or anchor in anchors(name), f"{name}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (FRONT, INDEX)])
def test_every_page_is_reached_from_the_index(page):
    assert page in {name for name, _anchor in links(INDEX)}


def test_the_readme_leads_to_the_index():
    assert INDEX in {name for name, _anchor in links(FRONT)}


def test_the_japanese_section_calls_things_as_the_inspector_page_does():
    named = re.findall(r"「([^」]+)」", PAGES[FRONT].partition("**違反が表示されたら**")[2])
    assert named
    assert set(named) <= {text.ja for text in TEXTS.values()}


CHANGES = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("release", CHANGES, ids=lambda release: release.splitlines()[0])
def test_each_release_has_each_kind_of_change_once_and_no_change_twice(release):
    """https://keepachangelog.com/en/1.1.0/"""
    kinds = re.findall(r"^### (.+)$", release, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    changes = re.split(r"^- ", release, flags=re.MULTILINE)[1:]
    assert len(set(kinds)) == len(kinds)
    assert len(set(changes)) == len(changes)


def test_schema_for_editors_is_current():
    shipped = json.loads((ROOT / "deploy" / "sekisho.schema.json").read_text())
    assert shipped == json.loads(cli_schema())


def cli_schema() -> str:
    from proxy.policy import schema

    made = schema()
    return made if isinstance(made, str) else json.dumps(made)
