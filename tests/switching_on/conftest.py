"""What the tests of switching on share: an installed wheel, a receiver, and the xAI server."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto", reason="the receiver decodes OTLP")

from switching_on.otlp_receiver import Receiver, receiving
from switching_on.user import User, new_environment, wheel_of_this


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """A function that makes a folder, which all processes of a run share: whoever comes first makes it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def wheel(once: Any) -> Path:
    """The built wheel."""
    (wheel,) = once("wheel", wheel_of_this).glob("*.whl")
    return Path(wheel)


def _environment(once: Any, name: str, *packages: str) -> Path:
    return Path(once(name, lambda folder: User(new_environment(folder), {}).install(*packages)))


@pytest.fixture(scope="session")
def installed(once: Any, wheel: Path) -> Path:
    """A fresh environment with the wheel, its extra ``otlp`` and the openai SDK, and nothing else."""
    return _environment(once, "user", f"{wheel}[otlp]", "httpx", "openai")


@pytest.fixture(scope="session")
def installed_with_configuration(once: Any, wheel: Path) -> Path:
    """A fresh environment for declarative configuration."""
    return _environment(once, "configuration", f"{wheel}[otlp]", "httpx", "opentelemetry-configuration")


@pytest.fixture(scope="session")
def installed_with_servers(once: Any, wheel: Path) -> Path:
    """A fresh environment with what serves applications."""
    return _environment(once, "server", f"{wheel}[otlp]", "openai", "fastapi", "uvicorn", "gunicorn", "gevent")


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
def user(installed: Path, server: Any, tmp_path: Path) -> User:
    """A user who has installed the package, and whose application talks to the local server."""
    return User(installed, _variables(server), tmp_path)


@pytest.fixture
def configurer(installed_with_configuration: Path, server: Any, tmp_path: Path) -> User:
    """A user who says everything in a configuration file."""
    return User(installed_with_configuration, _variables(server), tmp_path)


@pytest.fixture
def operator(installed_with_servers: Path, server: Any, tmp_path: Path) -> User:
    """A user who runs servers."""
    return User(installed_with_servers, _variables(server), tmp_path)
