"""Draws: transformers' filters, the exact distribution, and the kernel against the reference."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch

from verilora.kernels.tokens.sampling import (
    kept_weights_reference,
    launch_sample,
    penalised_reference,
    sample,
    sample_reference,
)
from verilora.kernels.tokens.sampling_table import SamplingTable, neutral_table
from verilora.kernels.tokens.token_bitmask import pack_bitmask

from device_checks import assert_repeats, assert_replays, assert_same_bits, device_cases

NAMES = [field.name for field in fields(SamplingTable)]
# num_rows, vocab_size, block, num_candidates; the blocks are small so that rows span many of them.
SHAPES = [
    pytest.param((1, 1, 64, 16), id="one token"),
    pytest.param((9, 63, 64, 16), id="one block"),
    pytest.param((21, 129, 64, 16), id="odd"),
    pytest.param((5, 2000, 256, 32), id="many blocks"),
]
LARGE = {"32000": (64, 32000), "128256": (16, 128256), "151936": (16, 151936)}


def picked(values: list[float], num: int, generator: torch.Generator) -> torch.Tensor:
    return torch.tensor(values)[torch.randint(0, len(values), (num,), generator=generator)]


def mixed_table(num_slots: int, vocab_size: int, generator: torch.Generator) -> SamplingTable:
    """Return slots of all kinds: greedy or not, each filter and penalty on or off, prompts and outputs."""
    shape = (num_slots, vocab_size)
    allowed = torch.rand(shape, generator=generator) < 0.1
    return SamplingTable(
        temperature=picked([0.0, 0.5, 1.0, 1.0, 1.7], num_slots, generator),
        top_k=picked([0, 0, 1, 5, 50, 2000, 10**6], num_slots, generator).int(),
        top_p=picked([1.0, 1.0, 0.9, 0.5, 0.01, 0.0], num_slots, generator),
        min_p=picked([0.0, 0.0, 0.1, 1.0], num_slots, generator),
        repetition_penalty=picked([1.0, 1.0, 1.3, 0.8], num_slots, generator),
        presence_penalty=picked([0.0, 0.0, 0.7], num_slots, generator),
        frequency_penalty=picked([0.0, 0.0, -0.3, 0.4], num_slots, generator),
        seed=torch.randint(-(2**63), 2**63 - 1, (num_slots,), generator=generator),
        prompt_tokens=pack_bitmask(allowed),
        output_counts=torch.randint(0, 3, shape, generator=generator).int(),
    )


def to(table: SamplingTable, device: str) -> SamplingTable:
    """Return a copy on a device."""
    return SamplingTable(**{name: getattr(table, name).to(device, copy=True) for name in NAMES})


def inputs(
    num_rows: int, vocab_size: int, dtype: torch.dtype, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, SamplingTable]:
    """Return logits, some of them equal or forbidden, slots, positions and table; the second row is padding."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(num_rows, vocab_size, generator=generator)
    logits[::3] = logits[::3].round()
    logits[::2, vocab_size // 3 + 1 :: 2] = float("-inf")
    slots = torch.randperm(num_rows + 2, generator=generator)[:num_rows].int()
    slots[1:2] = -1
    positions = torch.randint(0, 2**40, (num_rows,), generator=generator)
    return logits.to(dtype), slots, positions, mixed_table(num_rows + 2, vocab_size, generator)


def test_filters_and_repetition_penalty_are_those_of_transformers() -> None:
    from transformers.generation import logits_process as peer

    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        logits = 3 * torch.randn(1, 200, generator=generator)
        seen = torch.randint(0, 200, (1, 30), generator=generator)
        table = neutral_table(1, 200)
        table.temperature[0], table.top_k[0], table.top_p[0] = 0.3 + 0.1 * seed, 5 + 5 * seed, 0.5 + 0.02 * seed
        table.min_p[0], table.repetition_penalty[0] = 0.003 * seed, 0.7 + 0.05 * seed
        table.prompt_tokens.copy_(pack_bitmask(torch.zeros(1, 200).scatter(1, seen, 1).bool()))
        expected = logits
        for process in (
            peer.RepetitionPenaltyLogitsProcessor(float(table.repetition_penalty[0])),
            peer.TemperatureLogitsWarper(float(table.temperature[0])),
            peer.TopKLogitsWarper(int(table.top_k[0])),
            peer.TopPLogitsWarper(float(table.top_p[0])),
            peer.MinPLogitsWarper(float(table.min_p[0])),
        ):
            expected = process(seen, expected)
        slots = torch.zeros(1, dtype=torch.int64)
        weights = kept_weights_reference(penalised_reference(logits, slots, table), slots, table)
        torch.testing.assert_close(weights / weights.sum(), expected.softmax(-1), rtol=1e-5, atol=1e-9)


def test_presence_and_frequency_penalties_are_subtracted() -> None:
    table = neutral_table(1, 3)
    table.presence_penalty[0], table.frequency_penalty[0] = 0.5, 0.25
    table.output_counts[0] = torch.tensor([0, 1, 4])
    found = penalised_reference(torch.ones(1, 3), torch.zeros(1, dtype=torch.int64), table)
    assert found.tolist() == [[1.0, 0.25, -0.5]]


def assert_distribution(draw: Callable[..., torch.Tensor], num_rows: int, device: str = "cpu") -> None:
    """Chi-square of tokens, and of successive tokens as pairs, against the exact distribution; fixed seeds."""
    logits = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0, 2.0, 1.5, -3.0, 0.2, 1.1] + 6 * [float("-inf")], device=device)
    table = to(neutral_table(num_rows, 16), device)
    table.temperature.fill_(0.8)
    table.top_k.fill_(7)
    table.top_p.fill_(0.95)
    table.seed.copy_(torch.arange(num_rows) // 100)
    slots = torch.arange(num_rows, dtype=torch.int32, device=device)
    tokens = draw(logits.expand(num_rows, 16), slots, torch.arange(num_rows, device=device) % 100, table).cpu()
    exact = (logits.cpu().double() / 0.8).softmax(-1)
    # Six of the seven largest hold 0.967 of these, so six are kept; they hold only 0.941 of all ten.
    exact[[2, 3, 4, 7]] = 0
    exact /= exact.sum()
    pairs = 16 * tokens[0::2] + tokens[1::2]
    for found, expected in ((tokens, exact), (pairs, (exact[:, None] * exact).flatten())):
        counts = torch.bincount(found, minlength=len(expected)).double()
        is_possible = expected > 0
        assert counts[~is_possible].sum() == 0
        means = len(found) * expected[is_possible]
        degrees = len(means) - 1
        # Five standard deviations above its mean.
        assert ((counts[is_possible] - means).square() / means).sum() < degrees + 5 * (2 * degrees) ** 0.5


def test_draws_have_the_exact_distribution() -> None:
    assert_distribution(sample_reference, 40000)


@pytest.mark.interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_and_reference_draw_the_same(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    num_rows, vocab_size, block, num_candidates = shape
    logits, slots, positions, table = inputs(num_rows, vocab_size, dtype)
    by_reference = to(table, "cpu")
    expected = sample_reference(logits, slots, positions, by_reference)
    before, out = table.output_counts.clone(), torch.full((num_rows,), 77)
    found = launch_sample(logits, slots, positions, table, out=out, block=block, num_candidates=num_candidates)
    assert found is out
    is_live = slots >= 0
    assert torch.equal(found[is_live], expected[is_live])
    assert (found[~is_live] == 77).all()
    assert torch.equal(table.output_counts, by_reference.output_counts)
    assert (table.output_counts - before).sum() == is_live.sum()


@pytest.mark.interpreter
def test_odd_rows_draw_the_same() -> None:
    """Nothing allowed, NaN, infinity, all equal, one allowed; drawn and greedy."""
    rows = torch.zeros(5, 40)
    rows[0] = float("-inf")
    rows[1, 3], rows[1, 9] = float("nan"), 5.0
    rows[2, 7] = float("inf")
    rows[4, :39] = float("-inf")
    logits = rows.repeat(2, 1)
    slots, positions = torch.arange(10, dtype=torch.int32), torch.arange(10)
    for top_k, top_p in ((0, 1.0), (3, 1.0), (0, 0.3)):
        tables = [neutral_table(10, 40) for _ in range(2)]
        for table in tables:
            table.temperature[5:] = 0
            table.top_k.fill_(top_k)
            table.top_p.fill_(top_p)
        expected = sample_reference(logits, slots, positions, tables[0])
        found = launch_sample(logits, slots, positions, tables[1], block=16, num_candidates=16)
        assert torch.equal(found, expected)
        assert torch.equal(tables[0].output_counts, tables[1].output_counts)
        assert expected[[0, 5, 2, 7, 4, 9]].tolist() == [-1, -1, 7, 7, 39, 39]
        assert expected[[6, 8]].tolist() == [9, 0]


@pytest.mark.interpreter
def test_a_row_without_weight_stays_in_the_vocabulary() -> None:
    """No filter of a request leaves nothing; a table that holds such a one must not write beyond the counts."""
    tables = [neutral_table(1, 40) for _ in range(2)]
    for table in tables:
        table.min_p.fill_(2.0)
    logits, slots, positions = torch.zeros(1, 40), torch.zeros(1, dtype=torch.int32), torch.zeros(1).long()
    assert sample_reference(logits, slots, positions, tables[0]).tolist() == [39]
    assert launch_sample(logits, slots, positions, tables[1], block=16, num_candidates=16).tolist() == [39]


def test_a_row_draws_the_same_alone() -> None:
    logits, slots, positions, table = inputs(63, 129, torch.float32)
    together = sample_reference(logits, slots, positions, to(table, "cpu"))
    for i in (0, 7, 62):
        alone = sample_reference(logits[i : i + 1], slots[i : i + 1], positions[i : i + 1], to(table, "cpu"))
        assert alone[0] == together[i]


def test_other_shapes_are_refused() -> None:
    logits, slots, positions, table = inputs(3, 63, torch.float32)
    with pytest.raises(ValueError, match="logits, got"):
        launch_sample(logits[:, :-1], slots, positions, table)
    with pytest.raises(ValueError, match="slots, got"):
        launch_sample(logits, slots[:2], positions, table)
    with pytest.raises(ValueError, match="positions, got"):
        launch_sample(logits, slots, positions[:1].expand(3), table)
    with pytest.raises(ValueError, match="out, got"):
        launch_sample(logits, slots, positions, table, out=torch.zeros(2).long())
    with pytest.raises(ValueError, match="top_k, got"):
        replace(table, top_k=table.top_k.long())
    with pytest.raises(ValueError, match="prompt_tokens, got"):
        replace(table, prompt_tokens=table.prompt_tokens[:, :1])


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "dtype"), device_cases(LARGE))
def test_a_device_draws_what_the_reference_draws_on_a_cpu(shape: tuple[int, int], dtype: torch.dtype) -> None:
    for seed in range(2):
        logits, slots, positions, table = inputs(*shape, dtype, seed)
        on_device = to(table, "cuda")
        expected = sample_reference(logits, slots, positions, table)
        found = sample(logits.cuda(), slots.cuda(), positions.cuda(), on_device)
        assert torch.equal(found.cpu(), expected)
        assert torch.equal(on_device.output_counts.cpu(), table.output_counts)


