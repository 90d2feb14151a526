"""What the single figures of the boards mean, said without their queries: from what calls added, by the panel's title.

A query that is worked out from itself would agree with a wrong factor, or with a matcher too many.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.instrumentation.xai import conventions as names
from opentelemetry.instrumentation.xai.promql import label, metric

from .queries import TOTALS, Query
from .traffic import Amount

_OBJECTIVE = 0.85


class Counted:
    """What some calls added, by the server's account and by their spans, in so many seconds."""

    def __init__(self, server: Iterable[Amount], spans: Iterable[Amount], seconds: float) -> None:
        self._server, self._spans = list(server), list(spans)
        self.seconds = seconds

    def of(self, model: str) -> "Counted":
        """The calls of one model."""
        server, spans = (
            [amount for amount in amounts if amount.labels[label(names.REQUEST_MODEL)] == model]
            for amounts in (self._server, self._spans)
        )
        return Counted(server, spans, self.seconds)

    def server(self, counter: names.Counter) -> float:
        """A sum, by the server's account."""
        return sum(amount.amount for amount in self._server if amount.metric == metric(counter))

    def calls(self) -> tuple[float, float]:
        """All calls, and the failed ones."""
        ends = [amount for amount in self._server if amount.metric == f"{metric(names.OPERATION_DURATION)}_count"]
        return len(ends), sum(1 for amount in ends if amount.labels[label(names.ERROR_TYPE)])

    def spans(self, counter: names.Counter, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
        """A sum, by the spans, of those with the labels that are wanted."""
        return sum(
            amount.amount for amount in self._spans if amount.metric == metric(counter) and chosen(amount.labels)
        )

    def efficiency(self) -> float:
        """What objectives are about."""
        return 1 - self.spans(names.CACHE_LOST_TOKENS, _avoidable) / self.spans(names.CACHE_POTENTIAL_TOKENS)


def _avoidable(labels: Mapping[str, str]) -> bool:
    cause, reason = labels[label(names.XAI_CACHE_CAUSE)], labels[label(names.XAI_CACHE_REASON)]
    return cause != names.CAUSE_EXPECTED and reason != names.IDLE


def _repeated(labels: Mapping[str, str]) -> bool:
    return _avoidable(labels) and labels[label(names.XAI_CACHE_REPEATED)] == "true"


def _follows(labels: Mapping[str, str]) -> bool:
    return labels.get(label(names.XAI_CACHE_REASON)) != names.FIRST_REQUEST


def _follows_with_an_id(labels: Mapping[str, str]) -> bool:
    return _follows(labels) and labels[label(names.XAI_CONVERSATION_ID_PRESENCE)] == names.PRESENT


def _beyond_judgement(labels: Mapping[str, str]) -> bool:
    return labels.get(label(names.XAI_CACHE_REASON)) in {names.NO_BASELINE, names.UNREPORTED}


FIGURES: Final[Mapping[str, Callable[[Counted], float]]] = {
    "Cache efficiency": Counted.efficiency,
    "Margin to the objective": lambda all_: all_.efficiency() - _OBJECTIVE,
    "Input from the cache": lambda all_: all_.server(names.CACHE_READ_INPUT_TOKENS) / all_.server(names.INPUT_TOKENS),
    "Saved by the cache": lambda all_: all_.server(names.CACHE_SAVED_COST),
    "Lost, avoidably": lambda all_: all_.spans(names.CACHE_LOST_COST, _avoidable),
    "Lost per hour, avoidably": lambda all_: 3600 * all_.spans(names.CACHE_LOST_COST, _avoidable) / all_.seconds,
    "Lost again and again": lambda all_: (
        all_.spans(names.CACHE_LOST_TOKENS, _repeated) / all_.spans(names.CACHE_LOST_TOKENS, _avoidable)
    ),
    "Answered calls": lambda all_: all_.server(names.CACHE_REQUESTS),
    "Failed calls": lambda all_: all_.calls()[1] / all_.calls()[0],
    "Cost": lambda all_: all_.server(names.COST),
    "Cost of 1,000 calls": lambda all_: 1000 * all_.server(names.COST) / all_.server(names.CACHE_REQUESTS),
    "Calls with a conversation id": lambda all_: (
        all_.spans(names.CACHE_REQUESTS, _follows_with_an_id) / all_.spans(names.CACHE_REQUESTS, _follows)
    ),
    "Calls that can be judged": lambda all_: (
        1 - all_.spans(names.CACHE_REQUESTS, _beyond_judgement) / all_.spans(names.CACHE_REQUESTS)
    ),
}
"""Of panels that show one number for everything."""
COLUMNS: Final[Mapping[str, Callable[[Counted], float]]] = {
    "A": FIGURES["Answered calls"],
    "B": lambda all_: all_.server(names.INPUT_TOKENS),
    "C": FIGURES["Cache efficiency"],
    "D": FIGURES["Cost"],
    "E": FIGURES["Saved by the cache"],
    "F": FIGURES["Lost, avoidably"],
}
"""Of the table of models, by query."""


def title(query: Query) -> str:
    """The title of a query's panel."""
    return query.place.partition(" ")[2]


SINGLE: Final = [query for query in TOTALS if title(query) in FIGURES]
BY_MODEL: Final = [query for query in TOTALS if title(query) == "Models"]
BY_REASON: Final = [query for query in TOTALS if query not in SINGLE and query not in BY_MODEL]
"""Whose labels say what they are of."""
