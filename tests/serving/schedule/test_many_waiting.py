"""What is asked in a step does not grow with how many wait."""

from dataclasses import replace
from typing import Any

import pytest

from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence
from verilora.serving.schedule.scheduler import Scheduler
from verilora.serving.schedule.waiting import LOOKAHEAD

from engines import engine_of, random_model
from listening import Heard, check_empty

NUM_WAITING = 10_000
REQUEST = Request(prompt=(1,) * 60, params=SamplingParams(max_tokens=4))


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.mark.parametrize("kind", ["one prompt", "many prompts", "many tenants", "deadlines"])
def test_few_of_those_that_wait_are_looked_at(model: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    engine = engine_of(model, max_rows=4, memory_bytes=2**18, chunk_len=4)
    heard = Heard()
    for number in range(NUM_WAITING):
        request = REQUEST
        if kind != "one prompt":
            request = replace(request, prompt=(number % 150, number // 150))
        if kind == "many tenants":
            request = replace(request, tenant=str(number))
        engine.submit(replace(request, deadline=100.0 if kind == "deadlines" else None), heard)
    looked_at = 0
    plain = Scheduler._is_read_by_another

    def counted(scheduler: Scheduler, sequence: Sequence) -> bool:
        nonlocal looked_at
        looked_at += 1
        return plain(scheduler, sequence)

    monkeypatch.setattr(Scheduler, "_is_read_by_another", counted)
    num_steps = 40
    for _ in range(num_steps):
        engine.step()
    assert 0 < looked_at <= num_steps * (LOOKAHEAD + 4)
    assert len(heard.outputs) > 4
    for sequence_id in [*engine._sequences]:
        engine.cancel(sequence_id)
    while engine.step():
        pass
    assert len(heard.outputs) == NUM_WAITING
    check_empty(engine)
    assert not engine._scheduler.waiting._deadlines._waiting


def test_prompts_that_are_not_kept_are_not_waited_for(model: Any) -> None:
    """Nobody waits for another to read a prompt that cannot be taken over."""
    scored = replace(REQUEST, params=replace(REQUEST.params, prompt_logprobs=True))
    for request, settings in ((REQUEST, {"caches_prefixes": False}), (scored, {})):
        engine = engine_of(model, token_budget=256, **settings)
        for _ in range(4):
            engine.submit(request, Heard())
        engine.step()
        assert engine.counters().num_running == 4


def test_one_that_cannot_begin_in_time_ends_and_others_go_on(model: Any) -> None:
    engine = engine_of(model, max_rows=1)
    heard = Heard()
    numbers = [engine.submit(replace(REQUEST, deadline=1e-9 if late else None), heard)[0] for late in (0, 1, 0, 1)]
    while engine.step():
        pass
    ends = [heard.outputs[number].finish for number in numbers]
    assert ends == [Finish.LENGTH, Finish.DEADLINE, Finish.LENGTH, Finish.DEADLINE]
    assert heard.outputs[numbers[1]].error == "its first token was not to be had in 1e-09 s"
    check_empty(engine)
