"""Signs of life of the engine's process, which come while a step computes, too."""

import threading
import time
from typing import Any

import zmq

from .messages import Beat, encode

BEAT_SECONDS = 0.5


class Heartbeat:
    """A thread that tells all who listen at an endpoint, twice a second, that this process is alive."""

    def __init__(self, context: "zmq.Context[Any]", endpoint: str) -> None:
        self._is_closed = threading.Event()
        self._socket = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait until the thread has ended."""
        self._is_closed.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._is_closed.wait(BEAT_SECONDS):
            self._socket.send(encode(Beat(time.monotonic())))
