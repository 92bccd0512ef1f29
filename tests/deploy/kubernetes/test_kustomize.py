"""The kustomize tree, built by kubectl in two versions: the same as the chart makes, and Kubernetes takes it."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from deploy.kustomize import prometheusrule
from proxy.policy import load
from tests.deploy.kubernetes.test_chart import stand_in
from tests.deploy.kubernetes.tools import KUSTOMIZE, POLICY, one, wrong

OVERLAYS = ("staging", "production")


@pytest.fixture(params=OVERLAYS, scope="module")
def built(request, layers):
    """The overlay as the older and the newer kubectl build it."""
    return [layer.kustomize(KUSTOMIZE / "overlays" / request.param) for layer in layers]


def test_what_is_built_fits_every_version_of_kubernetes(built, operator_says):
    older, newer = built
    assert older == newer
    assert wrong(newer) == []
    assert operator_says(newer) == []


def test_production_is_what_the_chart_makes(newest, tmp_path):
    """Helm's own labels and the namespace aside, and the order in which ports are listed."""
    networks = one(newest.kustomize(KUSTOMIZE / "overlays" / "production"), "NetworkPolicy")["spec"]["egress"]
    values = {
        "fullnameOverride": "sekisho",
        "example": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "networkPolicy": {"enabled": True, "egress": networks[1:]},
    }

    def plain(manifests):
        for item in manifests:
            metadata = item["metadata"]
            metadata.pop("namespace", None)
            metadata.pop("labels", None)
        return {(item["kind"], item["metadata"]["name"]): item for item in manifests}

    chart = plain(newest.template(tmp_path, values, POLICY))
    assert plain(newest.kustomize(KUSTOMIZE / "overlays" / "production")) == chart
    assert len(chart) == 6


def test_staging_watches_and_production_enforces(tmp_path):
    policies = {}
    for overlay in OVERLAYS:
        (tmp_path / overlay).mkdir()
        text = (KUSTOMIZE / "overlays" / overlay / "sekisho.yaml").read_text()
        assert load(stand_in(text, tmp_path / overlay)).lanes
        policies[overlay] = yaml.safe_load(text)
    different = {key for key in policies["staging"] if policies["staging"][key] != policies["production"][key]}
    assert different == {"policy_id", "mode"}
    assert [policies[overlay]["mode"] for overlay in OVERLAYS] == ["monitor", "enforce"]


def test_the_written_prometheus_rule_is_current():
    assert prometheusrule.TARGET.read_text() == prometheusrule.text(), "run: make prometheusrule"


def test_the_component_goes_into_a_workload_of_the_teams_own(layers, tmp_path):
    container = {"name": "shop", "image": "shop:1"}
    pod = {"initContainers": [container | {"name": "migrate"}], "containers": [container]}
    pod |= {"volumes": [{"name": "own", "emptyDir": {}}]}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "shop", "labels": {"sekisho-sidecar": "sekisho"}},
        "spec": {
            "serviceName": "shop",
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {"metadata": {"labels": {"app": "shop"}}, "spec": pod},
        },
    }
    other = workload | {"metadata": {"name": "other"}}
    component = os.path.relpath(KUSTOMIZE / "sidecar", tmp_path)
    kustomization = {"resources": ["shop.yaml", "other.yaml"], "components": [component]}
    for name, document in (("shop", workload), ("other", other), ("kustomization", kustomization)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document))
    for layer in layers:
        manifests = layer.kustomize(tmp_path)
        assert wrong(manifests) == []
        spec = one(manifests, "StatefulSet", "shop")["spec"]["template"]["spec"]
        assert [item["name"] for item in spec["initContainers"]] == ["sekisho", "migrate"]
        assert {volume["name"] for volume in spec["volumes"]} == {
            "own",
            "sekisho-policy",
            "sekisho-keys",
            "sekisho-audit",
        }
        assert one(manifests, "StatefulSet", "other") == other
