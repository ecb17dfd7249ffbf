"""The loop of the engine's process: take all messages, compute a step, tell each front what is new in one message."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import zmq

from ..engine.engine import Engine
from .adapter_loads import AdapterLoads
from .front_desk import FrontDesk
from .messages import (
    VERSION,
    Abort,
    Add,
    FromEngine,
    FromFront,
    Hello,
    Leave,
    Load,
    ModelCard,
    Ready,
    SendGrammar,
    Stats,
    Step,
    Unload,
    decode_from_front,
    encode,
)

MAX_WAITING_TOKENS = 2**16
_LOADING_MS = 5
_IDLE_MS = 1000
_LOG = logging.getLogger(__name__)


class EngineLoop:
    """Serves fronts with an engine until the process that started it is gone.

    socket  a ROUTER that refuses to send to whom it does not know
    parent  a file descriptor that ends when the process that started this one does
    tokens  the vocabulary that grammars are compiled for
    """

    def __init__(
        self, engine: Engine, card: ModelCard, socket: "zmq.Socket[bytes]", parent: int, tokens: str = ""
    ) -> None:
        self._engine = engine
        self._card = card
        self._socket = socket
        self._parent = parent
        self._tokens = tokens
        self._loads = AdapterLoads(engine)
        self._fronts: dict[bytes, FrontDesk] = {}
        self._told = Stats()
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(parent, zmq.POLLIN)

    def run(self) -> None:
        """Serve; returns when nobody is there to serve."""
        is_busy = False
        while True:
            events = dict(self._poller.poll(0 if is_busy else _LOADING_MS if self._loads.is_busy else _IDLE_MS))
            # Nothing more is said on it: it is readable when it ends.
            if self._parent in events:
                break
            self._take_messages(events)
            self._loads.collect()
            is_busy = self._engine.step()
            self._tell()
        self._loads.close()

    def _take_messages(self, events: Mapping[Any, int]) -> None:
        while self._socket in events:
            try:
                front, payload = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:
                _LOG.warning("a message of an odd number of parts is left out")
                continue
            try:
                self._take(front, decode_from_front(payload))
            except (msgspec.ValidationError, msgspec.DecodeError) as error:
                _LOG.warning("a message that is none is left out: %s", error)

    def _take(self, front: bytes, message: FromFront) -> None:
        if isinstance(message, Hello):
            self._fronts.setdefault(front, FrontDesk(self._engine, self._loads, MAX_WAITING_TOKENS, self._tokens))
            self._send(front, Ready(VERSION, self._card))
            return
        desk = self._fronts.get(front)
        if desk is None:
            _LOG.warning("a message of a front that has not said hello is left out")
            return
        match message:
            case Add():
                desk.add(message)
            case SendGrammar():
                desk.keep(message)
            case Abort():
                desk.abort(message)
            case Load():
                desk.load(message)
            case Unload(digest):
                self._loads.forget(digest)
            case Leave():
                self._leave(front)

    def _leave(self, front: bytes) -> None:
        desk = self._fronts.pop(front, None)
        if desk is not None:
            desk.leave()

    def _tell(self) -> None:
        """Send each front what is new for it; all of them what the engine has, when it has changed."""
        stats = Stats(**dataclasses.asdict(self._engine.counters()))
        has_changed = stats != self._told
        self._told = stats
        for front, desk in [*self._fronts.items()]:
            while desk.loaded and self._send(front, desk.loaded[0]):
                desk.loaded.popleft()
            if (desk.outbox or has_changed) and self._send(front, Step(tuple(desk.outbox.waiting()), stats)):
                desk.outbox.clear()
            desk.relieve()

    def _send(self, front: bytes, message: FromEngine) -> bool:
        """Return whether a message is on its way; the engine never waits for a front."""
        try:
            self._socket.send_multipart([front, encode(message)], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            _LOG.info("a front is gone")
            self._leave(front)
            return False
        return True
