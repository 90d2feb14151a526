"""What the OpenTelemetry tooling asks a package: which client libraries it can instrument.

Any one of them is enough, so they are listed as "any of"; a required list would switch us off
wherever one is absent.
"""

_instruments: tuple[str, ...] = ()
_instruments_any: tuple[str, ...] = (
    "httpx >= 0.25.2",
    "httpx2 >= 2.0",
    "aiohttp >= 3.9",
    "niquests >= 3.15",
    "requests >= 2.28",
    "urllib3 >= 1.26.18",
    "xai-sdk >= 1.4",
)
_supports_metrics = True
