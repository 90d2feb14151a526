"""Which versions are installed, and where."""

import json
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ...version import __version__

DISTRIBUTION = "opentelemetry-instrumentation-xai"


@dataclass(frozen=True)
class Installation:
    """The versions that matter, and the place."""

    version: str
    python_version: str
    api_version: str | None
    sdk_version: str | None
    instrumentation_version: str | None
    folder: str
    environment: str
    """The interpreter's prefix."""
    is_virtual_environment: bool
    editable_project: str | None
    """The project's folder, where the package is installed as editable."""


def installation() -> Installation:
    """Look at the interpreter and the metadata."""
    return Installation(
        version=__version__,
        python_version=platform.python_version(),
        api_version=version_of("opentelemetry-api"),
        sdk_version=version_of("opentelemetry-sdk"),
        instrumentation_version=version_of("opentelemetry-instrumentation"),
        folder=str(Path(__file__).parents[5]),
        environment=sys.prefix,
        is_virtual_environment=sys.prefix != sys.base_prefix,
        editable_project=_editable_project(),
    )


def version_of(distribution: str) -> str | None:
    """The version that is installed of a distribution, if it is."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _editable_project() -> str | None:
    try:
        origin = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return url2pathname(urlsplit(origin["url"]).path)
