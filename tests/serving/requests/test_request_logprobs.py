"""Log-probabilities of answers and prompts: those of transformers, however a prompt is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Output, Request, TokenLogprobs
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, random_prompts, save_adapter

TOLERANCE = 1e-4
TEXT = (5, 9, 2, 7, 7, 31, *range(60, 130))
SCORED = SamplingParams(temperature=0, max_tokens=6, logprobs=4, prompt_logprobs=True)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture(scope="module")
def adapter(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapters") / "one", model)


@pytest.fixture(scope="module")
def reference(model: Any, adapter: Path) -> Reference:
    return Reference(random_model(), [adapter])


def ask(engine: Engine, params: SamplingParams, prompt: tuple[int, ...] = TEXT, adapter: str | None = None) -> Output:
    ((output,),) = engine.generate([Request(prompt=prompt, params=params, adapter=adapter)])
    assert not output.error
    return output


def check(found: TokenLogprobs, expected: torch.Tensor, token: int) -> None:
    """Assert that a token's log-probability and the top ones, in order, are those of a row of log_softmax."""
    assert found.token_id == token
    assert abs(found.logprob - float(expected[token])) < TOLERANCE
    top = expected.topk(len(found.top))
    assert [one for one, _ in found.top] == top.indices.tolist()
    assert torch.allclose(torch.tensor([logprob for _, logprob in found.top]), top.values, atol=TOLERANCE)


def check_all(reference: Reference, output: Output, prompt: tuple[int, ...], adapter: str | None = None) -> None:
    text = [*prompt, *output.token_ids]
    expected = torch.log_softmax(reference.logits(text, adapter), -1)
    assert output.logprobs is not None
    assert output.prompt_logprobs is not None
    assert len(output.logprobs) == len(output.token_ids)
    assert output.prompt_logprobs[0] is None
    told = [*output.prompt_logprobs[1:], *output.logprobs]
    for place, one in enumerate(told, start=1):
        assert one is not None
        check(one, expected[place - 1], text[place])
    assert len(told) == len(text) - 1


SETTINGS: list[dict[str, Any]] = [
    {},
    {"chunk_len": 7, "token_budget": 20},
    {"caches_prefixes": False},
    {"is_paged": True},
    {"is_paged": True, "chunk_len": 7, "token_budget": 20},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_they_are_those_of_transformers(
    model: Any, adapter: Path, reference: Reference, settings: dict[str, Any]
) -> None:
    engine = engine_of(model, **settings)
    engine.add_adapter("one", adapter)
    for name in (None, "one"):
        # The second finds what the first has left in the prefix cache.
        for _ in range(2):
            check_all(reference, ask(engine, SCORED, adapter=name), TEXT, name)


@pytest.mark.parametrize("preemption", ["swap", "recompute"])
@pytest.mark.parametrize("is_paged", [False, True])
def test_a_prompt_that_is_taken_back_while_it_is_read(
    model: Any, reference: Reference, preemption: str, is_paged: bool
) -> None:
    engine = engine_of(
        model, is_paged=is_paged, memory_bytes=2**18, chunk_len=4, token_budget=17, preemption=preemption
    )
    prompts = random_prompts(12, longest=90)
    requests = [Request(prompt=prompt, params=replace(SCORED, max_tokens=40)) for prompt in prompts]
    outputs = engine.generate(requests)
    assert engine.counters().num_preemptions > 0
    for prompt, (output,) in zip(prompts, outputs, strict=True):
        check_all(reference, output, prompt)


def test_temperature_and_bans_do_not_change_them(model: Any, reference: Reference) -> None:
    """They are the model's, before filters."""
    best = int(reference.logits(TEXT)[-1].argmax())
    changed = replace(
        SCORED, temperature=0.3, top_k=2, banned_ids=frozenset({best}), logit_bias={3: 50.0}, presence_penalty=3.0
    )
    output = ask(engine_of(model), changed)
    assert best not in output.token_ids
    check_all(reference, output, TEXT)


def test_none_are_told_unless_asked(model: Any) -> None:
    output = ask(engine_of(model), SamplingParams(max_tokens=3))
    assert (output.logprobs, output.prompt_logprobs) == (None, None)
    chosen = ask(engine_of(model), SamplingParams(max_tokens=3, logprobs=0)).logprobs
    assert chosen is not None
    assert [one.top for one in chosen] == [()] * 3


def test_forced_tokens_have_the_log_probabilities_of_the_same_text_as_a_prompt(model: Any) -> None:
    """Echo and perplexity: it does not matter where a prompt ends."""
    engine = engine_of(model)
    whole = ask(engine, SCORED).prompt_logprobs
    assert whole is not None
    for start in (1, 5, 40):
        rest = TEXT[start:]
        forced = ask(engine, replace(SCORED, max_tokens=len(rest), forced_ids=rest, temperature=1.0), TEXT[:start])
        assert forced.token_ids == rest
        assert forced.logprobs is not None
        for one, other in zip(forced.logprobs, whole[start:], strict=True):
            assert other is not None
            assert abs(one.logprob - other.logprob) < TOLERANCE
