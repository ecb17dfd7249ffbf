"""Decode attention against its reference, in every format of the cache."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_decode import (
    Config,
    Ring,
    attention_decode,
    attention_decode_reference,
    launch_attention_decode,
)
from verilora.kernels.attention.cache_ranks import CacheRanks
from verilora.kernels.attention.score_export import SCORE_SLOTS
from verilora.kernels.cache.kv_pages import FORMATS, KVFormat, KVPages, read_pages

from caches import filled_cache, relative_error

LENS = [97, 1, 0, 33]
RING_LENS = [32, 0, 5, 0]
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
CASES = [
    pytest.param(torch.float32, {"split_len": 64, "config": Config(32, 4, 1)}, 0, False, id="splits"),
    pytest.param(torch.float32, {"split_len": 64, "config": Config(32, 4, 1)}, 40, False, id="splits, window"),
    pytest.param(torch.float32, {"split_len": 128, "config": Config(64, 4, 1)}, 0, True, id="one split, ring"),
    pytest.param(torch.float16, {"split_len": 64, "config": Config(64, 4, 1)}, 0, True, id="splits, ring, fp16"),
]


@dataclass
class Case:
    """A query, caches, and what was computed from them."""

    q: torch.Tensor
    pages: KVPages
    table: torch.Tensor
    lens: torch.Tensor
    ring: Ring | None

    def copy(self) -> "Case":
        """Return the same case with scores of its own."""
        ring = self.ring and replace(self.ring, pages=with_own_scores(self.ring.pages))
        return replace(self, pages=with_own_scores(self.pages), ring=ring)

    def run(self, attend: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.q.shape[-1] ** -0.5
        found = attend(self.q, self.pages, self.table, self.lens, scale=scale, ring=self.ring, **options)
        return found[0], found[1]


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
    ring = None
    if ring_lens is not None:
        ring_pages, ring_table, ring_lengths = filled_cache(
            "full", ring_lens, num_kv_heads, head_dim, dtype=dtype, device=device, seed=seed + 1, has_side_planes=True
        )
        ring = Ring(pages=ring_pages, table=ring_table[:, 0].contiguous(), lens=ring_lengths)
    q = torch.randn(len(lens), num_kv_heads * group, head_dim, device=device).to(dtype)
    return Case(q=q, pages=pages, table=table, lens=lengths, ring=ring)


def live_rows(case: Case) -> torch.Tensor:
    return (case.lens > 0) | (case.ring.lens > 0 if case.ring else torch.zeros_like(case.lens) > 0)


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
    assert kernel.pages.scores is not None
    assert reference.pages.scores is not None
    assert relative_error(kernel.pages.scores, reference.pages.scores) < score_tolerance
    if kernel.ring and reference.ring:
        assert kernel.ring.pages.scores is not None
        assert reference.ring.pages.scores is not None
        assert relative_error(kernel.ring.pages.scores, reference.ring.pages.scores) < score_tolerance
    live_mass = sum(
        float(each.pages.scores.sum()) for each in (kernel, kernel.ring) if each and each.pages.scores is not None
    )
    assert live_mass == pytest.approx(float(is_live.sum()) * case.pages.num_kv_heads, rel=1e-3)


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
    kernel.run(
        launch_attention_decode, has_scores=True, window=window, split_len=2 * SCORE_SLOTS, config=Config(64, 4, 1)
    )
    reference.run(attention_decode_reference, has_scores=True, window=window)
    assert kernel.pages.scores is not None
    assert reference.pages.scores is not None
    assert relative_error(kernel.pages.scores, reference.pages.scores) < 1e-5


def test_the_reference_is_softmax_attention() -> None:
    case = make_case("int8", torch.float32, [63], group=2)
    out, _ = case.run(attention_decode_reference)
    keys, values = read_pages(case.pages, case.table)
    q, k, v = case.q.transpose(0, 1)[None], keys[:, :, :63], values[:, :, :63]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    assert relative_error(out, expected[0].transpose(0, 1)) < 1e-5


def streaming_case(device: str, dtype: torch.dtype, lens: list[int], head_dim: int) -> tuple[Case, CacheRanks]:
    case = make_case("full", dtype, lens, head_dim=head_dim, device=device)
    num_pages, width = case.pages.num_pages, case.table.shape[1] * 32
    ranks = torch.randint(0, width, (num_pages, case.pages.num_kv_heads, 32), device=device, dtype=torch.int32)
    frequency = 10000.0 ** -(torch.arange(head_dim // 2, device=device) / (head_dim // 2))
    angle = torch.arange(width, device=device)[:, None] * frequency
    return case, CacheRanks(ranks=ranks, cos_sin=torch.cat([angle.cos(), angle.sin()], 1))


@pytest.mark.interpreter
def test_keys_are_turned_by_their_rank() -> None:
    case, ranks = streaming_case("cpu", torch.float32, LENS, 64)
    check = {"has_scores": False, "ranks": ranks}
    out, _ = case.run(launch_attention_decode, split_len=64, **check)
    expected, _ = case.run(attention_decode_reference, **check)
    is_live = case.lens > 0
    assert relative_error(out[is_live], expected[is_live]) < 2e-6
    unturned, _ = case.run(attention_decode_reference)
    assert relative_error(unturned[is_live], expected[is_live]) > 1e-2


def test_what_does_not_fit_is_refused() -> None:
    case = make_case("int4", torch.float32, [40])
    with pytest.raises(ValueError, match="q, got"):
        launch_attention_decode(case.q[:, :5], case.pages, case.table, case.lens, scale=1.0)
    full, bare = make_case("full", torch.float32, [40]).pages, replace(case.pages, scores=None)
    with pytest.raises(ValueError, match="pages, got"):
        launch_attention_decode(case.q.half(), full, case.table, case.lens, scale=1.0)
    with pytest.raises(ValueError, match="split_len, got 100"):
        launch_attention_decode(case.q, case.pages, case.table, case.lens, scale=1.0, split_len=100)
    with pytest.raises(ValueError, match="expected side planes"):
        launch_attention_decode(case.q, bare, case.table, case.lens, scale=1.0, has_scores=True)
    with pytest.raises(ValueError, match="table and lens, got"):
        launch_attention_decode(case.q, case.pages, case.table, case.lens.repeat(2), scale=1.0)
    ring = Ring(pages=full, table=case.table[:, 0], lens=case.lens.repeat(2))
    with pytest.raises(ValueError, match=r"table and ring\.lens, got"):
        launch_attention_decode(case.q, case.pages, case.table, case.lens, scale=1.0, ring=ring)
    with pytest.raises(ValueError, match="ranks, got"):
        CacheRanks(ranks=torch.zeros(3, 2, 16, dtype=torch.int32), cos_sin=torch.zeros(4, 64))
    with pytest.raises(ValueError, match="cos_sin, got"):
        CacheRanks(ranks=torch.zeros(3, 2, 32, dtype=torch.int32), cos_sin=torch.zeros(4, 64, dtype=torch.half))


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
def test_keys_are_turned_by_their_rank_on_real_shapes() -> None:
    case, ranks = streaming_case("cuda", torch.bfloat16, [2048, 700], 128)
    out, _ = case.run(attention_decode, ranks=ranks)
    expected, _ = case.run(attention_decode_reference, ranks=ranks)
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
        assert own.pages.scores is not None
        return out, lse, own.pages.scores

    first = bits(case)
    for _ in range(100):
        out, lse, scores = bits(case)
        assert torch.equal(out[is_live], first[0][is_live])
        assert torch.equal(lse[is_live], first[1][is_live])
        assert torch.equal(scores, first[2])
    assert case.ring is not None
    for i in range(len(GPU_LENS)):
        if is_live[i]:
            pages = -(-max(GPU_LENS[i], 1) // 32)
            ring = replace(case.ring, table=case.ring.table[i : i + 1], lens=case.ring.lens[i : i + 1])
            table = case.table[i : i + 1, :pages] if split_len == 1024 else case.table[i : i + 1]
            alone = replace(case, q=case.q[i : i + 1], table=table.contiguous(), lens=case.lens[i : i + 1], ring=ring)
            out, lse, _ = bits(alone)
            if pages * 32 > split_len or split_len == 8192:
                assert torch.equal(out[0], first[0][i])
                assert torch.equal(lse[0], first[1][i])


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split_len", [1024, 8192])
def test_a_captured_step_replays_with_other_contents(format: KVFormat, split_len: int) -> None:
    case = gpu_case(format, torch.bfloat16, has_ring=True)
    assert case.ring is not None
    options: dict[str, Any] = {"has_scores": True, "split_len": split_len}
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        case.run(launch_attention_decode, **options)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        out, lse = case.run(launch_attention_decode, **options)
    for seed in range(2):
        torch.manual_seed(seed)
        order = torch.randperm(len(GPU_LENS), device="cuda")
        case.q.normal_()
        case.table.copy_(case.table[order])
        case.lens.copy_((case.lens[order].float() * torch.rand(len(GPU_LENS), device="cuda")).ceil().int())
        case.ring.lens.copy_((case.ring.lens.float() * torch.rand(len(GPU_LENS), device="cuda")).ceil().int())
        assert case.pages.scores is not None
        case.pages.scores.zero_()
        eager = case.copy()
        expected, expected_lse = eager.run(launch_attention_decode, **options)
        graph.replay()
        is_live = live_rows(case)
        assert torch.equal(out[is_live], expected[is_live])
        assert torch.equal(lse[is_live], expected_lse[is_live])
        assert eager.pages.scores is not None
        assert torch.equal(case.pages.scores, eager.pages.scores)
