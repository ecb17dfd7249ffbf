"""Copy pages of bytes: within a pool, between pools, and between a pool and pinned host memory.

Semantics: for i: if min(source_ids[i], target_ids[i]) >= 0: target[target_ids[i]] = source[source_ids[i]]

target, source  uint8 [num_pages, page_bytes], page_bytes a multiple of 16; either may be pinned host memory, which the
                device addresses directly, so an adapter is loaded or saved by one launch on any stream
target_ids, source_ids  int32 [num_copies] on the device; an id of -1 copies nothing

No page may be a target twice, nor both a source and a target (copy-on-write has a fresh page as its target).
"""

import torch
import triton
import triton.language as tl


def copy_pages(target: torch.Tensor, target_ids: torch.Tensor, source: torch.Tensor, source_ids: torch.Tensor) -> None:
    """Copy the pages; see the module's semantics."""
    if not (target.is_cuda or source.is_cuda):
        copy_pages_reference(target, target_ids, source, source_ids)
        return
    is_local = target.is_cuda and source.is_cuda
    launch_copy_pages(target, target_ids, source, source_ids, num_programs=None if is_local else HOST_PROGRAMS)


def copy_pages_reference(
    target: torch.Tensor, target_ids: torch.Tensor, source: torch.Tensor, source_ids: torch.Tensor
) -> None:
    """Copy the pages; see the module's semantics."""
    check(target, target_ids, source, source_ids)
    is_live = (target_ids >= 0) & (source_ids >= 0)
    pages = source[source_ids[is_live].to(source.device).long()]
    target[target_ids[is_live].to(target.device).long()] = pages.to(target.device)


BLOCK_WORDS = 1024
# Enough to fill the bus to the host; a copy beside running requests must leave the multiprocessors to them.
HOST_PROGRAMS = 16


@triton.jit(do_not_specialize=["num_copies"])
def copy_pages_kernel(
    target,
    target_ids,
    source,
    source_ids,
    num_copies,
    PAGE_WORDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_block = tl.program_id(1)
    o_word = i_block * BLOCK + tl.arange(0, BLOCK)
    m_word = o_word < PAGE_WORDS
    for i_copy in range(tl.program_id(0), num_copies, tl.num_programs(0)):
        i_target = tl.load(target_ids + i_copy).to(tl.int64)
        i_source = tl.load(source_ids + i_copy).to(tl.int64)
        if (i_target >= 0) & (i_source >= 0):
            words = tl.load(source + i_source * PAGE_WORDS + o_word, mask=m_word)
            tl.store(target + i_target * PAGE_WORDS + o_word, words, mask=m_word)


def launch_copy_pages(
    target: torch.Tensor,
    target_ids: torch.Tensor,
    source: torch.Tensor,
    source_ids: torch.Tensor,
    *,
    num_programs: int | None = None,
) -> None:
    """Copy the pages with the kernel; `num_programs` bounds how many pages are on their way at a time."""
    check(target, target_ids, source, source_ids)
    page_bytes = target.shape[1]
    num_copies = len(target_ids)
    if not num_copies:
        return
    page_words = page_bytes // 8
    grid = (min(num_copies, num_programs or num_copies), triton.cdiv(page_words, BLOCK_WORDS))
    copy_pages_kernel[grid](
        target=target.view(torch.int64),
        target_ids=target_ids,
        source=source.view(torch.int64),
        source_ids=source_ids,
        num_copies=num_copies,
        PAGE_WORDS=page_words,
        BLOCK=BLOCK_WORDS,
        num_warps=4,
    )


def check(target: torch.Tensor, target_ids: torch.Tensor, source: torch.Tensor, source_ids: torch.Tensor) -> None:
    """Raise ValueError where pages and ids do not fit each other."""
    page_bytes = target.shape[1]
    for name, pages in (("target", target), ("source", source)):
        if (
            pages.dtype != torch.uint8
            or pages.shape[1:] != (page_bytes,)
            or page_bytes % 16
            or not pages.is_contiguous()
        ):
            raise ValueError(
                f"{name}, got {pages.dtype} {tuple(pages.shape)}, expected contiguous uint8 [num_pages, {page_bytes}]"
                " in whole 16-byte units"
            )
    if target_ids.shape != source_ids.shape or target_ids.ndim != 1:
        raise ValueError(f"ids, got {tuple(target_ids.shape)} and {tuple(source_ids.shape)}, expected one length")
    if not (target_ids.is_contiguous() and source_ids.is_contiguous()):
        raise ValueError(f"ids, got strides {target_ids.stride()} and {source_ids.stride()}, expected contiguous ones")
