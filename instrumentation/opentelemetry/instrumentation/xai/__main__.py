"""``python -m opentelemetry.instrumentation.xai``: the same as the command ``xai-otel``."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
