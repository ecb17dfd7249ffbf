"""The scores of a prompt against their reference, in every format."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_prefill import attention_prefill, attention_prefill_reference
from verilora.kernels.attention.attention_scores import (
    ScoresConfig,
    attention_scores,
    attention_scores_reference,
    launch_attention_scores,
)
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.prefill_step import ScoresStep
from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import FORMATS, KVFormat, KVPages
from verilora.kernels.cache.write_step import WriteStep

from caches import Chunks, filled_cache, make_chunks, relative_error, slots_of


def context_of(
    format: KVFormat, chunks: Chunks, before: list[int], lens: list[int]
) -> tuple[KVPages, torch.Tensor, torch.Tensor]:
    """Return pages that hold random prefixes and then the chunks' own keys, their table and lens."""
    whole = [old + new for old, new in zip(before, lens, strict=True)]
    pages, table, context_lens = filled_cache(
        format,
        whole,
        chunks.keys.shape[1],
        chunks.keys.shape[2],
        dtype=chunks.q.dtype,
        device=str(chunks.q.device),
        has_side_planes=True,
    )
    own = [torch.arange(old, old + new) for old, new in zip(before, lens, strict=True)]
    firsts = torch.tensor([0, *whole]).cumsum(0)
    index = torch.cat([first + each for first, each in zip(firsts, own, strict=False)]).to(chunks.q.device)
    slots = slots_of(table, whole)[index]
    cache_write(WriteStep(slots=slots, positions=torch.zeros_like(slots).int()), chunks.keys, chunks.values, pages)
    return pages, table, context_lens


def check_scores(
    format: KVFormat,
    chunks: Chunks,
    before: list[int],
    lens: list[int],
    tolerance: float,
    *,
    last: int = 0,
    **options: Any,
) -> None:
    pages, table, context_lens = context_of(format, chunks, before, lens)
    prefix_lens = torch.tensor(before, dtype=torch.int32, device=table.device)
    step = replace(chunks.step, table=table, prefix_lens=prefix_lens)
    _, lse = replace(chunks, step=step, cache=LayerCache(pages=pages)).run(attention_prefill_reference)
    scores = ScoresStep(
        starts=step.starts, table=table, context_lens=context_lens, scale=step.scale, window=step.window, last=last
    )
    twin = replace(pages, scores=pages.side_planes()[0].clone())
    launch_attention_scores(scores, chunks.q, lse, pages, **options)
    attention_scores_reference(scores, chunks.q, lse, twin)
    assert relative_error(pages.side_planes()[0], twin.side_planes()[0]) < tolerance


@pytest.mark.interpreter
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("window", "last"), [(0, 0), (40, 0), (0, 16)], ids=["all", "window", "last queries"])
def test_scores_are_those_of_the_reference(format: KVFormat, window: int, last: int) -> None:
    lens, before = [33, 0, 60], [40, 0, 3]
    chunks = make_chunks(lens, 1, 2, 64, torch.float32, window=window)
    check_scores(format, chunks, before, lens, 1e-5, last=last, config=ScoresConfig(32, 32, 4, 1))


@pytest.mark.interpreter
def test_scores_in_half_precision() -> None:
    chunks = make_chunks([33], 1, 2, 64, torch.float16)
    check_scores("full", chunks, [7], [33], 1e-3, config=ScoresConfig(32, 32, 4, 1))


def test_chunks_add_up_to_the_whole_prompt() -> None:
    """All attention is given out: each query's scores sum to one a KV head, in one chunk or in three."""
    lens = [70]
    chunks = make_chunks(lens, 2, 2, 64, torch.float32)
    pages, table, context_lens = context_of("full", chunks, [0], lens)
    whole, chunked = (replace(pages, scores=torch.zeros_like(pages.keys[..., 0])) for _ in range(2))
    _, lse = chunks.run(attention_prefill)
    step = ScoresStep(starts=chunks.step.starts, table=table, context_lens=context_lens, scale=0.125)
    attention_scores(step, chunks.q, lse, whole)
    for first, end in ((0, 20), (20, 50), (50, 70)):
        bounds, context = torch.tensor([0, end - first]).int(), torch.tensor([end]).int()
        part = replace(step, starts=bounds, context_lens=context)
        attention_scores(part, chunks.q[first:end], lse[first:end], chunked)
    found, expected = chunked.side_planes()[0], whole.side_planes()[0]
    assert relative_error(found, expected) < 1e-5
    assert float(expected.sum()) == pytest.approx(140, rel=1e-5)


STEP = ScoresStep(
    starts=torch.tensor([0, 20]).int(),
    table=torch.zeros(1, 2).int(),
    context_lens=torch.tensor([20]).int(),
    scale=1.0,
)


def test_what_does_not_fit_is_refused() -> None:
    pages, _, _ = filled_cache("full", [20], 2, 64, has_side_planes=True)
    q, lse = torch.zeros(20, 4, 64), torch.zeros(20, 4)
    with pytest.raises(ValueError, match="expected side planes"):
        launch_attention_scores(STEP, q, lse, replace(pages, scores=None))
    with pytest.raises(ValueError, match="q, got"):
        launch_attention_scores(STEP, q[:, :3], lse[:, :3], pages)
    with pytest.raises(ValueError, match="lse, got"):
        launch_attention_scores(STEP, q, lse[:19], pages)
    with pytest.raises(ValueError, match=r"pages, got torch.float32, expected torch.float16"):
        launch_attention_scores(STEP, q.half(), lse, pages)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": torch.zeros(1).int().expand(2)}, "starts, got"),
        ({"table": torch.zeros(2, 2).int()}, "table and context_lens, got"),
        ({"context_lens": torch.tensor([20])}, "context_lens, got .* torch.int64"),
        ({"window": -1}, "window, got -1"),
        ({"last": -1}, "last, got -1"),
    ],
)
def test_a_step_that_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STEP, **change)


GPU_LENS, GPU_BEFORE = [1025, 0, 1, 511], [2047, 5, 63, 0]


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("window", "last"), [(0, 0), (700, 0), (0, 64)], ids=["all", "window", "last queries"])
def test_scores_on_real_shapes(format: KVFormat, window: int, last: int) -> None:
    chunks = make_chunks(GPU_LENS, 8, 4, 128, torch.bfloat16, "cuda", window=window)
    check_scores(format, chunks, GPU_BEFORE, GPU_LENS, 2e-3, last=last)


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
def test_the_scores_of_one_token(format: KVFormat) -> None:
    check_scores(format, make_chunks([1], 8, 4, 128, torch.bfloat16, "cuda"), [63], [1], 2e-3)
