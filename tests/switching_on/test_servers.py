"""Servers that fork, and libraries that patch: each worker reports its own calls, once, and nothing stands still."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest

from switching_on.otlp_receiver import Receiver
from switching_on.user import ROOT, User, wait_until

pytestmark = pytest.mark.thorough
under_gevent = pytest.mark.skipif(
    sys.version_info[:2] == (3, 12),
    reason="Python 3.12 starts no thread while a program ends, and gevent looks up the collector's name in one",
)

ON = {"OTEL_INSTRUMENTATION_XAI_ENABLED": "true"}
ASK = """
import os
import openai
def ask():
    with openai.OpenAI() as client:  # of its own: processes cannot share connections
        answer = client.chat.completions.create(model="grok-4.7", messages=[{"role": "user", "content": "hi"}])
        return answer.choices[0].finish_reason
"""
WSGI = (
    ASK
    + """
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{ask()} {os.getpid()}".encode()]
"""
)
FASTAPI = (
    ASK
    + """
import fastapi
app = fastapi.FastAPI()
async_client = openai.AsyncOpenAI()
@app.get("/")
def blocking():
    return f"{ask()} {os.getpid()}"
@app.get("/async")
async def asynchronous():
    answer = await async_client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    return f"{answer.choices[0].finish_reason} {os.getpid()}"
"""
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(port: int, path: str = "/") -> str:
    """Ask the server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        return str(response.read().decode())


def is_up(port: int) -> bool:
    """Whether something listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def asked(port: int, times: int, *paths: str) -> Counter[str]:
    """Which processes answered how often."""
    answered: Counter[str] = Counter()
    for number in range(times):
        found = re.search(r"stop (\d+)", get(port, paths[number % len(paths)] if paths else "/"))
        assert found
        answered[found[1]] += 1
    return answered


def ended(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> int:
    """Tell a server to stop, and give its exit status."""
    process.send_signal(number)
    return process.wait(20)


def variables(receiver: Receiver) -> dict[str, str]:
    """What the operator sets."""
    return {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}


@pytest.mark.parametrize("worker", ["sync", "gthread", pytest.param("gevent", marks=under_gevent)])
@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no-preload"])
def test_gunicorn(operator: User, receiver: Receiver, worker: str, preload: bool) -> None:
    """Workers that were forked, with the application loaded before or after: each reports its calls, exactly once."""
    operator.write("wsgi.py", WSGI)
    port = free_port()
    command = [operator.command("gunicorn"), "wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command += ["--worker-class", worker, *(["--preload"] if preload else []), "--graceful-timeout", "5"]
    with operator.running(*command, **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        answered = asked(port, 12)
        assert ended(process) == 0
    assert sum(answered.values()) == 12
    assert len(receiver.spans()) == 12
    assert receiver.calls() == 12


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no-preload"])
def test_gunicorn_with_uvicorn_workers(operator: User, receiver: Receiver, preload: bool) -> None:
    """Workers that give SIGTERM back to nobody, and take it over again, lose nothing when they are stopped."""
    operator.write("served.py", FASTAPI)
    port = free_port()
    command = [operator.command("gunicorn"), "served:app", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command += ["--worker-class", "uvicorn.workers.UvicornWorker", *(["--preload"] if preload else [])]
    with operator.running(*command, **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        asked(port, 6, "/", "/async")
        ended(process)
    assert len(receiver.spans()) == 6
    assert receiver.calls() == 6


def test_gunicorn_whose_application_calls_before_the_fork(operator: User, receiver: Receiver) -> None:
    """A master that has made a call itself: what it recorded is sent by it, and by none of its children."""
    operator.write("wsgi.py", WSGI + "\nask()\n")
    port = free_port()
    command = [operator.command("gunicorn"), "wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload"]
    with operator.running(*command, **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        asked(port, 6)
        assert ended(process) == 0
    assert len(receiver.spans()) == 7
    assert receiver.calls() == 7
    assert len({span.span_id for span in receiver.spans()}) == 7


def test_uvicorn_ended_by_sigterm(operator: User, receiver: Receiver) -> None:
    """One server, blocking and asynchronous endpoints: nothing is lost when it is told to stop."""
    operator.write("served.py", FASTAPI)
    port = free_port()
    command = [operator.command("uvicorn"), "served:app", "--port", str(port), "--log-level", "warning"]
    with operator.running(*command, **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        asked(port, 6, "/", "/async")
        assert ended(process) in (0, -signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert len(receiver.spans()) == 6
    assert receiver.calls() == 6


def test_uvicorn_workers(operator: User, receiver: Receiver) -> None:
    """Workers that uvicorn spawns start Python anew, and are switched on like any program."""
    operator.write("served.py", FASTAPI)
    port = free_port()
    command = [operator.command("uvicorn"), "served:app", "--port", str(port), "--workers", "2"]
    with operator.running(*command, **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        assert wait_until(lambda: _answers(port))
        receiver_before = len(receiver.spans())
        asked(port, 10, "/", "/async")
        ended(process)
    assert receiver_before == 0
    assert len(receiver.spans()) == 11
    assert receiver.calls() == 11


def _answers(port: int) -> bool:
    try:
        return "stop" in get(port)
    except (OSError, urllib.error.URLError):
        return False


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("parent_calls", [False, True], ids=["quiet-parent", "busy-parent"])
def test_multiprocessing(operator: User, receiver: Receiver, method: str, parent_calls: bool) -> None:
    """Processes of a pool, however they are started: each call is reported by the process that made it, once."""
    program = (
        ASK
        + f"""
import multiprocessing
def work(_):
    return ask(), os.getpid()
