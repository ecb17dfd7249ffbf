"""Prefill attention against its reference, over prefixes in every format."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_decode import attention_decode
from verilora.kernels.attention.attention_prefill import (
    PrefillConfig,
    attention_prefill,
    attention_prefill_reference,
    launch_attention_prefill,
)
from verilora.kernels.attention.cache_ranks import CacheRanks
from verilora.kernels.attention.decode_step import DecodeStep
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVFormat
from verilora.kernels.cache.write_step import WriteStep

from caches import Chunks, filled_cache, make_chunks, page_table, poisoned_pages, relative_error, slots_of

TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def check_same(chunks: Chunks, tolerance: float, **options: Any) -> None:
    out, lse = chunks.run(launch_attention_prefill, **options)
    expected, expected_lse = chunks.run(attention_prefill_reference)
    assert relative_error(out, expected) < tolerance
    assert (lse - expected_lse).abs().max() < max(tolerance, 1e-5)


SMALL = PrefillConfig(32, 32, 4, 1)


@pytest.mark.interpreter
@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize(
    ("dtype", "window"), [(torch.float32, 0), (torch.float32, 40), (torch.float16, 0)], ids=["fp32", "window", "fp16"]
)
def test_the_kernel_attends_as_its_reference(format: KVFormat | None, dtype: torch.dtype, window: int) -> None:
    chunks = make_chunks([33, 0, 1, 63], 1, 2, 64, dtype, window=window)
    check_same(chunks.after(format, [50, 3, 0, 32]) if format else chunks, TOLERANCE[dtype], config=SMALL)


@pytest.mark.interpreter
def test_the_query_is_turned_for_a_turned_prefix() -> None:
    alone, table = make_chunks([20], 1, 2, 64, torch.float32), page_table([40])
    pages = poisoned_pages("int8", 3, 1, 64, is_rotated=True)
    keys, values = torch.randn(2, 40, 1, 64)
    cache_write(WriteStep(slots=slots_of(table, [40])), keys, values, pages)
    step = replace(alone.step, table=table, prefix_lens=torch.tensor([40]).int())
    chunks = replace(alone, step=step, cache=LayerCache(pages=pages))
    check_same(chunks, 2e-6, config=SMALL)
    together = Chunks(
        replace(alone.step, starts=torch.tensor([0, 60]).int(), max_len=60),
        q=torch.cat([torch.zeros(40, 2, 64), chunks.q]),
        keys=torch.cat([keys, chunks.keys]),
        values=torch.cat([values, chunks.values]),
    )
    out, _ = chunks.run(attention_prefill_reference)
    assert relative_error(out, together.run(attention_prefill_reference)[0][40:]) < 0.02


def streamed(chunks: Chunks, lens: list[int]) -> Chunks:
    """Return the chunks after prefixes of keys before RoPE, with ranks of each head's own."""
    chunks = chunks.after("full", lens)
    assert chunks.cache is not None
    assert chunks.step.table is not None
    shape, device = chunks.cache.pages.keys.shape[:3], chunks.q.device
    num_ranks, half = PAGE_SIZE * chunks.step.table.shape[1], chunks.q.shape[2] // 2
    ranks = torch.randint(0, num_ranks, shape, dtype=torch.int32, device=device)
    frequency = 10000.0 ** -(torch.arange(half, device=device) / half)
    angle = torch.arange(num_ranks, device=device)[:, None] * frequency
    turns = CacheRanks(ranks=ranks, cos_sin=torch.cat([angle.cos(), angle.sin()], 1))
    return replace(chunks, cache=replace(chunks.cache, ranks=turns))


@pytest.mark.interpreter
def test_a_prefix_is_turned_by_its_ranks() -> None:
    chunks = streamed(make_chunks([33, 5], 1, 2, 64, torch.float32), [40, 3])
    check_same(chunks, 2e-6, config=SMALL)
    assert chunks.cache is not None
    straight = replace(chunks, cache=replace(chunks.cache, ranks=None)).run(attention_prefill_reference)[0]
    assert relative_error(straight, chunks.run(attention_prefill_reference)[0]) > 1e-2


