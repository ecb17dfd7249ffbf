"""Memory that holds little: all that was let in ends, in turn, with the tokens that it has alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.requests.request import Finish, Request
from verilora.serving.requests.sampling_params import SamplingParams

from engines import Reference, engine_of, random_model, random_prompts, save_adapter
from listening import Heard, check_empty, drain

GREEDY = SamplingParams(temperature=0, max_tokens=8)
PROMPTS = random_prompts(12)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model()


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"adapter{seed}", model, seed) for seed in range(6)]


@pytest.fixture(scope="module")
def reference(adapters: list[Path]) -> Reference:
    return Reference(random_model(), adapters)


@pytest.fixture(params=[False, True], ids=["contiguous", "paged"])
def is_paged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def asked(number: int, adapter: str | None = None, **changes: Any) -> Request:
    return Request(prompt=PROMPTS[number], adapter=adapter, params=replace(GREEDY, **changes))


def test_a_prompt_that_can_never_be_served_is_refused_before_anything_begins(model: Any, is_paged: bool) -> None:
    heard = Heard()
    for settings, length, message in (
        ({}, 256, r"a prompt has 256 tokens, expected fewer than the model's context of 256"),
        ({"memory_bytes": 2**16}, 200, r"a prompt has 200 tokens, expected fewer: memory has \d pages for it"),
    ):
        engine = engine_of(model, is_paged=is_paged, **settings)
        long = Request(prompt=(1,) * length, params=GREEDY)
        with pytest.raises(ValueError, match=message):
            engine.submit(long, heard)
        with pytest.raises(ValueError, match=message):
            engine.generate([asked(0), long])
        assert engine.counters().num_steps == 0
        check_empty(engine)


@pytest.mark.parametrize("preemption", ["swap", "recompute"])
def test_a_pool_that_holds_one_sequence(
    model: Any, adapters: list[Path], reference: Reference, is_paged: bool, preemption: str
) -> None:
    probe = engine_of(model, is_paged=is_paged)
    adapter_pages = probe._memory.adapters._num_pages(probe._memory.adapters.read(adapters[0]))
    page_bytes = probe.settings.memory_bytes // probe.pool.num_pages
    num_pages = adapter_pages + probe._scheduler.pages_for(60 + 40)
    engine = engine_of(model, is_paged=is_paged, memory_bytes=num_pages * page_bytes, preemption=preemption)
    for folder in adapters[:2]:
        engine.add_adapter(folder.name, folder)
    names = [None, "adapter0", "adapter1"]
    requests = [asked(number, names[number % 3], max_tokens=40) for number in range(12)]
    for request, (output,) in zip(requests, engine.generate(requests), strict=True):
        assert (output.finish, len(output.token_ids)) == (Finish.LENGTH, 40)
        assert reference.follows(request.prompt, output.token_ids, request.adapter)
    drain(engine)
    check_empty(engine)


@pytest.mark.parametrize(
    "settings", [{"max_loaded": 2}, {"max_adapters": 2, "max_rows": 4}, {"memory_bytes": 2**18}], ids=str
)
def test_more_adapters_than_fit_beside_rows_of_the_base_model(
    model: Any, adapters: list[Path], reference: Reference, is_paged: bool, settings: dict[str, Any]
) -> None:
    engine = engine_of(model, is_paged=is_paged, **settings)
    for folder in adapters:
        engine.add_adapter(folder.name, folder)
    names = [None, *(folder.name for folder in adapters)]
    requests = [asked(number % 12, names[number * 5 % 7], seed=number) for number in range(42)]
    for request, (output,) in zip(requests, engine.generate(requests), strict=True):
        assert output.finish is Finish.LENGTH, output
        assert reference.follows(request.prompt, output.token_ids, request.adapter)
    drain(engine)
    check_empty(engine)


def test_rows_of_the_base_model_are_not_passed_over_for_adapters(model: Any, adapters: list[Path]) -> None:
    engine = engine_of(model, max_adapters=1, max_rows=2)
    engine.add_adapter("adapter0", adapters[0])
    order: list[str | None] = []

    def hear(sequence: Any) -> None:
        if sequence.finish is not None:
            order.append(sequence.request.adapter)

    for number, name in enumerate(("adapter0", "adapter0", None, None, *["adapter0"] * 8)):
        engine.submit(asked(number, name, max_tokens=2 + number % 2), hear)
    drain(engine)
    assert None in order[:4]
    assert order.index(None) < len(order) - 1 - order[::-1].index("adapter0")
    assert [place for place, name in enumerate(order) if name is None] <= [3, 4]


def test_an_update_between_two_equal_prompts(
    model: Any, adapters: list[Path], reference: Reference, is_paged: bool
) -> None:
    """No prefix that the old version computed serves the new one."""
    engine = engine_of(model, is_paged=is_paged)
    prompt = tuple(range(70))
    heard: list[Heard] = []
    for folder in (*adapters[:3], adapters[0]):
        engine.add_adapter("one", folder)
        request = Request(prompt=prompt, adapter="one", params=GREEDY)
        heard.append(Heard())
        engine.submit(request, heard[-1])
        engine.step()
    drain(engine)
    found = [output for one in heard for output in one.outputs.values()]
    for folder, output in zip((*adapters[:3], adapters[0]), found, strict=True):
        assert reference.follows(prompt, output.token_ids, folder.name)
    # The first version was forgotten when its last request had ended, or is found again while it runs.
    assert [output.num_cached_tokens for output in found[:3]] == [0, 0, 0]
    check_empty(engine)


def test_two_engines_in_one_process(model: Any, reference: Reference) -> None:
    other = random_model("qwen2", seed=3, num_hidden_layers=1)
    engines = [engine_of(model), engine_of(other)]
    heard = [Heard(), Heard()]
    for number in range(12):
        engines[number % 2].submit(asked(number), heard[number % 2])
    while engines[0].counters().num_waiting + engines[1].counters().num_running:
        for engine in engines:
            engine.step()
    for engine in engines:
        drain(engine)
        check_empty(engine)
    for one, known, first in ((heard[0], reference, 0), (heard[1], Reference(other), 1)):
        for place, (_, output) in enumerate(sorted(one.outputs.items())):
            assert known.follows(PROMPTS[first + 2 * place], output.token_ids)
