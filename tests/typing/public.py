"""Code of a typed application; its only test is that the type checker accepts it."""

from opentelemetry.instrumentation.xai import XAIInstrumentor, __version__

version: str = __version__
instrumentor = XAIInstrumentor()
instrumentor.instrument(hosts="gateway.internal:8443", conversation_id="hashed", metric_baggage="route,tenant")
instrumentor.uninstrument()
