"""Our metrics as Prometheus spells them, and the expressions that rules and dashboards share.

The spelling is the one of OpenTelemetry's specification (``UnderscoreEscapingWithSuffixes``), on which the Prometheus
exporter, the collector, Prometheus' own OTLP receiver and VictoriaMetrics (``-opentelemetry.usePrometheusNaming``)
agree for our units. What they do not agree on are the labels of the service: see ``GROUP``.
"""

from collections.abc import Iterable
from typing import Final

from . import conventions as names

GROUP: Final = ("job", "service_name", "gen_ai_request_model")
"""What rules are grouped by. Scraped metrics and Prometheus' OTLP receiver have a ``job``, VictoriaMetrics has a
``service_name`` in its place; grouping by a label that is absent changes nothing."""

ELIGIBLE: Final = 'xai_cache_outcome=~"reused|partial|missed"'
"""Matches requests that had something to reuse."""


def label(attribute: str) -> str:
    """The label that an attribute becomes."""
    return attribute.replace(".", "_")


def metric(instrument: names.Counter | names.Histogram) -> str:
    """The metric that an instrument becomes; of a histogram the stem of ``_bucket``, ``_sum`` and ``_count``."""
    stem = label(instrument.name)
    if isinstance(instrument, names.Counter):
        return f"{stem}_total"
    return f"{stem}_seconds" if instrument.unit == "s" else stem


def selector(name: str, *matchers: str) -> str:
    """The series of a name that match all of ``matchers``; empty ones say nothing."""
    said = ", ".join(matcher for matcher in matchers if matcher)
    return f"{name}{{{said}}}" if said else name


def by(labels: Iterable[str]) -> str:
    """The clause that keeps ``labels``, and drops what tells exporters, scopes and instances apart."""
    kept = ", ".join(labels)
    return f"sum by ({kept}) " if kept else "sum"


def rate(counter: str, window: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """How much a counter (or part of a histogram) grows a second, over ``window``, for each set of labels ``of``."""
    return f"{by(of)}(rate({selector(counter, *matchers)}[{window}]))"


def increase(counter: str, window: str, *matchers: str, of: Iterable[str] = ()) -> str:
    """How much a counter grew over ``window``, for each set of labels ``of``."""
    return f"{by(of)}(increase({selector(counter, *matchers)}[{window}]))"


def avoidable(accept: Iterable[str] = ()) -> tuple[str, str]:
    """The matchers of losses that count: neither expected, nor idle, nor accepted on purpose."""
    reasons = "|".join(sorted({names.IDLE, *accept}))
    operator = "!~" if "|" in reasons else "!="
    return (
        f'{label(names.XAI_CACHE_CAUSE)}!="{names.CAUSE_EXPECTED}"',
        f'{label(names.XAI_CACHE_REASON)}{operator}"{reasons}"',
    )


def loss(window: str, *matchers: str, of: Iterable[str] = (), accept: Iterable[str] = ()) -> str:
    """The part of the potential that was lost avoidably: a ratio; no sample where nothing could have been reused."""
    of = tuple(of)
    potential = rate(metric(names.CACHE_POTENTIAL_TOKENS), window, *matchers, of=of)
    lost = rate(metric(names.CACHE_LOST_TOKENS), window, *matchers, *avoidable(accept), of=of)
    return f"({lost} or 0 * {potential}) / ({potential} > 0)"


def efficiency(window: str, *matchers: str, of: Iterable[str] = (), accept: Iterable[str] = ()) -> str:
    """The figure of objectives and alerts: 1 - lost / potential, without expected and idle losses."""
    return f"1 - {loss(window, *matchers, of=of, accept=accept)}"
