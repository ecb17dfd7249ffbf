"""Decode attention against its reference, in every format of the cache."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_decode import (
    DecodeConfig,
    attention_decode,
    attention_decode_reference,
    launch_attention_decode,
)
from verilora.kernels.attention.cache_ranks import CacheRanks
from verilora.kernels.attention.decode_step import DecodeStep
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.score_export import SCORE_SLOTS
from verilora.kernels.cache.kv_pages import FORMATS, PAGE_SIZE, KVFormat, KVPages, read_pages

from caches import filled_cache, relative_error

LENS = [97, 1, 0, 33]
RING_LENS = [32, 0, 5, 0]
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
CASES = [
    pytest.param(torch.float32, {"split_len": 64, "config": DecodeConfig(32, 4, 1)}, 0, False, id="splits"),
    pytest.param(torch.float32, {"split_len": 64, "config": DecodeConfig(32, 4, 1)}, 40, False, id="splits, window"),
    pytest.param(torch.float32, {"split_len": 128, "config": DecodeConfig(64, 4, 1)}, 0, True, id="one split, ring"),
    pytest.param(torch.float16, {"split_len": 64, "config": DecodeConfig(64, 4, 1)}, 0, True, id="splits, ring, fp16"),
]


@dataclass
class Case:
    """A step, a query and a cache."""

    step: DecodeStep
    q: torch.Tensor
    cache: LayerCache

    def copy(self) -> "Case":
        """Return the same case with scores of its own."""
        ring = self.cache.ring and with_own_scores(self.cache.ring)
        return replace(self, cache=replace(self.cache, pages=with_own_scores(self.cache.pages), ring=ring))

    def run(self, attend: Any, config: DecodeConfig | None = None, **changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a step with these changes attends to."""
        options = {} if config is None else {"config": config}
        found = attend(replace(self.step, **changes), self.q, self.cache, **options)
        return found[0], found[1]

    @property
    def scores(self) -> torch.Tensor:
        return self.cache.pages.side_planes()[0]

    @property
    def ring_scores(self) -> torch.Tensor | None:
        return self.cache.ring and self.cache.ring.side_planes()[0]


def with_own_scores(pages: KVPages) -> KVPages:
    return pages if pages.scores is None else replace(pages, scores=pages.scores.clone())


def make_case(
    format: KVFormat,
    dtype: torch.dtype,
    lens: list[int],
    *,
    ring_lens: list[int] | None = None,
    num_kv_heads: int = 2,
    group: int = 3,
    head_dim: int = 64,
    device: str = "cpu",
    seed: int = 0,
) -> Case:
    pages, table, lengths = filled_cache(
        format, lens, num_kv_heads, head_dim, dtype=dtype, device=device, seed=seed, has_side_planes=True
    )
    ring, rings = None, {}
    if ring_lens is not None:
        ring, ring_table, ring_lengths = filled_cache(
            "full", ring_lens, num_kv_heads, head_dim, dtype=dtype, device=device, seed=seed + 1, has_side_planes=True
        )
        rings = {"ring_table": ring_table[:, 0].contiguous(), "ring_lens": ring_lengths}
    q = torch.randn(len(lens), num_kv_heads * group, head_dim, device=device).to(dtype)
    step = DecodeStep(table=table, lens=lengths, scale=head_dim**-0.5, **rings)
    return Case(step=step, q=q, cache=LayerCache(pages=pages, ring=ring))


def live_rows(case: Case) -> torch.Tensor:
    step = case.step
    return step.lens > 0 if step.ring_lens is None else (step.lens > 0) | (step.ring_lens > 0)


def check_same(case: Case, tolerance: float, score_tolerance: float, window: int = 0, **options: Any) -> None:
    """Check kernel and reference against each other; padding is left as it was, poisoned."""
    kernel, reference = case.copy(), case.copy()
    out, lse = kernel.run(launch_attention_decode, has_scores=True, window=window, **options)
    expected, expected_lse = reference.run(attention_decode_reference, has_scores=True, window=window)
    is_live = live_rows(case)
    assert out[~is_live].isnan().all()
    assert lse[~is_live].isnan().all()
    assert relative_error(out[is_live], expected[is_live]) < tolerance
    assert (lse[is_live] - expected_lse[is_live]).abs().max() < max(tolerance, 1e-5)
    assert relative_error(kernel.scores, reference.scores) < score_tolerance
    live_mass = float(kernel.scores.sum())
    if kernel.ring_scores is not None and reference.ring_scores is not None:
        assert relative_error(kernel.ring_scores, reference.ring_scores) < score_tolerance
        live_mass += float(kernel.ring_scores.sum())
    assert live_mass == pytest.approx(float(is_live.sum()) * case.cache.pages.num_kv_heads, rel=1e-3)


