"""The shape of the code, held by tests: who may import whom, where tests stand, how large a piece may grow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for package in ("detectors", "proxy") for path in (ROOT / package).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Library -> the only files that may import it: what everything imports can never be replaced or left out.
SOLE_IMPORTERS = {
    "presidio_analyzer": ["detectors/presidio.py"],
    "hyperscan": ["detectors/compiled.py", "detectors/sieve.py"],
    "mitmproxy": [
        "proxy/host.py",
        "proxy/listener.py",
        "proxy/handler.py",
        "proxy/http/*.py",
        "proxy/addon.py",
        "proxy/stock.py",
        "proxy/run.py",
    ],
    "aiohttp": ["proxy/admin.py", "proxy/page/server.py", "proxy/demo/*.py"],
    "jinja2": ["proxy/page/server.py", "proxy/records/report_page.py"],
    "prometheus_client": ["proxy/metrics*.py", "proxy/doctor/sidecar.py"],
    "typer": ["proxy/cli.py", "proxy/terminal.py", "proxy/commands/*.py"],
}

# Files -> what they must not import, directly. The plane knows the guard, the guard knows the policy, and none the reverse.
PLANE = [
    "proxy.host",
    "proxy.listener",
    "proxy.handler",
    "proxy.http*",
    "proxy.addon",
    "proxy.stock",
    "proxy.run",
    "proxy.processes*",
    "proxy.cli",
    "proxy.commands*",
    "proxy.demo*",
    "proxy.admin",
    "proxy.page*",
]
FORBIDDEN = {
    "detectors/*": ["proxy*", "mitmproxy*", "aiohttp*", "prometheus_client*", "typer*"],
    "detectors/decoders/*": [
        "detectors.inspector",
        "detectors.redaction",
        "detectors.recognizers*",
        "detectors.presidio",
    ],
    "detectors/recognizers/*": ["detectors.inspector", "detectors.redaction", "detectors.decoders*"],
    "detectors/model.py": ["detectors.*"],
    "proxy/message.py": [
        *PLANE,
        "proxy.guard",
        "proxy.judge",
        "proxy.gmo*",
        "proxy.records.audit",
        "proxy.metrics*",
    ],
    "proxy/policy*.py": [
        *PLANE,
        "proxy.guard",
        "proxy.judge",
        "proxy.gmo*",
        "proxy.records.audit",
        "proxy.metrics*",
    ],
    "proxy/judge.py": [*PLANE, "proxy.guard", "proxy.gmo*", "proxy.records.audit", "proxy.metrics*"],
    "proxy/gmo*.py": [
        *PLANE,
        "proxy.guard",
        "proxy.judge",
        "proxy.policy*",
        "proxy.records.audit",
        "proxy.metrics*",
    ],
    "proxy/metrics*.py": [*PLANE, "proxy.guard", "proxy.gmo*"],
    "proxy/records/audit*.py": [*PLANE, "proxy.guard", "proxy.gmo*"],
    "proxy/guard.py": PLANE,
}

# Source modules without a test file of their own, and why.
NO_TEST_FILE = {
    "*/__init__.py": "a door: what it re-exports is tested where it is written",
    "proxy/__main__.py": "one call of cli.main, run by every end-to-end test",
    "proxy/message.py": "values without behaviour",
}

MODULE_LINES = 320
FUNCTION_LINES = 60
# Larger than that, and why it is still one idea.
LARGE: dict[str, str] = {}

OTHER_NAMES = {  # import name -> distribution, where they differ
    "presidio_analyzer": "presidio-analyzer",
    "prometheus_client": "prometheus-client",
    "ruamel": "ruamel.yaml",
    "OpenSSL": "pyopenssl",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
}


def imports(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it; ``from a import b`` counts as ``a`` and ``a.b``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def run_time_imports(path: Path) -> set[str]:
    """As ``imports``, without those that only a type checker sees."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_a_library_has_its_few_importers(library):
    importers = [
        name
        for path, name in zip(SOURCES, NAMES, strict=True)
        if any(m.split(".")[0] == library for m in imports(path))
    ]
    strangers = [name for name in importers if not any(fnmatch(name, allowed) for allowed in SOLE_IMPORTERS[library])]
    assert strangers == []
    assert importers, f"nothing imports {library}: drop the dependency"


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_downwards(name):
    modules = run_time_imports(ROOT / name)
    rules = [pattern for files, patterns in FORBIDDEN.items() if fnmatch(name, files) for pattern in patterns]
    own = name.removesuffix(".py").replace("/", ".")
    upwards = sorted(m for m in modules if not m.startswith(own) and any(fnmatch(m, pattern) for pattern in rules))
    assert upwards == []


