"""Rows for writing, quantising, evicting and flushing: 8 KV heads of 128 dims, 32 rows of 1632 slots."""

from collections.abc import Callable

import torch

from verilora.kernels.cache.cache_cut import CutBudget, CutStep, cut, flush
from verilora.kernels.cache.cache_write import cache_write, cache_write_reference
from verilora.kernels.cache.eviction import eviction, eviction_reference
from verilora.kernels.cache.eviction_step import EvictionRule, EvictionStep
from verilora.kernels.cache.hadamard import hadamard, hadamard_reference
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVFormat, KVPages, kv_page_bytes, read_pages
from verilora.kernels.cache.kv_quantize import kv_dequantize, kv_quantize, kv_quantize_reference
from verilora.kernels.cache.write_step import WriteStep

from kernel_rows.attention import HEAD_DIM, NUM_HEADS, NUM_KV_HEADS, NUM_ROWS, cache_bytes, distance, make_cache, random
from kernel_rows.row import Case, Row

NUM_SLOTS = 1632
RULE = EvictionRule(alpha=0.5, is_log=True, num_pinned=4)


def quantize(bits: int, num_tokens: int) -> Callable[[], Case]:
    def make() -> Case:
        x = random(num_tokens, NUM_KV_HEADS, HEAD_DIM)

        def error() -> float:
            found, expected = kv_quantize(x, bits), kv_quantize_reference(x, bits)
            return distance(kv_dequantize(*found[:2], bits), kv_dequantize(*expected[:2], bits))

        return Case(
            run=lambda: kv_quantize(x, bits),
            error=error,
            tolerance=1e-3,
            num_bytes=x.numel() * (2 + bits / 8) + 12 * num_tokens * NUM_KV_HEADS,
        )

    return make


