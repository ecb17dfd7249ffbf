"""Rows for decode attention over paged caches, its scores, prefill attention and the pass that scores its keys.

The shape is that of Llama-3.1-8B: 8 KV heads of 128 dims in groups of 4. Decode has 32 rows of 8192 slots, or of 1632:
20 % of that.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from verilora.kernels.attention.attention_decode import attention_decode, attention_decode_reference
from verilora.kernels.attention.attention_prefill import attention_prefill, attention_prefill_reference
from verilora.kernels.attention.attention_scores import attention_scores, attention_scores_reference
from verilora.kernels.attention.decode_step import SPLIT_LEN, DecodeStep
from verilora.kernels.attention.layer_cache import LayerCache
from verilora.kernels.attention.prefill_step import PrefillStep, ScoresStep
from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVFormat, KVPages, kv_page_bytes, page_slots
from verilora.kernels.cache.write_step import WriteStep

from kernel_rows.row import Case, Row

NUM_ROWS, NUM_KV_HEADS, GROUP, HEAD_DIM = 32, 8, 4, 128
NUM_HEADS = NUM_KV_HEADS * GROUP
SCALE = HEAD_DIM**-0.5
FORMAT_NAMES: dict[KVFormat, str] = {"full": "bf16", "int4": "int4"}
Cache = tuple[KVPages, torch.Tensor, torch.Tensor]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def make_cache(format: KVFormat, num_rows: int, num_slots: int) -> Cache:
    """Return full rows of random keys and values in pages that are scattered over the pool."""
    width = -(-num_slots // PAGE_SIZE)
    pages = KVPages.allocate(format, num_rows * width, NUM_KV_HEADS, HEAD_DIM, device="cuda", has_side_planes=True)
    table = torch.randperm(num_rows * width, device="cuda").int().view(num_rows, width)
    slots = page_slots(table.long()).flatten()
    for part in slots.split(2**16):
        step = WriteStep(slots=part, positions=torch.zeros(len(part), device="cuda", dtype=torch.int32))
        cache_write(step, *random(2, len(part), NUM_KV_HEADS, HEAD_DIM), pages)
    return pages, table, torch.full((num_rows,), num_slots, device="cuda", dtype=torch.int32)


def cache_bytes(format: KVFormat, num_slots: int) -> float:
    return kv_page_bytes(format, NUM_KV_HEADS, HEAD_DIM, torch.bfloat16) / PAGE_SIZE * num_slots


def decode(
    format: KVFormat, num_slots: int, *, has_scores: bool = False, split_len: int = SPLIT_LEN
) -> Callable[[], Case]:
    def make() -> Case:
        pages, table, lens = make_cache(format, NUM_ROWS, num_slots)
        q, cache = random(NUM_ROWS, NUM_HEADS, HEAD_DIM), LayerCache(pages=pages)
        step = DecodeStep(table=table, lens=lens, scale=SCALE, has_scores=has_scores, split_len=split_len)
        bare = replace(step, has_scores=False)

        def error() -> float:
            found, expected = (replace(pages, scores=torch.zeros_like(pages.scores)) for _ in range(2))
            out, _ = attention_decode(step, q, LayerCache(pages=found))
            wanted, _ = attention_decode_reference(step, q, LayerCache(pages=expected))
            # Scores within 1e-3 of theirs, outputs within the 8e-3 that bf16 gives.
            return max(distance(out, wanted), 8 * distance(found.scores, expected.scores) if has_scores else 0.0)

        num_tokens = NUM_ROWS * num_slots
        return Case(
            run=lambda: attention_decode(step, q, cache),
            error=error,
            tolerance=8e-3,
            num_bytes=cache_bytes(format, num_tokens) + (8 * NUM_KV_HEADS * num_tokens if has_scores else 0),
            num_flops=4 * num_tokens * NUM_HEADS * HEAD_DIM,
            baselines={"without scores": lambda: attention_decode(bare, q, cache)} if has_scores else {},
        )

    return make


def prompt(num_tokens: int) -> tuple[PrefillStep, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a step of one row, its query, keys and values."""
    q, keys, values = (random(num_tokens, heads, HEAD_DIM) for heads in (NUM_HEADS, NUM_KV_HEADS, NUM_KV_HEADS))
    starts = torch.tensor([0, num_tokens], device="cuda", dtype=torch.int32)
    return PrefillStep(starts=starts, max_len=num_tokens, scale=SCALE), q, keys, values


def with_prefix(step: PrefillStep, format: KVFormat, num_before: int) -> tuple[PrefillStep, LayerCache]:
    pages, table, lens = make_cache(format, 1, num_before)
    return replace(step, table=table, prefix_lens=lens), LayerCache(pages=pages)


