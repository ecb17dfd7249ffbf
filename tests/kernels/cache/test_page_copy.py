"""Copies of pages against indexing."""

import pytest
import torch

from verilora.kernels.cache.page_copy import copy_pages, copy_pages_reference, launch_copy_pages

SIZES = [
    pytest.param(1, 16, None, id="one small page"),
    pytest.param(3, 16 * 63, 2, id="odd page, fewer programs than copies"),
    pytest.param(5, 8192 + 16, 64, id="several blocks a page"),
]


def pools(num_copies: int, page_bytes: int, device: str = "cpu") -> tuple[torch.Tensor, ...]:
    """Return target, target ids, source, source ids; the second copy, if any, is padding."""
    generator = torch.Generator().manual_seed(num_copies)
    target, source = torch.randint(0, 256, (2, 2 * num_copies, page_bytes), dtype=torch.uint8, generator=generator)
    ids = [torch.randperm(2 * num_copies, generator=generator)[:num_copies].int() for _ in range(2)]
    ids[0][1:2] = -1
    return target.to(device), ids[0].to(device), source.to(device), ids[1].to(device)


@pytest.mark.interpreter
@pytest.mark.parametrize(("num_copies", "page_bytes", "num_programs"), SIZES)
def test_the_kernel_copies_what_indexing_copies(num_copies: int, page_bytes: int, num_programs: int | None) -> None:
    target, target_ids, source, source_ids = pools(num_copies, page_bytes)
    expected = target.clone()
    for into, out_of in zip(target_ids.tolist(), source_ids.tolist(), strict=True):
        if into >= 0:
            expected[into] = source[out_of]
    by_reference = target.clone()
    copy_pages_reference(by_reference, target_ids, source, source_ids)
    assert torch.equal(by_reference, expected)
    launch_copy_pages(target, target_ids, source, source_ids, num_programs=num_programs)
    assert torch.equal(target, expected)


def test_pages_of_another_size_are_refused() -> None:
    target, target_ids, source, source_ids = pools(2, 32)
    with pytest.raises(ValueError, match="source, got"):
        launch_copy_pages(target, target_ids, source[:, :16].contiguous(), source_ids)
    with pytest.raises(ValueError, match="ids, got"):
        launch_copy_pages(target, target_ids[:1], source, source_ids)
    with pytest.raises(ValueError, match="ids, got strides"):
        launch_copy_pages(target, target_ids, source, source_ids[:1].expand(2))


@pytest.mark.gpu
@pytest.mark.parametrize("direction", ["within", "to host", "from host"])
def test_pages_move_between_device_and_pinned_memory(direction: str) -> None:
    target, target_ids, source, source_ids = pools(129, 65536)
    expected = target.clone()
    copy_pages_reference(expected, target_ids, source, source_ids)
    target = target.pin_memory() if direction == "to host" else target.cuda()
    source = source.pin_memory() if direction == "from host" else source.cuda()
    copy_pages(target, target_ids.cuda(), source, source_ids.cuda())
    torch.cuda.synchronize()
    assert torch.equal(target.cpu(), expected)
