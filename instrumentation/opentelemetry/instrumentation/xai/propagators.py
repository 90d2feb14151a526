"""OpenTelemetry's propagators, whose module cannot be imported where ``OTEL_PROPAGATORS`` names one that is none.

Importing this file first makes it importable: with the default propagators, and one warning. No telemetry of ours
depends on which they are, and no program should stand still for it.
"""

import os
from importlib import import_module
from importlib.metadata import entry_points

from .notices import not_allowed

_VARIABLE = "OTEL_PROPAGATORS"

try:
    import_module("opentelemetry.propagate")
except ValueError:
    _value = os.environ.pop(_VARIABLE, "")
    try:
        import_module("opentelemetry.propagate")
    finally:
        os.environ[_VARIABLE] = _value
    not_allowed(
        _VARIABLE, _value, ", ".join(sorted(each.name for each in entry_points(group="opentelemetry_propagator")))
    )
