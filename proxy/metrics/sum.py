"""What several processes have counted, as one page: counters, histograms and gauges are added up, sample by sample.

Of moments the latest stays; of the gauges that say how well it goes, the least.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from proxy.metrics.series import SERIES

Row = tuple[str, Mapping[str, str], float, Sequence[object] | None]
"""A sample's name, labels and value, and its exemplar (labels, value, time), if it has one."""
Counts = Mapping[str, Sequence[Row]]
"""Rows by metric. Plain values, that JSON keeps."""

GAUGES = frozenset(row.name for row in SERIES if row.type == "gauge")
LEAST = frozenset(row.name for row in SERIES if row.least)
WHOLE = frozenset(row.name.removesuffix("_total") for row in SERIES if row.whole)
MOMENTS = frozenset(
    {
        "process_start_time_seconds",
        *(row.name for row in SERIES if row.name.endswith("_timestamp_seconds") and not row.least),
    }
)


def counted(registry: CollectorRegistry) -> Counts:
    """What is in ``registry``, without the ``_created`` samples, which double the size of every scrape."""
    return {metric.name: [_row(sample) for sample in _samples(metric)] for metric in registry.collect()}


def added(*counts: Counts) -> Counts:
    """The sum; of moments, and of a sample's exemplars, the latest."""
    sums: dict[str, dict[tuple[object, ...], Row]] = {}
    for one in counts:
        for metric, rows in one.items():
            known = sums.setdefault(metric, {})
            for name, labels, value, exemplar in rows:
                key = (name, *sorted(labels.items()))
                _, _, before, former = known.get(key, (name, labels, None, None))
                total = value if before is None else _rule(metric)(before, value)
                known[key] = (name, labels, total, max(exemplar, former, key=_time))
    return {metric: list(rows.values()) for metric, rows in sums.items()}


def _rule(metric: str) -> Callable[[float, float], float]:
    if metric in LEAST:
        return min
    return max if metric in MOMENTS else operator.add


def lasting(counts: Counts) -> Counts:
    """What stays of the counts of a process that has ended: its gauges, memory and time have ended with it."""
    ended = GAUGES - MOMENTS
    return {
        metric: rows for metric, rows in counts.items() if metric not in ended and not metric.startswith("process_")
    }


class Summed(Collector):
    """The metrics of ``registry``, other processes' counts added to those that are not of the sidecar as a whole."""

    def __init__(self, registry: CollectorRegistry, others: Sequence[Counts]) -> None:
        self._registry = registry
        self._others = others

    def collect(self) -> Iterator[Metric]:
        sums = added(counted(self._registry), *self._others)
        for metric in self._registry.collect():
            if metric.name in WHOLE:
                metric.samples = _samples(metric)
            else:
                metric.samples = [_sample(row) for row in sums[metric.name]]
            yield metric


def _samples(metric: Metric) -> list[Sample]:
    return [sample for sample in metric.samples if not sample.name.endswith("_created")]


def _row(sample: Sample) -> Row:
    exemplar = sample.exemplar
    return sample.name, sample.labels, sample.value, exemplar and (exemplar.labels, exemplar.value, exemplar.timestamp)


def _sample(row: Row) -> Sample:
    name, labels, value, exemplar = row
    return Sample(name, dict(labels), value, None, Exemplar(*exemplar) if exemplar else None)  # type: ignore[arg-type]


def _time(exemplar: Sequence[object] | None) -> float:
    return float(exemplar[2]) if exemplar and isinstance(exemplar[2], int | float) else 0.0
