"""Servers in processes of their own, as users start them, and what is asked of them over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is ready."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where the API is, as clients of OpenAI's take it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def open(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> HTTPResponse:
        """Send a request and return the response, whose body is not read; bytes are sent as they are."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON, or the text, of a response."""
        response = self.open(method, path, body)
        raw = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(raw) if is_json else raw.decode()

    def stream(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the data of all events of a stream that ends as it should."""
        response = self.open("POST", path, {**body, "stream": True})
        assert response.status == 200, response.read()
        return events(response.read())

    def metric(self, name: str) -> float:
        """Return one of the server's figures."""
        _, text = self.ask("GET", "/metrics")
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"{name} is not among the figures"
        return float(found[1])

    def engine_pid(self) -> int:
        """Return the process of the engine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(one) for one in children if b"engine_process" in Path(f"/proc/{one}/cmdline").read_bytes())

    def is_idle(self) -> bool:
        """Return whether nothing runs, waits or holds pages but what is kept for later."""
        names = ("verilora_requests_running", "verilora_requests_waiting", 'verilora_pool_pages{owner="kv"}')
        return not any(map(self.metric, names))


def events(raw: bytes) -> list[dict[str, Any]]:
    """Return the data of server-sent events, behind which [DONE] stands."""
    parts = raw.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""], parts[-2:]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


@contextmanager
def serving(log: Path, *arguments: str | Path, is_ready: bool = True) -> Iterator[Served]:
    """Start a server on a free port, wait until it is ready, and end it."""
    command = [sys.executable, "-m", "verilora", "serve", "--port", "0", *map(str, arguments)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stderr=errors, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        until(lambda: "port" in log.read_text() or process.poll() is not None, log.read_text)
        found = re.search(r'"port": (\d+)', log.read_text())
        assert found, log.read_text()
        served = Served(process, int(found[1]), log)
        if is_ready:
            until(lambda: served.ask("GET", "/ready")[0] == 200 or process.poll() is not None, log.read_text)
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(is_so: Callable[[], bool], said: Callable[[], str] = str) -> None:
    """Wait until something is so; it is an error if that never happens."""
    patience = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < patience, f"waited in vain: {said()}"
        time.sleep(0.02)
