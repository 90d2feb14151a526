"""What the tests of switching on share: an installed wheel, a receiver, and the xAI server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto", reason="the receiver decodes OTLP")

from switching_on.otlp_receiver import Receiver, receiving
from switching_on.user import User, new_environment, wheel_of_this


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    return wheel_of_this(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, its extra ``otlp`` and the openai SDK, and nothing else."""
    folder = new_environment(tmp_path_factory.mktemp("user") / "venv")
    User(folder, {}).install(f"{wheel}[otlp]", "openai")
    return folder


@pytest.fixture(scope="session")
def installed_with_servers(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with what serves applications, and declarative configuration."""
    folder = new_environment(tmp_path_factory.mktemp("server") / "venv")
    User(folder, {}).install(
        f"{wheel}[otlp]", "openai", "fastapi", "uvicorn", "gunicorn", "gevent", "opentelemetry-configuration"
    )
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An OTLP/HTTP receiver of the test's own."""
    with receiving() as receiver:
        yield receiver


def _variables(server: Any) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_KEY": "key-of-the-application",
        "OTEL_INSTRUMENTATION_XAI_HOSTS": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def user(installed: Path, server: Any) -> User:
    """A user who has installed the package, and whose application talks to the local server."""
    return User(installed, _variables(server))


@pytest.fixture
def operator(installed_with_servers: Path, server: Any) -> User:
    """A user who runs servers."""
    return User(installed_with_servers, _variables(server))
