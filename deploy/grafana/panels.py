"""The kinds of panel that the dashboards are made of, and the PromQL that they share."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    GraphDrawStyle,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "BAD",
    "GOOD",
    "SOURCE",
    "WARN",
    "bars",
    "gained",
    "graph",
    "number",
    "rows",
    "series",
    "words",
]

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, BAD, WARN = "green", "red", "orange"
GIVEN = 'job="$job"'
ON_LANES = f'{GIVEN}, lane=~"$lane"'

Query = tuple[str, str]
"""PromQL, and how its series are called in the legend."""


def series(name: str, labels: str = "", *, lanes: bool = True) -> str:
    """A selector of the dashboard's job (and lanes)."""
    given = ON_LANES if lanes else GIVEN
    return f"{name}{{{given}{', ' + labels if labels else ''}}}"


def gained(selector: str, window: str) -> str:
    """By how much counters have grown, those that appeared with their first event among them."""
    return f"(({selector} unless last_over_time({selector}[1h] offset {window})) or increase({selector}[{window}]))"


def words(names: dict[str, tuple[str, str]]) -> list[ValueMap]:
    """Values shown as words: value → (word, colour)."""
    shown = {value: ValueMappingResult(text=text, color=color) for value, (text, color) in names.items()}
    return [ValueMap(options=shown)]


def _thresholds(steps: dict[float | None, str]) -> ThresholdsConfig:
    listed = [Threshold(value=value, color=color) for value, color in steps.items()]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(listed)


def _target(query: Query, *, instant: bool, ref: int = 0, rows: bool = False) -> prometheus.Dataquery:
    expression, legend = query
    made = prometheus.Dataquery().datasource(SOURCE).expr(expression).legend_format(legend).ref_id(chr(ord("A") + ref))
    made = made.instant() if instant else made.range()
    return made.format(PromQueryFormat.TABLE) if rows else made


def number(
    title: str,
    query: str,
    *,
    says: str,
    steps: dict[float | None, str] | None = None,
    unit: str = "short",
    shown: list[ValueMap] | None = None,
    span: int = 4,
) -> stat.Panel:
    """One number as of now; ``steps`` colours it from each value on."""
    panel = stat.Panel().title(title).description(says).datasource(SOURCE).unit(unit).span(span).height(4)
    panel = panel.thresholds(_thresholds(steps or {None: "blue"})).mappings(shown or [])
    reduce = common.ReduceDataOptions().calcs(["lastNotNull"])
    return panel.reduce_options(reduce).with_target(_target((query, ""), instant=True))


def graph(
    title: str,
    *queries: Query,
    says: str,
    unit: str = "short",
    stacked: bool = False,
    exemplars: bool = False,
    span: int = 12,
) -> timeseries.Panel:
    """Lines over time, or stacked bars; with ``exemplars``, the ids of audit records as points."""
    panel = timeseries.Panel().title(title).description(says).datasource(SOURCE).unit(unit).span(span).height(8)
    panel = panel.min(0).fill_opacity(60 if stacked else 10)
    if stacked:
        panel = panel.draw_style(GraphDrawStyle.BARS)
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for ref, query in enumerate(queries):
        panel = panel.with_target(_target(query, instant=False, ref=ref).exemplar(exemplars))
    return panel


def bars(title: str, query: Query, *, says: str, span: int = 8) -> bargauge.Panel:
    """One horizontal bar a series, as of now."""
    panel = bargauge.Panel().title(title).description(says).datasource(SOURCE).span(span).height(8).min(0).decimals(0)
    panel = panel.orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC)
    return panel.thresholds(_thresholds({None: GOOD, 1: WARN})).with_target(_target(query, instant=True))


def rows(
    title: str,
    query: str,
    columns: dict[str, str],
    *,
    says: str,
    unit: str = "short",
    shown: list[ValueMap] | None = None,
    span: int = 12,
) -> table.Panel:
    """A table, one row a series: ``columns`` names the labels shown, and ``Value``, in their order."""
    panel = table.Panel().title(title).description(says).datasource(SOURCE).span(span).height(8)
    order = {
        "indexByName": {name: place for place, name in enumerate(columns)},
        "renameByName": columns,
        "includeByName": dict.fromkeys(columns, True),
    }
    panel = panel.with_transformation(DataTransformerConfig(id_val="organize", options=order))
    value = [DynamicConfigValue(id_val="unit", value=unit)]
    if shown:
        value.append(DynamicConfigValue(id_val="mappings", value=shown))
    panel = panel.override_by_name(columns["Value"], value)
    return panel.with_target(_target((query, ""), instant=True, rows=True))
