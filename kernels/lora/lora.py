"""LoRA for any mix of adapters: SGMV (Punica, section 4) over weights in the pages of one pool (S-LoRA, section 5).

Semantics, for each item (some rows that take one adapter) and each projection p of the adapter, in fp32:

    output[rows, columns(p)] += scale * (x[rows] @ A_p.T) @ B_p.T

step         `LoraStep`: items, memory, phase; an item of rank 0 writes nothing, so rows of the base model and padding
             keep their bits
output       [num_tokens, sum of widths], rows contiguous: the base model's result, q|k|v or gate|up side by side
x            [num_tokens, in], rows contiguous; bf16, fp16 or fp32, the type of the weights
projections  `FusedProjections`: their names and widths

Two launches: *shrink* writes x @ A.T of each fixed length of the wide dimension (a split) as fp32 partial sums,
*expand* adds them up in order, multiplies by B and adds into the output; in prefill a third in between adds up, so that
expand reads a sum once for each of its columns. No atomics: a row's bits depend on the row, its adapter and its phase.
Work follows the items that are there: grids have room for all, and a program without work ends at once.

The phase is the request's: in "decode" an item is one row, and both kernels are matrix-vector products that stream the
weights (one row reads no weight twice, so tensor cores have nothing to win); in "prefill" an item has up to
PREFILL_BLOCK rows, and tiles go through the tensor cores. Expand of decode starts early (programmatic dependent launch)
where the GPU can: it reads its weights while shrink still runs.
"""

from typing import Any

import torch
import triton

from .fused_projections import FusedProjections
from .lora_batch import END_ROW, FIRST_ROW, LAYER_CUTS, OFFSETS, RANK, SCALE, SLOT
from .lora_decode import expand_decode_kernel, shrink_decode_kernel
from .lora_prefill import expand_prefill_kernel, shrink_prefill_kernel, sum_splits_kernel
from .lora_step import LoraStep
from .page_layout import BLOCK_ROWS, PROJECTIONS


def sgmv(step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections) -> None:
    """Add each item's adapter into the output; see the module's semantics."""
    (launch_sgmv if x.is_cuda else sgmv_reference)(step, output, x, layer=layer, projections=projections)


def sgmv_reference(
    step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add each item's adapter into the output, adapter by adapter, in fp32; see the module's semantics."""
    check(step, output, x, layer, projections)
    memory, live = step.memory, step.items[step.items[:, RANK] > 0]
    lengths = live[:, END_ROW] - live[:, FIRST_ROW]
    item = torch.arange(len(live), device=live.device).repeat_interleave(lengths)
    within = torch.arange(len(item), device=live.device) - (lengths.cumsum(0) - lengths)[item]
    row, slot = live[item, FIRST_ROW] + within, live[item, SLOT]
    for one in sorted(set(live[:, SLOT].tolist())):
        record, rows = live[live[:, SLOT] == one][0], row[slot == one]
        numbers, scale = record.tolist(), float(record.view(torch.float32)[SCALE])
        inputs, column = x[rows].float(), 0
        for name, width in zip(projections.names, projections.widths, strict=True):
            columns, column = slice(column, column + width), column + width
            offset = numbers[OFFSETS + PROJECTIONS.index(name)]
            if offset < 0:
                continue
            cut = layer * numbers[LAYER_CUTS] + offset
            down = memory.rows(numbers, cut, x.shape[1]).float()
            up = memory.rows(numbers, cut + memory.pages.num_cuts(x.shape[1]), width).float()
            added = scale * ((inputs @ down.T) @ up)
            output[rows, columns] = (output[rows, columns].float() + added).to(output.dtype)


def launch_sgmv(
    step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add each item's adapter into the output with the two kernels of the phase."""
    check(step, output, x, layer, projections)
    items, memory, pages, config = step.items, step.memory, step.memory.pages, step.config
    if not len(x) or not len(items):
        return
    num_slices, first, widths = len(projections.names), projections.first, projections.widths
    split = config.split_len(x.shape[1], pages.tile_width, step.phase)
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
    if step.phase == "decode":
        shared = {"NUM_SPLITS": num_splits, "EARLY": step.starts_early}
        # Without the option a GPU that cannot start a kernel early is not asked to.
        shrink_early: dict[str, Any] = {"launch_pdl": config.is_shrink_early} if step.starts_early else {}
        expand_early: dict[str, Any] = {"launch_pdl": True} if step.starts_early else {}
        shrink_decode_kernel[shrink_grid](
            **shrink,
            **shared,
            **shrink_early,
            STAGES=config.shrink_decode_stages,
            num_warps=config.shrink_decode_warps,
        )
        expand_decode_kernel[expand_grid](
            **expand,
            **shared,
            **expand_early,
            partial=partial,
            BLOCK_S=triton.next_power_of_2(num_splits),
            STAGES=config.expand_decode_stages,
            num_warps=config.expand_decode_warps,
        )
        return
    shrink_prefill_kernel[shrink_grid](
        **shrink,
        NUM_SPLITS=num_splits,
        BLOCK_M=config.prefill_block,
        BLOCK_K=min(pages.tile_width, config.prefill_step),
        ROWS=config.shrink_prefill_rows,
        num_warps=config.shrink_prefill_warps,
        num_stages=config.shrink_prefill_stages,
    )
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
            BLOCK_M=config.prefill_block,
        )
    expand_prefill_kernel[expand_grid](
        **expand,
        shrunk=shrunk,
        BLOCK_M=config.prefill_block,
        num_warps=config.expand_prefill_warps,
        num_stages=config.expand_prefill_stages,
    )


def check(step: LoraStep, output: torch.Tensor, x: torch.Tensor, layer: int, projections: FusedProjections) -> None:
    """Raise ValueError where a layer's rows do not fit each other or the weights."""
    memory = step.memory
    if not 0 <= layer < memory.num_layers:
        raise ValueError(f"layer, got {layer}, expected 0 to {memory.num_layers - 1}")
    for name, width in zip(projections.names, projections.widths, strict=True):
        if x.ndim != 2 or tuple(memory.widths.get(name, ())) != (x.shape[1], width):
            raise ValueError(
                f"widths of {name}, got x {tuple(x.shape)} to {width}, expected {memory.widths.get(name, 'none')}"
            )
    if output.shape != (len(x), sum(projections.widths)):
        raise ValueError(f"output, got {tuple(output.shape)}, expected [{len(x)}, the sum of {projections.widths}]")
    dtype = memory.pages.dtype
    if not x.dtype == output.dtype == dtype:
        raise ValueError(f"types, got x {x.dtype} and output {output.dtype}, expected the weights' {dtype}")
    if x.stride(1) != 1 or output.stride(1) != 1:
        raise ValueError(f"strides, got x {x.stride()} and output {output.stride()}, expected contiguous rows")
