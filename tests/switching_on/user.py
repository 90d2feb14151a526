"""A user's machine: a fresh virtual environment with the built wheel, and programs that run there unchanged."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

CALL = """
import os
import httpx
headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
client = httpx.Client(base_url=os.environ["OPENAI_BASE_URL"], headers=headers)
def ask(text="Name a river.", headers=None):
    body = {"model": "grok-4.7", "messages": [{"role": "user", "content": text}]}
    return client.post("/chat/completions", json=body, headers=headers).json()["choices"][0]["finish_reason"]
"""
"""What a program that calls xAI begins with: a client library alone starts in half the time of an SDK above it."""

OPENAI = """
import openai
def ask(text="Name a river."):
    messages = [{"role": "user", "content": text}]
    answer = openai.OpenAI().chat.completions.create(model="grok-4.7", messages=messages)
    return answer.choices[0].finish_reason
"""
"""The same with the openai SDK."""


@dataclass
class User:
    """One environment, and the variables that every program in it gets."""

    folder: Path
    variables: dict[str, str]
    place: Path | None = None
    """Where programs lie and run; the environment's own folder if it is nobody else's."""

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def pip(self) -> list[str]:
        """pip, that of the tests: to install it in each environment takes longer than all that it installs."""
        return [sys.executable, "-m", "pip", "--python", self.python]

    def command(self, name: str) -> str:
        """A command that a package has installed."""
        return str(self.folder / "bin" / name)

    def install(self, *what: str) -> None:
        """Install with pip, as the README says."""
        done = subprocess.run(
            [*self.pip, "install", "--quiet", "--disable-pip-version-check", *what],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a program: nothing of the test's own but the path."""
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **self.variables, **variables}

    def run(
        self, *command: str, timeout: float = 60, cwd: Path | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, and nothing that it started for longer."""
        process = subprocess.Popen(
            [*command],
            env=self.environment(**variables),
            cwd=cwd or self.place or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def script(self, text: str, *, timeout: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program."""
        return self.run(self.python, self.write("app.py", text), timeout=timeout, **variables)

    def write(self, name: str, text: str) -> str:
        """Write a file and give its path."""
        path = (self.place or self.folder) / name
        path.write_text(text)
        return str(path)

    @contextmanager
    def running(self, *command: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command beside the test; it is ended with it at the latest."""
        process = subprocess.Popen(
            [*command],
            env=self.environment(**variables),
            cwd=self.place or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wheel_of_this(folder: Path) -> Path:
    """Build the wheel as a release would be."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def new_environment(folder: Path) -> Path:
    """Make a virtual environment with the interpreter that runs the tests."""
    base = Path(sysconfig.get_config_var("BINDIR")) / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    interpreter = str(base) if base.exists() else sys.executable
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    return folder


def wait_until(true: Any, seconds: float = 60) -> bool:
    """Ask until something is true; says whether it has become so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False
