"""The engine's lock, and calls from several threads while another computes steps."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.engine.turns import Turns
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, random_prompts, save_adapter
from listening import Heard, check_empty, drain

GREEDY = SamplingParams(temperature=0, max_tokens=6)
PROMPTS = random_prompts(6)
MOST_SECONDS = 60.0


@contextmanager
def running(*work: Callable[[], None]) -> Iterator[None]:
    """Run work in threads; raises the first error of any once all have ended."""
    errors: list[BaseException] = []

    def caught(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=caught, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(MOST_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    if errors:
        raise errors[0]


def test_its_owner_may_take_it_again_and_others_may_not() -> None:
    turns, asks = Turns(), Event()
    order: list[str] = []

    def other() -> None:
        asks.set()
        with turns:
            order.append("other")

    def owner() -> None:
        for _ in range(3):
            with turns:
                order.append("owner")

    with ExitStack() as stack, turns:
        stack.enter_context(running(other))
        asks.wait()
        owner()
    assert order == ["owner"] * 3 + ["other"]


def test_whoever_waits_is_next() -> None:
    for _ in range(100):
        turns = Turns()
        order: list[str] = []

        def other(turns: Turns = turns, order: list[str] = order) -> None:
            with turns:
                order.append("other")

        with turns:
            thread = Thread(target=other, daemon=True)
            thread.start()
            while not turns._door.locked():
                sleep(0)
            order.append("first")
        # At once, before the other has woken up.
        with turns:
            order.append("again")
        thread.join(MOST_SECONDS)
        assert order == ["first", "other", "again"]


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"adapter{seed}", model, seed) for seed in range(2)]


@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_calls_while_another_thread_steps(model: Any, adapters: list[Path], is_paged: bool) -> None:
    engine: Engine = engine_of(model, is_paged=is_paged, memory_bytes=2**18)
    for folder in adapters:
        engine.add_adapter(folder.name, folder)
    reference = Reference(random_model(num_hidden_layers=1), adapters)
    stops, heard, asked = Event(), Heard(), {}
    answers: list[tuple[Request, Output]] = []

    def step() -> None:
        while not stops.is_set():
            engine.step()

    def submit() -> None:
        for number in range(60):
            adapter = (None, "adapter0", "adapter1")[number % 3]
            request = Request(prompt=PROMPTS[number % 6], adapter=adapter, params=GREEDY)
            asked[engine.submit(request, heard)[0]] = request

    def cancel() -> None:
        for number in range(40):
            request = Request(prompt=PROMPTS[number % 6], params=replace(GREEDY, max_tokens=100))
            (sequence,) = engine.submit(request, heard)
            engine.cancel(sequence)

    def update() -> None:
        for number in range(20):
            engine.add_adapter("changing", adapters[number % 2])
            engine.counters()
            if number % 3 == 2:
                engine.remove_adapter("changing")

    def generate() -> None:
        for number in range(10):
            request = Request(prompt=PROMPTS[number % 6], params=GREEDY)
            answers.extend((request, output) for (output,) in engine.generate([request] * 3))

    with running(step):
        try:
            with running(submit, cancel, update, generate, generate):
                pass
        finally:
            stops.set()
    drain(engine)
    assert len(answers) == 60
    for request, output in [*((request, heard.outputs[number]) for number, request in asked.items()), *answers]:
        assert output.finish is Finish.LENGTH
        assert reference.follows(request.prompt, output.token_ids, request.adapter)
    assert sum(output.finish is Finish.CANCELLED for output in heard.outputs.values()) <= 40
    assert len(heard.outputs) == 100
    check_empty(engine)