def write(format: KVFormat, num_tokens: int, *, rotate: bool) -> Callable[[], Case]:
    def make() -> Case:
        keys, values = random(2, num_tokens, NUM_KV_HEADS, HEAD_DIM)
        num_slots = max(num_tokens, PAGE_SIZE)
        step = WriteStep(slots=torch.randperm(num_slots, device="cuda")[:num_tokens])
        shape = (-(-num_slots // PAGE_SIZE), NUM_KV_HEADS, HEAD_DIM)
        pages, expected = (KVPages.allocate(format, *shape, device="cuda", is_rotated=rotate) for _ in range(2))
        table = torch.arange(pages.num_pages, device="cuda")[None]

        def error() -> float:
            cache_write(step, keys, values, pages)
            cache_write_reference(step, keys, values, expected)
            pairs = zip(read_pages(pages, table), read_pages(expected, table), strict=True)
            return max(distance(found, wanted) for found, wanted in pairs)

        return Case(
            run=lambda: cache_write(step, keys, values, pages),
            error=error,
            tolerance=5e-3,
            num_bytes=4.0 * keys.numel() + cache_bytes(format, num_tokens),
        )

    return make


def eviction_step(table: torch.Tensor, lens: torch.Tensor, count: int) -> EvictionStep:
    parts = {"seen": 8192, "heavy": 573, "recent": 409}
    budget = {name: torch.full_like(lens, value) for name, value in parts.items()}
    return EvictionStep(table=table, lens=lens, rule=RULE, count=count, **budget)


def evict(count: int) -> Callable[[], Case]:
    def make() -> Case:
        pages, table, lens = make_cache("int4", NUM_ROWS, NUM_SLOTS)
        pages.scores.uniform_()
        pages.positions.random_(0, 8192)
        step = eviction_step(table, lens, count)

        def error() -> float:
            return float((eviction(step, pages) != eviction_reference(step, pages)).float().mean())

        return Case(
            run=lambda: eviction(step, pages),
            error=error,
            tolerance=0.02,
            num_bytes=10.0 * NUM_ROWS * NUM_KV_HEADS * NUM_SLOTS,
        )

    return make


def flush_rings() -> Case:
    target, table, lens = make_cache("int4", NUM_ROWS, NUM_SLOTS)
    target.positions.random_(4, 7000)
    ring, ring_table, _ = make_cache("full", NUM_ROWS, PAGE_SIZE)
    victims = eviction(eviction_step(table, lens, PAGE_SIZE), target)
    ranges = torch.tensor([[0.5, 2.0, 0.5, 2.0]], device="cuda").expand(NUM_ROWS, 4).contiguous()

    def run() -> object:
        return flush(ring, ring_table[:, 0], target, victims, error_ranges=ranges)

    def error() -> float:
        run()
        expected = read_pages(ring, ring_table)[0]
        page, offset = victims.long() // PAGE_SIZE, victims.long() % PAGE_SIZE
        heads = torch.arange(NUM_KV_HEADS, device="cuda")[:, None]
        keys, _ = read_pages(target, page.reshape(-1, 1))
        keys = keys.reshape(NUM_ROWS, NUM_KV_HEADS, PAGE_SIZE, NUM_KV_HEADS, PAGE_SIZE, HEAD_DIM)
        rows = torch.arange(NUM_ROWS, device="cuda")[:, None, None]
        entry = torch.arange(PAGE_SIZE, device="cuda")
        return distance(keys[rows, heads, entry, heads, offset], expected)

    slot_bytes = kv_page_bytes("int4", NUM_KV_HEADS, HEAD_DIM, torch.bfloat16, has_side_planes=True) / PAGE_SIZE
    return Case(
        run=run,
        error=error,
        tolerance=0.1,
        num_bytes=NUM_ROWS * PAGE_SIZE * (slot_bytes + 512.0 * NUM_KV_HEADS),
    )


def cut_prompt() -> Case:
    num_tokens, budget = 8192, CutBudget(heavy=573, hitters=655, recent=404)
    source, table, _ = make_cache("full", 1, num_tokens)
    source.scores.uniform_()
    target, target_table, _ = make_cache("int4", 1, budget.total)
    step = CutStep(source_table=table[0], target_table=target_table[0], num_tokens=num_tokens, budget=budget, rule=RULE)

    def run() -> object:
        return cut(step, source, target)

    def error() -> float:
        source.positions[table[0].long()] = (
            torch.arange(num_tokens, device="cuda").int().view(-1, 1, PAGE_SIZE).expand(-1, NUM_KV_HEADS, -1)
        )
        run()
        kept = target.positions[target_table[0].long()].transpose(0, 1).flatten(1).long()[:, : budget.total]
        expected = read_pages(source, table)[0][0].gather(1, kept[..., None].expand(-1, -1, HEAD_DIM))
        return distance(read_pages(target, target_table)[0][0, :, : budget.total], expected)

    return Case(run=run, error=error, tolerance=0.1, num_bytes=512.0 * NUM_KV_HEADS * (num_tokens + budget.total))


def rotate(num_tokens: int) -> Callable[[], Case]:
    def make() -> Case:
        x = random(num_tokens, NUM_HEADS, HEAD_DIM)
        return Case(
            run=lambda: hadamard(x),
            error=lambda: distance(hadamard(x), hadamard_reference(x)),
            tolerance=5e-3,
            num_bytes=4.0 * x.numel(),
        )

    return make


ROWS = [
    Row(name="quantise 8192 tokens to int4", make=quantize(4, 8192)),
    Row(name="quantise 8192 tokens to int8", make=quantize(8, 8192)),
    Row(name="write 32 tokens, bf16", make=write("full", 32, rotate=False)),
    Row(name="write 32 tokens, int4, rotated", make=write("int4", 32, rotate=True)),
    Row(name="write 8192 tokens, int4, rotated", make=write("int4", 8192, rotate=True)),
    Row(name="rotate the queries of 32 tokens", make=rotate(32)),
    Row(name="choose 1 victim of 1632, 32 rows", make=evict(1)),
    Row(name="choose 32 victims of 1632, 32 rows", make=evict(32)),
    Row(name="flush 32 ring pages", make=flush_rings),
    Row(name="cut a prompt of 8192 to 20 %", make=cut_prompt),
]