def prefill(num_tokens: int, format: KVFormat | None = None, num_before: int = 0) -> Callable[[], Case]:
    def make() -> Case:
        (step, q, keys, values), cache = prompt(num_tokens), None
        if format is not None:
            step, cache = with_prefix(step, format, num_before)

        def error() -> float:
            # The reference keeps all logits, so the last tokens have to do, over what comes before them.
            out, _ = attention_prefill(step, q, keys, values, cache)
            own = slice(num_tokens - 512, num_tokens)
            expected = [
                attention_prefill_reference(
                    step,
                    torch.cat([torch.zeros_like(q[:-512, head]), q[own, head]])[:, None],
                    *(each[:, head // GROUP, None] for each in (keys, values)),
                    cache and LayerCache(pages=head_of(cache.pages, head // GROUP)),
                )[0][own]
                for head in (0, NUM_HEADS - 1)
            ]
            return distance(out[own][:, [0, -1]], torch.cat(expected, 1))

        pairs = num_tokens * (num_before + num_tokens / 2)
        dense = [each.transpose(0, 1)[None] for each in (q, keys, values)]

        def sdpa() -> object:
            return torch.nn.functional.scaled_dot_product_attention(*dense, is_causal=True, enable_gqa=True)

        return Case(
            run=lambda: attention_prefill(step, q, keys, values, cache),
            error=error,
            tolerance=8e-3,
            num_bytes=2.0 * (2 * q.numel() + keys.numel() + values.numel()) + cache_bytes(format or "full", num_before),
            num_flops=4 * pairs * NUM_HEADS * HEAD_DIM,
            baselines={} if cache else {"sdpa": sdpa},
        )

    return make


def head_of(pages: KVPages, head: int) -> KVPages:
    """Return one KV head of pages."""
    return replace(pages, **{name: plane[:, head : head + 1] for name, plane in pages.planes().items()})


def prompt_scores(num_tokens: int) -> Callable[[], Case]:
    def make() -> Case:
        prefill, q, keys, values = prompt(num_tokens)
        pages, table, lens = make_cache("full", 1, num_tokens)
        step = ScoresStep(starts=prefill.starts, table=table, context_lens=lens, scale=SCALE)
        positions = torch.arange(num_tokens, device="cuda").int()
        cache_write(WriteStep(slots=page_slots(table[0].long()), positions=positions), keys, values, pages)
        _, lse = attention_prefill(prefill, q, keys, values)

        def error() -> float:
            found = replace(pages, scores=torch.zeros_like(pages.scores))
            attention_scores(step, q, lse, found)
            worst = 0.0
            for head in (0, NUM_KV_HEADS - 1):
                alone = replace(head_of(pages, head), scores=torch.zeros_like(pages.scores[:, :1]))
                group = slice(head * GROUP, (head + 1) * GROUP)
                attention_scores_reference(step, q[:, group], lse[:, group], alone)
                worst = max(worst, distance(found.scores[:, head], alone.scores[:, 0]))
            return worst

        return Case(
            run=lambda: attention_scores(step, q, lse, pages),
            error=error,
            tolerance=1e-3,
            num_bytes=2.0 * (q.numel() + keys.numel()) + 4 * lse.numel() + 8 * NUM_KV_HEADS * num_tokens,
            num_flops=num_tokens**2 * NUM_HEADS * HEAD_DIM,
            baselines={"attention": lambda: attention_prefill(prefill, q, keys, values)},
        )

    return make


ROWS = [
    Row(name="decode attention bf16, 32 x 8192", make=decode("full", 8192), target_us=294),
    Row(name="decode attention fp8, 32 x 8192", make=decode("fp8", 8192)),
    Row(name="decode attention int8, 32 x 8192", make=decode("int8", 8192)),
    Row(name="decode attention int4, 32 x 8192", make=decode("int4", 8192), target_us=119),
    Row(name="decode attention bf16 with scores, 32 x 8192", make=decode("full", 8192, has_scores=True)),
    Row(name="decode attention int4 with scores, 32 x 8192", make=decode("int4", 8192, has_scores=True)),
    *[
        Row(
            name=f"decode attention {name}{' with scores' if has_scores else ''}, one split, 32 x {num_slots}",
            make=decode(format, num_slots, has_scores=has_scores, split_len=split_len),
        )
        for format, name in FORMAT_NAMES.items()
        for num_slots, split_len in ((1632, 2048), (8192, 8192))
        for has_scores in (False, True)
    ],
    Row(name="prefill attention, 8192 tokens", make=prefill(8192)),
    Row(name="prefill attention, 2048 tokens after 6144 in bf16", make=prefill(2048, "full", 6144)),
    Row(name="prefill attention, 2048 tokens after 6144 in int4", make=prefill(2048, "int4", 6144)),
    Row(name="scores of a prompt, 8192 tokens", make=prompt_scores(8192)),
]
