"""Rows for SGMV: Punica's popularities at 64 rows of decode, a whole layer, many registered adapters, and prefill.

Weights are random and lie in scattered pages; baselines have the same weights dense: a loop of matrix products over the
adapters in the batch, and gathering each row's weights for batched products (decode only). Targets are facts of peers
for dense rows times 1.15, which pages and mixed ranks may cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch

from verilora.kernels.cache.kv_pages import kv_page_bytes
from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.fused_projections import FusedProjections
from verilora.kernels.lora.lora import sgmv, sgmv_reference
from verilora.kernels.lora.lora_batch import decode_items, empty_records, prefill_items
from verilora.kernels.lora.lora_step import LoraStep
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout
from verilora.kernels.lora.sgmv_config import LORA_CONFIG, Phase, SgmvConfig

from kernel_rows.row import Case, Row, Work

NUM_ROWS = 64
TOLERANCE = 1e-2
PAGES = PageLayout(page_bytes=kv_page_bytes("full", 8, 128, torch.bfloat16))
SQUARE = {"o": (4096, 4096)}
LLAMA_8B = {
    **{"q": (4096, 4096), "k": (4096, 1024), "v": (4096, 1024), "o": (4096, 4096)},
    **{"gate": (4096, 14336), "up": (4096, 14336), "down": (14336, 4096)},
}
FUSED = (("q", "k", "v"), ("o",), ("gate", "up"), ("down",))
# Punica's: groups of one size, and groups that grow by half.
UNIFORM = [8] * 8
SKEWED = [1, 1, 2, 3, 5, 7, 11, 17, 17]


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Random adapters of one layer in scattered pages."""

    ranks: Sequence[int]
    widths: dict[str, tuple[int, int]]

    @cached_property
    def layouts(self) -> list[AdapterLayout]:
        return [AdapterLayout(pages=PAGES, rank=rank, num_layers=1, widths=self.widths) for rank in self.ranks]

    @cached_property
    def memory(self) -> AdapterMemory:
        most = max(layout.num_pages for layout in self.layouts)
        pool = torch.randn(len(self.ranks) * most, PAGES.page_bytes // 2, device="cuda", dtype=torch.bfloat16)
        pages = torch.randperm(len(pool), device="cuda").int().view(len(self.ranks), most)
        return AdapterMemory(
            pool=pool.mul_(0.02).view(torch.uint8),
            page_table=pages,
            pages=PAGES,
            max_rank=max(self.ranks),
            num_layers=1,
            widths=self.widths,
        )

    @cached_property
    def numbers(self) -> list[list[int]]:
        """The record of each adapter."""
        ids = self.memory.page_table.tolist()
        return [
            self.memory.record(layout, slot, 2.0, ids[slot][: layout.num_pages])
            for slot, layout in enumerate(self.layouts)
        ]

    @cached_property
    def records(self) -> torch.Tensor:
        rows = torch.tensor(self.numbers, dtype=torch.int32)
        table = empty_records(len(rows), "cuda")
        table[:-1].copy_(rows)
        return table

    def dense(self, slot: int, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return A [rank, in] and B transposed [rank, out] of an adapter, each in one piece."""
        layout, (width_in, width_out) = self.layouts[slot], self.widths[name]
        (down, up), numbers = layout.cuts(0, name), self.numbers[slot]
        return self.memory.rows(numbers, down.start, width_in), self.memory.rows(numbers, up.start, width_out)


def step_for(adapters: Registered, lengths: Sequence[int], phase: Phase, config: SgmvConfig) -> LoraStep:
    """Return a step of segments of the first adapters, one after the other."""
    slots = torch.arange(len(lengths), device="cuda").int()
    if phase == "decode":
        items = decode_items(adapters.records, slots.repeat_interleave(torch.tensor(lengths, device="cuda")))
    else:
        starts = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
        items = prefill_items(adapters.records, slots, starts, num_rows=sum(lengths), block=config.prefill_block)
    return LoraStep(items=items, memory=adapters.memory, phase=phase, config=config)


def projections_case(
    adapters: Registered,
    lengths: Sequence[int],
    phase: Phase,
    fused: Sequence[tuple[str, ...]],
    config: SgmvConfig = LORA_CONFIG,
) -> Case:
    """Return the case of `fused` projections, each of which is a pair of launches, with `lengths` rows an adapter."""
    step, num_rows = step_for(adapters, lengths, phase, config), sum(lengths)
    inputs = {width: torch.randn(num_rows, width, device="cuda").bfloat16() for width, _ in adapters.widths.values()}
    works, references, loops, num_bytes, num_flops = [], [], [], 0.0, 0.0
    for names in fused:
        widths = tuple(adapters.widths[name][1] for name in names)
        x = inputs[adapters.widths[names[0]][0]]
        output = torch.randn(num_rows, sum(widths), device="cuda").bfloat16()
        where = {"layer": 0, "projections": FusedProjections(names, widths)}
        works.append(partial(sgmv, step, output, x, **where))
        references.append(partial(sgmv_reference, step, output, x, **where))
        loops.append(loop_of_products(adapters, lengths, names, x, output))
        num_bytes += 2.0 * (x.numel() + 2 * output.numel())
        for slot, length in enumerate(lengths):
            numbers = adapters.ranks[slot] * sum(sum(adapters.widths[name]) for name in names)
            num_bytes += 2.0 * numbers
            num_flops += 2.0 * numbers * length
    outputs = [work.args[1] for work in works]
    baselines: dict[str, Work] = {"loop": lambda: [loop() for loop in loops]}
    if phase == "decode" and len(fused) == 1 and len(set(adapters.ranks[: len(lengths)])) == 1:
        baselines["gather-bmm"] = gather_and_multiply(adapters, lengths, fused[0][0], works[0].args[2], outputs[0])
    return Case(
        run=lambda: [work() for work in works],
        error=lambda: error_of(works, references, outputs),
        tolerance=TOLERANCE,
        num_bytes=num_bytes,
        num_flops=num_flops,
        baselines=baselines,
    )


def error_of(works: Sequence[Work], references: Sequence[Work], outputs: Sequence[torch.Tensor]) -> float:
    """Return the largest relative error; outputs begin small, so that what is added is nearly all that is compared."""
    worst = 0.0
    for work, reference, output in zip(works, references, outputs, strict=True):
        before = output.normal_(std=0.01).clone()
        reference()
        expected = output.float()
        output.copy_(before)
        work()
        worst = max(worst, float((output.float() - expected).norm() / expected.norm()))
    return worst


def loop_of_products(
    adapters: Registered, lengths: Sequence[int], names: tuple[str, ...], x: torch.Tensor, output: torch.Tensor
) -> Work:
    weights = [[adapters.dense(slot, name) for name in names] for slot in range(len(lengths))]

    def loop() -> None:
        first = 0
        for length, pairs in zip(lengths, weights, strict=True):
            rows, column = slice(first, first + length), 0
            for down, up in pairs:
                part = output[rows, column : column + up.shape[1]]
                torch.addmm(part, x[rows] @ down.T, up, alpha=2.0, out=part)
                column += up.shape[1]
            first += length

    return loop


def gather_and_multiply(
    adapters: Registered, lengths: Sequence[int], name: str, x: torch.Tensor, output: torch.Tensor
) -> Work:
    downs, ups = (
        torch.stack(both) for both in zip(*(adapters.dense(i, name) for i in range(len(lengths))), strict=True)
    )
    slots = torch.arange(len(lengths), device="cuda").repeat_interleave(torch.tensor(lengths, device="cuda"))

    def work() -> None:
        shrunk = torch.bmm(x[:, None, :], downs[slots].transpose(1, 2))
        output.add_(torch.bmm(shrunk, ups[slots])[:, 0], alpha=2.0)

    return work


def case_of(
    phase: Phase,
    ranks: Sequence[int],
    lengths: Sequence[int],
    widths: dict[str, tuple[int, int]] = SQUARE,
    config: SgmvConfig = LORA_CONFIG,
) -> Case:
    fused = FUSED if widths is LLAMA_8B else (("o",),)
    return projections_case(Registered(ranks=ranks, widths=widths), lengths, phase, fused, config)


decode, prefill = partial(case_of, "decode"), partial(case_of, "prefill")


DISTINCT = [1] * NUM_ROWS
MIXED = [8, 16, 32, 64, 128] * 13
ROWS = [
    Row(name="lora decode 4096→4096 r16 identical", make=lambda: decode([16], [NUM_ROWS]), target_us=6.9),
    Row(name="lora decode 4096→4096 r16 uniform", make=lambda: decode([16] * 8, UNIFORM)),
    Row(name="lora decode 4096→4096 r16 skewed", make=lambda: decode([16] * 9, SKEWED)),
    Row(name="lora decode 4096→4096 r16 distinct", make=lambda: decode([16] * NUM_ROWS, DISTINCT), target_us=9.8),
    Row(name="lora decode 4096→4096 r64 distinct", make=lambda: decode([64] * NUM_ROWS, DISTINCT), target_us=25.3),
    Row(name="lora decode 4096→4096 mixed ranks 8 to 128 distinct", make=lambda: decode(MIXED[:64], DISTINCT)),
    Row(name="lora decode 4096→4096 r16, 8 adapters of 8 registered", make=lambda: decode([16] * 8, UNIFORM)),
    Row(name="lora decode 4096→4096 r16, 8 adapters of 4096 registered", make=lambda: decode([16] * 4096, UNIFORM)),
    Row(
        name="lora decode, seven projections of Llama-3.1-8B, r16 distinct",
        make=lambda: decode([16] * NUM_ROWS, DISTINCT, LLAMA_8B),
        target_us=62.4,
    ),
    Row(name="lora decode, seven projections, r16 identical", make=lambda: decode([16], [NUM_ROWS], LLAMA_8B)),
    Row(name="lora prefill 4096→4096 r16, 4 adapters of 512 rows", make=lambda: prefill([16] * 4, [512] * 4)),
    Row(name="lora prefill 4096→4096 r64, 1 adapter of 8192 rows", make=lambda: prefill([64], [8192])),
    Row(
        name="lora prefill, seven projections, mixed ranks, 16 adapters of 128 rows",
        make=lambda: prefill(MIXED[:16], [128] * 16, LLAMA_8B),
    ),
]
