"""A Grafana dashboard out of rows of panels, with Grafana's own SDK, whose types are Grafana's schema.

The SDK needs Python 3.11.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableOption, VariableRefresh

from scripts.panels import Panel, Row

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def dashboard_json(rows: Iterable[Row]) -> str:
    """The dashboard as Grafana reads it."""
    built = (
        dashboard.Dashboard("tritonclas")
        .uid("tritonclas")
        .description("Written by python -m scripts.dashboard; docs/monitoring.md explains it.")
        .tags(["triton", "tritonclas"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("15s")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("instance", 'label_values(up{job="tritonclas"}, instance)'))
        .with_variable(_choice("model", "label_values(nv_inference_request_failure, model)"))
    )
    numbers = count(1)
    for row in rows:
        built = built.with_row(dashboard.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            built = built.with_panel((_figure if row.figures else _graph)(panel).id(next(numbers)))
    content = json.loads(JSONEncoder(sort_keys=True).encode(built.build()))
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _choice(name: str, query: str) -> Any:
    everything = VariableOption(selected=True, text="All", value="$__all")
    variable = dashboard.QueryVariable(name).datasource(_SOURCE).query(query).multi(True).include_all(True)
    return variable.all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).current(everything)


def _figure(panel: Panel) -> Any:
    return _filled(stat.Panel(), panel).height(4)


def _graph(panel: Panel) -> Any:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    graph = _filled(timeseries.Panel(), panel).height(8).legend(legend.show_legend(True)).min(0)
    if not panel.stacked:
        return graph
    return graph.fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))


def _filled(builder: Any, panel: Panel) -> Any:
    built = builder.title(panel.title).description(panel.says).unit(panel.unit).span(panel.width).datasource(_SOURCE)
    for letter, (legend, query) in zip("ABCDEF", panel.queries.items(), strict=False):
        built = built.with_target(prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter))
    return built
