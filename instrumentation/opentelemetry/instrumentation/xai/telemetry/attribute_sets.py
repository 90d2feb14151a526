"""The attributes of metrics: few, bounded, and made once for each kind of call instead of for each call.

Calls of one application differ in a handful of models, servers and baggage values, so nearly every call finds its
sets made. They are shared: nobody may change them.
"""

from typing import NamedTuple

from opentelemetry.context import Context

from opentelemetry import baggage

from .. import conventions as names
from ..limits import LONGEST_NAME
from ..observation import AttributeValue, Observation
from .bounded import bounded
from .counters import Attributes

_MOST_MODELS = 100
_MOST_SERVERS = 100
_MOST_BAGGAGE_VALUES = 50
_MOST_SETS = 1000


class AttributeSets(NamedTuple):
    """The attribute sets of one kind of call."""

    ours: dict[str, AttributeValue]
    """Of our own metrics: nothing that is known only after the response."""
    standard: dict[str, AttributeValue]
    """Of the conventions' metrics."""
    input: dict[str, AttributeValue]
    """The standard ones for input tokens."""
    output: dict[str, AttributeValue]
    """The standard ones for output tokens."""
    ours_in_table: Attributes
    standard_in_table: Attributes


class KnownSets:
    """The sets that were made, by what they are made of."""

    def __init__(self, baggage_keys: tuple[str, ...]) -> None:
        self._known: dict[tuple[object, ...], AttributeSets] = {}
        self._models = bounded("model", _MOST_MODELS)
        self._response_models = bounded("response model", _MOST_MODELS)
        self._servers = bounded("server", _MOST_SERVERS)
        self._baggage = {key: bounded(f"baggage {key}", _MOST_BAGGAGE_VALUES) for key in baggage_keys}

    def of(self, observation: Observation, within: Context) -> AttributeSets:
        """The sets for an exchange that was made in a context."""
        request = observation.request
        carried: tuple[str | None, ...] = ()
        if self._baggage:
            values = [baggage.get_baggage(key, within) for key in self._baggage]
            carried = tuple([None if value is None else str(value)[:LONGEST_NAME] for value in values])
        key = (request.operation, request.host, request.port, request.model, observation.response_model, carried)
        sets = self._known.get(key)
        if sets is None:
            sets = self._made(observation, carried)
            if len(self._known) < _MOST_SETS:
                self._known[key] = sets
        return sets

    def _made(self, observation: Observation, carried: tuple[str | None, ...]) -> AttributeSets:
        request = observation.request
        ours: dict[str, AttributeValue] = {
            names.OPERATION_NAME: request.operation,
            names.PROVIDER_NAME: names.PROVIDER,
            names.SERVER_ADDRESS: self._servers(request.host),
        }
        if request.model is not None:
            ours[names.REQUEST_MODEL] = self._models(request.model)
        for (key, values), value in zip(self._baggage.items(), carried, strict=True):
            if value is not None:
                ours[key] = values(value)
        standard = {**ours, names.SERVER_PORT: request.port}
        if observation.response_model is not None:
            standard[names.RESPONSE_MODEL] = self._response_models(observation.response_model)
        return AttributeSets(
            ours,
            standard,
            {**standard, names.TOKEN_TYPE: names.TOKEN_INPUT},
            {**standard, names.TOKEN_TYPE: names.TOKEN_OUTPUT},
            tuple(ours.items()),
            tuple(standard.items()),
        )
