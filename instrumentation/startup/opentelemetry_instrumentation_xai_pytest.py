"""The pytest plugin: the fixture ``xai_cache_stable``, which fails a test whose requests would break xAI's cache.

It lies outside of the package because pytest loads it in every run, also of tests that have nothing to do with xAI: the
package is imported when a test asks for the fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from opentelemetry.instrumentation.xai.testing.recording import Recording

FIXTURE = "xai_cache_stable"
MARKER = "xai_hosts"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*hosts): further hosts that speak xAI's API ('host', 'host:port' or '*'), for {FIXTURE}.",
    )


@pytest.fixture
def xai_cache_stable(request: pytest.FixtureRequest) -> "Iterator[Recording]":
    """Record the requests to xAI's API, and fail the test if one of them would break the cache of an earlier one.

    ``requests`` are those so far, ``check()`` judges at once those that no check has seen. Hosts that are not xAI's own
    are named by the marker: ``@pytest.mark.xai_hosts("127.0.0.1")``.
    """
    from opentelemetry.instrumentation.xai.testing.recording import Recording

    hosts = [host for marker in request.node.iter_markers(MARKER) for host in marker.args]
    with Recording(tuple(hosts)).running() as recording:
        yield recording


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Judge the requests of a test that has passed, as part of it: later it would be an error, not a failure."""
    recording = getattr(item, "funcargs", {}).get(FIXTURE)
    if recording is not None:
        complaints = recording.complaints()
        if complaints:
            pytest.fail("\n".join(complaints), pytrace=False)