@pytest.mark.gpu
def test_draws_have_the_exact_distribution_on_a_device() -> None:
    assert_distribution(sample, 100000, "cuda")


@pytest.mark.gpu
def test_bits_on_a_device() -> None:
    def on_device(seed: int) -> tuple[list[torch.Tensor], SamplingTable]:
        *rows, table = inputs(64, 32000, torch.bfloat16, seed)
        return [row.cuda() for row in rows], to(table, "cuda")

    (logits, slots, positions), table = on_device(0)

    def run() -> list[torch.Tensor]:
        # Counts change with each draw, so each run draws on a copy.
        counts = table.output_counts.clone()
        kept = {name: getattr(table, name) for name in NAMES if name != "output_counts"}
        return [sample(logits, slots, positions, SamplingTable(**kept, output_counts=counts)), counts]

    assert_repeats(run)
    tokens, _ = run()
    for i in (0, 1, 63):
        alone = sample(logits[i : i + 1], slots[i : i + 1], positions[i : i + 1], to(table, "cuda"))
        assert_same_bits([alone], [tokens[i : i + 1]])
    rows, other = on_device(1)
    rows[1][40:] = -1
    statics = [logits, slots, positions, *(getattr(table, name) for name in NAMES)]
    assert_replays(run, statics, [*rows, *(getattr(other, name) for name in NAMES)])