def test_every_library_is_declared_and_every_dependency_used():
    third_party = {
        OTHER_NAMES.get(top, top)
        for path in SOURCES
        for module in imports(path)
        if (top := module.split(".")[0]) not in sys.stdlib_module_names
        and top not in ("proxy", "detectors", "__future__")
    }
    declared = {re.split(r"[<>=\[]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert third_party == declared


def test_every_dependency_and_every_exemption_has_its_reason():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    dependencies = lines[lines.index("dependencies = [") + 1 :]
    listed = dependencies[: dependencies.index("]")]
    for line, before in zip(listed, ["", *listed], strict=False):
        assert line.strip().startswith("#") or before.strip().startswith("#"), line
    text = "\n".join(lines)
    for block in re.findall(r"^(?:ignore|\"[a-z/]+\*\*\") = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            assert re.search(r"#\s*\S", line), line


def test_mitmproxy_is_pinned_exactly():
    (pin,) = [line for line in PYPROJECT["project"]["dependencies"] if line.startswith("mitmproxy")]
    assert re.fullmatch(r"mitmproxy==\d+\.\d+\.\d+", pin)


@pytest.mark.parametrize("name", NAMES)
def test_each_module_has_its_test_file(name):
    if any(fnmatch(name, pattern) for pattern in NO_TEST_FILE):
        return
    path = Path(name)
    assert (ROOT / "tests" / path.parent / f"test_{path.name}").is_file()


def test_each_test_file_has_its_module():
    for package in ("detectors", "proxy"):
        for test in (ROOT / "tests" / package).rglob("test_*.py"):
            place = test.relative_to(ROOT / "tests")
            if "properties" in place.parts:
                continue  # what holds for the whole package has no module of its own
            source = ROOT / place.parent / place.name.removeprefix("test_")
            assert source.is_file() or source.with_suffix("").is_dir(), f"{place} tests nothing that exists"


def pieces(path: Path) -> dict[str, tuple[int, int]]:
    """Name -> (lines, allowed) of the module and each function in it."""
    text = path.read_text()
    found = {path.relative_to(ROOT).as_posix(): (text.count("\n"), MODULE_LINES)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found[f"{path.relative_to(ROOT).as_posix()}:{node.name}"] = (lines, FUNCTION_LINES)
    return found


def test_modules_and_functions_stay_small():
    large = {
        name: f"{lines} lines" for path in SOURCES for name, (lines, allowed) in pieces(path).items() if lines > allowed
    }
    assert set(large) == set(LARGE), large


def test_the_door_is_narrow():
    from detectors import __all__ as names

    assert 0 < len(names) <= 8


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_somebodys_machine():
    homes = re.compile(rb"(?<![\w.*/])/(?:root|work|Users|home/\w+)/")
    guilty = [path.name for path in tracked() if homes.search(path.read_bytes()) and path != Path(__file__)]
    assert guilty == []


def test_nothing_is_left_unfinished():
    words = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")
    guilty = [
        f"{name}: {words.findall(path.read_text())}"
        for path, name in zip(SOURCES, NAMES, strict=True)
        if words.search(path.read_text())
    ]
    assert guilty == []


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_the_command_line_starts_without_the_host():
    """``check`` and ``schema`` run in editors and hooks: they must not pay for the engines (2 s, 100 MB)."""
    assert (
        run(
            "import sys, proxy.cli, proxy.policy\n"
            "print([n for n in ('mitmproxy', 'presidio_analyzer', 'hyperscan', 'aiohttp') if n in sys.modules])"
        )
        == "[]\n"
    )


def test_importing_our_modules_does_nothing():
    """No file opened for writing, no socket, no process, no handler on the root logger: an import is not a start."""
    ours = [
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in NAMES if "__main__" not in name
    ]
    third = sorted(
        {m for path in SOURCES for m in run_time_imports(path) if m.split(".")[0] not in ("proxy", "detectors")}
    )
    assert (
        run(
            "import sys, importlib, logging\n"
            f"for name in {third!r}:\n"
            "    try: importlib.import_module(name)\n"
            "    except ModuleNotFoundError: pass\n"
            "handlers, seen = len(logging.getLogger().handlers), []\n"
            "def hook(event, args):\n"
            "    writes = event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+')\n"
            "    if writes or event.startswith(('socket.', 'subprocess.', 'os.system')): seen.append(event)\n"
            "sys.addaudithook(hook)\n"
            f"for name in {ours!r}: importlib.import_module(name)\n"
            "print(seen, len(logging.getLogger().handlers) - handlers)"
        )
        == "[] 0\n"
    )
