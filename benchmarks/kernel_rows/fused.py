"""Rows for what a decoder needs between its matrix products, and for sampling: Llama-3.1-8B with 64 rows."""

from collections.abc import Callable

import torch

from verilora.kernels.cache.cache_write import cache_write
from verilora.kernels.cache.kv_pages import PAGE_SIZE, KVPages
from verilora.kernels.cache.write_step import WriteStep
from verilora.kernels.layers.invariant_matmul import invariant_matmul
from verilora.kernels.layers.rms_norm import rms_norm, rms_norm_reference
from verilora.kernels.layers.rope import rope, rope_reference, rotary_table
from verilora.kernels.layers.rope_write import rope_write
from verilora.kernels.layers.rotation import HeadNorms, Rotation, turn_heads
from verilora.kernels.layers.silu_mul import silu_mul, silu_mul_reference
from verilora.kernels.tokens.logprobs import logprobs, logprobs_reference
from verilora.kernels.tokens.sampling import sample, sample_reference
from verilora.kernels.tokens.sampling_table import SamplingTable, neutral_table
from verilora.kernels.tokens.token_bitmask import apply_token_bitmask, apply_token_bitmask_reference, pack_bitmask

from kernel_rows.row import Case, Row

HIDDEN, WIDTH, VOCABULARY, NUM_ROWS = 4096, 14336, 128256, 64
EPS = 1e-5
NUM_TOP = 20


def random(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape, device="cuda").to(dtype)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def norm() -> Case:
    x, residual, weight = random(NUM_ROWS, HIDDEN), random(NUM_ROWS, HIDDEN), random(HIDDEN)

    def error() -> float:
        total = (x.float() + residual.float()).bfloat16()
        found = rms_norm(x, weight, EPS, residual=residual.clone())
        return relative(found, rms_norm_reference(total.double(), weight.double(), EPS))

    return Case(
        run=lambda: rms_norm(x, weight, EPS, residual=residual),
        error=error,
        tolerance=5e-3,
        num_bytes=2 * HIDDEN * (4 * NUM_ROWS + 1),
        baselines={"torch": lambda: rms_norm_reference(x, weight, EPS, residual=residual)},
    )


def turns(num_tokens: int) -> Rotation:
    frequencies = 500000.0 ** -(torch.arange(0, 128, 2, dtype=torch.float64, device="cuda") / 128)
    positions = torch.randint(0, 8192, (num_tokens,), device="cuda")
    return Rotation(positions=positions, table=rotary_table(frequencies, 8192))


def rotation() -> Case:
    query, key, turn = random(NUM_ROWS, 32, 128), random(NUM_ROWS, 8, 128), turns(NUM_ROWS)
    positions, table = turn.positions, turn.table

    def error() -> float:
        found = torch.cat(rope(query.clone(), key.clone(), positions, table), dim=1)
        expected = torch.cat(rope_reference(query.double(), key.double(), positions, table), dim=1)
        return relative(found, expected)

    return Case(
        run=lambda: rope(query, key, positions, table),
        error=error,
        tolerance=5e-3,
        num_bytes=NUM_ROWS * (2 * 2 * 40 * 128 + 4 * 128 + 8),
        baselines={"torch": lambda: rope_reference(query, key, positions, table)},
    )


