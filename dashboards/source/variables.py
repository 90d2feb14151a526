"""The variables of the boards. Alerts link to them by ``job`` and ``model``: their names are fixed.

``All`` stands for ``.*`` and not for ``.+``, because where metrics come without a ``job``, as VictoriaMetrics takes
them over OTLP, or without a model, ``.*`` finds them all the same.
"""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label, selector

from .queries import CALLS, JOB

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TEMPO: Final = DataSourceRef(type_val="tempo", uid="${tempo}")
OBJECTIVE: Final = "0.85"


def datasource() -> builders.DatasourceVariable:
    """Where the metrics are."""
    return builders.DatasourceVariable("datasource").label("Metrics").type("prometheus")


def tempo() -> builders.DatasourceVariable:
    """Where the traces are, if anywhere: without one the boards miss nothing but their links."""
    return builders.DatasourceVariable("tempo").label("Traces").type("tempo")


def _values(name: str, said: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(said)
        .datasource(PROMETHEUS)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def job() -> builders.QueryVariable:
    """The application, as Prometheus names it."""
    return _values("job", "Job", f"label_values({CALLS}, job)")


def model() -> builders.QueryVariable:
    """The model that was asked for."""
    return _values("model", "Model", f"label_values({selector(CALLS, JOB)}, {label(names.REQUEST_MODEL)})")


def objective() -> builders.TextBoxVariable:
    """The efficiency to hold: a line on the charts, and the zero of the margin."""
    return (
        builders.TextBoxVariable("objective")
        .label("Objective")
        .description("The cache efficiency to hold, from 0 to 1. Take the one that your alert rules were made with.")
        .default_value(OBJECTIVE)
        .current(VariableOption(selected=True, text=OBJECTIVE, value=OBJECTIVE))
    )
