"""Links: from a board to the other one, and from every panel to the traces behind it.

A link to traces opens Grafana's Explore with a TraceQL search on the data source ``$tempo``, for the board's models and
time range. It needs no exemplars, so it works on every metrics path.
"""

import json
import re
from typing import Final, TypeAlias
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DashboardLink, DashboardLinkType

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label

Link: TypeAlias = Builder[DashboardLink]

_VARIABLE: Final = re.compile(r"(\$\{[\w.:]+\})")
OF_MODELS: Final = f'span.{names.REQUEST_MODEL} =~ "${{model:pipe}}"'


def spans(*conditions: str) -> str:
    """The spans of the chosen models that meet all conditions, in TraceQL."""
    ours = f'span.{names.PROVIDER_NAME} = "{names.PROVIDER}"'
    return "{ " + " && ".join((ours, OF_MODELS, *conditions)) + " }"


def field(attribute: str) -> str:
    """The value that a series has of an attribute, for a link from that series."""
    return f"${{__field.labels.{label(attribute)}:percentencode}}"


OF_ITS_MODEL: Final = f'span.{names.REQUEST_MODEL} = "{field(names.REQUEST_MODEL)}"'
"""The model that a series is of, where each model has one."""


def explore(query: str) -> str:
    """The address of a TraceQL search in Explore; variables in it are left for Grafana to fill in."""
    tempo = {"type": "tempo", "uid": "${tempo}"}
    search = {
        "refId": "A",
        "datasource": tempo,
        "queryType": "traceql",
        "query": query,
        "limit": 50,
        "spss": 3,
        "tableType": "spans",
    }
    panes = {
        "xai": {
            "datasource": "${tempo}",
            "queries": [search],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    text = json.dumps(panes, separators=(",", ":"))
    said = "".join(part if _VARIABLE.fullmatch(part) else quote(part, safe="") for part in _VARIABLE.split(text))
    return f"/explore?schemaVersion=1&orgId=${{__org.id}}&panes={said}"


def traces(title: str, *conditions: str) -> Link:
    """A link to the spans that meet all conditions."""
    return (
        builders.DashboardLink(title).type(DashboardLinkType.LINK).url(explore(spans(*conditions))).target_blank(True)
    )


def board(title: str, uid: str, tooltip: str) -> Link:
    """A link to another board that keeps what was chosen, and the time."""
    return (
        builders.DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .url(f"/d/{uid}")
        .icon("dashboard")
        .tooltip(tooltip)
        .include_vars(True)
        .keep_time(True)
    )
