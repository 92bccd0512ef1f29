"""The NetworkPolicy of a policy: valid for Kubernetes, and open to nothing that no lane leads to."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml

from proxy.networkpolicy import Target, targets, write
from tests.e2e.plane import policy

DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}
NAMES = {
    "p01.mul-pay.jp": ("203.0.113.9", "203.0.113.10"),
    "both.example": ("2001:db8::5", "203.0.113.5"),
    "here.example": ("127.0.0.1",),
}


def tcp(*ports: int) -> list[dict]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def blocks(*cidrs: str) -> list[dict]:
    return [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]


@pytest.fixture(name="written")
def written_fixture(tmp_path):
    """``written(lane, …)``: the document and the whole of what was written; each document is valid."""

    def make(*lanes, selector=None, namespace="shop", name="sekisho", **top):
        file = write(
            policy(tmp_path, *lanes, **top),
            name=name,
            namespace=namespace,
            selector=selector or {"app": "shop"},
            resolve=lambda host: NAMES.get(host, ()),
        )
        document = yaml.safe_load(file.text)
        kubernetes_validate.validate(document, "1.29", strict=True)
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        assert document["spec"]["egress"][0] == DNS
        return document, file

    return make


RULES = {
    "an address": ({"upstream": "http://10.0.0.9:3100"}, {"to": blocks("10.0.0.9/32"), "ports": tcp(3100)}),
    "over IPv6": ({"upstream": "https://[2001:db8::9]"}, {"to": blocks("2001:db8::9/128"), "ports": tcp(443)}),
    "a name outside": (
        {"upstream": "https://p01.mul-pay.jp"},
        {"to": blocks("203.0.113.10/32", "203.0.113.9/32"), "ports": tcp(443)},
    ),
    "a name of both kinds": (
        {"upstream": "https://both.example:8443"},
        {"to": blocks("2001:db8::5/128", "203.0.113.5/32"), "ports": tcp(8443)},
    ),
    "a service beside": (
        {"upstream": "http://loki:3100"},
        {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "loki"}}}], "ports": tcp(3100)},
    ),
    "a service elsewhere": (
        {"upstream": "http://loki.logging.svc.cluster.local:3100"},
        {
            "to": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "logging"}},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "loki"}},
                }
            ],
            "ports": tcp(3100),
        },
    ),
    "a service in words that YAML takes for others": (
        {"upstream": "http://on.no.svc:80"},
        {
            "to": [
                {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "no"}},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "on"}},
                }
            ],
            "ports": tcp(80),
        },
    ),
    "a forward lane's destination": (
        {"upstream": "forward", "destinations": [{"hosts": ["198.51.100.7"], "role": "external"}]},
        {"to": blocks("198.51.100.7/32"), "ports": tcp(80, 443)},
    ),
}


@pytest.mark.parametrize(("lane", "rule"), RULES.values(), ids=RULES)
def test_a_rule(written, lane, rule):
    document, _ = written(lane)
    assert document["spec"]["egress"] == [DNS, rule]


NONE = {
    "in the pod": ({"upstream": "http://127.0.0.1:8000"}, 0),
    "in the pod, over IPv6": ({"upstream": "http://[::1]:8000"}, 0),
    "in the pod, by name": ({"upstream": "http://localhost:8000"}, 0),
    "a name that does not resolve": ({"upstream": "https://nowhere.example"}, 1),
    "a name that leads into the pod": ({"upstream": "https://here.example"}, 1),
    "a name of two words": ({"upstream": "http://loki.logging:3100"}, 1),
    "a pattern": ({"upstream": "forward", "destinations": [{"hosts": ["*.a.example"], "role": "external"}]}, 1),
    "unlisted hosts": ({"upstream": "forward", "unlisted": "external"}, 1),
}


@pytest.mark.parametrize(("lane", "todo"), NONE.values(), ids=NONE)
def test_what_is_not_known_stays_closed(written, lane, todo):
    document, file = written(lane)
    assert document["spec"]["egress"] == [DNS]
    assert len(file.todo) == todo


def test_what_is_to_be_completed_is_named_with_its_line(written):
    _, file = written(
        {"name": "logs", "upstream": "http://loki.logging.svc:3100"},
        {"name": "gmo", "upstream": "https://nowhere.example"},
    )
    loki, gmo = file.todo.items()
    assert loki[1] == (
        "loki.logging.svc:3100 (lane logs): compare label and port with "
        "kubectl get service -n logging loki -o jsonpath='{.spec.selector} {.spec.ports}'"
    )
    assert file.lines[loki[0] - 1].strip().startswith("# loki.logging.svc:3100 (lane logs): see that its pods have")
    assert gmo[1].startswith("nowhere.example:443 (lane gmo): complete the rule")
    assert file.lines[gmo[0] - 1].strip().startswith("# nowhere.example:443 (lane gmo): COMPLETE")


def test_a_rule_that_is_completed_is_valid(written):
    _, file = written({"upstream": "https://nowhere.example"})
    text = (
        file.text.replace("    # - to:", "    - to:")
        .replace("    #   ports:", "      ports:")
        .replace("ADDRESS", "203.0.113.1")
    )
    document = yaml.safe_load(text)
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    assert document["spec"]["egress"][1] == {"to": blocks("203.0.113.1/32"), "ports": tcp(443)}


def test_no_rule_is_open_to_everything(written):
    document, _ = written(
        *(lane | {"name": f"l{index}"} for index, (lane, _) in enumerate([*RULES.values(), *NONE.values()]))
    )
    for rule in document["spec"]["egress"]:
        assert rule["to"]
        assert rule["ports"]
        assert [port for port in rule["ports"] if port["protocol"] == "UDP" and port["port"] != 53] == []
    assert len(document["spec"]["egress"]) == 1 + len(RULES)


def test_whom_it_is_for(written):
    selector = {"app.kubernetes.io/name": "shop", "on": "yes"}
    document, _ = written({"upstream": "http://10.0.0.9"}, selector=selector, name="no", namespace="on")
    assert document["metadata"] == {"name": "no", "namespace": "on"}
    assert document["spec"]["podSelector"] == {"matchLabels": selector}
    assert "ingress" not in document["spec"]
    assert document["spec"]["policyTypes"] == ["Egress"]
    document, _ = written({"upstream": "http://10.0.0.9"}, namespace="")
    assert document["metadata"] == {"name": "sekisho"}


def test_the_shop_is_reached_through_its_lane_only(written):
    document, _ = written(
        {"name": "front", "listen": "0.0.0.0:8080", "upstream": "http://127.0.0.1:8000", "role": "shop"},
        {"name": "logs", "listen": "127.0.0.1:3100", "upstream": "http://10.0.0.9:3100"},
        admin={"listen": "0.0.0.0:9464"},
    )
    assert document["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert document["spec"]["ingress"] == [{"ports": tcp(8080, 9464)}]


def test_two_lanes_to_the_same_place_are_one_rule(tmp_path):
    rules = policy(
        tmp_path,
        {"name": "one", "upstream": "http://loki:3100"},
        {"name": "two", "upstream": "http://loki:3100"},
        {"name": "three", "upstream": "http://loki:9095"},
    )
    assert targets(rules) == [Target("loki", (3100,), ("one", "two")), Target("loki", (9095,), ("three",))]
    assert str(targets(rules)[0]) == "loki:3100 (lane one, two)"
