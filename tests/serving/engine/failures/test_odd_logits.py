"""An adapter whose logits are no numbers: its requests end with an error, and no neighbour notices, then or later."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import engine_of, random_model, random_prompts, save_adapter
from listening import Heard, check_empty, drain

PROMPTS = random_prompts(12)
PARAMS = SamplingParams(temperature=0.8, max_tokens=24, logprobs=1)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One to be used, and one whose weights are finite, as its product is, and that overflows where it is used."""
    folder = tmp_path_factory.mktemp("adapters")
    good, huge = (save_adapter(folder / name, model, seed) for seed, name in enumerate(("good", "huge")))
    path = huge / "adapter_model.safetensors"
    halves = {
        name: torch.full_like(tensor, 3e37 if "lora_A" in name else 1) for name, tensor in load_file(path).items()
    }
    save_file(halves, path)
    return [good, huge]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"chunk_len": 7, "token_budget": 20},
        {"memory_bytes": 2**18, "preemption": "swap"},
        {"memory_bytes": 2**18, "preemption": "recompute"},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_neighbours_have_the_tokens_they_have_alone(
    model: Any, adapters: list[Path], settings: dict[str, Any], is_paged: bool
) -> None:
    torch.set_num_threads(1)
    good = [
        Request(prompt=prompt, adapter=("good", None)[number % 2], params=replace(PARAMS, seed=number))
        for number, prompt in enumerate(PROMPTS)
    ]
    engines = [engine_of(model, is_paged=is_paged, **settings) for _ in range(2)]
    for engine in engines:
        for folder in adapters:
            engine.add_adapter(folder.name, folder)
    heard, expected = Heard(), engines[0].generate(good)
    numbers, bad = [], []
    for place, request in enumerate(good):
        # It decodes beside them for a while: its first tokens are forced.
        for tokens in ((), (1, 2, 3)):
            spoilt = Request(prompt=PROMPTS[-place], adapter="huge", params=replace(PARAMS, forced_ids=tokens))
            bad += engines[1].submit(spoilt, heard)
        numbers += engines[1].submit(request, heard)
    drain(engines[1])
    for number, (output,) in zip(numbers, expected, strict=True):
        assert heard.outputs[number].finish is Finish.LENGTH
        assert heard.outputs[number].token_ids == output.token_ids
    for number in bad:
        assert heard.outputs[number].finish is Finish.ERROR
        assert heard.outputs[number].error.startswith("logits, got some that are not finite")
    check_empty(engines[1])


def cached(engine: Engine, is_paged: bool) -> torch.Tensor:
    """Return all numbers that stand in an engine's cache."""
    cache: Any = engine._runner._cache
    if is_paged:
        return cache.pool.view(torch.float32)
    return torch.cat([shelf.rows.flatten() for shelf in cache._shelves.values()])


@pytest.mark.parametrize("is_paged", [False, True], ids=["contiguous", "paged"])
def test_what_it_leaves_in_memory_harms_nobody(
    model: Any, adapters: list[Path], is_paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys and values stood where those of later sequences stand, and behind them."""
    engine = engine_of(model, is_paged=is_paged, caches_prefixes=False, max_rows=4)
    for folder in adapters:
        engine.add_adapter(folder.name, folder)
    request = Request(prompt=PROMPTS[0][:3], adapter="good", params=PARAMS)
    expected = engine.generate([request] * 4)
    poison = replace(request, prompt=(1,) * 30, adapter="huge")
    # One that stays lets the rows of the others be handed on.
    heard = Heard()
    engine.submit(replace(request, params=replace(PARAMS, max_tokens=60)), heard)
    for _ in range(3):
        engine.step()

    def unnoticed(logits: torch.Tensor) -> torch.Tensor:
        logits.nan_to_num_(0, 0, 0)
        return torch.ones(len(logits), dtype=torch.bool)

    # So that it decodes, and all of its row is spoilt.
    with monkeypatch.context() as patch:
        patch.setattr("verilora.serving.engine.sampler._are_finite", unnoticed)
        spoilt = [engine.submit(poison, heard)[0] for _ in range(3)]
        for _ in range(3):
            engine.step()
        assert not cached(engine, is_paged).isfinite().all()
        for number in spoilt:
            engine.cancel(number)
    assert engine.generate([request] * 3) == expected[:3]
    drain(engine)
    assert {output.finish for output in heard.outputs.values()} == {Finish.CANCELLED, Finish.LENGTH}
    check_empty(engine)
