"""Observations to spans and metrics: the only code here that speaks OpenTelemetry."""
