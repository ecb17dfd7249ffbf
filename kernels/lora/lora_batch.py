"""Which rows of a batch take which adapter, as work items on the device.

An adapter that is loaded has a *record*, a row of int32 in a table that is written when it is loaded
(`AdapterMemory.record` makes it and checks that the memory can hold the adapter):

    slot | rank | scale (the bits of an fp32) | cuts of a layer | pages of a block | offset of each projection, or -1

Once a step the records are gathered into *items*, each some rows that take one adapter: what the kernels of all layers
then need of an item stands in one cache line. In decode item i is row i; in prefill an item is a chunk of at most
PREFILL_BLOCK rows of a segment. An item of rank 0 is no work: rows of the base model, and padding.
"""

import torch

PREFILL_BLOCK = 64
ITEM_WIDTH = 16
FIRST_ROW, END_ROW, SLOT, RANK, SCALE, LAYER_CUTS, BLOCK_PAGES, OFFSETS = range(8)


def empty_records(num_slots: int, device: torch.device | str) -> torch.Tensor:
    """Return a table int32 [num_slots + 1, ITEM_WIDTH] without adapters; its last row, which id -1 finds, stays so."""
    return torch.zeros(num_slots + 1, ITEM_WIDTH, dtype=torch.int32, device=device)


def decode_items(records: torch.Tensor, adapter_ids: torch.Tensor, first_row: int = 0) -> torch.Tensor:
    """Return items int32 [num_rows, ITEM_WIDTH], one for each row from `first_row` on.

    adapter_ids  int32 or int64 [num_rows], the slot of each row's adapter, -1 for the base model and for padding
    """
    _check_ids(records, adapter_ids)
    items = records[adapter_ids]
    rows = torch.arange(first_row, first_row + len(items), dtype=torch.int32, device=items.device)
    items[:, FIRST_ROW] = rows
    items[:, END_ROW] = rows + 1
    return items


def prefill_items(
    records: torch.Tensor, adapter_ids: torch.Tensor, starts: torch.Tensor, num_rows: int, *, block: int = PREFILL_BLOCK
) -> torch.Tensor:
    """Return items int32 [capacity, ITEM_WIDTH] that cover all segments in chunks of `block` rows.

    adapter_ids  [num_segments], the slot of each segment's adapter, -1 for the base model and for padding
    starts       [num_segments + 1], the first row of each segment and the end of the last; empty segments are allowed
    num_rows     how many rows the segments may have in all; with the number of segments it gives the capacity

    Everything is computed on the device, in shapes that depend on `num_segments` and `num_rows` alone.
    """
    _check_ids(records, adapter_ids)
    if num_rows < 0 or len(starts) != len(adapter_ids) + 1:
        raise ValueError(
            f"segments, got {len(adapter_ids)} adapters, {len(starts)} starts and {num_rows} rows, expected one start"
            " more than adapters, and 0 rows or more"
        )
    capacity = num_rows // block + len(adapter_ids)
    if not len(adapter_ids):
        return records[-1:].repeat(capacity, 1)
    starts = starts.long()
    num_chunks = (starts.diff() + block - 1) // block
    ends = num_chunks.cumsum(0)
    chunk = torch.arange(capacity, device=starts.device)
    segment = torch.searchsorted(ends, chunk, right=True)
    is_live = segment < len(adapter_ids)
    segment = segment.clamp(max=len(adapter_ids) - 1)
    first = starts[segment] + (chunk - (ends - num_chunks)[segment]) * block
    items = records[torch.where(is_live, adapter_ids[segment].long(), -1)]
    items[:, FIRST_ROW] = first.int()
    items[:, END_ROW] = torch.minimum(first + block, starts[segment + 1]).int()
    return items


def _check_ids(records: torch.Tensor, adapter_ids: torch.Tensor) -> None:
    """Raise ValueError for what is no list of adapters; ids are read on a CPU only, as a GPU would wait."""
    if adapter_ids.dtype not in (torch.int32, torch.int64) or adapter_ids.ndim != 1:
        raise ValueError(
            f"adapter_ids, got {adapter_ids.dtype} {tuple(adapter_ids.shape)}, expected int32 or int64 [num]"
        )
    if len(adapter_ids) and adapter_ids.device.type == "cpu":
        lowest, highest = (int(end) for end in adapter_ids.aminmax())
        if lowest < -1 or highest >= len(records) - 1:
            raise ValueError(f"adapter_ids, got {lowest} to {highest}, expected -1 to {len(records) - 2}")
