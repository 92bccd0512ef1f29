"""What the image promises, read from its Dockerfile; `make image-proof` shows that it is so."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy.health import DEFAULT
from tests.deploy.docker.dockerfile import PLACE, instructions, pairs, shipped
from tests.sidecar import ROOT

ARGUMENTS, STAGES = shipped()
BUILD, FINAL = STAGES
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_instructions_are_read_as_docker_reads_them():
    read = instructions(
        'FROM a\n# no\nRUN b \\\n  # nor this\n  && c\nHEALTHCHECK --interval=1s \\\n CMD ["d", "e f"]\n'
    )
    assert [(one.name, one.text) for one in read[:2]] == [("FROM", "a"), ("RUN", "b && c")]
    assert read[2].words() == ["d", "e f"]
    assert read[2].option("interval") == "1s"


def test_the_base_is_one_that_can_be_pinned():
    assert set(ARGUMENTS) == {"BASE"}
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", ARGUMENTS["BASE"])
    assert [stage.base for stage in STAGES] == [ARGUMENTS["BASE"]] * 2


def test_it_runs_as_a_user_that_is_a_number_and_not_root():
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", FINAL.last("USER").text)
    after = FINAL.instructions[FINAL.instructions.index(FINAL.last("USER")) :]
    assert {"RUN", "COPY"} & {instruction.name for instruction in after} == set()


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD", "HEALTHCHECK", "VOLUME"])
def test_nothing_needs_a_shell_to_run(name):
    assert re.search(r'\[".+"\]$', FINAL.last(name).text)


def test_it_is_asked_and_ended_as_the_sidecar_expects():
    assert FINAL.last("STOPSIGNAL").text == "SIGTERM"
    assert FINAL.last("HEALTHCHECK").words()[-2:] == ["-m", "proxy.health"]
    assert DEFAULT.endswith(f":{FINAL.last('EXPOSE').text}")
    assert FINAL.last("ENTRYPOINT").words() + FINAL.last("CMD").words() == [
        *("/opt/sekisho/bin/sekisho", "run", "-c", "/etc/sekisho/sekisho.yaml")
    ]


def test_nothing_is_fetched_but_by_hash():
    every = [instruction for stage in STAGES for instruction in stage.instructions]
    assert {instruction.name for instruction in every if instruction.name in ("ADD", "ONBUILD", "SHELL")} == set()
    assert [one.text for one in every if re.search(r"https?://|\b(curl|wget|apt-get|git)\b", one.text)] == []
    installs = [
        part for one in every if one.name == "RUN" for part in one.text.split("&&") if " install --quiet" in part
    ]
    assert len(installs) == 3
    for install in installs:
        assert "--no-deps" in install
        assert "--require-hashes" in install or "--no-index" in install


def test_what_is_only_needed_to_build_stays_behind():
    copies = [(copy.option("from"), copy.words()) for copy in FINAL.all("COPY")]
    assert copies == [("build", ["/opt/sekisho", "/opt/sekisho"])]
    assert any("pip uninstall" in run.text for run in FINAL.all("RUN"))


def test_labels_name_this_version():
    labels = pairs(" ".join(label.text for label in FINAL.all("LABEL")))
    assert {name.rpartition(".")[2] for name in labels} == {"title", "description", "licenses", "version", "revision"}
    assert labels["org.opencontainers.image.licenses"] == PYPROJECT["project"]["license"]
    assert FINAL.all("ARG")[0].text == f"VERSION={PYPROJECT['project']['version']}"


IGNORED = (PLACE / "Dockerfile.dockerignore").read_text().split("\n")


def is_sent(name: str) -> bool:
    """Whether the file is part of what a build may see: the last pattern that fits decides."""
    sent = True
    for pattern in (line for line in IGNORED if line and not line.startswith("#")):
        bare = pattern.removeprefix("!").removeprefix("**/")
        parts = [name, *name.split("/")] if "**/" in pattern else [name]
        if any(fnmatch(part, bare) for part in parts) or name.startswith(f"{bare}/"):
            sent = pattern.startswith("!")
    return sent


def test_a_build_sees_what_it_copies_and_no_more():
    copied = [source for copy in BUILD.all("COPY") for source in copy.words()[:-1]]
    for source in copied:
        assert (ROOT / source).exists()
        assert is_sent(source), source
    for name in (
        "deploy/secrets/fingerprint.key",
        ".git/config",
        "var/audit.jsonl",
        "proxy/__pycache__/run.pyc",
        ".venv/x",
    ):
        assert not is_sent(name), name


def locked(name: str) -> dict[str, str]:
    """Package → version, of a lock file."""
    text = (PLACE / name).read_text()
    found = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE))
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(entries) == len(found), "an entry without version or hash"
    return {canonicalize_name(key): version for key, version in found.items()}


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_each_locked_package_has_its_hashes(name):
    blocks = re.split(r"^(?=[\w.-]+==)", (PLACE / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked(name))
    for block in blocks:
        assert re.fullmatch(r"\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", block), block[:80]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("requirements.lock", PYPROJECT["project"]["dependencies"]),
        ("build.lock", PYPROJECT["build-system"]["requires"]),
    ],
)
def test_the_lock_agrees_with_pyproject(name, lines):
    versions = locked(name)
    asked = [Requirement(line) for line in lines]
    image = {"python_version": "3.13"}  # of the Dockerfile's base, and of `make lock`
    for requirement in (one for one in asked if one.marker is None or one.marker.evaluate(image)):
        version = versions.get(canonicalize_name(requirement.name), "nothing")
        assert requirement.specifier.contains(version), f"{requirement} but {version} is locked: run `make lock`"


def test_what_is_left_out_is_not_locked_and_not_imported():
    left_out = re.findall(r"^([\w-]+) ;", (PLACE / "left-out.txt").read_text(), re.MULTILINE)
    assert left_out
    assert set(left_out) & set(locked("requirements.lock")) == set()
    pattern = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(left_out)})\b", re.MULTILINE)
    sources = [path for package in ("proxy", "detectors") for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in sources if pattern.search(path.read_text())] == []
