"""A server with one cache, for which it does not matter who sends a conversation id."""

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sdks.cells import Cell, Wire


@pytest.fixture(scope="session")
def xai() -> Iterator[Any]:
    """The faithful server, with its record of what it answered."""
    xai_server = pytest.importorskip("xai_server", reason="the server needs starlette and uvicorn")
    settings = xai_server.ServerSettings(block=16, minimum_tokens=0, servers=1)
    with xai_server.running(settings) as running:
        yield running


@pytest.fixture(scope="session")
def xai_over_grpc(xai: Any) -> Iterator[Any]:
    """The same server, spoken to over gRPC."""
    grpc_service = pytest.importorskip("xai_server.grpc_service", exc_type=ImportError)
    with grpc_service.serving(xai.app) as running:
        yield running


@pytest.fixture
def wire(cell: Cell, xai: Any, request: pytest.FixtureRequest) -> Wire:
    """The wire of a cell, new."""
    service = request.getfixturevalue("xai_over_grpc") if cell.endpoint == "grpc" else None
    arrived = xai.requests if service is None else service.calls
    wire = Wire(xai.url, "" if service is None else service.target, arrived, xai.app)
    wire.forget()
    return wire


@pytest.fixture(scope="session", autouse=True)
def _left_behind() -> Iterator[None]:
    """Bury, without a word, the connections that SDKs leave open when they are done."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.unfreeze()
        gc.collect()
