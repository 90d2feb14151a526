"""xAI's wire format: bytes to facts. Knows no clock, no socket, no client library and no OpenTelemetry."""
