"""Deployments as annotations: a mark where a ``service.version`` appears that was not there five minutes before.

The version reaches Prometheus in one of two ways, and a board cannot know in which: as ``target_info``, or as a label
of every metric. So there is an annotation for each; the one without data marks nothing.
"""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from . import colors, queries
from .variables import PROMETHEUS


class _Marks(AnnotationQuery):
    """An annotation with the fields of Grafana's Prometheus data source, which the SDK does not have."""

    def to_json(self) -> dict[str, object]:
        """Add what a mark says, and how often the query looks."""
        payload = super().to_json()
        return payload | {"titleFormat": "{{service_version}}", "tagKeys": "service_version", "step": "60s"}


class _Deployments(builders.AnnotationQuery):
    def __init__(self, name: str, expr: str) -> None:
        self._internal = _Marks(
            name=name, datasource=PROMETHEUS, icon_color=colors.VOLUME, expr=expr, enable=True, built_in=0
        )


def from_target_info() -> builders.AnnotationQuery:
    """Where resource attributes are a metric of their own: scraped, or OTLP into Prometheus."""
    return _Deployments("Deployments (target_info)", queries.deployments_in_target_info())


def from_labels() -> builders.AnnotationQuery:
    """Where ``service.version`` is promoted to a label, or always is one."""
    return _Deployments("Deployments (label service_version)", queries.deployments_in_labels())
