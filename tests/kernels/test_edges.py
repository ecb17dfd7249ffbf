"""At the edges every call is one: no rows, and what does not fit, end alike by the reference and by the launch.

Launches end before a kernel is started here, so they need neither a device nor the interpreter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from verilora.kernels.attention.attention_decode import attention_decode, launch_attention_decode
from verilora.kernels.attention.attention_prefill import attention_prefill, launch_attention_prefill
from verilora.kernels.attention.attention_scores import attention_scores, launch_attention_scores
from verilora.kernels.attention.decode_step import DecodeStep
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.prefill_step import PrefillStep, ScoresStep
from verilora.kernels.cache.cache_cut import flush
from verilora.kernels.cache.cache_move import cache_errors, cache_move, launch_cache_errors, launch_cache_move
from verilora.kernels.cache.cache_write import cache_write, launch_cache_write
from verilora.kernels.cache.eviction import eviction, launch_eviction
from verilora.kernels.cache.eviction_step import EvictionRule, EvictionStep
from verilora.kernels.cache.hadamard import hadamard, launch_hadamard
from verilora.kernels.cache.kv_pages import KVPages, kv_page_bytes
from verilora.kernels.cache.kv_quantize import kv_quantize, launch_kv_quantize
from verilora.kernels.cache.page_copy import copy_pages, launch_copy_pages
from verilora.kernels.cache.token_moves import TokenMoves
from verilora.kernels.cache.write_step import WriteStep
from verilora.kernels.layers.invariant_matmul import invariant_matmul, launch_invariant_matmul
from verilora.kernels.layers.rms_norm import launch_rms_norm, rms_norm
from verilora.kernels.layers.rope import launch_rope, rope
from verilora.kernels.layers.rope_write import launch_rope_write, rope_write
from verilora.kernels.layers.rotation import HeadNorms, Rotation
from verilora.kernels.layers.silu_mul import launch_silu_mul, silu_mul
from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.fused_projections import FusedProjections
from verilora.kernels.lora.lora import expand, launch_expand, launch_sgmv, launch_shrink, sgmv, shrink
from verilora.kernels.lora.lora_batch import decode_items, empty_records, prefill_items
from verilora.kernels.lora.lora_step import LoraStep
from verilora.kernels.lora.page_layout import PageLayout
from verilora.kernels.tokens.logprobs import launch_logprobs, logprobs
from verilora.kernels.tokens.sampling import launch_sample, sample
from verilora.kernels.tokens.sampling_table import neutral_table
from verilora.kernels.tokens.token_bitmask import apply_token_bitmask, launch_apply_token_bitmask

HEADS, KV_HEADS, DIM, VOCAB = 4, 2, 64, 100


def pages_of(format: Any, *, has_side_planes: bool = True) -> KVPages:
    page_bytes = kv_page_bytes(format, KV_HEADS, DIM, torch.float32, has_side_planes=has_side_planes)
    pool = torch.zeros(2, page_bytes, dtype=torch.uint8)
    return KVPages.view(pool, format, KV_HEADS, DIM, dtype=torch.float32, has_side_planes=has_side_planes)


FULL, INT4, BARE = pages_of("full"), pages_of("int4"), pages_of("full", has_side_planes=False)
MEMORY = AdapterMemory(
    pool=torch.zeros(2, 8192, dtype=torch.uint8),
    page_table=torch.zeros(1, 2, dtype=torch.int32),
    pages=PageLayout(page_bytes=8192, tile_width=64, dtype=torch.float32),
    max_rank=8,
    num_layers=1,
    widths={"o": (DIM, DIM)},
)


def ints(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.int32)


def rows(*shape: int) -> torch.Tensor:
    return torch.zeros(0, *shape)


NO_STARTS, NO_TABLE, NO_LENS = ints(1), ints(0, 2), ints(0)
NO_SLOTS = ints(0, KV_HEADS)
DECODE = DecodeStep(table=NO_TABLE, lens=NO_LENS, scale=1.0)
EVICT = {"table": NO_TABLE, **dict.fromkeys(("lens", "seen", "heavy", "recent"), NO_LENS), "rule": EvictionRule()}
O_ALONE = FusedProjections(("o",), (DIM,))
LORA = LoraStep(items=decode_items(empty_records(1, "cpu"), NO_LENS), memory=MEMORY, phase="decode")


@dataclass(frozen=True)
class Edge:
    """A call without rows, the shapes that it returns, and arguments that do not fit."""

    call: Callable[..., Any]
    launch: Callable[..., Any]
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    wrong: list[dict[str, Any]] = field(default_factory=list)


ATTENDED = [(0, HEADS, DIM), (0, HEADS)]
ERRORS = [(2, 0, KV_HEADS)]
MOVES = TokenMoves(source_slots=NO_SLOTS, target_slots=NO_SLOTS, error_ranges=rows(4))
EDGES = {
    "attention_decode": Edge(
        attention_decode,
        launch_attention_decode,
        {"step": DECODE, "q": rows(HEADS, DIM), "cache": LayerCache(pages=BARE)},
        ATTENDED,
        [
            {"q": torch.zeros(1, HEADS, DIM)},
            {"q": rows(3, DIM)},
            {"q": rows(HEADS, 32)},
            {"q": rows(HEADS, DIM).half()},
            {"step": DecodeStep(table=NO_TABLE, lens=NO_LENS, scale=1.0, split_len=16)},
            {"out": rows(HEADS, DIM).half()},
        ],
    ),
    "attention_decode of codes": Edge(
        attention_decode,
        launch_attention_decode,
        {
            "step": DecodeStep(table=NO_TABLE, lens=NO_LENS, scale=1.0, has_scores=True),
            "q": rows(HEADS, DIM),
            "cache": LayerCache(pages=INT4),
        },
        ATTENDED,
        [{"cache": LayerCache(pages=BARE)}],
    ),
    "attention_prefill": Edge(
        attention_prefill,
        launch_attention_prefill,
        {
            "step": PrefillStep(starts=NO_STARTS, max_len=0, scale=1.0),
            "q": rows(HEADS, DIM),
            "keys": rows(KV_HEADS, DIM),
            "values": rows(KV_HEADS, DIM),
        },
        ATTENDED,
        [
            {"q": rows(3, DIM)},
            {"keys": torch.zeros(1, KV_HEADS, DIM)},
            {"values": rows(KV_HEADS, DIM).half()},
            {"q": rows(HEADS, 16), "keys": rows(KV_HEADS, 16), "values": rows(KV_HEADS, 16)},
            {"step": PrefillStep(starts=NO_STARTS, max_len=0, scale=1.0, table=NO_TABLE, prefix_lens=NO_LENS)},
        ],
    ),
    "attention_scores": Edge(
        attention_scores,
        launch_attention_scores,
        {
            "step": ScoresStep(starts=NO_STARTS, table=NO_TABLE, context_lens=NO_LENS, scale=1.0),
            "q": rows(HEADS, DIM),
            "lse": rows(HEADS),
            "pages": FULL,
        },
        [],
        [{"q": rows(3, DIM)}, {"lse": torch.zeros(1, HEADS)}, {"q": rows(HEADS, DIM).half()}, {"pages": BARE}],
    ),
    "cache_write": Edge(
        cache_write,
        launch_cache_write,
        {
            "step": WriteStep(slots=NO_LENS, positions=NO_LENS),
            "keys": rows(KV_HEADS, DIM),
            "values": rows(KV_HEADS, DIM),
            "pages": INT4,
        },
        ERRORS,
        [
            {"keys": torch.zeros(1, KV_HEADS, DIM)},
            {"values": rows(1, DIM)},
            {"step": WriteStep(slots=NO_LENS)},
            {"step": WriteStep(slots=ints(0, 3), positions=NO_LENS)},
            {"error_ranges": torch.zeros(1, 4)},
        ],
    ),
    "cache_move": Edge(
        cache_move,
        launch_cache_move,
        {"moves": MOVES, "source": FULL, "target": INT4},
        ERRORS,
        [
            {"source": INT4},
            {"target": pages_of("int4", has_side_planes=False)},
            {"moves": TokenMoves(source_slots=NO_SLOTS, target_slots=NO_SLOTS)},
            {"moves": TokenMoves(source_slots=ints(0, 3), target_slots=ints(0, 3), error_ranges=rows(4))},
        ],
    ),
    "cache_errors": Edge(
        cache_errors,
        launch_cache_errors,
        {"source": FULL, "slots": NO_SLOTS, "format": "int4"},
        ERRORS,
        [{"source": INT4}, {"slots": ints(0, 3)}, {"slots": ints(0)}],
    ),
    "flush": Edge(
        flush,
        flush,
        {
            "ring": FULL,
            "ring_table": NO_LENS,
            "target": INT4,
            "victims": ints(0, KV_HEADS, 32),
            "error_ranges": rows(4),
        },
        ERRORS,
        [{"victims": ints(0, KV_HEADS, 31)}],
    ),
    "eviction": Edge(
        eviction,
        launch_eviction,
        {"step": EvictionStep(**EVICT, count=3), "pages": FULL},
        [(0, KV_HEADS, 3)],
        [{"pages": BARE}],
    ),
    "kv_quantize": Edge(
        kv_quantize,
        launch_kv_quantize,
        {"x": rows(KV_HEADS, DIM), "bits": 4},
        [(0, KV_HEADS, DIM // 2), (0, KV_HEADS, 4), (0, KV_HEADS)],
        [{"bits": 3}, {"x": rows(KV_HEADS, 48)}, {"x": rows(DIM)}],
    ),
    "hadamard": Edge(
        hadamard,
        launch_hadamard,
        {"x": rows(DIM)},
        [(0, DIM)],
        [{"x": rows(48)}, {"x": rows(256)}, {"x": torch.zeros(64, 32).T}],
    ),
    "copy_pages": Edge(
        copy_pages,
        launch_copy_pages,
        {
            "target": torch.zeros(2, 32, dtype=torch.uint8),
            "target_ids": NO_LENS,
            "source": torch.zeros(2, 32, dtype=torch.uint8),
            "source_ids": NO_LENS,
        },
        [],
        [{"source": torch.zeros(2, 48, dtype=torch.uint8)}, {"target": torch.zeros(2, 32)}, {"source_ids": ints(1)}],
    ),
    "sgmv": Edge(
        sgmv,
        launch_sgmv,
        {
            "step": LORA,
            "output": rows(DIM),
            "x": rows(DIM),
            "layer": 0,
            "projections": O_ALONE,
        },
        [],
        [{"layer": 1}, {"x": rows(32)}, {"output": rows(DIM + 1)}, {"x": rows(DIM).half()}],
    ),
    "shrink": Edge(
        shrink,
        launch_shrink,
        {"step": LORA, "x": rows(DIM), "layer": 0, "projections": O_ALONE},
        [(0, 1, 1, 16)],
        [{"layer": 1}, {"x": rows(32)}, {"x": rows(DIM).half()}],
    ),
    "expand": Edge(
        expand,
        launch_expand,
        {"step": LORA, "middle": rows(1, 1, 16), "output": rows(DIM), "layer": 0, "projections": O_ALONE},
        [],
        [{"layer": 1}, {"middle": rows(1, 1, 8)}, {"middle": torch.zeros(1, 1, 1, 16)}, {"output": rows(DIM).half()}],
    ),
    "apply_token_bitmask": Edge(
        apply_token_bitmask,
        launch_apply_token_bitmask,
        {"logits": rows(VOCAB), "bitmask": ints(0, 4), "mask_ids": NO_LENS},
        [(0, VOCAB)],
        [{"bitmask": ints(0, 3)}, {"mask_ids": ints(1)}, {"logits": torch.zeros(VOCAB, 2).T}],
    ),
    "sample": Edge(
        sample,
        launch_sample,
        {"logits": rows(VOCAB), "slots": NO_LENS, "positions": NO_LENS.long(), "table": neutral_table(1, VOCAB)},
        [(0,)],
        [{"logits": rows(VOCAB - 1)}, {"slots": ints(1)}, {"positions": ints(1)}, {"out": ints(1)}],
    ),
    "logprobs": Edge(
        logprobs,
        launch_logprobs,
        {"logits": rows(VOCAB), "tokens": NO_LENS.long(), "num_top": 3},
        [(0,), (0, 3), (0, 3)],
        [{"num_top": VOCAB + 1}, {"num_top": -1}, {"tokens": ints(1)}, {"logits": torch.zeros(VOCAB, 2).T}],
    ),
    "rms_norm": Edge(
        rms_norm,
        launch_rms_norm,
        {"x": rows(DIM), "weight": torch.ones(DIM), "eps": 1e-6},
        [(0, DIM)],
        [
            {"weight": torch.ones(DIM + 1)},
            {"weight": torch.ones(DIM).half()},
            {"residual": torch.zeros(1, DIM)},
            {"out": rows(DIM).half()},
            {"x": torch.zeros(DIM)},
        ],
    ),
    "rope": Edge(
        rope,
        launch_rope,
        {"query": rows(HEADS, DIM), "key": rows(KV_HEADS, DIM), "positions": NO_LENS, "table": torch.zeros(8, DIM)},
        [(0, HEADS, DIM), (0, KV_HEADS, DIM)],
        [
            {"key": rows(KV_HEADS, 32)},
            {"query": rows(DIM)},
            {"positions": ints(1)},
            {"table": torch.zeros(8, DIM + 2)},
            {"table": torch.zeros(8, DIM).half()},
        ],
    ),
    "rope_write": Edge(
        rope_write,
        launch_rope_write,
        {
            "step": WriteStep(slots=NO_LENS),
            "rotation": Rotation(positions=NO_LENS, table=torch.zeros(8, DIM)),
            "qkv": rows(HEADS + 2 * KV_HEADS, DIM),
            "pages": BARE,
        },
        [(0, HEADS, DIM), (0, KV_HEADS, DIM)],
        [
            {"qkv": rows(2 * KV_HEADS, DIM)},
            {"qkv": rows(HEADS + 2 * KV_HEADS, DIM).half()},
            {"rotation": Rotation(positions=ints(1), table=torch.zeros(8, DIM))},
            {"rotation": Rotation(positions=NO_LENS, table=torch.zeros(8, DIM + 2))},
            {"step": WriteStep(slots=ints(0, 3))},
            {"pages": FULL},
            {"norms": HeadNorms(query=torch.ones(32), key=torch.ones(32), eps=1e-6)},
        ],
    ),
    "silu_mul": Edge(
        silu_mul, launch_silu_mul, {"gate_up": rows(2 * DIM)}, [(0, DIM)], [{"gate_up": rows(7)}, {"gate_up": rows()}]
    ),
    "invariant_matmul": Edge(
        invariant_matmul,
        launch_invariant_matmul,
        {"x": rows(DIM), "weight": torch.zeros(8, DIM)},
        [(0, 8)],
        [
            {"weight": torch.zeros(8, DIM + 1)},
            {"weight": torch.zeros(8, DIM).half()},
            {"bias": torch.zeros(7)},
            {"x": rows()},
            {"x": torch.zeros(DIM, 2).T},
        ],
    ),
}


def shapes_of(result: Any) -> list[tuple[int, ...]]:
    parts = [] if result is None else [result] if isinstance(result, torch.Tensor) else list(result)
    return [tuple(part.shape) for part in parts]


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_no_rows_give_nothing(edge: Edge) -> None:
    by_reference, by_launch = edge.call(**edge.arguments), edge.launch(**edge.arguments)
    assert shapes_of(by_reference) == shapes_of(by_launch) == edge.shapes


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_what_does_not_fit_is_refused_alike(edge: Edge) -> None:
    for wrong in edge.wrong:
        reasons = []
        for run in (edge.call, edge.launch):
            with pytest.raises(ValueError, match=", got ") as caught:
                run(**{**edge.arguments, **wrong})
            reasons.append(str(caught.value))
        assert reasons[0] == reasons[1]


def test_rows_without_pages_give_up_nothing() -> None:
    each = dict.fromkeys(("lens", "seen", "heavy", "recent"), ints(2))
    step = EvictionStep(table=ints(2, 0), **each, rule=EvictionRule(), count=3)
    for run in (eviction, launch_eviction):
        assert run(step, FULL).eq(-1).all()


def test_rows_of_padding_alone_need_no_masks_and_draw_nothing() -> None:
    logits, padding = torch.ones(2, VOCAB), torch.tensor([-1, -1]).int()
    assert apply_token_bitmask(logits, ints(0, 4), padding).eq(1).all()
    assert sample(logits, padding, padding.long(), neutral_table(1, VOCAB)).tolist() == [-1, -1]


def test_no_segments_make_items_of_no_work() -> None:
    records, none = empty_records(1, "cpu"), torch.zeros(0, dtype=torch.int32)
    assert shapes_of(prefill_items(records, none, ints(1), num_rows=0)) == [(0, 16)]
    assert not prefill_items(records, none, ints(1), num_rows=130).any()
