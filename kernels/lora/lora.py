"""LoRA for any mix of adapters: SGMV (Punica, section 4) over weights in the pages of one pool (S-LoRA, section 5).

Semantics, for each item (some rows that take one adapter) and each projection p of the adapter, in fp32:

    output[rows, columns(p)] += scale * (x[rows] @ A_p.T) @ B_p.T

step         `LoraStep`: items, memory, phase; an item of rank 0 writes nothing, so rows of the base model and padding
             keep their bits
output       [num_tokens, sum of widths], rows contiguous: the base model's result, q|k|v or gate|up side by side
x            [num_tokens, in], rows contiguous; bf16, fp16 or fp32, the type of the weights
projections  `FusedProjections`: their names and widths
middle       fp32 [num_tokens, num_projections, num_splits, max_rank rounded up to 16], what stands between the two
             halves: x @ A.T, once it is summed over num_splits. Rows and ranks that no item has hold anything

Two launches: *shrink* writes x @ A.T of each fixed length of the wide dimension (a split) as fp32 partial sums,
*expand* adds them up in order, multiplies by B and adds into the output; in prefill a third, the end of shrink, adds
up, so that expand reads a sum once for each of its columns, and num_splits is 1. No atomics: a row's bits depend on the
row, its adapter and its phase. Work follows the items that are there: grids have room for all, and a program without
work ends at once.

`sgmv` is both halves. Each may be called by itself, with a step of its own, where something stands between them: on
several GPUs the middle is gathered (S-LoRA, section 6). The output must be there before shrink begins.

The phase is the request's: in "decode" an item is one row, and both kernels are matrix-vector products that stream the
weights (one row reads no weight twice, so tensor cores have nothing to win); in "prefill" an item has up to
PREFILL_BLOCK rows, and tiles go through the tensor cores. Expand of decode starts early (programmatic dependent launch)
where the GPU can: it reads its weights while shrink still runs.
"""

from collections.abc import Iterator
from typing import Any

import torch
import triton

from .fused_projections import FusedProjections
from .lora_batch import END_ROW, FIRST_ROW, LAYER_CUTS, OFFSETS, RANK, SCALE, SLOT
from .lora_decode import expand_decode_kernel, shrink_decode_kernel
from .lora_prefill import expand_prefill_kernel, shrink_prefill_kernel, sum_splits_kernel
from .lora_step import LoraStep
from .page_layout import BLOCK_ROWS, PROJECTIONS


def shrink(step: LoraStep, x: torch.Tensor, *, layer: int, projections: FusedProjections) -> torch.Tensor:
    """Return the middle, the product with each item's A; see the module's semantics."""
    return (launch_shrink if x.is_cuda else shrink_reference)(step, x, layer=layer, projections=projections)


