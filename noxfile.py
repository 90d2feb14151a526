"""The test suite on the oldest and the newest supported versions, on every interpreter that is installed."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

OLDEST = ("opentelemetry-api==1.30.0", "opentelemetry-sdk==1.30.0", "opentelemetry-instrumentation==0.51b0")
OLDEST += ("msgspec==0.19.0", "wrapt==1.16.0")


# What runs on its own environments (fresh ones, with the built wheel) has a session of its own; boards and rules are
# the same for all.
APART = (
    "tests",
    "--ignore=tests/examples",
    "--ignore=tests/switching_on",
    "--ignore=tests/dashboards",
    "--ignore=tests/alerting",
    "--ignore=tests/sdks",
)


def _install(session: nox.Session, *clients: str) -> None:
    session.install("--upgrade", "pip >= 25.1", silent=True)
    session.install(
        ".", "opentelemetry-sdk", *clients, "--group", "test", "--group", "servers", "--group", "codecs", silent=True
    )


def _pytest(session: nox.Session, *arguments: str, success: tuple[int, ...] = (0,)) -> None:
    session.run("python", "-m", "pytest", "--quiet", *(session.posargs or arguments), success_codes=success)


def _test(session: nox.Session, *clients: str, tests: tuple[str, ...] = APART) -> None:
    _install(session, *clients)
    _pytest(session, "--numprocesses=2", "-m", "not timing", *tests)
    if not session.posargs:
        _pytest(session, "-m", "timing", *tests, success=(0, 5))  # 5: there are none


@nox.session(python=["3.10"])
def oldest(session: nox.Session) -> None:
    """The oldest supported client libraries (2.0 is the first httpx2), and OpenTelemetry, without an SDK on top."""
    clients = ("httpx==0.25.2", "httpx2==2.0.0", "aiohttp==3.9.0", "requests==2.28.0", "urllib3==1.26.18")
    _test(session, *clients, *OLDEST)


@nox.session(python=["3.10"])
def openai_2(session: nox.Session) -> None:
    """openai 2.54, which rides on httpx."""
    _test(session, "openai[aiohttp]==2.54.0", "httpx==0.28.1", "genai-prices")


@nox.session(python=["3.13"])
def newest(session: nox.Session) -> None:
    """The newest of everything: openai 3 and all client libraries, and OpenTelemetry's own beside ours."""
    others = [f"opentelemetry-instrumentation-{name}" for name in ("aiohttp-client", "grpc", "requests", "urllib3")]
    clients = ("httpx2", "httpx", "aiohttp", "requests", "urllib3", "xai-sdk")
    _test(session, "openai[aiohttp]>=3", *clients, "genai-prices", *others)


@nox.session(python=["3.11"])
def xai_sdk_1_4(session: nox.Session) -> None:
    """The oldest supported version of the official SDK, with protobuf 5."""
    _test(
        session,
        "xai-sdk==1.4.0",
        "protobuf<6",
        "httpx",
        tests=("tests/clients/test_xai_sdk.py", "tests/wire/test_grpc.py"),
    )


@nox.session(python=["3.13"])
@nox.parametrize("niquests", ["==3.15.0", ""], ids=["oldest", "newest"])
def niquests(session: nox.Session, niquests: str) -> None:
    """niquests, apart from the others: it puts urllib3-future in the place of urllib3, on which requests rides then."""
    _test(session, f"niquests{niquests}", "requests", "httpx", tests=("tests/clients",))


@nox.session(python=["3.10", "3.12", "3.13"])
def switching_on(session: nox.Session) -> None:
    """All ways of switching on, as a new user tries them (the suite itself does so on the interpreter that runs it)."""
    session.env["THOROUGH"] = "1"
    _test(session, "httpx", "opentelemetry-exporter-otlp-proto-http", tests=("tests/switching_on",))


# Other instrumentations, each in an environment of its own: most patch the same methods, some want older versions.
PEERS = {
    "genai-openai": (
        "opentelemetry-instrumentation-genai-openai",
        "opentelemetry-instrumentation-httpx",
        "openai>=3",
        "httpx",
    ),
    "openai-v2": (
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==1.1b0",
        "openai",
        "httpx",
    ),
    "openinference": ("openinference-instrumentation-openai", "openai>=3"),
    "traceloop": ("opentelemetry-instrumentation-openai", "openai>=3"),
    "openlit": ("openlit>=1.45", "openai", "httpx"),
    "logfire": ("logfire", "openai>=3"),
    "langfuse": ("langfuse", "openai>=3"),
    "pydantic-ai": ("pydantic-ai-slim[openai]",),
    "anthropic": ("anthropic>=2",),
}


@nox.session(python=["3.13"], tags=["clients"], default=False)
@nox.parametrize("peer", [*PEERS], ids=[*PEERS])
def others(session: nox.Session, peer: str) -> None:
    """Beside each other instrumentation: one span for a call, and each metric once."""
    _install(session, *PEERS[peer])
    _pytest(session, "--numprocesses=2", "tests/others")


# The SDKs, unmodified: what cannot be installed together stands apart. They run on the interpreter that runs nox.
RAW = ("httpx", "httpx2", "requests", "urllib3", "aiohttp")
SDKS = (
    "anthropic",
    "langchain-xai",
    "litellm",
    "openai-agents",
    "openai[aiohttp]>=3",
    "pydantic-ai-slim[openai,xai]",
    "xai-sdk",
)
# llama-index wants openai < 3, instructor a jiter that openai 3 is too new for; niquests replaces urllib3 by its own.
SDKS_OF_OPENAI_2 = (
    "instructor[xai]",
    "langchain-xai",
    "llama-index-llms-openai-like",
    "niquests",
    "openai[aiohttp]==2.54.0",
)


def _clients(session: nox.Session, *clients: str) -> None:
    _install(session, *clients, "genai-prices")
    # How the client libraries themselves fare, the contract suite says.
    suites = ("tests/sdks", "tests/clients/test_contract.py")
    _pytest(session, "--numprocesses=2", "--client-table=.nox/clients.json", *suites)


@nox.session(tags=["clients"], default=False)
def sdks(session: nox.Session) -> None:
    """The newest SDKs, on openai 3 where they use it."""
    _clients(session, *RAW, *SDKS)


@nox.session(tags=["clients"], default=False)
def sdks_openai_2(session: nox.Session) -> None:
    """SDKs on openai 2.54, which rides on httpx; and whatever lives on urllib3-future."""
    _clients(session, *SDKS_OF_OPENAI_2)
