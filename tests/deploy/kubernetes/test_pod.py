"""The pod that the manifests describe, run without a cluster: see ``kubelet.Pod``."""

from __future__ import annotations

import json
import os
import re
import socket

import pytest

from tests.deploy.kubernetes.kubelet import Pod, until
from tests.deploy.kubernetes.test_chart import TRANSPARENT
from tests.deploy.kubernetes.tools import KUSTOMIZE, POLICY, need, one
from tests.e2e.authority import authority, client_context, pair
from tests.published_numbers import PUBLISHED

VISA = next(number for number, brand, luhn in PUBLISHED if brand == "visa" and luhn)
KEYS = {"sekisho-keys": {"fingerprint.key": b"k" * 48}}
SECRET = next(iter(KEYS))


@pytest.fixture
def make_pod(tmp_path, newest):
    need("ip", "unshare", "nsenter", "setpriv")
    if os.geteuid() != 0:
        pytest.skip("namespaces and other users' files: run as root")
    pods = []

    def make_pod(manifests=(), secrets=KEYS, change=lambda spec: None):
        manifests = manifests or newest.kustomize(KUSTOMIZE / "overlays" / "production")
        change(one(manifests, "Deployment")["spec"]["template"]["spec"])
        pods.append(Pod(tmp_path, manifests, secrets))
        return pods[-1]

    yield make_pod
    for pod in pods:
        pod.close()


def policy_of(overlay: str) -> bytes:
    return (KUSTOMIZE / "overlays" / overlay / "sekisho.yaml").read_bytes()


def test_from_the_first_probe_to_the_last_record(make_pod):
    pod = make_pod()
    (sidecar,), (shop,) = pod.spec["initContainers"], pod.spec["containers"]
    gate = start(pod)
    assert pod.probe(sidecar, "readiness")
    assert pod.probe(sidecar, "liveness")
    application = pod.start(shop)
    until(lambda: pod.get(8080, "/")[0] == 200, "the shop behind the lane front")
    assert pod.get(8000, "/")[0] == 0, "the shop itself is not on the pod's address"
    assert pod.get(3100, "/")[0] == 0, "nor is a lane for the application"
    assert pod.get(8080, f"/?card={VISA}")[0] == 403

    pod.write("sekisho-policy", {"sekisho.yaml": policy_of("staging")})
    until(lambda: 'policy_id="shop-staging"' in pod.get(9464, "/metrics")[1], "the new policy")
    assert pod.get(8080, f"/?card={VISA}")[0] == 200
    pod.write("sekisho-policy", {"sekisho.yaml": b"version: 1\nlanes: none\n"})
    until(lambda: "sekisho_policy_last_reload_success 0.0" in pod.get(9464, "/metrics")[1], "the refusal of a bad one")
    assert 'policy_id="shop-staging"' in pod.get(9464, "/metrics")[1]
    pod.write("sekisho-policy", {"sekisho.yaml": policy_of("production")})
    until(lambda: "sekisho_policy_last_reload_success 1.0" in pod.get(9464, "/metrics")[1], "the former policy")
    assert pod.get(8080, f"/?card={VISA}")[0] == 403

    assert pod.exec(sidecar, "sekisho", "check", "/dev/stdin", given=policy_of("staging"))[0] == 0
    code, told = pod.exec(sidecar, "sekisho", "doctor", "--config", "/etc/sekisho/policy/sekisho.yaml")
    broken = [line for line in told.splitlines() if line.startswith(("broken", "warning"))]
    assert [line.split()[1] for line in broken] == ["upstream", "upstream"], told  # there is no cluster behind the pod
    assert code == 1

    application.end()
    assert pod.get(8080, "/")[0] == 502, "the sidecar still answers when the shop has ended"
    assert gate.end() == 0
    audit = pod.volume("sekisho-audit") / "audit.jsonl"
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert (records[0]["kind"], records[-1]["kind"]) == ("start", "stop")
    # The server tells the path back: in mode monitor the answer has the number, too.
    done = [(record["policy_id"], record["verdict"]) for record in records if record["kind"] == "passthrough"]
    production, staging = ("shop-production", "block"), ("shop-staging", "report")
    assert done == [production, staging, staging, production]
    user = sidecar["securityContext"]["runAsUser"]
    assert (audit.stat().st_uid, audit.stat().st_gid) == (user, pod.group)
    assert [path.name for path in pod.volume("sekisho-audit").iterdir() if not re.match("audit", path.name)] == []


