"""Rows for the copies of pages: within the device, and an adapter of rank 16 (84 MB) to and from the host."""

import torch

from verilora.kernels.cache.page_copy import HOST_PROGRAMS, copy_pages_reference, launch_copy_pages

from kernel_rows.row import Case, Row

PAGE_BYTES = 128 * 1024
NUM_PAGES = 640


def pages(*, is_pinned: bool) -> torch.Tensor:
    found = torch.randint(0, 255, (2 * NUM_PAGES, PAGE_BYTES), dtype=torch.uint8, device="cuda")
    return found.cpu().pin_memory() if is_pinned else found


def case(source: torch.Tensor, target: torch.Tensor, num_programs: int | None) -> Case:
    source_ids, target_ids = (torch.randperm(2 * NUM_PAGES, device="cuda")[:NUM_PAGES].int() for _ in range(2))
    is_local = source.is_cuda and target.is_cuda
    rows, other_rows = target_ids.long(), source_ids.long()

    def error() -> float:
        expected = target.clone()
        copy_pages_reference(expected, target_ids, source, source_ids)
        launch_copy_pages(target, target_ids, source, source_ids, num_programs=num_programs)
        torch.cuda.synchronize()
        return float((target != expected).sum())

    return Case(
        run=lambda: launch_copy_pages(target, target_ids, source, source_ids, num_programs=num_programs),
        error=error,
        tolerance=0.0,
        num_bytes=(2 if is_local else 1) * NUM_PAGES * PAGE_BYTES,
        host_bytes=0 if is_local else NUM_PAGES * PAGE_BYTES,
        baselines={"index": lambda: target.index_copy_(0, rows, source[other_rows])}
        if is_local
        else {"contiguous": lambda: target[:NUM_PAGES].copy_(source[:NUM_PAGES], non_blocking=True)},
    )


def within() -> Case:
    return case(pages(is_pinned=False), pages(is_pinned=False), None)


def from_host(num_programs: int) -> Case:
    return case(pages(is_pinned=True), pages(is_pinned=False), num_programs)


def to_host(num_programs: int) -> Case:
    return case(pages(is_pinned=False), pages(is_pinned=True), num_programs)


ROWS = [
    Row(name="page copy within the device, 640 of 128 KiB", make=within),
    Row(name=f"page copy from the host, {HOST_PROGRAMS} at a time", make=lambda: from_host(HOST_PROGRAMS)),
    Row(name="page copy from the host, 4 at a time", make=lambda: from_host(4)),
    Row(name="page copy from the host, 64 at a time", make=lambda: from_host(64)),
    Row(name=f"page copy to the host, {HOST_PROGRAMS} at a time", make=lambda: to_host(HOST_PROGRAMS)),
]