@pytest.mark.interpreter
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("dtype", "options", "window", "has_ring"), CASES)
def test_the_kernel_attends_as_its_reference(
    format: KVFormat, dtype: torch.dtype, options: dict[str, Any], window: int, has_ring: bool
) -> None:
    case = make_case(format, dtype, LENS, ring_lens=RING_LENS if has_ring else None)
    check_same(case, TOLERANCE[dtype], 1e-3 if dtype == torch.float16 else 1e-5, window, **options)


@pytest.mark.interpreter
def test_small_heads_are_served_in_full_precision() -> None:
    check_same(make_case("full", torch.float32, [40, 0], head_dim=32, group=1), 2e-6, 1e-5, split_len=64)


@pytest.mark.interpreter
@pytest.mark.parametrize("format", ["full", "int4"])
@pytest.mark.parametrize("window", [0, 20])
def test_scores_of_a_row_go_to_several_programs(format: KVFormat, window: int) -> None:
    case = make_case(format, torch.float32, [SCORE_SLOTS + 33, SCORE_SLOTS])
    kernel, reference = case.copy(), case.copy()
    step = {"has_scores": True, "window": window, "split_len": 2 * SCORE_SLOTS}
    kernel.run(launch_attention_decode, DecodeConfig(64, 4, 1), **step)
    reference.run(attention_decode_reference, **step)
    assert relative_error(kernel.scores, reference.scores) < 1e-5


def test_the_reference_is_softmax_attention() -> None:
    case = make_case("int8", torch.float32, [63], group=2)
    out, _ = case.run(attention_decode_reference)
    keys, values = read_pages(case.cache.pages, case.step.table)
    q, k, v = case.q.transpose(0, 1)[None], keys[:, :, :63], values[:, :, :63]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert relative_error(out, expected[0].transpose(0, 1)) < 1e-5