def test_the_reference_is_causal_attention() -> None:
    chunks = make_chunks([63], 2, 3, 64, torch.float32)
    q, keys, values = (each.transpose(0, 1)[None] for each in (chunks.q, chunks.keys, chunks.values))
    expected = torch.nn.functional.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=True)
    assert relative_error(chunks.run(attention_prefill_reference)[0], expected[0].transpose(0, 1)) < 1e-5


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_mixed_step_is_two_launches_over_disjoint_rows(device: str) -> None:
    """Prefill writes the first tokens of the output, decode the others."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    chunks = make_chunks([20, 3], 2, 2, 64, dtype, device)
    pages, table, lens = filled_cache("int8", [40, 7], 2, 64, dtype=dtype, device=device)
    step, cache = DecodeStep(table=table, lens=lens, scale=0.125), LayerCache(pages=pages)
    q = torch.cat([chunks.q, torch.randn(2, 4, 64, device=device).to(dtype)])
    out = torch.empty_like(q)
    expected = [chunks.run(attention_prefill)[0], attention_decode(step, q[23:], cache)[0]]
    replace(chunks, q=q[:23]).run(attention_prefill, out=out[:23])
    attention_decode(step, q[23:], cache, out=out[23:])
    assert torch.equal(out, torch.cat(expected))
    with pytest.raises(ValueError, match="out, got"):
        attention_decode(step, q[23:], cache, out=out[:23])


def test_what_does_not_fit_is_refused() -> None:
    chunks = make_chunks([20], 2, 2, 64, torch.float32).after("full", [40])
    assert chunks.cache is not None
    small = make_chunks([20], 1, 2, 64, torch.float32).after("int4", [40])
    half = LayerCache(pages=poisoned_pages("full", 1, 2, 64, dtype=torch.half))
    wide = torch.zeros(20, 2, 16)
    for change, message in (
        ({"keys": chunks.keys[:, :, :32]}, "keys and values, got"),
        ({"keys": chunks.keys.half()}, "keys and values, got torch.float16"),
        ({"q": wide, "keys": wide, "values": wide}, "head_dim, got 16"),
        ({"cache": small.cache}, "cache, got 1 heads of 64"),
        ({"cache": half}, "cache, got torch.float16"),
        ({"cache": None}, "cache, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(chunks, **change).run(launch_attention_prefill)


GPU_LENS, GPU_BEFORE = [1025, 0, 1, 511], [2047, 5, 63, 0]


@pytest.mark.gpu
@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("window", [0, 700])
def test_real_shapes(format: KVFormat | None, dtype: torch.dtype, window: int) -> None:
    chunks = make_chunks(GPU_LENS, 8, 4, 128, dtype, "cuda", window=window)
    chunks = chunks.after(format, GPU_BEFORE) if format else chunks
    check_same(chunks, TOLERANCE[dtype])
    first = chunks.run(attention_prefill)
    for _ in range(20):
        again = chunks.run(attention_prefill)
        assert torch.equal(again[0], first[0])
        assert torch.equal(again[1], first[1])
    own, step = slice(1026, 1537), chunks.step
    rest = {"starts": torch.tensor([0, 511]).int().cuda(), "max_len": 511}
    if step.table is not None and step.prefix_lens is not None:
        rest |= {"table": step.table[3:], "prefix_lens": step.prefix_lens[3:]}
    alone = Chunks(replace(step, **rest), chunks.q[own], chunks.keys[own], chunks.values[own], chunks.cache)
    assert torch.equal(alone.run(attention_prefill)[0], first[0][own])


@pytest.mark.gpu
@pytest.mark.parametrize("has_prefix", [False, True])
@pytest.mark.parametrize("window", [0, 700])
def test_heads_of_256(has_prefix: bool, window: int) -> None:
    chunks = make_chunks(GPU_LENS, 2, 4, 256, torch.bfloat16, "cuda", window=window)
    check_same(chunks.after("full", GPU_BEFORE) if has_prefix else chunks, TOLERANCE[torch.bfloat16])


@pytest.mark.gpu
def test_a_prefix_is_turned_by_its_ranks_on_real_shapes() -> None:
    chunks = make_chunks([513, 64], 1, 4, 128, torch.bfloat16, "cuda")
    check_same(streamed(chunks, [2047, 100]), TOLERANCE[torch.bfloat16])
