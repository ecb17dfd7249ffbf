"""A step that begins before the tokens of the one before are known answers as one that waits for them."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

from engines import VOCAB_SIZE, engine_of, random_model, random_prompts
from listening import Heard, check_empty, drain

PARAMS = {
    "greedy": SamplingParams(temperature=0, max_tokens=40),
    "sampled": SamplingParams(max_tokens=40, n=2, logprobs=3, top_p=0.9),
    "penalised": SamplingParams(temperature=0, max_tokens=9, repetition_penalty=1.5, frequency_penalty=0.5),
    "forced": SamplingParams(temperature=0.5, max_tokens=9, forced_ids=(5, 9, 5), frequency_penalty=2.0, logprobs=1),
    "ended": SamplingParams(max_tokens=30, stop_token_ids=frozenset(range(0, VOCAB_SIZE, 5)), min_tokens=2),
    "one": SamplingParams(temperature=0, max_tokens=1),
    "scored": SamplingParams(temperature=0, max_tokens=4, logprobs=2, prompt_logprobs=True),
}


class EvenThenOdd:
    """A grammar that allows even and odd tokens in turns, and ends after seven."""

    def __init__(self) -> None:
        self.taken = 0

    def fill_next_token_bitmask(self, bitmask: torch.Tensor, index: int) -> None:
        assert not self.is_terminated(), "asked what follows the end"
        bitmask[index] = 0x55555555 if self.taken % 2 == 0 else -0x55555556

    def accept_token(self, token_id: int) -> bool:
        is_allowed = token_id % 2 == self.taken % 2
        self.taken += 1
        return is_allowed

    def is_terminated(self) -> bool:
        return self.taken >= 7


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


def asked() -> list[Request]:
    """Return requests of every kind, with ends that come at different steps."""
    kinds = [replace(params, seed=number) for number, params in enumerate(PARAMS.values())]
    free = [Request(prompt=p, params=kinds[k % len(kinds)]) for k, p in enumerate(random_prompts(14))]
    ruled = SamplingParams(max_tokens=20, seed=3)
    return [*free, *(Request(prompt=(k,), params=ruled, grammar=EvenThenOdd) for k in range(3))]


@pytest.mark.parametrize(
    "settings",
    [{}, {"memory_bytes": 10 * 2**13, "max_rows": 6}, {"memory_bytes": 10 * 2**13, "preemption": "recompute"}],
    ids=["at ease", "swapped", "computed again"],
)
def test_it_answers_as_one_that_waits(model: Any, settings: dict[str, Any]) -> None:
    both = []
    for overlaps_steps in (True, False):
        engine = engine_of(model, is_paged=True, overlaps_steps=overlaps_steps, **settings)
        both.append(engine.generate(asked()))
        assert (engine.counters().num_preemptions > 0) == ("memory_bytes" in settings)
        drain(engine)
        check_empty(engine)
    for one, other in zip(*both, strict=True):
        for overlapping, waiting in zip(one, other, strict=True):
            assert overlapping.finish in (Finish.LENGTH, Finish.STOP)
            assert (overlapping.token_ids, overlapping.finish) == (waiting.token_ids, waiting.finish)
            told = [(one.logprobs or (), one.prompt_logprobs or ()) for one in (overlapping, waiting)]
            assert repr(told[0]) == repr(told[1]) or "memory_bytes" in settings


def test_a_step_begins_before_the_token_is_known(model: Any) -> None:
    engine, news = engine_of(model, is_paged=True), []

    def hear(sequence: Sequence) -> None:
        news.append((sequence.num_produced, engine.counters().num_steps))

    engine.submit(Request(prompt=(1, 2), params=SamplingParams(temperature=0, max_tokens=3)), hear)
    while engine.step():
        pass
    # The first token is told in the second step, and the last takes a step that computes nothing.
    assert news == [(1, 2), (2, 3), (3, 4)]


def test_what_is_cancelled_or_ends_by_an_error_takes_no_token_in_flight(model: Any) -> None:
    engine, heard = engine_of(model, is_paged=True), Heard()
    params = SamplingParams(temperature=0, max_tokens=50)
    numbers = [engine.submit(Request(prompt=(number, 2), params=params), heard)[0] for number in range(4)]
    for _ in range(5):
        engine.step()
    assert engine.cancel(numbers[1])
    engine._sequences[numbers[2]].limit = 7
    drain(engine)
    check_empty(engine)
    assert [len(heard.outputs[number].token_ids) for number in numbers] == [50, 4, 5, 50]
