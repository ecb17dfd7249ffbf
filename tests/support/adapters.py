"""Random adapters, the memory that holds them, and dense LoRA in float64 as the oracle."""

import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.adapter_pages import Weights, pack
from verilora.kernels.lora.lora_batch import empty_records
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout


def random_weights(layout: AdapterLayout, generator: torch.Generator) -> Weights:
    """Return weights such that x @ A.T @ B.T of a standard normal x is about standard normal too."""

    def normal(rows: int, columns: int, scale: float) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=generator) * scale).to(layout.pages.dtype)

    return {
        (layer, name): (normal(layout.rank, wide, wide**-0.5), normal(out, layout.rank, layout.rank**-0.5))
        for layer in range(layout.num_layers)
        for name, (wide, out) in layout.widths.items()
    }


class Adapters:
    """Adapters of given ranks in scattered pages of a pool that holds NaN everywhere else."""

    def __init__(
        self,
        pages: PageLayout,
        ranks: list[int],
        widths: dict[str, tuple[int, int]],
        *,
        lacking: dict[int, set[str]] | None = None,
        num_layers: int = 2,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.widths = widths
        self.scales = [0.5 + slot for slot in range(len(ranks))]
        layouts = []
        for slot, rank in enumerate(ranks):
            own = {name: both for name, both in widths.items() if name not in (lacking or {}).get(slot, set())}
            layouts.append(AdapterLayout(pages=pages, rank=rank, num_layers=num_layers, widths=own))
        self.weights = [random_weights(layout, generator) for layout in layouts]
        num_pages = sum(layout.num_pages for layout in layouts)
        pool = torch.full((num_pages + 3, pages.page_bytes), 255, dtype=torch.uint8)
        free = torch.randperm(num_pages + 3, generator=generator).int()
        table = torch.full((len(ranks), max(layout.num_pages for layout in layouts)), 2**31 - 1, dtype=torch.int32)
        records = empty_records(len(ranks), "cpu")
        self.memory = AdapterMemory(
            pool=pool.to(device),
            page_table=table.to(device),
            pages=pages,
            max_rank=max(ranks),
            num_layers=num_layers,
            widths=widths,
        )
        for slot, (layout, weights) in enumerate(zip(layouts, self.weights, strict=True)):
            table[slot, : layout.num_pages], free = free[: layout.num_pages], free[layout.num_pages :]
            page_ids = table[slot, : layout.num_pages].tolist()
            packed = pack(layout, weights).view(pages.dtype)
            # What pads ranks and pages must not be read.
            ones = {place: tuple(torch.ones_like(half) for half in pair) for place, pair in weights.items()}
            packed[pack(layout, ones).view(pages.dtype) == 0] = float("nan")
            pool[table[slot, : layout.num_pages].long()] = packed.view(torch.uint8)
            records[slot] = torch.tensor(
                self.memory.record(layout, slot, self.scales[slot], page_ids), dtype=torch.int32
            )
        self.records = records.to(device)
        self.memory.pool.copy_(pool)
        self.memory.page_table.copy_(table)

    def expected(
        self, output: torch.Tensor, x: torch.Tensor, ids: list[int], *, layer: int, projections: tuple[str, ...]
    ) -> torch.Tensor:
        """Return in float64 what the output must be."""
        rows, inputs = output.double().cpu(), x.double().cpu()
        for slot in {slot for slot in ids if slot >= 0}:
            own, column = [row for row, other in enumerate(ids) if other == slot], 0
            for name in projections:
                width = self.widths[name][1]
                if (layer, name) in self.weights[slot]:
                    down, up = (weight.double() for weight in self.weights[slot][layer, name])
                    rows[own, column : column + width] += self.scales[slot] * inputs[own] @ down.T @ up.T
                column += width
        return rows