def expand(
    step: LoraStep, middle: torch.Tensor, output: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add the product of the middle with each item's B into the output; see the module's semantics."""
    run = launch_expand if output.is_cuda else expand_reference
    run(step, middle, output, layer=layer, projections=projections)


def sgmv(step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections) -> None:
    """Add each item's adapter into the output; see the module's semantics."""
    (launch_sgmv if x.is_cuda else sgmv_reference)(step, output, x, layer=layer, projections=projections)


def shrink_reference(step: LoraStep, x: torch.Tensor, *, layer: int, projections: FusedProjections) -> torch.Tensor:
    """Return the middle in one split, adapter by adapter, in fp32; see the module's semantics."""
    check_input(step, x, layer, projections)
    memory = step.memory
    middle = torch.zeros(len(x), len(projections.names), 1, room_of(step), device=x.device)
    for numbers, _, rows in live_adapters(step):
        inputs = x[rows].float()
        for i_projection, name in enumerate(projections.names):
            offset = numbers[OFFSETS + PROJECTIONS.index(name)]
            if offset >= 0:
                down = memory.rows(numbers, layer * numbers[LAYER_CUTS] + offset, x.shape[1]).float()
                middle[rows, i_projection, 0, : numbers[RANK]] = inputs @ down.T
    return middle


def expand_reference(
    step: LoraStep, middle: torch.Tensor, output: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add the product of the middle with B into the output, adapter by adapter, in fp32; see the module's semantics."""
    check_middle(step, middle, output, layer, projections)
    memory, num_cuts = step.memory, step.memory.pages.num_cuts
    for numbers, scale, rows in live_adapters(step):
        column = 0
        for i_projection, (name, width) in enumerate(zip(projections.names, projections.widths, strict=True)):
            columns, column = slice(column, column + width), column + width
            offset = numbers[OFFSETS + PROJECTIONS.index(name)]
            if offset < 0:
                continue
            cut = layer * numbers[LAYER_CUTS] + offset + num_cuts(memory.widths[name][0])
            shrunk = middle[rows, i_projection, :, : numbers[RANK]].sum(1)
            added = scale * (shrunk @ memory.rows(numbers, cut, width).float())
            output[rows, columns] = (output[rows, columns].float() + added).to(output.dtype)


def sgmv_reference(
    step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add each item's adapter into the output by the references of both halves."""
    middle = shrink_reference(step, x, layer=layer, projections=projections)
    expand_reference(step, middle, output, layer=layer, projections=projections)


def live_adapters(step: LoraStep) -> Iterator[tuple[list[int], float, torch.Tensor]]:
    """Return the record, the scale and the rows of each adapter that items take."""
    live = step.items[step.items[:, RANK] > 0]
    lengths = live[:, END_ROW] - live[:, FIRST_ROW]
    item = torch.arange(len(live), device=live.device).repeat_interleave(lengths)
    within = torch.arange(len(item), device=live.device) - (lengths.cumsum(0) - lengths)[item]
    row, slot = live[item, FIRST_ROW] + within, live[item, SLOT]
    for one in sorted(set(live[:, SLOT].tolist())):
        record = live[live[:, SLOT] == one][0]
        yield record.tolist(), float(record.view(torch.float32)[SCALE]), row[slot == one]


def room_of(step: LoraStep) -> int:
    """Return how many ranks the middle has room for."""
    return -(-step.memory.max_rank // BLOCK_ROWS) * BLOCK_ROWS


def common_arguments(step: LoraStep, layer: int, projections: FusedProjections) -> dict[str, Any]:
    """Return what the kernels of both halves are told."""
    memory = step.memory
    return {
        "pool": memory.pool.view(memory.pages.dtype),
        "page_table": memory.page_table,
        "items": step.items,
        "layer": layer,
        "projection": projections.first,
        "stride_table": memory.page_table.stride(0),
        "NUM_SLICES": len(projections.names),
        "TILE": memory.pages.tile_width,
        "PAGE_TILES": memory.pages.tiles_per_page,
        "ROOM": room_of(step),
    }


def launch_shrink(step: LoraStep, x: torch.Tensor, *, layer: int, projections: FusedProjections) -> torch.Tensor:
    """Return the middle by the kernels of the phase."""
    check_input(step, x, layer, projections)
    config, tile_width, num_items = step.config, step.memory.pages.tile_width, len(step.items)
    num_slices, room = len(projections.names), room_of(step)
    split = config.split_len(x.shape[1], tile_width, step.phase)
    num_splits = triton.cdiv(x.shape[1], split)
    partial = torch.empty(len(x), num_slices, num_splits, room, dtype=torch.float32, device=x.device)
    shared = {
        **common_arguments(step, layer, projections),
        "x": x,
        "partial": partial,
        "stride_x": x.stride(0),
        "WIDTH": x.shape[1],
        "NUM_SPLITS": num_splits,
        "SPLIT": split,
    }
    grid = (num_splits, num_slices, num_items)
    if step.phase == "decode":
        # Without the option a GPU that cannot start a kernel early is not asked to.
        early: dict[str, Any] = {"launch_pdl": config.is_shrink_early} if step.starts_early else {}
        if len(x) and num_items:
            shrink_decode_kernel[grid](
                **shared,
                **early,
                EARLY=step.starts_early,
                STAGES=config.shrink_decode_stages,
                num_warps=config.shrink_decode_warps,
            )
        return partial
    middle = partial
    if num_splits > 1:
        middle = torch.empty(len(x), num_slices, 1, room, dtype=torch.float32, device=x.device)
    if not len(x) or not num_items:
        return middle
    shrink_prefill_kernel[grid](
        **shared,
        BLOCK_M=config.prefill_block,
        BLOCK_K=min(tile_width, config.prefill_step),
        ROWS=config.shrink_prefill_rows,
        num_warps=config.shrink_prefill_warps,
        num_stages=config.shrink_prefill_stages,
    )
    if num_splits > 1:
        sum_splits_kernel[room // BLOCK_ROWS, num_slices, num_items](
            partial=partial,
            shrunk=middle,
            items=step.items,
            projection=projections.first,
            NUM_SLICES=num_slices,
            NUM_SPLITS=num_splits,
            ROOM=room,
            BLOCK_M=config.prefill_block,
        )
    return middle


def launch_expand(
    step: LoraStep, middle: torch.Tensor, output: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add the product of the middle with B into the output by the kernel of the phase."""
    check_middle(step, middle, output, layer, projections)
    config, num_splits = step.config, middle.shape[2]
    if not len(output) or not len(step.items):
        return
    width_0, width_1, width_2 = (*projections.widths, 0, 0)[:3]
    shared = {
        **common_arguments(step, layer, projections),
        "output": output,
        "stride_output": output.stride(0),
        "WIDTH_IN": step.memory.widths[projections.names[0]][0],
        "WIDTH_0": width_0,
        "WIDTH_1": width_1,
        "WIDTH_2": width_2,
    }
    grid = (sum(map(step.memory.pages.num_cuts, projections.widths)), len(step.items))
    if step.phase == "decode":
        early: dict[str, Any] = {"launch_pdl": True} if step.starts_early else {}
        expand_decode_kernel[grid](
            **shared,
            **early,
            partial=middle,
            NUM_SPLITS=num_splits,
            BLOCK_S=triton.next_power_of_2(num_splits),
            EARLY=step.starts_early,
            STAGES=config.expand_decode_stages,
            num_warps=config.expand_decode_warps,
        )
        return
    expand_prefill_kernel[grid](
        **shared,
        shrunk=middle,
        BLOCK_M=config.prefill_block,
        num_warps=config.expand_prefill_warps,
        num_stages=config.expand_prefill_stages,
    )


def launch_sgmv(
    step: LoraStep, output: torch.Tensor, x: torch.Tensor, *, layer: int, projections: FusedProjections
) -> None:
    """Add each item's adapter into the output with the kernels of both halves."""
    middle = launch_shrink(step, x, layer=layer, projections=projections)
    launch_expand(step, middle, output, layer=layer, projections=projections)


def check_input(step: LoraStep, x: torch.Tensor, layer: int, projections: FusedProjections) -> None:
    """Raise ValueError where a layer's rows do not fit the weights."""
    memory = step.memory
    check_layer(step, layer)
    for name, width in zip(projections.names, projections.widths, strict=True):
        if x.ndim != 2 or tuple(memory.widths.get(name, ())) != (x.shape[1], width):
            raise ValueError(
                f"widths of {name}, got x {tuple(x.shape)} to {width}, expected {memory.widths.get(name, 'none')}"
            )
    if x.dtype != memory.pages.dtype:
        raise ValueError(f"types, got x {x.dtype}, expected the weights' {memory.pages.dtype}")
    if x.stride(1) != 1:
        raise ValueError(f"strides, got x {x.stride()}, expected contiguous rows")


def check_middle(
    step: LoraStep, middle: torch.Tensor, output: torch.Tensor, layer: int, projections: FusedProjections
) -> None:
    """Raise ValueError where middle and output do not fit each other or the weights."""
    memory, num_slices = step.memory, len(projections.names)
    check_layer(step, layer)
    for name, width in zip(projections.names, projections.widths, strict=True):
        if memory.widths.get(name, (0, 0))[1] != width:
            raise ValueError(f"widths of {name}, got {width} columns, expected {memory.widths.get(name, 'none')}")
    if output.shape != (len(middle), sum(projections.widths)):
        raise ValueError(
            f"output, got {tuple(output.shape)}, expected [{len(middle)}, the sum of {projections.widths}]"
        )
    shape, room = tuple(middle.shape), room_of(step)
    is_whole = middle.ndim == 4 and (step.phase == "decode" or shape[2] == 1)
    if not is_whole or (shape[1], shape[3]) != (num_slices, room):
        num_splits = "num_splits" if step.phase == "decode" else "1"
        raise ValueError(f"middle, got {shape}, expected [num_tokens, {num_slices}, {num_splits}, {room}]")
    if middle.dtype != torch.float32 or output.dtype != memory.pages.dtype:
        raise ValueError(
            f"types, got middle {middle.dtype} and output {output.dtype}, expected fp32 and the weights'"
            f" {memory.pages.dtype}"
        )
    if not middle.is_contiguous() or output.stride(1) != 1:
        raise ValueError(
            f"strides, got middle {middle.stride()} and output {output.stride()}, expected a contiguous middle and"
            " contiguous rows"
        )


def check_layer(step: LoraStep, layer: int) -> None:
    """Raise ValueError for a layer that the weights do not have."""
    if not 0 <= layer < step.memory.num_layers:
        raise ValueError(f"layer, got {layer}, expected 0 to {step.memory.num_layers - 1}")
