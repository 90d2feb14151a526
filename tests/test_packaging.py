"""What the installed package promises to tools: names, extras, entry point, namespace, types."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

import opentelemetry
from opentelemetry.instrumentation import xai

DISTRIBUTION = "opentelemetry-instrumentation-xai"
HERE = Path(__file__).parent


def test_the_entry_point_gives_the_instrumentor() -> None:
    """``opentelemetry-instrument`` finds us by the name ``xai``."""
    (entry,) = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="xai")
    assert entry.load() is xai.XAIInstrumentor


def test_the_version_is_stated_once() -> None:
    """The module's version is the distribution's."""
    assert importlib.metadata.version(DISTRIBUTION) == xai.__version__


def test_opentelemetry_stays_a_namespace() -> None:
    """We bring no ``__init__`` into OpenTelemetry's namespaces, so that other distributions can share them."""
    assert getattr(opentelemetry, "__file__", None) is None
    assert (
        not (Path(xai.__file__).parents[1] / "__init__.py").read_text()
        if (Path(xai.__file__).parents[1] / "__init__.py").exists()
        else True
    )


def test_types_are_shipped() -> None:
    """Type checkers may use our annotations."""
    assert (Path(xai.__file__).parent / "py.typed").exists()


def test_extras_are_the_documented_ones() -> None:
    """The extras that users rely on."""
    extras = set(importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ())
    assert {"instruments", "instruments-any", "otlp", "prices", "demo"} <= extras


def test_no_single_client_library_is_required() -> None:
    """Any one of the client libraries will do; the loader of OpenTelemetry must not want them all."""
    from opentelemetry.instrumentation.xai.package import _instruments, _instruments_any

    assert _instruments == ()
    requires = importlib.metadata.requires(DISTRIBUTION) or []
    assert not [line for line in requires if 'extra == "instruments"' in line.replace("'", '"')]
    listed = {
        line.partition(";")[0].replace(" ", "")
        for line in requires
        if 'extra == "instruments-any"' in line.replace("'", '"')
    }
    assert listed == {line.replace(" ", "") for line in _instruments_any}
    assert get_dependency_conflicts(xai.XAIInstrumentor().instrumentation_dependencies()) is None


def test_the_public_names_are_few() -> None:
    """The package offers the instrumentor and its version."""
    assert sorted(xai.__all__) == ["XAIInstrumentor", "__version__"]


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is a development dependency")
def test_a_users_code_passes_the_type_checker() -> None:
    """What a typed application writes against us is accepted, strictly."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(HERE / "typing" / "public.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
    )
    assert done.returncode == 0, done.stdout
