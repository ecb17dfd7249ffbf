"""LoRA for any mix of adapters: SGMV (Punica, section 4) over weights in the pages of one pool (S-LoRA, section 5).

Semantics, for each item (some rows that take one adapter) and each projection p of the adapter, in fp32:

    output[rows, columns(p)] += scale * (x[rows] @ A_p.T) @ B_p.T

x           [num_tokens, in], rows contiguous; bf16, fp16 or fp32, the type of the weights
output      [num_tokens, sum of widths], rows contiguous: the base model's result, q|k|v or gate|up side by side
items       int32 [num_items, ITEM_WIDTH] of `lora_batch`; an item of rank 0 writes nothing, so rows of the base model
            and padding keep their bits
memory      `AdapterMemory`: the pool, the page tables and the measures of both

Two launches: *shrink* writes x @ A.T of each fixed length of the wide dimension (a split) as fp32 partial sums,
*expand* adds them up in order, multiplies by B and adds into the output; in prefill a third in between adds up, so that
expand reads a sum once for each of its columns. No atomics: a row's bits depend on the row, its adapter and its phase.
Work follows the items that are there: grids have room for all, and a program without work ends at once.

The phase is the request's: in "decode" an item is one row, and both kernels are matrix-vector products that stream the
weights (one row reads no weight twice, so tensor cores have nothing to win); in "prefill" an item has up to
PREFILL_BLOCK rows, and tiles go through the tensor cores. Expand of decode starts early (programmatic dependent launch)
where the GPU can: it reads its weights while shrink still runs.
"""

from typing import Literal

import torch
import triton

from .adapter_memory import AdapterMemory
from .lora_batch import END_ROW, FIRST_ROW, ITEM_WIDTH, LAYER_CUTS, OFFSETS, PREFILL_BLOCK, RANK, SCALE, SLOT
from .lora_decode import expand_decode_kernel, shrink_decode_kernel
from .lora_prefill import expand_prefill_kernel, shrink_prefill_kernel, sum_splits_kernel
from .page_layout import BLOCK_ROWS, PROJECTIONS

Phase = Literal["prefill", "decode"]

# How the wide dimension is cut into splits, whose products are summed apart. They shape the result's bits, so they
# follow the width alone, never the batch.
DECODE_SPLITS, DECODE_SHORTEST = 16, 256
PREFILL_SPLIT, PREFILL_STEP = 2048, 128
SHRINK_DECODE = {"num_warps": 4, "STAGES": 2}
EXPAND_DECODE = {"num_warps": 1, "STAGES": 1}
EARLY_SHRINK = True
SHRINK_PREFILL = {"ROWS": 64, "num_warps": 8, "num_stages": 3}
EXPAND_PREFILL = {"num_warps": 8, "num_stages": 1}


def sgmv_reference(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
) -> None:
    """Add each item's adapter into the output, adapter by adapter, in fp32; see the module's semantics."""
    live = items[items[:, RANK] > 0]
    lengths = live[:, END_ROW] - live[:, FIRST_ROW]
    item = torch.arange(len(live), device=items.device).repeat_interleave(lengths)
    within = torch.arange(len(item), device=items.device) - (lengths.cumsum(0) - lengths)[item]
    row, slot = live[item, FIRST_ROW] + within, live[item, SLOT]
    for one in sorted(set(live[:, SLOT].tolist())):
        record, rows = live[live[:, SLOT] == one][0], row[slot == one]
        numbers, scale = record.tolist(), float(record.view(torch.float32)[SCALE])
        inputs, column = x[rows].float(), 0
        for name, width in zip(projections, widths, strict=True):
            columns, column = slice(column, column + width), column + width
            offset = numbers[OFFSETS + PROJECTIONS.index(name)]
            if offset < 0:
                continue
            cut = layer * numbers[LAYER_CUTS] + offset
            down = memory.rows(numbers, cut, x.shape[1]).float()
            up = memory.rows(numbers, cut + memory.pages.num_cuts(x.shape[1]), width).float()
            added = scale * ((inputs @ down.T) @ up)
            output[rows, columns] = (output[rows, columns].float() + added).to(output.dtype)


