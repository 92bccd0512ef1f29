from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from proxy import memory as module
from proxy.memory import leave_no_core, return_large_blocks

CRASH = """
import os, resource
from proxy.memory import leave_no_core
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
leave_no_core()
os.abort()
"""


@pytest.mark.parametrize("library", [None, object(), OSError()])
def test_freed_blocks_go_back_to_the_system_where_the_c_library_can(library, monkeypatch):
    def load(_):
        if isinstance(library, OSError):
            raise library
        return library

    if library is not None:
        monkeypatch.setattr(module.ctypes, "CDLL", load)
    return_large_blocks()


def test_a_freed_mebibyte_goes_back(monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda option, size: asked.append((option, size)))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: library)
    return_large_blocks()
    assert asked == [(module.M_MMAP_THRESHOLD, 1 << 20), (module.M_TRIM_THRESHOLD, 4 << 20)]


def test_a_crash_leaves_no_core(tmp_path):
    with subprocess.Popen([sys.executable, "-c", CRASH], cwd=tmp_path) as process:
        _, status = os.waitpid(process.pid, 0)
        process.returncode = 0  # it has been waited for
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0, resource.RLIM_INFINITY), (1, 1)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (1, 1)),
        ((0, 1), (1, 1)),
        ((0, 0), (0, 0)),
    ],
)
def test_a_limit_that_is_stricter_stays(before, after, monkeypatch):
    set_to = []
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(module.resource, "setrlimit", lambda _, limits: set_to.append(limits))
    leave_no_core()
    assert set_to == [after]