def start(pod):
    """The sidecar, once its startup probe has passed."""
    sidecar = pod.spec["initContainers"][-1]
    gate = pod.start(sidecar)
    until(lambda: gate.process.poll() is not None or pod.probe(sidecar, "startup"), "the startup probe")
    assert gate.process.poll() is None, gate.log()
    return gate


def test_a_certificate_that_cert_manager_renews_is_served_without_a_restart(make_pod, newest, tmp_path):
    tls = "tls: {certificate_file: /etc/sekisho/tls/tls.crt, key_file: /etc/sekisho/tls/tls.key}"
    policy = POLICY.replace("role: shop}", f"role: shop, {tls}}}")
    values = {
        "example": {"enabled": True},
        "keys": {"existingSecret": SECRET},
        "extraVolumes": [{"name": "front", "secret": {"secretName": "front-tls", "defaultMode": 0o400}}],
        "extraVolumeMounts": [{"name": "front", "mountPath": "/etc/sekisho/tls", "readOnly": True}],
    }
    public, _ = authority(tmp_path)

    def issued(subject):
        certificate, key = pair(tmp_path, "front", subject=subject)
        return {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(), "ca.crt": public.read_bytes()}

    def served():
        plain = socket.create_connection(("127.0.0.1", 8080), timeout=60)
        with client_context(public).wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return dict(name for (name,) in secure.getpeercert()["subject"])["commonName"]

    pod = make_pod(newest.template(tmp_path, values, policy), KEYS | {"front-tls": issued("first")})
    gate = start(pod)
    assert pod.inside(served) == "first"
    pod.write("front", issued("second"), 0o400)
    until(lambda: pod.inside(served) == "second", "the renewed certificate")
    assert gate.end() == 0


def test_what_the_application_opens_is_redirected_by_the_init_container(make_pod, newest, tmp_path):
    need("iptables")
    values = {"example": {"enabled": True}, "keys": {"existingSecret": SECRET}}
    pod = make_pod(newest.template(tmp_path, values | {"transparent": {"enabled": True, "image": "any"}}, TRANSPARENT))
    iptables, shop = pod.spec["initContainers"][0], pod.spec["containers"][0]
    code, told = pod.exec(iptables, *iptables["command"], *iptables["args"])
    assert code == 0, told
    gate = start(pod)
    asked = (
        "import urllib.error, urllib.request\n"
        "try: urllib.request.urlopen('http://203.0.113.7/')\n"
        "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"
    )
    code, told = pod.exec(shop, "python", "-c", asked)
    assert code == 0, told
    assert told.startswith("403 ")
    assert "unlisted-destination" in told
    assert gate.end() == 0


def everybody_may_read(spec):
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == SECRET]
    volume["secret"]["defaultMode"] = 0o444


def no_group(spec):
    del spec["securityContext"]


@pytest.mark.parametrize(
    ("change", "says"),
    [(everybody_may_read, "can be read by others (mode 0444)"), (no_group, "cannot be opened")],
    ids=["mode 0444", "no fsGroup"],
)
def test_a_key_that_is_not_lent_to_the_group_alone_stops_the_start(make_pod, change, says):
    pod = make_pod(change=change)
    gate = pod.start(pod.spec["initContainers"][0])
    assert gate.process.wait(60) == 2
    assert says in gate.log()
