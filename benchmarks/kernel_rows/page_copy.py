"""Rows for the copies of pages."""

import torch

from verilora.kernels.page_copy import copy_pages, copy_pages_reference

from kernel_rows.row import Case, Row

PAGE_BYTES = 64 * 1024


def within_device() -> Case:
    source, target = torch.randint(0, 255, (2, 2048, PAGE_BYTES), dtype=torch.uint8, device="cuda")
    source_ids, target_ids = (torch.randperm(2048, device="cuda")[:1024].int() for _ in range(2))
    rows = target_ids.long()

    def error() -> float:
        expected = target.clone()
        copy_pages_reference(expected, target_ids, source, source_ids)
        copy_pages(target, target_ids, source, source_ids)
        return float((target != expected).sum())

    return Case(
        run=lambda: copy_pages(target, target_ids, source, source_ids),
        error=error,
        tolerance=0.0,
        num_bytes=2 * 1024 * PAGE_BYTES,
        baselines={"index": lambda: target.index_copy_(0, rows, source[source_ids])},
    )


ROWS = [Row(name="page copy, 1024 pages of 64 KiB", make=within_device)]
