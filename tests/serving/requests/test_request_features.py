"""How a request wants its tokens drawn: each feature against transformers or a plain computation of the same rule."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import VOCAB_SIZE, Reference, engine_of, random_model

PROMPT = (5, 9, 2, 7, 7, 31)
NUM_DRAWS = 4000
GREEDY = SamplingParams(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(num_hidden_layers=1)


@pytest.fixture(scope="module")
def reference(model: Any) -> Reference:
    return Reference(model)


@pytest.fixture(scope="module")
def engine(model: Any) -> Engine:
    return engine_of(model, max_rows=128)


def answer(engine: Engine, params: SamplingParams, prompt: tuple[int, ...] = PROMPT) -> tuple[int, ...]:
    ((output,),) = engine.generate([Request(prompt=prompt, params=params)])
    assert output.finish is Finish.LENGTH, output
    return output.token_ids


DRAWS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 2.0, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
]


@pytest.mark.parametrize("changes", DRAWS, ids=lambda changes: ", ".join(changes) or "plain")
def test_tokens_come_as_often_as_transformers_says(
    engine: Engine, reference: Reference, changes: dict[str, Any]
) -> None:
    params = SamplingParams(max_tokens=1, n=NUM_DRAWS, seed=11, **changes)
    (outputs,) = engine.generate([Request(prompt=PROMPT, params=params)])
    counts = Counter(output.token_ids[0] for output in outputs)
    filters = LogitsProcessorList([TemperatureLogitsWarper(params.temperature)] if params.temperature != 1 else [])
    filters += [TopKLogitsWarper(params.top_k)] if params.top_k else []
    filters += [TopPLogitsWarper(params.top_p)] if params.top_p < 1 else []
    filters += [MinPLogitsWarper(params.min_p)] if params.min_p else []
    logits = filters(torch.tensor([PROMPT]), reference.logits(PROMPT)[-1:])
    expected = (torch.softmax(logits[0], -1) * NUM_DRAWS).tolist()
    assert all(expected[token] > 0 for token in counts)
    # Rare tokens are counted together, as the test wants it.
    often = [token for token in range(VOCAB_SIZE) if expected[token] >= 5]
    found = [*(counts[token] for token in often), NUM_DRAWS - sum(counts[token] for token in often)]
    wanted = [*(expected[token] for token in often), NUM_DRAWS - sum(expected[token] for token in often)]
    chi_square = sum((one - other) ** 2 / max(other, 1.0) for one, other in zip(found, wanted, strict=True))
    freedom = len(often)
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"repetition_penalty": 1.5},
        {"repetition_penalty": 0.7},
        {"presence_penalty": 2.0},
        {"frequency_penalty": 1.5},
        {"logit_bias": {3: 4.0, 8: -4.0, 90: 6.0}},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {8: 3.0}},
        {"banned_ids": frozenset(range(0, VOCAB_SIZE, 2))},
        {"presence_penalty": 2.0, "repetition_penalty": 1.2, "forced_ids": (4, 4, 4, 17, 17)},
    ],
    ids=lambda changes: ", ".join(changes),
)
@pytest.mark.parametrize("settings", [{}, {"memory_bytes": 2**16, "preemption": "recompute", "caches_prefixes": False}])
def test_penalties_and_bias_are_those_of_the_rule(
    model: Any, reference: Reference, changes: dict[str, Any], settings: dict[str, Any]
) -> None:
    params = replace(GREEDY, **changes)
    beside = [Request(prompt=(*range(number, 30),), params=replace(GREEDY, max_tokens=40)) for number in range(4)]
    outputs = engine_of(model, **settings).generate([*beside, Request(prompt=PROMPT, params=params)])
    tokens = outputs[-1][0].token_ids
    assert len(tokens) == 24
    assert tokens[: len(params.forced_ids)] == params.forced_ids
    for place in range(len(params.forced_ids), len(tokens)):
        text = [*PROMPT, *tokens[:place]]
        z = reference.logits(text)[-1]
        for token, bias in params.logit_bias.items():
            z[token] += bias
        for token in set(text):
            z[token] = z[token] / params.repetition_penalty if z[token] > 0 else z[token] * params.repetition_penalty
        for token, count in Counter(text[len(PROMPT) :]).items():
            z[token] -= params.presence_penalty + params.frequency_penalty * count
        z[sorted(params.banned_ids)] = -torch.inf
        # Equal but for rounding.
        assert z[tokens[place]] > z.max() - 1e-3, place


def test_a_seed_fixes_the_tokens_and_candidates_draw_their_own(engine: Engine) -> None:
    params = SamplingParams(temperature=2.0, max_tokens=8, seed=3)
    (first,), (again,), (other,), many = (
        engine.generate([Request(prompt=PROMPT, params=asked)])[0]
        for asked in (params, params, replace(params, seed=4), replace(params, n=6))
    )
    assert first.token_ids == again.token_ids == many[0].token_ids
    assert first.token_ids != other.token_ids
    assert len({output.token_ids for output in many}) == 6
    assert [output.candidate for output in many] == [*range(6)]


EXTREMES: list[dict[str, Any]] = [
    {"top_k": 2**31 - 1},
    {"logit_bias": {3: 1e30, 4: -1e30}},
    {"repetition_penalty": 1e30},
    {"repetition_penalty": 1e-30},
    {"frequency_penalty": 1e30, "presence_penalty": -1e30},
    {"temperature": 1e30, "banned_ids": frozenset({0})},
    {"temperature": 5e-324},
    {"top_p": 5e-324},
    {"min_p": 1.0},
    {"logprobs": 20},
    {"seed": -(2**63)},
    {"max_tokens": 2**70, "min_tokens": 2**70},
    {"banned_ids": frozenset(range(1, VOCAB_SIZE))},
]


@pytest.mark.parametrize("changes", EXTREMES, ids=str)
def test_extreme_values_are_served_beside_others(engine: Engine, changes: dict[str, Any]) -> None:
    plain = Request(prompt=PROMPT, params=replace(GREEDY, max_tokens=4))
    alone = engine.generate([plain])
    asked = replace(SamplingParams(max_tokens=4, seed=1), **changes)
    beside, (extreme,) = engine.generate([plain, Request(prompt=PROMPT, params=asked)])
    assert [beside] == alone
    assert extreme.finish is Finish.LENGTH, extreme
    assert all(0 <= token < VOCAB_SIZE for token in extreme.token_ids)
    assert not set(extreme.token_ids) & asked.banned_ids


@pytest.mark.parametrize(
    "changes",
    [
        {"top_k": 2**31},
        {"logit_bias": {3: 1e39}},
        {"repetition_penalty": 1e39},
        {"repetition_penalty": 1e-39},
        {"frequency_penalty": 1e39},
        {"presence_penalty": -1e39},
        {"temperature": 1e39},
    ],
    ids=str,
)
def test_what_no_tensor_can_hold_is_refused_with_its_field(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        SamplingParams(**changes)


def test_more_top_tokens_than_there_are_tokens_are_refused() -> None:
    engine = engine_of(random_model(num_hidden_layers=1, vocab_size=8))
    with pytest.raises(ValueError, match="logprobs, got 9, expected at most the vocabulary's 8"):
        engine.generate([Request(prompt=(1,), params=SamplingParams(logprobs=9))])
    ((output,),) = engine.generate([Request(prompt=(1,), params=SamplingParams(logprobs=8, max_tokens=1))])
    assert output.logprobs is not None
    assert len(output.logprobs[0].top) == 8
