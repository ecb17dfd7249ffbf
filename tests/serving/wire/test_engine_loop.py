"""The loop of the engine's process, with an engine of a tiny model and fronts that are sockets."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.engine_loop import EngineLoop
from verilora.serving.wire.messages import (
    VERSION,
    Abort,
    Add,
    FromEngine,
    FromFront,
    Hello,
    Leave,
    Load,
    Loaded,
    ModelCard,
    Out,
    Ready,
    Step,
    Unload,
    decode_from_engine,
    encode,
)

from engines import engine_of, random_model, save_adapter
from servers import until

CARD = ModelCard("{}", "", {}, (), 160, 256, 1)
LONG = SamplingParams(temperature=0, max_tokens=200)
SHORT = SamplingParams(temperature=0, max_tokens=4)


class Fake:
    """A front, as the engine sees it."""

    def __init__(self, context: "zmq.Context[Any]", endpoint: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, 1)
        self.socket.setsockopt(zmq.RCVTIMEO, 20_000)
        self.socket.connect(endpoint)

    def say(self, message: FromFront | bytes) -> None:
        self.socket.send(message if isinstance(message, bytes) else encode(message))

    def hear(self) -> FromEngine:
        return decode_from_engine(self.socket.recv())

    def outs(self, is_enough: Callable[[list[Out]], bool]) -> list[Out]:
        """Return what is new until it is enough."""
        found: list[Out] = []
        while not is_enough(found):
            message = self.hear()
            if isinstance(message, Step):
                found += message.outs
        return found


def ended(num_candidates: int) -> Callable[[list[Out]], bool]:
    return lambda outs: sum(out.finish is not None for out in outs) >= num_candidates


def tokens_of(outs: list[Out], request: int) -> tuple[int, ...]:
    return tuple(token for out in outs if out.id == request for token in out.tokens)


def loaded(front: Fake) -> Loaded:
    return next(message for message in iter(front.hear, None) if isinstance(message, Loaded))


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture
def engine(model: Any) -> Engine:
    return engine_of(model)


@pytest.fixture
def connect(engine: Engine, tmp_path: Path) -> Iterator[Callable[[], Fake]]:
    context = zmq.Context()
    endpoint = f"ipc://{tmp_path / 'engine'}"
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.SNDHWM, 1)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(endpoint)
    stays, leaves = os.pipe()
    thread = threading.Thread(target=EngineLoop(engine, CARD, socket, stays).run)
    thread.start()
    fronts = []

    def connected() -> Fake:
        front = Fake(context, endpoint)
        fronts.append(front)
        front.say(Hello(VERSION))
        assert front.hear() == Ready(VERSION, CARD)
        return front

    yield connected
    os.close(leaves)
    thread.join(20)
    assert not thread.is_alive(), "the loop ends when the process that started it is gone"
    os.close(stays)
    for front in fronts:
        front.socket.close()
    socket.close()
    context.term()


def is_idle(engine: Engine) -> bool:
    counters = engine.counters()
    return not (counters.num_running or counters.num_waiting or counters.pages_kv)


def test_tokens_come_as_they_are_drawn_and_all_of_a_step_in_one_message(
    connect: Callable[[], Fake], engine: Engine
) -> None:
    front = connect()
    front.say(Add(0, (1, 2, 3), SamplingParams(temperature=0, max_tokens=4, n=2, logprobs=1)))
    steps: list[Step] = []
    while sum(out.finish is not None for step in steps for out in step.outs) < 2:
        message = front.hear()
        assert isinstance(message, Step)
        steps.append(message)
    outs = [out for step in steps for out in step.outs]
    by_candidate = [tuple(t for out in outs if out.candidate == c for t in out.tokens) for c in (0, 1)]
    assert len(by_candidate[0]) == 4
    assert by_candidate[0] == by_candidate[1]
    assert [len(out.logprobs) for out in outs] == [len(out.tokens) for out in outs]
    assert max(len(step.outs) for step in steps) == 2
    assert outs[-1].finish is Finish.LENGTH


def test_what_cannot_be_is_refused_for_each_candidate(connect: Callable[[], Fake]) -> None:
    front = connect()
    front.say(Add(0, (999,), SamplingParams(n=2)))
    outs = front.outs(ended(2))
    assert [(out.candidate, out.refused) for out in outs] == [(0, True), (1, True)]
    assert outs[0].error.startswith("prompt, got token 999")


def test_an_abort_frees_everything_and_others_go_on(connect: Callable[[], Fake], engine: Engine) -> None:
    front = connect()
    front.say(Add(0, (1, 2), LONG))
    front.say(Add(1, (1, 2, 3), LONG))
    front.outs(lambda outs: {out.id for out in outs} == {0, 1})
    front.say(Abort(0))
    front.say(Abort(77))
    outs = front.outs(ended(1))
    assert outs[-1].id == 1
    assert len(tokens_of(outs, 0)) < 100
    until(lambda: is_idle(engine))


def test_everything_of_a_front_that_leaves_is_cancelled(connect: Callable[[], Fake], engine: Engine) -> None:
    stays, leaves, dies = connect(), connect(), connect()
    for front in (stays, leaves, dies):
        front.say(Add(0, (1, 2), LONG))
    for front in (leaves, dies):
        front.outs(lambda outs: len(outs) > 0)
    leaves.say(Leave())
    dies.socket.close()
    outs = stays.outs(ended(1))
    assert len(tokens_of(outs, 0)) == 200
    until(lambda: is_idle(engine))
    assert engine.counters().output_tokens < 600


def test_messages_that_are_none_and_strangers_change_nothing(connect: Callable[[], Fake]) -> None:
    front = connect()
    for nonsense in (b"", b"\xc1", b"\x93", encode(Ready(1, CARD))):
        front.say(nonsense)
    front.socket.send_multipart([b"a", b"b", b"c"])
    stranger = Fake(front.socket.context, front.socket.getsockopt_string(zmq.LAST_ENDPOINT))
    stranger.say(Add(0, (1,), SHORT))
    front.say(Add(0, (1, 2), SHORT))
    assert len(tokens_of(front.outs(ended(1)), 0)) == 4
    assert not stranger.socket.poll(100)
    stranger.socket.close()


def test_a_slow_front_loses_nothing_and_the_engine_does_not_wait(connect: Callable[[], Fake], engine: Engine) -> None:
    slow = connect()
    prompts = {number: tuple(range(1, 2 + number)) for number in range(8)}
    for number, prompt in prompts.items():
        # Large messages, which fill what the system has room for.
        slow.say(Add(number, prompt, SamplingParams(temperature=0, max_tokens=200, logprobs=20)))
    # It reads nothing while the engine does all of it.
    until(lambda: engine.counters().output_tokens == 8 * 200)
    outs = slow.outs(ended(8))
    assert [len(tokens_of(outs, number)) for number in prompts] == [200] * 8
    assert sum(len(out.logprobs) for out in outs) == 8 * 200
    # Each Out stands for many steps.
    assert len(outs) < 8 * 200


def test_adapters_are_read_once_and_those_that_cannot_be_refuse_their_requests(
    connect: Callable[[], Fake], engine: Engine, model: Any, tmp_path: Path
) -> None:
    folder = str(save_adapter(tmp_path / "adapter", model))
    front = connect()
    for number, (digest, where) in enumerate(
        [("d1", folder), ("d1", folder), (None, None), ("bad", str(tmp_path / "secret")), ("d1", folder)]
    ):
        front.say(Add(number, (1, 2, 3), SHORT, digest, where))
    outs = front.outs(ended(5))
    assert tokens_of(outs, 0) == tokens_of(outs, 1) == tokens_of(outs, 4) != tokens_of(outs, 2)
    bad = next(out for out in outs if out.id == 3)
    assert bad.refused
    assert bad.error.startswith("adapter, ")
    assert str(tmp_path) not in bad.error
    # Each once.
    assert engine.counters().adapter_reads == 2


def test_an_adapter_is_loaded_before_anybody_asks_and_let_go_again(
    connect: Callable[[], Fake], engine: Engine, model: Any, tmp_path: Path
) -> None:
    folder = str(save_adapter(tmp_path / "adapter", model))
    front = connect()
    front.say(Load("d1", folder))
    assert loaded(front) == Loaded("d1")
    assert "d1" in engine.list_adapters()
    front.say(Unload("d1"))
    until(lambda: not engine.list_adapters())
    front.say(Load("d2", str(tmp_path)))
    found = loaded(front)
    assert found.digest == "d2"
    assert found.error
    assert str(tmp_path) not in found.error


def test_a_request_that_is_aborted_while_its_adapter_is_read_never_runs(
    connect: Callable[[], Fake], engine: Engine, model: Any, tmp_path: Path
) -> None:
    folder = str(save_adapter(tmp_path / "adapter", model))
    front = connect()
    front.say(Add(0, (1, 2), LONG, "d1", folder))
    front.say(Abort(0))
    front.say(Add(1, (1, 2), SHORT, "d1", folder))
    assert {out.id for out in front.outs(ended(1))} == {1}
    assert engine.counters().output_tokens == 4
