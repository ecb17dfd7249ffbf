"""Prefill attention and its scores against their references, over prefixes in every format."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_decode import attention_decode
from verilora.kernels.attention.attention_prefill import (
    Config,
    Prefix,
    attention_prefill,
    attention_prefill_reference,
    launch_attention_prefill,
)
from verilora.kernels.attention.attention_scores import Config as ScoresConfig
from verilora.kernels.attention.attention_scores import (
    attention_scores,
    attention_scores_reference,
    launch_attention_scores,
)
from verilora.kernels.attention.cache_ranks import CacheRanks
from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import FORMATS, KVFormat, KVPages
from verilora.kernels.cache.write_step import WriteStep

from caches import filled_cache, page_table, poisoned_pages, relative_error, slots_of

TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@dataclass
class Chunks:
    """Rows of new tokens, ready to be attended."""

    q: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    starts: torch.Tensor
    max_len: int

    def run(self, attend: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.q.shape[-1] ** -0.5
        found = attend(self.q, self.keys, self.values, self.starts, max_len=self.max_len, scale=scale, **options)
        return found[0], found[1]


def make_chunks(
    lens: list[int], num_kv_heads: int, group: int, head_dim: int, dtype: torch.dtype, device: str = "cpu"
) -> Chunks:
    """Return chunks as a fused projection leaves them: three slices of one tensor."""
    torch.manual_seed(sum(lens))
    fused = torch.randn(sum(lens), num_kv_heads * (group + 2), head_dim, device=device).to(dtype)
    q, keys, values = fused.split([num_kv_heads * group, num_kv_heads, num_kv_heads], 1)
    starts = torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32, device=device)
    return Chunks(q, keys, values, starts, max(lens))


def make_prefix(
    format: KVFormat, lens: list[int], num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: str = "cpu"
) -> Prefix:
    pages, table, lengths = filled_cache(format, lens, num_kv_heads, head_dim, dtype=dtype, device=device)
    return Prefix(pages=pages, table=table, lens=lengths)


def check_same(chunks: Chunks, tolerance: float, options: dict[str, Any], **shared: Any) -> None:
    out, lse = chunks.run(launch_attention_prefill, **shared, **options)
    expected, expected_lse = chunks.run(attention_prefill_reference, **shared)
    assert relative_error(out, expected) < tolerance
    assert (lse - expected_lse).abs().max() < max(tolerance, 1e-5)


SMALL = {"config": Config(32, 32, 4, 1)}


@pytest.mark.interpreter
@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize(
    ("dtype", "window"), [(torch.float32, 0), (torch.float32, 40), (torch.float16, 0)], ids=["fp32", "window", "fp16"]
)
def test_the_kernel_attends_as_its_reference(format: KVFormat | None, dtype: torch.dtype, window: int) -> None:
    chunks = make_chunks([33, 0, 1, 63], 1, 2, 64, dtype)
    prefix = make_prefix(format, [50, 3, 0, 32], 1, 64, dtype) if format else None
    check_same(chunks, TOLERANCE[dtype], SMALL, window=window, prefix=prefix)


@pytest.mark.interpreter
def test_the_query_is_turned_for_a_turned_prefix() -> None:
    chunks = make_chunks([20], 1, 2, 64, torch.float32)
    table = page_table([40])
    pages = poisoned_pages("int8", 3, 1, 64, is_rotated=True)
    keys, values = torch.randn(2, 40, 1, 64)
    cache_write(WriteStep(slots=slots_of(table, [40])), keys, values, pages)
    prefix = Prefix(pages=pages, table=table, lens=torch.tensor([40]).int(), rotate=True)
    check_same(chunks, 2e-6, SMALL, prefix=prefix)
    together = replace(
        chunks,
        q=torch.cat([torch.zeros(40, 2, 64), chunks.q]),
        keys=torch.cat([keys, chunks.keys]),
        values=torch.cat([values, chunks.values]),
        starts=torch.tensor([0, 60]),
        max_len=60,
    )
    out, _ = chunks.run(attention_prefill_reference, prefix=prefix)
    assert relative_error(out, together.run(attention_prefill_reference)[0][40:]) < 0.02


def streaming_prefix(lens: list[int], head_dim: int, dtype: torch.dtype, device: str = "cpu") -> Prefix:
    """Return a prefix of keys before RoPE, with ranks of each head's own."""
    prefix = make_prefix("full", lens, 1, head_dim, dtype, device)
    shape, num_ranks = prefix.pages.keys.shape[:3], 32 * prefix.table.shape[1]
    ranks = torch.randint(0, num_ranks, shape, dtype=torch.int32, device=device)
    frequency = 10000.0 ** -(torch.arange(head_dim // 2, device=device) / (head_dim // 2))
    angle = torch.arange(num_ranks, device=device)[:, None] * frequency
    return replace(prefix, ranks=CacheRanks(ranks=ranks, cos_sin=torch.cat([angle.cos(), angle.sin()], 1)))


@pytest.mark.interpreter
def test_a_prefix_is_turned_by_its_ranks() -> None:
    chunks, prefix = make_chunks([33, 5], 1, 2, 64, torch.float32), streaming_prefix([40, 3], 64, torch.float32)
    check_same(chunks, 2e-6, SMALL, prefix=prefix)
    straight = chunks.run(attention_prefill_reference, prefix=replace(prefix, ranks=None))[0]
    assert relative_error(straight, chunks.run(attention_prefill_reference, prefix=prefix)[0]) > 1e-2


def test_the_reference_is_causal_attention() -> None:
    chunks = make_chunks([63], 2, 3, 64, torch.float32)
    q, keys, values = (each.transpose(0, 1)[None] for each in (chunks.q, chunks.keys, chunks.values))
    expected = torch.nn.functional.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=True)
    assert relative_error(chunks.run(attention_prefill_reference)[0], expected[0].transpose(0, 1)) < 1e-5


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
    format: KVFormat, chunks: Chunks, before: list[int], lens: list[int], tolerance: float, **options: Any
) -> None:
    pages, table, context_lens = context_of(format, chunks, before, lens)
    prefix = Prefix(pages=pages, table=table, lens=torch.tensor(before, dtype=torch.int32, device=table.device))
    shared = {name: options.pop(name) for name in ("window", "last") if name in options}
    window = shared.get("window", 0)
    _, lse = chunks.run(attention_prefill_reference, prefix=prefix, window=window)
    scale = chunks.q.shape[2] ** -0.5
    assert pages.scores is not None
    twin = replace(pages, scores=pages.scores.clone())
    inputs = (chunks.q, lse, chunks.starts, table, context_lens)
    launch_attention_scores(pages, *inputs, scale=scale, **shared, **options)
    attention_scores_reference(twin, *inputs, scale=scale, **shared)
    assert twin.scores is not None
    assert relative_error(pages.scores, twin.scores) < tolerance


