"""Writes deploy/kustomize/monitoring/prometheusrule.yaml from the rules in deploy/prometheus: ``make prometheusrule``.

Kustomize reads no rule files, and none from outside its own directory. Helm needs no such copy.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE / "monitoring" / "prometheusrule.yaml"
_RULES = [HERE.parent / "prometheus" / name for name in ("recording.yaml", "alerts.yaml")]
_HEAD = """\
# Written by `make prometheusrule` from deploy/prometheus: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sekisho
spec:
  groups:
"""


def text() -> str:
    """The PrometheusRule with every group, as YAML, comments and all."""
    groups = [path.read_text().partition("\ngroups:\n")[2] for path in _RULES]
    return _HEAD + "\n".join(textwrap.indent(group, "  ") for group in groups)


if __name__ == "__main__":
    TARGET.write_text(text())
