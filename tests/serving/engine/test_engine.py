"""The engine as a whole: its tokens are those of transformers and PEFT, whatever happens beside a sequence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Output, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, random_prompts, save_adapter

RANKS = (4, 8, 16, 64, 5, 24, 32, 7)
NUM_TOKENS = 12
GREEDY = SamplingParams(temperature=0, max_tokens=NUM_TOKENS)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"rank{rank}", model, seed, r=rank) for seed, rank in enumerate(RANKS)]


@pytest.fixture(scope="module")
def reference(model: Any, adapters: list[Path]) -> Reference:
    return Reference(random_model(), adapters)


def with_adapters(engine: Engine, adapters: list[Path]) -> Engine:
    for folder in adapters:
        engine.add_adapter(folder.name, folder)
    return engine


def asked(adapters: list[Path], num_prompts: int = 18, **params: Any) -> list[Request]:
    """Return requests whose adapters take turns, the base model's among them."""
    names = [None, *(folder.name for folder in adapters)]
    return [
        Request(prompt=prompt, adapter=names[number % len(names)], params=replace(GREEDY, **params))
        for number, prompt in enumerate(random_prompts(num_prompts))
    ]


def tokens(outputs: list[list[Output]]) -> list[tuple[int, ...]]:
    assert all(output.finish is Finish.LENGTH for (output,) in outputs), [output for (output,) in outputs]
    return [output.token_ids for (output,) in outputs]


def check(reference: Reference, requests: list[Request], outputs: list[list[Output]]) -> None:
    """Assert that each answer is whole, and greedy in the eyes of transformers and PEFT."""
    for request, answer in zip(requests, tokens(outputs), strict=True):
        assert len(answer) == request.params.max_tokens
        assert reference.follows(request.prompt, answer, request.adapter)


def test_eight_adapters_and_the_base_model_in_one_batch(model: Any, adapters: list[Path], reference: Reference) -> None:
    engine = with_adapters(engine_of(model, max_rows=18), adapters)
    requests = asked(adapters)
    outputs = engine.generate(requests)
    check(reference, requests, outputs)
    assert len(set(tokens(outputs))) == len(requests)
    engine.pool.check()


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("alone", {"max_rows": 1}),
    ("few at a time", {"max_rows": 3}),
    ("chunked", {"chunk_len": 7, "token_budget": 20}),
    ("chunked otherwise", {"chunk_len": 16, "token_budget": 17}),
    ("without a prefix cache", {"caches_prefixes": False}),
    ("swapped", {"memory_bytes": 2**19, "preemption": "swap"}),
    ("computed again", {"memory_bytes": 2**19, "preemption": "recompute"}),
    ("no room to swap", {"memory_bytes": 2**19, "preemption": "swap", "swap_bytes": 0}),
    ("clustered", {"max_rows": 4, "max_adapters": 2}),
    ("one adapter loaded at a time", {"max_loaded": 1}),
    ("in pages", {"is_paged": True}),
    ("in pages, chunked", {"is_paged": True, "chunk_len": 7, "token_budget": 20}),
    ("in pages, swapped", {"is_paged": True, "memory_bytes": 2**19, "preemption": "swap"}),
    ("in pages, computed again", {"is_paged": True, "memory_bytes": 2**19, "preemption": "recompute"}),
]


@pytest.mark.parametrize("settings", [settings for _, settings in SETTINGS], ids=[name for name, _ in SETTINGS])
def test_the_tokens_are_the_same_however_they_are_scheduled(
    model: Any, adapters: list[Path], reference: Reference, settings: dict[str, Any]
) -> None:
    engine = with_adapters(engine_of(model, **settings), adapters[:3])
    # Kernels' references compute in pages, and are slow.
    num_requests, max_tokens = (8, 24) if "is_paged" in settings else (12, 40)
    requests = asked(adapters[:3], num_requests, max_tokens=max_tokens)
    check(reference, requests, engine.generate(requests))
    assert (engine.counters().num_preemptions > 0) == ("memory_bytes" in settings)
    engine.pool.check()


def test_a_prompt_that_comes_again_is_not_computed_again(model: Any, reference: Reference) -> None:
    engine = engine_of(model)
    prompt = tuple(range(75))
    first, again = (engine.generate([Request(prompt=prompt, params=GREEDY)])[0][0] for _ in range(2))
    assert first.token_ids == again.token_ids
    assert reference.follows(prompt, again.token_ids)
    assert (first.num_cached_tokens, again.num_cached_tokens) == (0, 75)
    longer = engine.generate([Request(prompt=(*prompt[:70], 3, 4), params=GREEDY)])[0][0]
    assert longer.num_cached_tokens == 64
    assert reference.follows((*prompt[:70], 3, 4), longer.token_ids)


def test_sampled_tokens_have_the_same_bits_in_any_company(model: Any, adapters: list[Path]) -> None:
    """Not only the tokens: log-probabilities are equal bit for bit."""
    hot = [
        replace(one, params=replace(one.params, temperature=0.9, seed=number, logprobs=2))
        for number, one in enumerate(asked(adapters, 14))
    ]
    torch.set_num_threads(1)
    together = with_adapters(engine_of(model), adapters).generate(hot)
    alone = [with_adapters(engine_of(model, max_rows=1), adapters).generate([one])[0] for one in hot]
    swapped = with_adapters(engine_of(model, memory_bytes=2**20), adapters).generate(hot)
    assert [output.token_ids for (output,) in together] == [output.token_ids for (output,) in alone]
    assert [output.logprobs for (output,) in together] == [output.logprobs for (output,) in alone]
    assert [output.logprobs for (output,) in together] == [output.logprobs for (output,) in swapped]


def test_beside_neighbours_that_are_cancelled(model: Any, adapters: list[Path], reference: Reference) -> None:
    engine = with_adapters(engine_of(model), adapters)
    requests = asked(adapters)
    heard: dict[int, Output] = {}

    def hear(number: int) -> Callable[[Any], None]:
        def listen(sequence: Any) -> None:
            if sequence.finish is not None:
                heard[number] = sequence.output()

        return listen

    ids = [engine.submit(request, hear(number))[0] for number, request in enumerate(requests)]
    for step in range(200):
        if step % 2 and step // 2 < len(ids) and (step // 2) % 2:
            engine.cancel(ids[step // 2])
        if not engine.step():
            break
    assert {output.finish for output in heard.values()} == {Finish.LENGTH, Finish.CANCELLED}
    for number, output in heard.items():
        assert reference.follows(requests[number].prompt, output.token_ids, requests[number].adapter)
    counters = engine.counters()
    assert counters.pages_kv == counters.num_running == counters.num_waiting == 0
    engine.pool.check()