@pytest.mark.interpreter
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shared", [{}, {"window": 40}, {"last": 16}], ids=["all", "window", "last queries"])
def test_scores_are_those_of_the_reference(format: KVFormat, shared: dict[str, int]) -> None:
    lens, before = [33, 0, 60], [40, 0, 3]
    chunks = make_chunks(lens, 1, 2, 64, torch.float32)
    check_scores(format, chunks, before, lens, 1e-5, config=ScoresConfig(32, 32, 4, 1), **shared)


@pytest.mark.interpreter
def test_scores_in_half_precision() -> None:
    chunks = make_chunks([33], 1, 2, 64, torch.float16)
    check_scores("full", chunks, [7], [33], 1e-3, config=ScoresConfig(32, 32, 4, 1))


def test_chunks_add_up_to_the_whole_prompt() -> None:
    """All attention is given out: each query's scores sum to one a KV head, in one chunk or in three."""
    lens = [70]
    chunks = make_chunks(lens, 2, 2, 64, torch.float32)
    pages, table, context_lens = context_of("full", chunks, [0], lens)
    whole = replace(pages, scores=torch.zeros_like(pages.keys[..., 0]))
    chunked = replace(pages, scores=torch.zeros_like(pages.keys[..., 0]))
    _, lse = chunks.run(attention_prefill)
    attention_scores(whole, chunks.q, lse, chunks.starts, table, context_lens, scale=0.125)
    for first, end in ((0, 20), (20, 50), (50, 70)):
        bounds, context = torch.tensor([0, end - first]), torch.tensor([end])
        attention_scores(chunked, chunks.q[first:end], lse[first:end], bounds, table, context, scale=0.125)
    assert whole.scores is not None
    assert chunked.scores is not None
    assert relative_error(chunked.scores, whole.scores) < 1e-5
    assert float(whole.scores.sum()) == pytest.approx(140, rel=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_mixed_step_is_two_launches_over_disjoint_rows(device: str) -> None:
    """Prefill writes the first tokens of the output, decode the others."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    chunks = make_chunks([20, 3], 2, 2, 64, dtype, device)
    pages, table, lens = filled_cache("int8", [40, 7], 2, 64, dtype=dtype, device=device)
    q = torch.cat([chunks.q, torch.randn(2, 4, 64, device=device).to(dtype)])
    out = torch.empty_like(q)
    expected = [chunks.run(attention_prefill)[0], attention_decode(q[23:], pages, table, lens, scale=0.125)[0]]
    replace(chunks, q=q[:23]).run(attention_prefill, out=out[:23])
    attention_decode(q[23:], pages, table, lens, scale=0.125, out=out[23:])
    assert torch.equal(out, torch.cat(expected))
    with pytest.raises(ValueError, match="out, got"):
        attention_decode(q[23:], pages, table, lens, scale=0.125, out=out[:23])


def test_what_does_not_fit_is_refused() -> None:
    chunks = make_chunks([20], 2, 2, 64, torch.float32)
    with pytest.raises(ValueError, match="keys and values, got"):
        replace(chunks, keys=chunks.keys[:, :, :32]).run(launch_attention_prefill)
    prefix = make_prefix("int4", [40], 1, 64, torch.float32)
    with pytest.raises(ValueError, match="prefix, got 1 heads"):
        chunks.run(launch_attention_prefill, prefix=prefix)
    lse, context = torch.zeros(20, 4), torch.tensor([20])
    with pytest.raises(ValueError, match="starts, got"):
        replace(chunks, starts=torch.zeros(1).int().expand(2)).run(launch_attention_prefill)
    fitting = make_prefix("int4", [40], 2, 64, torch.float32)
    with pytest.raises(ValueError, match="table and lens, got"):
        chunks.run(launch_attention_prefill, prefix=replace(fitting, lens=torch.zeros(2).int()))
    with pytest.raises(ValueError, match="expected side planes"):
        launch_attention_scores(prefix.pages, chunks.q, lse, chunks.starts, prefix.table, context, scale=1.0)


GPU_LENS, GPU_BEFORE = [1025, 0, 1, 511], [2047, 5, 63, 0]


@pytest.mark.gpu
@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("window", [0, 700])
def test_real_shapes(format: KVFormat | None, dtype: torch.dtype, window: int) -> None:
    chunks = make_chunks(GPU_LENS, 8, 4, 128, dtype, "cuda")
    prefix = make_prefix(format, GPU_BEFORE, 8, 128, dtype, "cuda") if format else None
    check_same(chunks, TOLERANCE[dtype], {}, window=window, prefix=prefix)
    first = chunks.run(attention_prefill, window=window, prefix=prefix)
    for _ in range(20):
        again = chunks.run(attention_prefill, window=window, prefix=prefix)
        assert torch.equal(again[0], first[0])
        assert torch.equal(again[1], first[1])
    own = slice(1026, 1537)
    alone = Chunks(chunks.q[own], chunks.keys[own], chunks.values[own], torch.tensor([0, 511]).int().cuda(), 511)
    rest = prefix and replace(prefix, table=prefix.table[3:], lens=prefix.lens[3:])
    assert torch.equal(alone.run(attention_prefill, window=window, prefix=rest)[0], first[0][own])


@pytest.mark.gpu
def test_a_prefix_is_turned_by_its_ranks_on_real_shapes() -> None:
    chunks = make_chunks([513, 64], 1, 4, 128, torch.bfloat16, "cuda")
    prefix = streaming_prefix([2047, 100], 128, torch.bfloat16, "cuda")
    check_same(chunks, TOLERANCE[torch.bfloat16], {}, prefix=prefix)


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shared", [{}, {"window": 700}, {"last": 64}], ids=["all", "window", "last queries"])
def test_scores_on_real_shapes(format: KVFormat, shared: dict[str, int]) -> None:
    chunks = make_chunks(GPU_LENS, 8, 4, 128, torch.bfloat16, "cuda")
    check_scores(format, chunks, GPU_BEFORE, GPU_LENS, 2e-3, **shared)