def heads(num_tokens: int, *, has_norms: bool) -> Case:
    """Return what stands between a projection and attention, against the launches that do one thing each."""
    qkv, turn = random(num_tokens, 32 + 2 * 8, 128), turns(num_tokens)
    query_norm, key_norm = random(2, 128)
    norms = HeadNorms(query=query_norm, key=key_norm, eps=EPS) if has_norms else None
    num_pages = -(-num_tokens // PAGE_SIZE)
    pages = KVPages.allocate("full", num_pages, 8, 128, device="cuda")
    step = WriteStep(slots=torch.randperm(num_pages * PAGE_SIZE, device="cuda")[:num_tokens])

    def error() -> float:
        found = rope_write(step, turn, qkv, pages, norms=norms)
        stored = pages.keys[step.slots // PAGE_SIZE, :, step.slots % PAGE_SIZE]
        query, keys = qkv[:, :32].double(), qkv[:, 32:40].double()
        if norms is not None:
            query = rms_norm_reference(query, norms.query.double(), EPS)
            keys = rms_norm_reference(keys, norms.key.double(), EPS)
        expected = rope_reference(query.clone(), keys.clone(), turn.positions, turn.table)
        pairs = zip((*found, stored), (*expected, expected[1]), strict=True)
        return max(relative(one, other) for one, other in pairs)

    own = qkv.clone()

    def separate() -> object:
        query, keys, values = turn_heads(turn, own, 8, norms)
        cache_write(step, keys, values, pages)
        return query.contiguous()

    return Case(
        run=lambda: rope_write(step, turn, qkv, pages, norms=norms),
        error=error,
        tolerance=1e-2 if has_norms else 5e-3,
        num_bytes=num_tokens * (2 * 128 * (48 + 40 + 16) + 4 * 128 + 16),
        baselines={"separate launches": separate},
    )


def gate() -> Case:
    gate_up = random(NUM_ROWS, 2 * WIDTH)
    return Case(
        run=lambda: silu_mul(gate_up),
        error=lambda: relative(silu_mul(gate_up), silu_mul_reference(gate_up.double())),
        tolerance=5e-3,
        num_bytes=2 * NUM_ROWS * 3 * WIDTH,
        baselines={"torch": lambda: silu_mul_reference(gate_up)},
    )


def product(num_rows: int, in_dim: int, out_dim: int) -> Case:
    x, weight = random(num_rows, in_dim), random(out_dim, in_dim)
    return Case(
        run=lambda: invariant_matmul(x, weight),
        error=lambda: relative(invariant_matmul(x, weight), x.double() @ weight.double().T),
        tolerance=5e-3,
        num_bytes=2 * (num_rows * in_dim + out_dim * in_dim + num_rows * out_dim),
        num_flops=2 * num_rows * in_dim * out_dim,
        baselines={"torch, rows that change with the batch": lambda: torch.nn.functional.linear(x, weight)},
    )


def bitmask() -> Case:
    logits = random(NUM_ROWS, VOCABULARY, dtype=torch.float32)
    masks = pack_bitmask(torch.rand(NUM_ROWS, VOCABULARY, device="cuda") < 0.01)
    mask_ids = torch.arange(NUM_ROWS, dtype=torch.int32, device="cuda")

    def error() -> float:
        found = apply_token_bitmask(logits.clone(), masks, mask_ids)
        return float((found != apply_token_bitmask_reference(logits.clone(), masks, mask_ids)).sum())

    return Case(
        run=lambda: apply_token_bitmask(logits, masks, mask_ids),
        error=error,
        tolerance=0.0,
        # 99 of 100 logits are overwritten, none is read.
        num_bytes=NUM_ROWS * VOCABULARY * (4 * 0.99 + 1 / 8),
        baselines={"torch": lambda: apply_token_bitmask_reference(logits, masks, mask_ids)},
    )


def probabilities() -> Case:
    logits = 4 * random(NUM_ROWS, VOCABULARY, dtype=torch.float32)
    tokens = torch.randint(0, VOCABULARY, (NUM_ROWS,), device="cuda")

    def error() -> float:
        found = logprobs(logits, tokens, NUM_TOP)
        expected = logits.double().log_softmax(-1)
        pairs = ((found.chosen[:, None], expected.gather(1, tokens[:, None])), (found.top, expected.topk(NUM_TOP)[0]))
        return max(relative(one, other) for one, other in pairs)

    return Case(
        run=lambda: logprobs(logits, tokens, NUM_TOP),
        error=error,
        tolerance=1e-5,
        num_bytes=4 * NUM_ROWS * VOCABULARY,
        baselines={"torch": lambda: logprobs_reference(logits, tokens, NUM_TOP)},
    )


def draws(change: Callable[[SamplingTable], object], num_rows: int = NUM_ROWS) -> Case:
    """Return draws from rows as a language model makes them: few tokens above a broad rest."""
    logits = 2.5 * random(num_rows, VOCABULARY, dtype=torch.float32)
    logits[:, :40] += 12
    slots = torch.arange(num_rows, dtype=torch.int32, device="cuda")
    positions = torch.randint(0, 8192, (num_rows,), device="cuda")
    table = neutral_table(num_rows, VOCABULARY, "cuda")
    table.seed.copy_(torch.arange(num_rows))
    change(table)

    def error() -> float:
        expected = sample_reference(logits, slots, positions, table)
        table.output_counts.zero_()
        found = sample(logits, slots, positions, table)
        table.output_counts.zero_()
        return float((found != expected).sum())

    return Case(
        run=lambda: sample(logits, slots, positions, table),
        error=error,
        tolerance=0.0,
        num_bytes=4 * num_rows * VOCABULARY,
        baselines={"torch, sorted": lambda: sorted_draw(logits, 50, 0.9)},
    )


def sorted_draw(logits: torch.Tensor, top_k: int, top_p: float) -> torch.Tensor:
    """Return tokens drawn as is usual in torch: sort, filter, one exponential a token."""
    falling, ids = logits.sort(-1, descending=True)
    falling = falling.masked_fill(falling < falling[:, top_k - 1 : top_k], float("-inf"))
    p = falling.softmax(-1)
    p = p.masked_fill(p.cumsum(-1) - p > top_p, 0)
    return ids.gather(1, (p / torch.empty_like(p).exponential_()).argmax(-1, keepdim=True))


def filters(table: SamplingTable) -> None:
    table.top_k.fill_(50)
    table.top_p.fill_(0.9)


def penalties(table: SamplingTable) -> None:
    filters(table)
    table.repetition_penalty.fill_(1.1)


ROWS = [
    Row(name="RMSNorm + residual, 64 x 4096", make=norm),
    Row(name="RoPE, 64 tokens, 32 + 8 heads of 128", make=rotation),
    Row(name="RoPE and cache write, 64 tokens, 32 + 8 heads of 128", make=lambda: heads(64, has_norms=False)),
    Row(name="norms, RoPE and cache write, 64 tokens", make=lambda: heads(64, has_norms=True)),
    Row(name="norms, RoPE and cache write, 8192 tokens", make=lambda: heads(8192, has_norms=True)),
    Row(name="SiLU and product, 64 x 14336", make=gate),
    Row(name="invariant product, 1 x 4096 x 4096", make=lambda: product(1, HIDDEN, HIDDEN)),
    Row(name="invariant product, 64 x 4096 x 4096", make=lambda: product(64, HIDDEN, HIDDEN)),
    Row(name="invariant product, 64 x 4096 x 28672", make=lambda: product(64, HIDDEN, 2 * WIDTH)),
    Row(name="invariant product, 2048 x 4096 x 28672", make=lambda: product(2048, HIDDEN, 2 * WIDTH)),
    Row(name="token bitmask, 64 x 128256", make=bitmask),
    Row(name="log-probabilities, 64 x 128256, top 20", make=probabilities),
    Row(name="sampling, 64 x 128256, greedy", make=lambda: draws(lambda table: table.temperature.fill_(0))),
    Row(name="sampling, 64 x 128256, no filter", make=lambda: draws(lambda table: None)),
    Row(name="sampling, 64 x 128256, top-k 50, top-p 0.9", make=lambda: draws(filters)),
    Row(name="sampling, 64 x 128256, filters and penalties", make=lambda: draws(penalties)),
    Row(name="sampling, 1 x 128256, top-k 50, top-p 0.9", make=lambda: draws(filters, num_rows=1)),
]
