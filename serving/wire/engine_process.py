"""The process that owns the model: `python -m verilora.serving.wire.engine_process`, told what to do on standard input.

Exit codes: 0 when the process that started it is gone, 2 for a model that cannot be used, whose reason it prints.
"""

import os
import signal
import sys
from pathlib import Path

import msgspec
import zmq

from ...specs.files.errors import InputError
from ...specs.processes.json_log import log_in_json
from .description import EngineDescription
from .engine_loop import EngineLoop
from .heartbeat import Heartbeat
from .served_model import load_served

SEND_HIGH_WATER = 100
"""Messages that wait for a front in its socket; what comes then is joined outside of it."""


def serve(description: EngineDescription, parent: int) -> None:
    """Load a model and serve it until the process that started this one is gone; raises InputError."""
    context = zmq.Context()
    heartbeat = Heartbeat(context, description.beat_endpoint)
    try:
        engine, card, tokens = load_served(description)
        # Before the front hears that the engine is ready.
        Path(description.tokens_path).write_text(tokens)
        socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
        # Only now: a front that says hello is answered at once.
        socket.bind(description.endpoint)
        EngineLoop(engine, card, socket, parent, tokens).run()
        socket.close()
    finally:
        heartbeat.close()
        context.term()


def main() -> int:
    """Return the exit code of the engine's process."""
    log_in_json()
    # A Ctrl-C is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    description = msgspec.json.decode(_first_line(sys.stdin.fileno()), type=EngineDescription)
    os.umask(0o077)
    try:
        serve(description, sys.stdin.fileno())
    except InputError as error:
        print(error, flush=True)
        return 2
    return 0


def _first_line(descriptor: int) -> bytes:
    """Return what stands before the first line end, and read nothing behind it into a buffer."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
