"""The Helm chart, rendered by Helm itself in two versions, against Kubernetes' schemas and what a sidecar must be."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from proxy.policy import load
from tests.deploy.kubernetes.tools import CHART, KUBERNETES, KUSTOMIZE, POLICY, documents, need, one, output, wrong
from tests.e2e.authority import authority, pair
from tests.sidecar import ROOT

EXAMPLE = {"example": {"enabled": True}}
LOKI = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]}
TWO_TLS_LANES = POLICY.replace(
    "lanes:\n",
    "lanes:\n"
    '  - {name: search, listen: 127.0.0.1:9200, upstream: "https://es:9200", role: storage, '
    "tls: {ca_file: /etc/sekisho/tls/search/ca.crt}}\n"
    '  - {name: sessions, listen: "[::1]:9201", upstream: "http://sessions", role: storage, '
    "tls: {certificate_file: /etc/sekisho/tls/sessions/tls.crt, key_file: /etc/sekisho/tls/sessions/tls.key, "
    "client_ca_file: /etc/sekisho/tls/sessions/ca.crt}}\n",
)
TRANSPARENT = POLICY.replace(
    "lanes:\n",
    "lanes:\n"
    "  - name: all\n"
    "    listen: 127.0.0.1:15001\n"
    "    upstream: transparent\n"
    '    destinations: [{hosts: ["*.example.com"], role: external}]\n',
)
# name -> values, policy
VARIANTS = {
    "default": ({}, POLICY),
    "example": (EXAMPLE, POLICY),
    "existing secret": (EXAMPLE | {"keys": {"existingSecret": "shop-keys"}}, POLICY),
    "keys as values": (EXAMPLE | {"keys": {"data": {"fingerprint.key": "k" * 48, "admin.token": "t" * 48}}}, POLICY),
    "claim": (EXAMPLE | {"audit": {"storage": "claim", "existingClaim": "sekisho-audit"}}, POLICY),
    "transparent": (
        EXAMPLE | {"transparent": {"enabled": True, "image": "iptables:1", "exclude": ["10.96.0.0/12", "fd00::/8"]}},
        TRANSPARENT,
    ),
    "network policy": (EXAMPLE | {"networkPolicy": {"enabled": True, "egress": [LOKI]}}, POLICY),
    "workers": (EXAMPLE | {"workers": 4, "resources": {"limits": {"memory": "4Gi"}}}, POLICY),
    "monitor mode": (EXAMPLE, POLICY.replace("mode: enforce", "mode: monitor")),
    "two lanes with TLS": (
        EXAMPLE
        | {
            "extraVolumes": [
                {"name": name, "secret": {"secretName": f"{name}-tls", "defaultMode": 0o400}}
                for name in ("search", "sessions")
            ],
            "extraVolumeMounts": [
                {"name": name, "mountPath": f"/etc/sekisho/tls/{name}", "readOnly": True}
                for name in ("search", "sessions")
            ],
        },
        TWO_TLS_LANES,
    ),
    "monitoring": (
        EXAMPLE
        | {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        },
        POLICY,
    ),
    "named": (EXAMPLE | {"fullnameOverride": "gate", "image": {"digest": f"sha256:{'0' * 64}"}}, POLICY),
}


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture(scope="module")
def both(variant, layers, tmp_path_factory):
    """The variant as the older and the newer Helm render it."""
    return [layer.template(tmp_path_factory.mktemp("variant"), *variant) for layer in layers]


@pytest.fixture(scope="module")
def rendered(both):
    return both[-1]


def pod(manifests):
    return one(manifests, "Deployment", "example")["spec"]["template"]["spec"]


def ours(manifests):
    """Every container of Sekisho's."""
    return [
        container
        for item in manifests
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["initContainers"]
        if container["name"].startswith("sekisho")
    ]


def test_what_is_rendered_fits_every_version_of_kubernetes(rendered, operator_says):
    assert wrong(rendered) == []
    assert operator_says(rendered) == []
    assert len(KUBERNETES) == len(set(KUBERNETES)) == 3


