"""A Kubernetes NetworkPolicy out of a policy: what a pod with Sekisho in it needs to reach, and nothing else.

Rules are about pods: all containers of one share its network, so what the sidecar may reach its application may, too.
What cannot be known here (the labels of another service's pods, the addresses below a pattern) is never written as a
rule that lets more pass: it stands there to be completed, and until then the way is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.policy.values import Address, is_address, is_loopback

if TYPE_CHECKING:
    from proxy.policy import Policy

HTTP_PORTS = (80, 443)
"""Of destinations of forward lanes, which have none of their own."""
_HEAD = """\
# What the pod needs to reach so that the lanes of "{policy_id}" work; written by `sekisho deploy networkpolicy`.
# Closed by this: every address and port that no lane leads to, and QUIC (UDP 443).
# Not closed by this: the same upstreams, reached by the application itself instead of through Sekisho. All containers
# of a pod share its network, and a NetworkPolicy cannot tell them apart. Transparent mode redirects such connections
# to Sekisho, by user id; without it they are seen and counted: sekisho_bypass_total{{kind="direct"}}.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: "{name}"
"""
_DNS = """\
    # Names, asked of the cluster's DNS. With NodeLocal DNSCache, add its address (169.254.20.10/32) as an ipBlock.
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What lanes lead to."""

    host: str
    ports: tuple[int, ...]
    lanes: tuple[str, ...]

    def __str__(self) -> str:
        hosts = str(Address(self.host, self.ports[0])) if len(self.ports) == 1 else self.host
        return f"{hosts} (lane {', '.join(self.lanes)})"


@dataclass(slots=True)
class Written:
    """The file, and what somebody has to look at: line number → what to do there."""

    lines: list[str] = field(default_factory=list)
    todo: dict[int, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def add(self, text: str, todo: str = "") -> None:
        """Appends lines; ``todo`` is about the first of them."""
        if todo:
            self.todo[len(self.lines) + 1] = todo
        self.lines += text.rstrip("\n").split("\n")


def targets(policy: Policy) -> list[Target]:
    """Every upstream and destination, once, in file order."""
    found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for lane in policy.lanes:
        ends: list[tuple[str, tuple[int, ...]]] = []
        if lane.upstream.host:
            ends.append((lane.upstream.host, (lane.upstream.port,)))
        ends += [(host, HTTP_PORTS) for destination in lane.destinations for host in destination.hosts]
        for end in ends:
            lanes = found.setdefault(end, [])
            lanes += [lane.name] if lane.name not in lanes else []
    return [Target(host, ports, tuple(lanes)) for (host, ports), lanes in found.items()]


def write(
    policy: Policy,
    *,
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    resolve: Callable[[str], Collection[str]],
) -> Written:
    """The NetworkPolicy of pods with the labels ``selector``. ``namespace`` may be "": that of whoever applies it."""
    file = Written()
    file.add(_HEAD.format(policy_id=policy.policy_id, name=name))
    if namespace:
        file.add(f'  namespace: "{namespace}"')
    labels = ", ".join(f'"{key}": "{value}"' for key, value in selector.items())
    file.add(f"spec:\n  podSelector:\n    matchLabels: {{{labels}}}")
    ingress = [lane.listen.port for lane in policy.lanes if lane.role == "shop" and not is_loopback(lane.listen.host)]
    file.add("  policyTypes: [Ingress, Egress]" if ingress else "  policyTypes: [Egress]")
    if ingress:
        _add_ingress(file, policy)
    file.add("  egress:")
    file.add(_DNS)
    for target in targets(policy):
        _add(file, target, resolve)
    for lane in policy.lanes:
        if lane.unlisted == "external":
            why = f"lane {lane.name} passes hosts that it does not list: no rule lets them through"
            file.add(f"    # {why} here.", f"{why}; list them as destinations, or write one")
    return file


def _add_ingress(file: Written, policy: Policy) -> None:
    """Into the pod: its lanes and metrics, so that the shop itself is reached through its lane only."""
    file.add("  ingress:\n    # The shop's own port is not among these: who wants to reach it has to take its lane.")
    listening = [lane.listen for lane in policy.lanes] + [policy.admin.listen]
    ports = sorted({listen.port for listen in listening if not is_loopback(listen.host)})
    file.add(f"    - ports: [{_ports(ports)}]")


def _add(file: Written, target: Target, resolve: Callable[[str], Collection[str]]) -> None:
    host = target.host
    if is_loopback(host):
        file.add(f"    # {target}: does not leave the pod.")
    elif is_address(host):
        file.add(f"    # {target}")
        _add_blocks(file, [host], target)
    elif (service := _service(host)) is not None:
        _add_service(file, target, *service)
    elif addresses := [] if host.startswith("*.") else sorted(a for a in resolve(host) if not is_loopback(a)):
        file.add(
            f"    # {target}: its addresses today. NetworkPolicy knows no names:\n"
            "    # where they change, use an egress gateway or a policy by name (Cilium: toFQDNs).",
            f"{target}: these are its addresses today; see that they last",
        )
        _add_blocks(file, addresses, target)
    else:
        file.add(
            f"    # {target}: COMPLETE with its addresses; until then the pod cannot reach it.\n"
            "    # NetworkPolicy knows no names: use an egress gateway or a policy by name (Cilium: toFQDNs).\n"
            "    # - to: [{ipBlock: {cidr: ADDRESS/32}}]\n"
            f"    #   ports: [{_ports(target.ports)}]",
            f"{target}: complete the rule with its addresses, which are not known here",
        )


def _add_service(file: Written, target: Target, service: str, namespace: str) -> None:
    where = f"-n {namespace} " if namespace else ""
    ask = f"kubectl get service {where}{service} -o jsonpath='{{.spec.selector}} {{.spec.ports}}'"
    file.add(
        f"    # {target}: see that its pods have this label and listen on this port (the service's targetPort):\n"
        f"    # {ask}",
        f"{target}: compare label and port with {ask}",
    )
    peer = f'podSelector: {{matchLabels: {{app.kubernetes.io/name: "{service}"}}}}'
    if namespace:
        file.add(
            f'    - to:\n        - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: "{namespace}"}}}}\n'
            f"          {peer}"
        )
    else:
        file.add(f"    - to:\n        - {peer}")
    file.add(f"      ports: [{_ports(target.ports)}]")


def _add_blocks(file: Written, addresses: Collection[str], target: Target) -> None:
    file.add("    - to:")
    for address in addresses:
        file.add(f'        - ipBlock: {{cidr: "{address}/{128 if ":" in address else 32}"}}')
    file.add(f"      ports: [{_ports(target.ports)}]")


def _ports(ports: Collection[int]) -> str:
    return ", ".join(f"{{port: {port}, protocol: TCP}}" for port in ports)


def _service(host: str) -> tuple[str, str] | None:
    """(service, namespace) of a name that only a cluster knows; the namespace is "" for the pod's own.

    ``es.search`` is not taken for one: it looks like any other name.
    """
    labels = host.removesuffix(".cluster.local").split(".")
    if len(labels) == 1:
        return labels[0], ""
    return (labels[0], labels[1]) if len(labels) == 3 and labels[2] == "svc" else None
