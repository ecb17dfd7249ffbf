"""The fronts of a server, and connections to one of them that the test chooses."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from servers import PATIENCE, Served, until

JSON = {"Content-Type": "application/json"}


def other_pid(served: Served) -> int:
    """Return the process of the other front of two, which accepts connections."""
    until(lambda: served.metric("verilora_fronts") == 2)
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return next(int(one) for one in children if b"front_process" in Path(f"/proc/{one}/cmdline").read_bytes())


class Pinned:
    """A connection to one front, which stays open."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def open(self, method: str, path: str, body: Any = None) -> HTTPResponse:
        """Send a request and return the response, whose body is not read."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, sent, JSON)
        return self._connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON, or the text, of a response."""
        response = self.open(method, path, body)
        raw = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(raw) if is_json else raw.decode()

    def close(self) -> None:
        """Leave."""
        self._connection.close()


@contextmanager
def pinned(served: Served) -> Iterator[tuple[Pinned, Pinned]]:
    """Yield a connection to the first of two fronts and one to the other, each accepted while the neighbour stands."""
    first, other = served.process.pid, other_pid(served)
    found = []
    for stopped in (other, first):
        connection = Pinned(served.port)
        os.kill(stopped, signal.SIGSTOP)
        try:
            until(partial(is_stopped, stopped))
            assert connection.ask("GET", "/health")[0] == 200
        finally:
            os.kill(stopped, signal.SIGCONT)
        found.append(connection)
    try:
        yield found[0], found[1]
    finally:
        for connection in found:
            connection.close()


def is_stopped(process: int) -> bool:
    """Return whether a process, and each of its threads, stands still."""
    return all(
        re.search(r"^State:\s+T", (task / "status").read_text(), re.MULTILINE)
        for task in Path(f"/proc/{process}/task").iterdir()
    )
