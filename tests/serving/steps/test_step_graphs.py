"""Which graphs there are, and that a step in a larger shape computes the same; a GPU tests graphs themselves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.steps.device_runner import DeviceRunner
from verilora.serving.steps.step_buffers import StepShape
from verilora.serving.steps.step_graphs import (
    VARIETIES,
    StepGraphs,
    decode_shapes,
    holds,
    mixed_shapes,
    row_buckets,
    token_buckets,
    width_buckets,
)

from engines import engine_of, random_model, random_prompts, save_adapter


@pytest.mark.parametrize(
    ("max_rows", "buckets"),
    [(1, [1]), (8, [1, 2, 4, 8]), (24, [1, 2, 4, 8, 16, 24]), (64, [1, 2, 4, 8, 16, 32, 48, 64])],
)
def test_buckets_of_rows(max_rows: int, buckets: list[int]) -> None:
    assert row_buckets(max_rows) == buckets


@pytest.mark.parametrize(
    ("max_blocks", "widths"),
    [(8, [8]), (32, [32]), (64, [32, 64]), (300, [32, 128, 300]), (4096, [32, 128, 512, 2048, 4096])],
)
def test_buckets_of_widths(max_blocks: int, widths: list[int]) -> None:
    assert width_buckets(max_blocks) == widths


@pytest.mark.parametrize(
    ("max_tokens", "buckets"),
    [(64, [64]), (100, [64, 100]), (1024, [64, 128, 256, 384, 512, 768, 1024])],
)
def test_buckets_of_tokens(max_tokens: int, buckets: list[int]) -> None:
    assert token_buckets(max_tokens) == buckets


def test_what_holds_a_step() -> None:
    shape = StepShape(8, 64, 4, 64, 32, VARIETIES[1])
    assert holds(shape, StepShape(3, 5, 1, 5, 32, VARIETIES[0]))
    for wanted in (
        shape._replace(rows=9),
        shape._replace(tokens=65),
        shape._replace(tokens=0),
        shape._replace(chunks=5),
        shape._replace(longest=65),
        shape._replace(width=33),
        shape._replace(sets=VARIETIES[2]),
    ):
        assert not holds(shape, wanted)


def test_each_step_that_decodes_has_a_graph_and_most_with_chunks() -> None:
    shapes = [*decode_shapes(24, 300), *mixed_shapes(24, 1024, 512, 300)]
    buffers: Any = SimpleNamespace(max_rows=24, max_blocks=300)
    graphs = StepGraphs(lambda shape: pytest.fail("nothing is computed"), buffers, shapes)
    for rows in range(1, 25):
        for width in (1, 32, 33, 300):
            found = graphs.shape_of(StepShape(rows, 0, 0, 0, width, VARIETIES[1]))
            assert (found.tokens, found.sets) == (0, VARIETIES[1])
            assert found.rows < rows + 16
    assert graphs.shape_of(StepShape(3, 700, 9, 512, 40, VARIETIES[1])) == (24, 768, 16, 512, 128, VARIETIES[2])
    # What no graph holds runs in a shape whose tensors are as those of all such steps.
    loose = graphs.shape_of(StepShape(3, 700, 17, 512, 40, VARIETIES[1]))
    assert loose == (24, 704, 24, 512, 64, VARIETIES[2])


def test_steps_in_larger_shapes_have_the_same_bits(tmp_path: Path) -> None:
    model: Any = random_model()
    params = SamplingParams(temperature=0.7, max_tokens=12, logprobs=2, prompt_logprobs=True)
    requests = [
        Request(prompt=prompt, params=params, adapter=[None, "a"][number % 2])
        for number, prompt in enumerate(random_prompts(7))
    ]
    found = []
    for in_shapes in (False, True):
        engine = engine_of(model, is_paged=True, chunk_len=24, token_budget=64, max_rows=8)
        engine.add_adapter("a", save_adapter(tmp_path / str(in_shapes), model))
        runner: Any = engine._runner
        assert isinstance(runner, DeviceRunner)
        if in_shapes:
            shapes = [*decode_shapes(8, 8), *mixed_shapes(8, 64, 24, 8)]
            runner._graphs = StepGraphs(runner._forward, runner._buffers, shapes)
        found.append(engine.generate(requests))
    assert found[0] == found[1]