def can_start_early(device: torch.device) -> bool:
    """Return whether a kernel may start while the one before it runs (sm_90 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def launch_sgmv(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
    phase: Phase,
) -> None:
    """Add each item's adapter into the output with the two kernels of the phase."""
    check(output, x, items, memory, projections, widths)
    num_slices, pages, first = len(projections), memory.pages, PROJECTIONS.index(projections[0])
    split = split_length(x.shape[1], pages.tile_width, phase)
    num_splits = triton.cdiv(x.shape[1], split)
    room = triton.cdiv(memory.max_rank, BLOCK_ROWS) * BLOCK_ROWS
    partial = torch.empty(len(x), num_slices, num_splits, room, dtype=torch.float32, device=x.device)
    common = {
        "pool": memory.pool.view(pages.dtype),
        "page_table": memory.page_table,
        "items": items,
        "layer": layer,
        "projection": first,
        "stride_table": memory.page_table.stride(0),
        "NUM_SLICES": num_slices,
        "TILE": pages.tile_width,
        "PAGE_TILES": pages.tiles_per_page,
        "ROOM": room,
    }
    width_0, width_1, width_2 = (*widths, 0, 0)[:3]
    columns = {"WIDTH_IN": x.shape[1], "WIDTH_0": width_0, "WIDTH_1": width_1, "WIDTH_2": width_2}
    shrink = {**common, "x": x, "partial": partial, "stride_x": x.stride(0), "WIDTH": x.shape[1], "SPLIT": split}
    expand = {**common, **columns, "output": output, "stride_output": output.stride(0)}
    shrink_grid = (num_splits, num_slices, len(items))
    expand_grid = (sum(map(pages.num_cuts, widths)), len(items))
    if phase == "decode":
        early = can_start_early(x.device)
        shared = {"NUM_SPLITS": num_splits, "EARLY": early}
        # Without the option a GPU that cannot start a kernel early is not asked to.
        shrink_options, expand_options = SHRINK_DECODE, EXPAND_DECODE
        if early:
            shrink_options, expand_options = (
                {"launch_pdl": EARLY_SHRINK, **shrink_options},
                {"launch_pdl": True, **expand_options},
            )
        block_s = triton.next_power_of_2(num_splits)
        shrink_decode_kernel[shrink_grid](**shrink, **shrink_options, **shared)
        expand_decode_kernel[expand_grid](**expand, **expand_options, **shared, BLOCK_S=block_s, partial=partial)
        return
    chunk = {"BLOCK_M": PREFILL_BLOCK}
    block_k = min(pages.tile_width, PREFILL_STEP)
    shrink_prefill_kernel[shrink_grid](**shrink, **chunk, **SHRINK_PREFILL, NUM_SPLITS=num_splits, BLOCK_K=block_k)
    shrunk = partial
    if num_splits > 1:
        shrunk = torch.empty(len(x), num_slices, room, dtype=torch.float32, device=x.device)
        sum_splits_kernel[room // BLOCK_ROWS, num_slices, len(items)](
            partial=partial,
            shrunk=shrunk,
            items=items,
            projection=first,
            NUM_SLICES=num_slices,
            NUM_SPLITS=num_splits,
            ROOM=room,
            **chunk,
        )
    expand_prefill_kernel[expand_grid](**expand, **chunk, **EXPAND_PREFILL, shrunk=shrunk)


def split_length(width: int, tile_width: int, phase: Phase) -> int:
    """Return how many numbers of the wide dimension are summed at a time."""
    if phase == "prefill":
        return PREFILL_SPLIT
    return max(DECODE_SHORTEST, tile_width, int(triton.next_power_of_2(triton.cdiv(width, DECODE_SPLITS))))


def check(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
) -> None:
    """Raise ValueError where shapes, types or projections do not fit together."""
    first = PROJECTIONS.index(projections[0])
    if projections != PROJECTIONS[first : first + len(projections)] or not 1 <= len(projections) <= 3:
        raise ValueError(
            f"projections, got {projections}, expected one to three that follow each other in {PROJECTIONS}"
        )
    if len(widths) != len(projections) or output.shape != (len(x), sum(widths)):
        raise ValueError(
            f"output, got {tuple(output.shape)}, expected [{len(x)}, the sum of {widths}] for {projections}"
        )
    if not x.dtype == output.dtype == memory.pages.dtype:
        raise ValueError(
            f"types, got x {x.dtype} and output {output.dtype}, expected the weights' {memory.pages.dtype}"
        )
    if x.stride(1) != 1 or output.stride(1) != 1:
        raise ValueError(f"strides, got x {x.stride()} and output {output.stride()}, expected contiguous rows")
    if items.dtype != torch.int32 or items.shape[1:] != (ITEM_WIDTH,) or not items.is_contiguous():
        raise ValueError(f"items, got {items.dtype} {tuple(items.shape)}, expected contiguous int32 [n, {ITEM_WIDTH}]")


def sgmv(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
    phase: Phase,
) -> None:
    """Add each item's adapter into the output; see the module's semantics."""
    if x.is_cuda:
        launch_sgmv(output, x, items, memory, layer=layer, projections=projections, widths=widths, phase=phase)
    else:
        check(output, x, items, memory, projections, widths)
        sgmv_reference(output, x, items, memory, layer=layer, projections=projections, widths=widths)