def test_the_schemas_notice(newest, operator_says, tmp_path):
    manifests = newest.template(tmp_path, *VARIANTS["monitoring"])
    pod(manifests)["initContainers"][0]["restartPolicies"] = "Always"
    one(manifests, "Service")["spec"]["ports"][0]["port"] = "http"
    one(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] = 9464
    one(manifests, "PrometheusRule")["spec"]["groups"][0]["rules"][0]["for"] = "soon"
    assert [line.split()[:2] for line in wrong(manifests)] == [
        [version, kind] for kind in ("Service", "Deployment") for version in KUBERNETES
    ]
    assert [line.partition(":")[0] for line in operator_says(manifests)] == ["PodMonitor", "PrometheusRule"]


def test_both_versions_of_helm_render_the_same(both):
    older, newer = both
    assert older == newer


def test_the_sidecar_is_a_native_one_without_privileges(rendered):
    for container in ours(rendered):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is security["privileged"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["limits"]["memory"]
        if container["name"] == "sekisho":
            assert container["restartPolicy"] == "Always"
            assert security["runAsNonRoot"] is True
            assert security["runAsUser"] == security["runAsGroup"] > 0
            assert "add" not in security["capabilities"]


def test_probes_and_network_policy_have_the_ports_of_the_policy(newest, tmp_path):
    policy = TWO_TLS_LANES.replace("0.0.0.0:9464", '"[::]:9999"').replace("0.0.0.0:8080", '"[::]:8088"')
    manifests = newest.template(tmp_path, VARIANTS["network policy"][0], policy)
    (container,) = ours(manifests)
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert probes == [{"path": path, "port": 9999} for path in ("/readyz", "/readyz", "/healthz")]
    # Lanes on loopback are nobody else's.
    assert [port["containerPort"] for port in container["ports"]] == [9999, 8088]
    opened = one(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in opened] == [9999, 8088]


def test_the_policy_in_the_config_map_is_the_file_and_a_good_one(rendered, variant, tmp_path):
    text = one(rendered, "ConfigMap", "-policy")["data"]["sekisho.yaml"]
    assert text == variant[1]
    assert load(stand_in(text, tmp_path)).path.name == "sekisho.yaml"


def stand_in(text: str, base: Path) -> Path:
    """The policy with the pod's directories in ``base``, and the files that it names there."""
    for place in ("keys", "tls/search", "tls/sessions"):
        (base / place).mkdir(parents=True)
    key = base / "keys" / "fingerprint.key"
    key.write_text("k" * 48)
    key.chmod(0o600)
    for lane in ("search", "sessions"):
        public, _ = authority(base)
        public.rename(base / "tls" / lane / "ca.crt")
        for path in pair(base, "tls"):
            path.rename(base / "tls" / lane / path.name)
    path = base / "sekisho.yaml"
    path.write_text(text.replace("/etc/sekisho", str(base)).replace("/var/lib/sekisho", str(base)))
    return path


def test_a_namespace_with_the_restricted_standard_takes_the_pod(newest, tmp_path):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = pod(newest.template(tmp_path, *VARIANTS["two lanes with TLS"]))
    for container in [*spec["initContainers"], *spec["containers"]]:
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


def test_a_change_of_the_policy_does_not_replace_the_pods(newest, tmp_path):
    one_mode, other = (newest.template(tmp_path, *VARIANTS[name]) for name in ("example", "monitor mode"))
    assert one(one_mode, "Deployment") == one(other, "Deployment")
    assert one(one_mode, "ConfigMap") != one(other, "ConfigMap")


def test_the_grace_period_is_the_applications_and_then_the_drains(newest, tmp_path):
    for more, drain, seconds in (({}, 10, 45), ({"applicationGraceSeconds": 120, "drainSeconds": 30}, 30, 155)):
        manifests = newest.template(tmp_path, EXAMPLE | more)
        assert pod(manifests)["terminationGracePeriodSeconds"] == seconds
        assert ours(manifests)[0]["args"][-2:] == ["--grace", str(drain)]


def test_the_key_is_never_made_up(newest, tmp_path):
    assert newest.template(tmp_path) == newest.template(tmp_path)
    assert not [item for item in newest.template(tmp_path) if item["kind"] == "Secret"]
    (secret,) = [i for i in newest.template(tmp_path, VARIANTS["keys as values"][0]) if i["kind"] == "Secret"]
    assert secret["stringData"]["fingerprint.key"] == "k" * 48
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assert not re.search(
        r"\b(rand\w+|genPrivateKey|genCA|genSelfSigned\w+|genSigned\w+|uuidv4|now|lookup)\b", templates
    )


def test_where_keys_and_records_are(newest, tmp_path):
    def volumes(values):
        return {volume["name"]: volume for volume in pod(newest.template(tmp_path, EXAMPLE | values))["volumes"]}

    assert volumes({})["sekisho-keys"]["secret"] == {"secretName": "shop-sekisho-keys", "defaultMode": 0o440}
    assert volumes({"keys": {"existingSecret": "mine"}})["sekisho-keys"]["secret"]["secretName"] == "mine"
    assert volumes({})["sekisho-audit"] == {"name": "sekisho-audit", "emptyDir": {"sizeLimit": "2Gi"}}
    claim = {"audit": {"storage": "claim", "existingClaim": "records"}}
    assert volumes(claim)["sekisho-audit"]["persistentVolumeClaim"] == {"claimName": "records"}
    (sidecar,) = ours(newest.template(tmp_path, EXAMPLE | claim))
    assert sidecar["volumeMounts"][2]["subPathExpr"] == "$(POD_NAME)"
    assert sidecar["env"][0]["name"] == "POD_NAME"
    assert not [mount for mount in sidecar["volumeMounts"] if "subPath" in mount]


def test_only_the_iptables_container_has_capabilities_and_it_comes_first(newest, tmp_path):
    manifests = newest.template(tmp_path, *VARIANTS["transparent"])
    iptables, sidecar = ours(manifests)
    assert (iptables["name"], sidecar["name"]) == ("sekisho-iptables", "sekisho")
    assert iptables["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    script = one(manifests, "ConfigMap", "-iptables")["data"]["sekisho-iptables.sh"]
    assert script == (ROOT / "deploy" / "iptables" / "sekisho-iptables.sh").read_text()
    (tmp_path / "iptables.sh").write_text(script)
    assert iptables["command"] == ["sh", "/etc/sekisho/iptables/sekisho-iptables.sh"]
    rules = output("sh", tmp_path / "iptables.sh", *iptables["args"], "--print")
    assert f"--uid-owner {sidecar['securityContext']['runAsUser']} -j RETURN" in rules
    assert "-d 10.96.0.0/12 -j RETURN" in rules
    assert "-d fd00::/8 -j RETURN" in rules
    assert "REDIRECT --to-ports 15001" in rules


def test_the_network_policy_opens_the_lanes_and_nothing_else(newest, tmp_path):
    found = one(newest.template(tmp_path, *VARIANTS["network policy"]), "NetworkPolicy")["spec"]
    assert found["podSelector"] == {"matchLabels": {"sekisho-sidecar": "shop-sekisho"}}
    assert found["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in found["ingress"]] == [
        [{"port": 9464, "protocol": "TCP"}],
        [{"port": 8080, "protocol": "TCP"}],
    ]
    dns, loki = found["egress"]
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert loki == LOKI
    file = yaml.safe_dump({"kind": "NetworkPolicy", "spec": {"egress": [dns]}})
    written = {"networkPolicy": {"enabled": True, "written": file, "egress": [LOKI]}}
    assert one(newest.template(tmp_path, written), "NetworkPolicy")["spec"]["egress"] == [dns, LOKI]
    closed = {"networkPolicy": {"enabled": True, "dns": False, "metricsFrom": []}}
    loopback = POLICY.replace("0.0.0.0:8080", "127.0.0.1:8080")
    found = one(newest.template(tmp_path, closed, loopback), "NetworkPolicy")["spec"]
    assert not found["ingress"]
    assert not found["egress"]


def test_the_ways_out_are_what_sekisho_deploy_networkpolicy_writes(newest, tmp_path):
    policy = stand_in(POLICY.replace("p01.mul-pay.jp", "203.0.113.7"), tmp_path)
    label = "sekisho-sidecar=shop-sekisho"
    command = ("-m", "proxy", "deploy", "networkpolicy", "--config", policy, "--pod-selector", label)
    text = output(sys.executable, *command, cwd=ROOT)
    (written,) = documents(text)
    values = {"networkPolicy": {"enabled": True, "written": text}}
    found = one(newest.template(tmp_path, values), "NetworkPolicy")["spec"]
    assert found["egress"] == written["spec"]["egress"]
    assert found["podSelector"] == written["spec"]["podSelector"]
    assert {port["port"] for rule in found["ingress"] for port in rule["ports"]} == {8080, 9464}
    by_hand = yaml.safe_load((KUSTOMIZE / "network-policy" / "networkpolicy.yaml").read_text())
    assert found["egress"][:2] == by_hand["spec"]["egress"][:2]


def test_the_rules_are_those_of_deploy_prometheus(newest, tmp_path):
    manifests = newest.template(tmp_path, *VARIANTS["monitoring"])
    shipped = [
        group
        for name in ("recording.yaml", "alerts.yaml")
        for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text())["groups"]
    ]
    assert one(manifests, "PrometheusRule")["spec"] == {"groups": shipped}
    elsewhere = {"prometheusRule": {"enabled": True, "runbooks": "https://wiki.shop.example/sekisho"}}
    text = json.dumps(one(newest.template(tmp_path, elsewhere), "PrometheusRule"))
    assert "https://wiki.shop.example/sekisho/docs/runbooks/" in text
    assert "sekisho.example" not in text


def test_prometheus_takes_the_rules(newest, tmp_path):
    need("promtool")
    spec = one(newest.template(tmp_path, *VARIANTS["monitoring"]), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    assert "SUCCESS" in output("promtool", "check", "rules", tmp_path / "rules.yaml")


def test_the_pod_monitor_finds_the_pods_and_names_the_job_of_the_alerts(newest, tmp_path):
    manifests = newest.template(tmp_path, *VARIANTS["monitoring"])
    monitor = one(manifests, "PodMonitor")["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert endpoint["port"] in [port.get("name") for port in ours(manifests)[0]["ports"]]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "sekisho"}]
    assert 'up{job="sekisho"}' in (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text()


# values, where it is wrong
REFUSED = [
    ({"wrokers": 2}, "wrokers"),
    ({"workers": 0}, "workers"),
    ({"workers": "2"}, "workers"),
    ({"uid": 0}, "uid"),
    ({"policy": {"version": 1}}, "policy"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"keys": {"data": {"fingerprint.key": "short"}}}, "fingerprint.key"),
    ({"keys": {"data": {"other.key": "k" * 48}}}, "fingerprint.key"),
    ({"keys": {"data": {"fingerprint.key": "k" * 48}, "existingSecret": "mine"}}, "existingSecret"),
    ({"keys": {"random": True}}, "random"),
    ({"audit": {"storage": "hostPath"}}, "storage"),
    ({"audit": {"storage": "claim"}}, "existingClaim"),
    ({"audit": {"size": "a lot"}}, "size"),
    ({"probes": {"startup": {"periodSeconds": 0}}}, "periodSeconds"),
    ({"extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}]}, "defaultMode"),
    ({"extraVolumes": [{"name": "tls", "secret": {"secretName": "tls", "defaultMode": 0o644}}]}, "defaultMode"),
    ({"extraVolumeMounts": [{"name": "ca", "mountPath": "/ca.pem", "subPath": "ca.pem"}]}, "extraVolumeMounts"),
    ({"networkPolicy": {"egress": {"to": []}}}, "egress"),
    ({"prometheusRule": {"runbooks": "wiki"}}, "runbooks"),
    ({"transparent": {"enabled": True}}, "image"),
    ({"transparent": {"ports": "80 443"}}, "ports"),
]


@pytest.mark.parametrize(("values", "where"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_values_are_refused_by_name(values, where, layers, tmp_path):
    for layer in layers:
        arguments = ("template", "shop", CHART, "--values", tmp_path / "values.json")
        (tmp_path / "values.json").write_text(json.dumps(values))
        done = layer.helm(*arguments)
        assert done.returncode != 0
        assert "schema" in done.stderr
        assert where in done.stderr


UNUSABLE = [
    ({}, "", "there is no policy"),
    ({}, "version: [", "no YAML mapping"),
    ({}, POLICY.replace("0.0.0.0:9464", "127.0.0.1:9464"), "admin: {listen: 0.0.0.0:9464}"),
    ({}, POLICY.replace("admin:", "# admin:"), "admin: {listen: 0.0.0.0:9464}"),
    ({}, POLICY.replace("/var/lib/sekisho/", "var/"), "path: /var/lib/sekisho/audit.jsonl"),
    ({}, POLICY.replace("/etc/sekisho/keys/", "secrets/"), "/etc/sekisho/keys/fingerprint.key"),
    ({}, POLICY[: POLICY.index("lanes:")], "no list of lanes"),
    ({}, POLICY.replace("listen: 127.0.0.1:3100", "listen: 3100"), "no `listen: host:port`"),
    ({"networkPolicy": {"enabled": True, "written": "egress: []"}}, POLICY, "written is no NetworkPolicy"),
    ({"transparent": {"enabled": True, "image": "iptables:1"}}, POLICY, "no lane of the policy has upstream"),
]


@pytest.mark.parametrize(("values", "policy", "says"), UNUSABLE, ids=[says for *_, says in UNUSABLE])
def test_a_policy_that_cannot_run_in_a_pod_is_refused_with_what_to_write(values, policy, says, layers, tmp_path):
    for layer in layers:
        done = layer.try_template(tmp_path, values, policy)
        assert done.returncode != 0
        assert says in done.stderr


PARENT = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shop}
spec:
  serviceName: shop
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels:
        app: shop
        {{- include "sekisho.podLabels" .Subcharts.sekisho | nindent 8 }}
    spec:
      terminationGracePeriodSeconds: {{ include "sekisho.terminationGracePeriodSeconds" .Subcharts.sekisho }}
      securityContext: {{- include "sekisho.podSecurityContext" .Subcharts.sekisho | nindent 8 }}
      initContainers:
        {{- include "sekisho.initContainers" .Subcharts.sekisho | nindent 8 }}
        - {name: migrate, image: "shop:1"}
      containers: [{name: shop, image: "shop:1"}]
      volumes: {{- include "sekisho.volumes" .Subcharts.sekisho | nindent 8 }}
  volumeClaimTemplates: {{- include "sekisho.volumeClaimTemplates" .Subcharts.sekisho | nindent 4 }}
"""


def test_a_chart_of_the_teams_own_includes_the_sidecar(layers, tmp_path):
    chart = tmp_path / "shop"
    (chart / "templates").mkdir(parents=True)
    dependency = {"name": "sekisho", "version": "0.1.0", "repository": f"file://{CHART}"}
    document = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [dependency]}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(document))
    (chart / "templates" / "shop.yaml").write_text(PARENT)
    values = {"sekisho": {"policy": POLICY, "audit": {"storage": "claimTemplate", "size": "20Gi"}}}
    values["sekisho"] |= {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    for layer in layers:
        assert layer.helm("dependency", "update", chart).returncode == 0
        done = layer.helm("template", "release", chart, "--kube-version", "1.31.0")
        assert done.returncode == 0, done.stderr
        manifests = documents(done.stdout)
        assert wrong(manifests) == []
        spec = one(manifests, "StatefulSet")["spec"]
        assert [item["name"] for item in spec["template"]["spec"]["initContainers"]] == ["sekisho", "migrate"]
        assert spec["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "20Gi"}}
        mounted = {mount["name"] for mount in spec["template"]["spec"]["initContainers"][0]["volumeMounts"]}
        volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
        assert mounted == volumes | {"sekisho-audit"}
        assert one(manifests, "PrometheusRule")["spec"]["groups"]
        assert one(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"] == {"sekisho-sidecar": "release-sekisho"}


def test_kubernetes_without_native_sidecars_is_refused(newest, tmp_path):
    (tmp_path / "sekisho.yaml").write_text(POLICY)
    given = ("--set-file", f"policy={tmp_path / 'sekisho.yaml'}", "--kube-version", "1.28.9")
    assert ">=1.29" in newest.helm("template", "shop", CHART, *given).stderr


def test_the_wrong_scope_is_told(newest, tmp_path):
    chart = tmp_path / "shop"
    (chart / "templates").mkdir(parents=True)
    (chart / "charts").mkdir()
    (chart / "charts" / "sekisho").symlink_to(CHART)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 1.0.0}")
    (chart / "templates" / "shop.yaml").write_text('x: {{ include "sekisho.podLabels" . }}')
    (chart / "values.yaml").write_text(yaml.safe_dump({"sekisho": {"policy": POLICY}}))
    assert ".Subcharts.sekisho" in newest.helm("template", "release", chart).stderr


def test_the_chart_is_the_version_of_the_program_and_lints(layers, tmp_path):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (tmp_path / "sekisho.yaml").write_text(POLICY)
    for layer in layers:
        done = layer.helm("lint", CHART, "--strict", "--set-file", f"policy={tmp_path / 'sekisho.yaml'}")
        assert done.returncode == 0, done.stdout + done.stderr