def streaming_case(device: str, dtype: torch.dtype, lens: list[int], head_dim: int) -> Case:
    case = make_case("full", dtype, lens, head_dim=head_dim, device=device)
    shape, width = case.scores.shape, case.step.table.shape[1] * PAGE_SIZE
    ranks = torch.randint(0, width, shape, device=device, dtype=torch.int32)
    frequency = 10000.0 ** -(torch.arange(head_dim // 2, device=device) / (head_dim // 2))
    angle = torch.arange(width, device=device)[:, None] * frequency
    turns = CacheRanks(ranks=ranks, cos_sin=torch.cat([angle.cos(), angle.sin()], 1))
    return replace(case, cache=replace(case.cache, ranks=turns))


@pytest.mark.interpreter
def test_keys_are_turned_by_their_rank() -> None:
    case = streaming_case("cpu", torch.float32, LENS, 64)
    out, _ = case.run(launch_attention_decode, split_len=64)
    expected, _ = case.run(attention_decode_reference)
    is_live = case.step.lens > 0
    assert relative_error(out[is_live], expected[is_live]) < 2e-6
    unturned, _ = replace(case, cache=replace(case.cache, ranks=None)).run(attention_decode_reference)
    assert relative_error(unturned[is_live], expected[is_live]) > 1e-2


def test_what_does_not_fit_is_refused() -> None:
    case = make_case("int4", torch.float32, [40], ring_lens=[3])
    step, q, cache = case.step, case.q, case.cache
    bare, full = replace(cache, ring=None), LayerCache(pages=make_case("full", torch.float32, [40]).cache.pages)
    ringless = replace(step, ring_table=None, ring_lens=None)
    for other in (q[:, :5], q.repeat(2, 1, 1), q[..., :32], q.transpose(0, 1).contiguous().transpose(0, 1)[:, ::2]):
        with pytest.raises(ValueError, match="q, got"):
            launch_attention_decode(step, other, cache)
    with pytest.raises(ValueError, match=r"pages, got torch.float32, expected torch.float16"):
        launch_attention_decode(ringless, q.half(), full)
    with pytest.raises(ValueError, match=r"pages, got torch.float32, expected torch.float16"):
        launch_attention_decode(step, q.half(), cache)
    with pytest.raises(ValueError, match="ring, got one"):
        launch_attention_decode(step, q, bare)
    with pytest.raises(ValueError, match="ring, got one"):
        launch_attention_decode(ringless, q, cache)
    with pytest.raises(ValueError, match="split_len, got 32, expected a power of two from 64"):
        launch_attention_decode(replace(step, split_len=32), q, cache)
    for part in ("pages", "ring"):
        without = replace(cache, **{part: replace(getattr(cache, part), scores=None)})
        with pytest.raises(ValueError, match="expected side planes"):
            launch_attention_decode(replace(step, has_scores=True), q, without)


GPU_LENS = [1, 4095, 8192, 0, 63, 1025]
GPU_RING_LENS = [32, 0, 17, 0, 1, 31]


def gpu_case(format: KVFormat, dtype: torch.dtype, *, has_ring: bool = False, group: int = 4) -> Case:
    ring_lens = GPU_RING_LENS if has_ring else None
    return make_case(
        format, dtype, GPU_LENS, ring_lens=ring_lens, num_kv_heads=8, group=group, head_dim=128, device="cuda"
    )


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize(
    ("has_ring", "split_len", "window", "group"),
    [(False, 1024, 0, 4), (True, 1024, 0, 8), (True, 8192, 0, 4), (False, 512, 1000, 1)],
    ids=["split", "ring, group of 8", "one split, ring", "window, no group"],
)
def test_real_shapes(
    format: KVFormat, dtype: torch.dtype, has_ring: bool, split_len: int, window: int, group: int
) -> None:
    case = gpu_case(format, dtype, has_ring=has_ring, group=group)
    check_same(case, TOLERANCE[dtype], 2e-3, window, split_len=split_len)


@pytest.mark.gpu
@pytest.mark.parametrize(("split_len", "window"), [(1024, 0), (8192, 0), (512, 700)])
def test_heads_of_256(split_len: int, window: int) -> None:
    case = make_case("full", torch.bfloat16, GPU_LENS, num_kv_heads=2, group=4, head_dim=256, device="cuda")
    check_same(case, TOLERANCE[torch.bfloat16], 2e-3, window, split_len=split_len)


@pytest.mark.gpu
def test_keys_are_turned_by_their_rank_on_real_shapes() -> None:
    case = streaming_case("cuda", torch.bfloat16, [2048, 700], 128)
    out, _ = case.run(attention_decode)
    expected, _ = case.run(attention_decode_reference)
    assert relative_error(out, expected) < TOLERANCE[torch.bfloat16]


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split_len", [1024, 8192])
def test_bits_are_the_same_every_time_alone_and_in_a_batch(format: KVFormat, split_len: int) -> None:
    case = gpu_case(format, torch.bfloat16, has_ring=True)
    is_live = live_rows(case)

    def bits(of: Case) -> tuple[torch.Tensor, ...]:
        own = of.copy()
        out, lse = own.run(launch_attention_decode, has_scores=True, split_len=split_len)
        return out, lse, own.scores

    first = bits(case)
    for _ in range(100):
        out, lse, scores = bits(case)
        assert torch.equal(out[is_live], first[0][is_live])
        assert torch.equal(lse[is_live], first[1][is_live])
        assert torch.equal(scores, first[2])
    step = case.step
    assert step.ring_table is not None
    assert step.ring_lens is not None
    for i in range(len(GPU_LENS)):
        if is_live[i]:
            own, pages = slice(i, i + 1), -(-max(GPU_LENS[i], 1) // PAGE_SIZE)
            table = step.table[own, :pages] if split_len == 1024 else step.table[own]
            rings = {"ring_table": step.ring_table[own], "ring_lens": step.ring_lens[own]}
            row = replace(step, table=table.contiguous(), lens=step.lens[own], **rings)
            out, lse, _ = bits(replace(case, step=row, q=case.q[own]))
            if pages * PAGE_SIZE > split_len or split_len == 8192:
                assert torch.equal(out[0], first[0][i])
                assert torch.equal(lse[0], first[1][i])


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split_len", [1024, 8192])
def test_a_captured_step_replays_with_other_contents(format: KVFormat, split_len: int) -> None:
    case = gpu_case(format, torch.bfloat16, has_ring=True)
    case = replace(case, step=replace(case.step, has_scores=True, split_len=split_len))
    step = case.step
    assert step.ring_lens is not None
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        case.run(launch_attention_decode)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        out, lse = case.run(launch_attention_decode)
    for seed in range(2):
        torch.manual_seed(seed)
        order = torch.randperm(len(GPU_LENS), device="cuda")
        case.q.normal_()
        step.table.copy_(step.table[order])
        step.lens.copy_((step.lens[order].float() * torch.rand(len(GPU_LENS), device="cuda")).ceil().int())
        step.ring_lens.copy_((step.ring_lens.float() * torch.rand(len(GPU_LENS), device="cuda")).ceil().int())
        case.scores.zero_()
        eager = case.copy()
        expected, expected_lse = eager.run(launch_attention_decode)
        graph.replay()
        is_live = live_rows(case)
        assert torch.equal(out[is_live], expected[is_live])
        assert torch.equal(lse[is_live], expected_lse[is_live])
        assert torch.equal(case.scores, eager.scores)