if __name__ == "__main__":
    {"ask()" if parent_calls else ""}
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(n,)) for n in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join(30)
    print([worker.exitcode for worker in workers])
"""
    )
    done = operator.script(program, **variables(receiver))
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0, 0]\n", "")
    assert len(receiver.spans()) == 3 + parent_calls
    assert receiver.calls() == 3 + parent_calls


def test_a_pool_that_is_terminated(operator: User, receiver: Receiver) -> None:
    """``Pool.__exit__`` ends its workers by SIGTERM: they flush first."""
    program = (
        ASK
        + """
import multiprocessing
def work(_):
    return ask()
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(6)))
"""
    )
    done = operator.script(program, **variables(receiver))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(receiver.spans()) == 6
    assert receiver.calls() == 6


@under_gevent
def test_gevent(operator: User, receiver: Receiver) -> None:
    """With everything patched, many greenlets call at once, some dropping their streams: no deadlock, none lost."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        + ASK
        + """
import gc, gevent
def drop():
    client = openai.OpenAI()
    stream = client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "hi"}])
    next(iter(stream))
    del stream
    gc.collect()
    return "dropped"
jobs = [gevent.spawn(ask if n % 2 else drop) for n in range(20)]
gevent.joinall(jobs, timeout=30, raise_error=True)
print(sorted({job.value for job in jobs}))
"""
    )
    began = time.monotonic()
    done = operator.script(program, **variables(receiver))
    assert (done.returncode, done.stdout, done.stderr) == (0, "['dropped', 'stop']\n", "")
    assert time.monotonic() - began < 30
    assert len(receiver.spans()) == 20
    assert receiver.calls() == 20


@under_gevent
def test_gevent_ended_by_sigterm(operator: User, receiver: Receiver) -> None:
    """A program whose greenlets all wait: the hub takes the signal, and nothing is lost."""
    program = "from gevent import monkey; monkey.patch_all()\n" + ASK
    program += "ask()\nimport time; time.sleep(1); print('asked', flush=True); time.sleep(60)\n"
    with operator.running(operator.python, operator.write("app.py", program), **variables(receiver)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        assert ended(process) == -signal.SIGTERM
    assert len(receiver.spans()) == 1
    assert receiver.calls() == 1


def test_a_fork_in_the_middle_of_calls(operator: User, receiver: Receiver) -> None:
    """A child forked while other threads record can record too: no lock of theirs is held in it."""
    program = """
import os, threading
import httpx2
answer = {"id": "one", "choices": [{"index": 0, "finish_reason": "stop"}]}
transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
def ask():  # without sockets, so that no lock of the client's own is in the way
    httpx2.Client(transport=transport).post("https://api.x.ai/v1/chat/completions", json={"model": "m"})
ask()
done = threading.Event()
def busy():
    while not done.is_set(): ask()
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        ask()
        os._exit(0)
    children.append(child)
print({os.waitpid(child, 0)[1] for child in children})
done.set()
for thread in threads: thread.join()
"""
    more = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000"}
    done = operator.script(program, **variables(receiver), **more)
    assert (done.returncode, done.stdout) == (0, "{0}\n")  # Python warns of forks beside threads from 3.12 on
    assert receiver.calls() == len(receiver.spans()) > 10


def test_a_server_that_sets_up_its_own_after_the_fork(operator: User, receiver: Receiver) -> None:
    """The hook that OpenTelemetry recommends for gunicorn: the SDK of each worker is used."""
    operator.write("wsgi.py", WSGI)
    operator.write(
        "gunicorn_conf.py",
        """
def post_fork(server, worker):
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
""",
    )
    port = free_port()
    command = [operator.command("gunicorn"), "wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload"]
    with operator.running(*command, "--config", "gunicorn_conf.py", **variables(receiver)) as process:
        assert wait_until(lambda: is_up(port))
        asked(port, 8)
        assert ended(process) == 0
    assert len(receiver.spans()) == 8
    assert receiver.calls() == 8


# --- the examples, by the commands of their READMEs ------------------------------------------------------------------


def command_of(example: str) -> list[str]:
    """The last command of the first block of an example's README: the one that starts the server."""
    text = (ROOT / "examples" / example / "README.md").read_text()
    return text.split("```console\n")[1].split("```")[0].strip().splitlines()[-1].removeprefix("$ ").split()


@pytest.mark.parametrize(
    ("example", "path"),
    [("fastapi_uvicorn", "/ada/ask?question={}"), ("gunicorn", "/?customer=ada&question={}")],
    ids=["fastapi-uvicorn", "gunicorn"],
)
def test_an_example_of_a_server(operator: User, receiver: Receiver, example: str, path: str) -> None:
    """As its README says: workers that know nothing of telemetry report every call, the later ones cached."""
    port = free_port()
    name, *arguments = command_of(example)
    address = ["--port", str(port)] if name == "uvicorn" else ["--bind", f"127.0.0.1:{port}"]
    ours = {"XAI_BASE_URL": operator.variables["OPENAI_BASE_URL"], "XAI_API_KEY": "any"}
    command = [operator.command(name), *arguments, *address, "--chdir" if name == "gunicorn" else "--app-dir"]
    with operator.running(*command, str(ROOT / "examples" / example), **variables(receiver), **ours) as process:
        assert wait_until(lambda: is_up(port))
        for number in range(6):
            assert wait_until(lambda number=number: get(port, path.format(number)) != "")
        ended(process)
    conversations = [attributes["gen_ai.conversation.id"] for attributes in receiver.attributes()]
    assert conversations == ["ada"] * 6
    assert receiver.calls() == 6
    assert sum(attributes["gen_ai.usage.cache_read.input_tokens"] > 1024 for attributes in receiver.attributes()) >= 4
