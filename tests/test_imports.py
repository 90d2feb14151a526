"""What the package imports, and when: little below the observer, no client library and no SDK on its own account."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import opentelemetry.instrumentation.xai as package

ROOT = Path(package.__file__).parent
NAME = "opentelemetry.instrumentation.xai"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
CORE = [
    file
    for file in FILES
    if file.startswith("wire/")
    or file
    in ("exchange.py", "observation.py", "conventions.py", "guard.py", "settings.py", "version.py", "package.py")
]
CODECS = {"brotli", "brotlicffi", "compression", "backports", "zstandard"}


def imported(file: str) -> Iterator[str]:
    """The absolute names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            parts = [*NAME.split("."), *Path(file).parts[:-1]]
            yield ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def test_the_core_is_found() -> None:
    """The files that this page speaks of exist."""
    assert len(CORE) >= 18
    assert {"telemetry/recorder.py", "observer.py", "instrumentor.py"} <= set(FILES)


@pytest.mark.parametrize("file", CORE)
def test_below_the_observer_there_is_only_the_standard_library(file: str) -> None:
    """Only telemetry imports more than the standard library and msgspec below the observer."""
    for name in imported(file):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top == "msgspec" or name.startswith(NAME), name
        assert not name.startswith(f"{NAME}.telemetry"), name
        assert not name.startswith(f"{NAME}.clients"), name


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("telemetry/")])
def test_telemetry_knows_nothing_of_the_wire(file: str) -> None:
    """Telemetry imports the API of OpenTelemetry and what all floors share, not the wire format, and no SDK."""
    for name in imported(file):
        assert not name.startswith((f"{NAME}.wire", f"{NAME}.exchange", f"{NAME}.observer", f"{NAME}.clients")), name
        assert not name.startswith("opentelemetry.sdk"), name


@pytest.mark.parametrize("file", FILES)
def test_optional_libraries_are_never_imported_by_statement(file: str) -> None:
    """Client libraries, the SDK and codecs are in no import statement; codecs are looked up by name in one file."""
    for name in imported(file):
        assert name.partition(".")[0] not in {*CODECS, "httpx", "httpx2", "openai", "requests", "aiohttp"}, name
        assert not name.startswith("opentelemetry.sdk") or file == "sdk_providers.py", name
    tree = ast.parse((ROOT / file).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if file != "wire/content_coding.py":
        assert not {text for text in texts if text.partition(".")[0] in CODECS and " " not in text}


@pytest.mark.parametrize(
    "statement",
    [
        f"import {NAME}",
        f"from {NAME} import XAIInstrumentor; XAIInstrumentor().instrument()",
        f"from {NAME}.wire.content_coding import decoder_for; decoder_for('gzip')",
    ],
)
def test_importing_and_switching_on_load_no_optional_library(statement: str) -> None:
    """Neither the import nor ``instrument()`` loads a client library, the SDK or a codec."""
    unwanted = ["httpx", "httpx2", "openai", "opentelemetry.sdk", "brotli", "zstandard", "backports.zstd"]
    code = f"import sys; {statement}; print([name for name in {unwanted!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n"
