"""The project frame: finding a Python, the make targets' guards, and the test suite's own checks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.published_numbers import card_numbers_in, masked
from tests.sidecar import free_port

ROOT = Path(__file__).resolve().parent.parent
FIND = ROOT / ".ci" / "find-python"
GOOD = '#!/bin/sh\ncase "$2" in *sys.version_info*) echo "$0";; esac\n'
TOO_OLD = '#!/bin/sh\ncase "$2" in *sys.version_info*) echo;; esac\n'
SHIM_THAT_FAILS = '#!/bin/sh\necho "pyenv: command not found" >&2; exit 127\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *%d*) echo 3.13;; *sys.version_info*) echo "$0";; *) exit 1;; esac\n'


@pytest.fixture
def machine(tmp_path):
    """A machine of which only ``bin`` is on PATH; ``put(place, script)`` adds a program."""
    for tool in ("sh", "cut", "dirname", "cat"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))

    def put(place: str, script: str) -> Path:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    def find(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(FIND)],
            env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")} | environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    machine = type("Machine", (), {})
    machine.path, machine.put, machine.find = tmp_path, staticmethod(put), staticmethod(find)
    return machine


@pytest.mark.parametrize(
    ("programs", "environment", "found"),
    [
        pytest.param({"bin/python3": GOOD}, {}, "bin/python3", id="python3-on-path"),
        pytest.param({"bin/python3": TOO_OLD, "bin/python3.13": GOOD}, {}, "bin/python3.13", id="old-python3"),
        pytest.param(
            {
                "bin/python3": SHIM_THAT_FAILS,
                "bin/python3.12": SHIM_THAT_FAILS,
                "home/.pyenv/versions/3.12.1/bin/python3": GOOD,
            },
            {},
            "home/.pyenv/versions/3.12.1/bin/python3",
            id="failing-shims-and-a-version-in-pyenv",
        ),
        pytest.param(
            {"home/.pyenv/versions/3.12.1/bin/python3": GOOD, "home/.pyenv/versions/3.13.0/bin/python3": GOOD},
            {},
            "home/.pyenv/versions/3.13.0/bin/python3",
            id="newest-in-pyenv",
        ),
        pytest.param(
            {"else where/versions/3.12.9/bin/python3": GOOD},
            {"PYENV_ROOT": "{}/else where"},
            "else where/versions/3.12.9/bin/python3",
            id="pyenv-root-with-a-space",
        ),
        pytest.param(
            {"opt/pyenv/bin/pyenv": GOOD, "opt/pyenv/versions/3.12.3/bin/python3": GOOD},
            {"PATH": "{0}/bin:{0}/opt/pyenv/bin"},
            "opt/pyenv/versions/3.12.3/bin/python3",
            id="pyenv-on-path-only",
        ),
        pytest.param(
            {"home/.local/share/uv/python/cpython-3.12.4-linux/bin/python3": GOOD},
            {},
            "home/.local/share/uv/python/cpython-3.12.4-linux/bin/python3",
            id="held-by-uv",
        ),
        pytest.param(
            {"bin/python3": WITHOUT_VENV, "home/.pyenv/versions/3.13.0/bin/python3": GOOD},
            {},
            "home/.pyenv/versions/3.13.0/bin/python3",
            id="first-cannot-make-environments",
        ),
        pytest.param({"bin/python3": GOOD, "my/python": GOOD}, {"PYTHON": "{}/my/python"}, "my/python", id="named"),
    ],
)
def test_find_python_prints_the_interpreter(machine, programs, environment, found):
    for place, script in programs.items():
        machine.put(place, script)
    environment = {name: value.format(machine.path) for name, value in environment.items()}
    answer = machine.find(**environment)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{machine.path / found}\n", "")


@pytest.mark.parametrize(
    ("programs", "environment", "says"),
    [
        pytest.param({}, {}, ["3.12 or newer, and found none", "no python3 on PATH", "pyenv install"], id="nothing"),
        pytest.param({"bin/python3": TOO_OLD}, {}, ["found none", "bin/python3", "PYTHON="], id="too-old"),
        pytest.param({"bin/python3": SHIM_THAT_FAILS}, {}, ["found none", "bin/python3"], id="failing-shim"),
        pytest.param(
            {"bin/python3": WITHOUT_VENV},
            {},
            ["is Python 3.13, but cannot make virtual environments", "apt-get install python3.13-venv"],
            id="no-venv-module",
        ),
        pytest.param(
            {"bin/python3": GOOD}, {"PYTHON": "python9"}, ["PYTHON=python9 is not one that runs"], id="named-wrongly"
        ),
    ],
)
def test_find_python_says_what_is_missing(machine, programs, environment, says):
    for place, script in programs.items():
        machine.put(place, script)
    answer = machine.find(**environment)
    assert (answer.returncode, answer.stdout) == (1, "")
    for words in says:
        assert words in answer.stderr


OUTER = {"ARGS", "MODE", "POLICY", "PYTHON"}
"""Variables that a make around the tests hands down to one inside them."""


def make(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=tree,
        env={name: value for name, value in os.environ.items() if name not in OUTER and "MAKE" not in name}
        | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def tree(tmp_path):
    """A copy of what make reads, in a path with a space; its Python is a stand-in whose pip only records."""
    tree = tmp_path / "a clone"
    (tree / ".ci").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", ".ci/find-python"):
        shutil.copy(ROOT / name, tree / name)
    fake = tmp_path / "fake python"
    fake.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*sys.version_info*) echo "$0";;\n'
        '*"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >>log;;\n'
        '*"-m pip"*) echo "pip $*" >>log; [ ! -e pip-fails ] || { echo "pip: no network" >&2; exit 1; }\n'
        "  printf '#!/bin/sh\\necho sekisho \"$@\"\\n' >.venv/bin/sekisho; chmod +x .venv/bin/sekisho;;\n"
        "*print*) echo 1;;\n"
        "esac\n"
    )
    fake.chmod(0o755)
    return tree, str(fake)


def test_demo_installs_once_and_then_starts_at_once(tree):
    tree, fake = tree
    first = make(tree, "-j4", "demo", "MODE=monitor", PYTHON=fake)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "sekisho demo --mode monitor"
    log = (tree / "log").read_text()
    second = make(tree, "demo", PYTHON=fake)
    assert second.stdout == "sekisho demo --mode enforce\n"
    assert (tree / "log").read_text() == log
    assert [line.split()[0] for line in log.splitlines()] == ["venv", "pip"]


def test_a_changed_pyproject_is_installed(tree):
    tree, fake = tree
    make(tree, "demo", PYTHON=fake)
    later = (tree / ".venv" / ".runtime").stat().st_mtime + 5
    os.utime(tree / "pyproject.toml", (later, later))
    make(tree, "demo", PYTHON=fake)
    assert [line.split()[0] for line in (tree / "log").read_text().splitlines()] == ["venv", "pip", "pip"]


def test_a_moved_tree_gets_a_new_environment(tree):
    tree, fake = tree
    make(tree, "demo", PYTHON=fake)
    moved = tree.rename(tree.with_name("moved"))
    answer = make(moved, "demo", PYTHON=fake)
    assert answer.stdout.splitlines()[-1] == "sekisho demo --mode enforce"
    assert [line.split()[0] for line in (moved / "log").read_text().splitlines()] == ["venv", "pip", "venv", "pip"]


def test_a_failed_installation_says_what_to_do_and_is_not_taken_for_done(tree):
    tree, fake = tree
    (tree / "pip-fails").touch()
    answer = make(tree, "demo", PYTHON=fake)
    assert answer.returncode == 2
    assert "pip: no network" in answer.stderr
    assert "PIP_INDEX_URL" in answer.stderr
    (tree / "pip-fails").unlink()
    assert make(tree, "demo", PYTHON=fake).stdout.splitlines()[-1] == "sekisho demo --mode enforce"


SUITE = {
    "leak_by_print": "def test_it(): print('charged 4111 1111 1111 1111')",
    "leak_by_log": "import logging\ndef test_it(): logging.getLogger('proxy.x').debug('charged 5555555555554444')",
    "leak_by_child": "import subprocess\ndef test_it(): subprocess.run(['echo', '378282246310005'])",
    "gateway_number": "def test_it(): print('CardNo=5111111111111111')",
    "said_so": "import pytest\n@pytest.mark.card_output('why')\ndef test_it(): print('4111111111111111')",
    "clean": "def test_it(): print('1763800000123, 4111-11, 411111******1111 and 0.4539578763621486')",
    "skipped": "import pytest\n@pytest.mark.skip\ndef test_it(): pass",
    "skipped_module": "import pytest\npytest.skip('no', allow_module_level=True)",
}


@pytest.mark.parametrize(
    ("module", "options", "passes"),
    [
        ("leak_by_print", [], False),
        ("leak_by_log", [], False),
        ("leak_by_child", [], False),
        ("gateway_number", [], False),
        ("said_so", [], True),
        ("clean", [], True),
        ("skipped", [], True),
        ("skipped", ["--no-skips"], False),
        ("skipped_module", ["clean"], True),
        ("skipped_module", ["clean", "--no-skips"], False),
    ],
)
def test_the_suite_watches_itself(tmp_path, module, options, passes):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    for name, source in SUITE.items():
        (tmp_path / f"test_{name}.py").write_text(source)
    files = [f"test_{name}.py" for name in (module, *options) if not name.startswith("-")]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            *files,
            *(o for o in options if o[0] == "-"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode == 0) is passes, masked(run.stdout)
    assert card_numbers_in(run.stdout) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=4111111111111111;", "x=****************;"),
        ("4111-1111-1111-1111", "*******************"),
        ("3782 822463 10005", "*****************"),
        ("a6011111111111117b", "a****************b"),
        ("4539578763621486", "****************"),
        ("1763800000123456789", "1763800000123456789"),
        ("urn:uuid:11111111-4444-4444-8444-444444444444", "urn:uuid:11111111-4444-4444-8444-444444444444"),
        ("0x7f4111111111", "0x7f4111111111"),
    ],
    ids=["plain", "dashes", "amex-groups", "letters-around", "unpublished", "nanoseconds", "uuid", "address"],
)
def test_masked(text, expected):
    assert masked(text) == expected


def test_a_long_run_never_ends_without_a_free_port():
    given = [free_port() for _ in range(6_000)]
    assert len(set(given[-1_000:])) == 1_000, "a port came again soon: two listeners of one test may meet on it"
