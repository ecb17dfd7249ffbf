"""Items cover the rows of their segments, once each."""

import pytest
import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.lora_batch import (
    END_ROW,
    FIRST_ROW,
    PREFILL_BLOCK,
    RANK,
    SCALE,
    SLOT,
    decode_items,
    empty_records,
    prefill_items,
)
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout


def records() -> torch.Tensor:
    table, pages, widths = empty_records(3, "cpu"), PageLayout(page_bytes=8192), {"q": (256, 256)}
    memory = AdapterMemory(
        pool=torch.zeros(2, 8192, dtype=torch.uint8),
        page_table=torch.zeros(3, 2, dtype=torch.int32),
        pages=pages,
        max_rank=16,
        num_layers=1,
        widths=widths,
    )
    for slot, rank in enumerate((8, 16, 12)):
        layout = AdapterLayout(pages=pages, rank=rank, num_layers=1, widths=widths)
        ids = range(layout.num_pages)
        table[slot] = torch.tensor(memory.record(layout, slot, 0.1 * rank, ids), dtype=torch.int32)
    return table


LENGTHS = [[0], [1], [63, 0, 64, 65, 0], [0, 0, 129, 1, 700, 0]]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_prefill_items_cover_each_row_once(lengths: list[int]) -> None:
    ids = [segment % 4 - 1 for segment in range(len(lengths))]
    starts = torch.tensor([0, *lengths]).cumsum(0).int()
    items = prefill_items(records(), torch.tensor(ids, dtype=torch.int32), starts, num_rows=sum(lengths) + 100)
    assert len(items) == (sum(lengths) + 100) // PREFILL_BLOCK + len(lengths)
    expected = [slot for slot, length in zip(ids, lengths, strict=True) for _ in range(length)]
    found = [-1] * len(expected)
    for item in items[items[:, RANK] > 0]:
        assert item[END_ROW] - item[FIRST_ROW] <= PREFILL_BLOCK
        for row in range(int(item[FIRST_ROW]), int(item[END_ROW])):
            assert found[row] == -1
            found[row] = int(item[SLOT])
    assert found == expected


def test_decode_items_are_the_rows() -> None:
    items = decode_items(records(), torch.tensor([2, -1, 0], dtype=torch.int32), first_row=5)
    assert items[:, FIRST_ROW].tolist() == [5, 6, 7]
    assert items[:, END_ROW].tolist() == [6, 7, 8]
    assert items[:, RANK].tolist() == [12, 0, 8]
    assert items.view(torch.float32)[[0, 2], SCALE].tolist() == pytest.approx([1.2, 0.8])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([0, -2]), "adapter_ids, got -2 to 0, expected -1 to 2"),
        (torch.tensor([3, 0]).int(), "adapter_ids, got 0 to 3, expected -1 to 2"),
        (torch.tensor([0.0, 1.0]), r"adapter_ids, got torch.float32 \(2,\)"),
        (torch.tensor([True, False]), r"adapter_ids, got torch.bool \(2,\)"),
        (torch.tensor([[0], [1]]), r"adapter_ids, got torch.int64 \(2, 1\)"),
    ],
)
def test_ids_of_no_adapter_are_refused(ids: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_items(records(), ids)
    with pytest.raises(ValueError, match=message):
        prefill_items(records(), ids, torch.tensor([0, 1, 2]), num_rows=2)


def test_segments_that_do_not_fit_are_refused() -> None:
    ids = torch.tensor([0, 1])
    for starts, num_rows in (([0, 1], 1), ([0, 1, 2, 3], 3), ([0, 1, 2], -1)):
        with pytest.raises(ValueError, match="segments, got 2 adapters"):
            prefill_items(records(), ids, torch.tensor(starts), num_rows=num_rows)
