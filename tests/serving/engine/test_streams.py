"""Streams: tokens as they are drawn, while others come and go."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from verilora.serving.engine.engine import Engine
from verilora.serving.engine.streams import Delta
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import engine_of, random_model, random_prompts

SHORT = SamplingParams(temperature=0.7, max_tokens=9, seed=5)


@pytest.fixture
def engine() -> Any:
    made = engine_of(random_model())
    yield made
    made.close()


async def heard(engine: Engine, request: Request) -> list[Delta]:
    return [delta async for delta in engine.stream(request)]


def test_the_tokens_of_a_stream_are_those_of_generate(engine: Engine) -> None:
    requests = [Request(prompt=prompt, params=replace(SHORT, n=2)) for prompt in random_prompts(6)]
    expected = engine.generate(requests)

    async def all_at_once() -> list[list[Delta]]:
        return await asyncio.gather(*(heard(engine, request) for request in requests))

    for deltas, outputs in zip(asyncio.run(all_at_once()), expected, strict=True):
        for output in outputs:
            own = [delta for delta in deltas if delta.candidate == output.candidate]
            assert tuple(delta.token_id for delta in own) == output.token_ids
            assert [delta.output is None for delta in own] == [True] * 8 + [False]
            assert own[-1].output is not None
            assert own[-1].output.token_ids == output.token_ids


def test_who_leaves_cancels_the_rest(engine: Engine) -> None:
    long = Request(prompt=(1, 2, 3), params=replace(SHORT, max_tokens=200, n=3))

    async def leave() -> None:
        stream = engine.stream(long)
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())
    counters = engine.counters()
    assert (counters.num_running, counters.num_waiting, counters.pages_kv) == (0, 0, 0)
    assert counters.output_tokens < 600


def test_a_request_that_cannot_be_served_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="prompt, got no tokens"):
        asyncio.run(heard(engine, Request(prompt=())))


def test_a_deadline_that_cannot_be_met(engine: Engine) -> None:
    (delta,) = asyncio.run(heard(engine, Request(prompt=(1,), params=SHORT, deadline=1e-9)))
    assert delta.token_id is None
    assert delta.output is not None
    assert delta.output.finish is Finish.DEADLINE


def test_a_stepper_that_never_ran_can_be_closed() -> None:
    engine_of(random_model()).close()
