"""The pages of a KV cache: what a page of 32 slots holds in each format, as views into the bytes of the memory pool.

Semantics: slot s of KV head h lies in page s // 32 at offset s % 32. All heads of a sequence share its page table, but
           a slot may hold another token in each head, so an evicted token is overwritten in place, head by head.

format  keys, values of one page and head                                      bytes a slot (head_dim 128)
full    [32, head_dim] each, bf16, fp16 or fp32                                512 (16 bit)
fp8     keys [32, head_dim], values [head_dim, 32], e4m3 as uint8              256
int8    keys [32, head_dim], values [head_dim, 32] codes, and metadata         272
int4    keys [32, head_dim / 2], values [head_dim / 2, 32] codes, and metadata 144

Codes have two groups a vector, its halves; byte b of an int4 vector holds dim b in its low nibble and dim
b + head_dim / 2 in its high one, so no plane is interleaved and each nibble plane is one group. Metadata is fp16
[32, 4]: scale and minimum of the first half, of the second; 8 bytes a slot for keys and for values, in planes of their
own. The values' codes are transposed within the page: the product with the probabilities contracts over slots, and
tensor cores take their operands along the contraction, so bytes of one dim and neighbouring slots must be neighbours.

Pages of a policy that evicts hold three planes more: accumulated attention (fp32 [32]), friendliness (fp16 [32], 1 for
the tokens that quantise best) and positions (int32 [32], -1 in an empty slot).
"""

from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import torch
import triton.language as tl

from .kv_quantize import HEAD_DIMS, fp8_decode, kv_dequantize

KVFormat = Literal["full", "fp8", "int8", "int4"]
FORMATS: tuple[KVFormat, ...] = ("full", "fp8", "int8", "int4")
# The numbers that kernels know the formats by: from INT8 on there is metadata.
FULL, FP8, INT8, INT4 = (tl.constexpr(i) for i in range(len(FORMATS)))
# Slots of a page, for Python and for kernels.
PAGE_SIZE = 32
PAGE_SIZE_ = tl.constexpr(PAGE_SIZE)
# Words of 16 bits that hold a dim of all codes of values in a page: two slots a word.
PAGE_PAIRS = tl.constexpr(PAGE_SIZE // 2)
ALIGNMENT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class KVPages:
    """One layer's cache as planes with the page as their first dim and the KV head as their second.

    Where `is_rotated`, keys are turned by the Hadamard matrix on their way in, and queries that meet them must be too.
    """

    format: KVFormat
    head_dim: int
    keys: torch.Tensor
    values: torch.Tensor
    key_meta: torch.Tensor | None = None
    value_meta: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    friendliness: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    is_rotated: bool = False

    @property
    def num_pages(self) -> int:
        return self.keys.shape[0]

    @property
    def num_kv_heads(self) -> int:
        return self.keys.shape[1]

    @property
    def format_id(self) -> int:
        """The number that kernels know the format by."""
        return FORMATS.index(self.format)

    def side_planes(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return scores, friendliness and positions.

        Raises:
            ValueError: pages of a policy that does not evict.
        """
        if self.scores is None or self.friendliness is None or self.positions is None:
            raise ValueError("pages, got none with scores, expected side planes")
        return self.scores, self.friendliness, self.positions

    def planes(self) -> dict[str, torch.Tensor]:
        """Return the planes that exist, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: plane for name, plane in named.items() if isinstance(plane, torch.Tensor)}

    @classmethod
    def allocate(
        cls,
        format: KVFormat,
        num_pages: int,
        num_kv_heads: int,
        head_dim: int,
        *,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str = "cpu",
        has_side_planes: bool = False,
        is_rotated: bool = False,
    ) -> Self:
        """Return empty pages in a pool of their own."""
        page_bytes = kv_page_bytes(format, num_kv_heads, head_dim, dtype, has_side_planes=has_side_planes)
        pool = torch.zeros(num_pages, page_bytes, dtype=torch.uint8, device=device)
        pages = cls.view(pool, format, num_kv_heads, head_dim, dtype=dtype, has_side_planes=has_side_planes)
        if pages.positions is not None:
            pages.positions.fill_(-1)
        return replace(pages, is_rotated=is_rotated)

    @classmethod
    def view(
        cls,
        pool: torch.Tensor,
        format: KVFormat,
        num_kv_heads: int,
        head_dim: int,
        *,
        offset: int = 0,
        dtype: torch.dtype = torch.bfloat16,
        has_side_planes: bool = False,
        is_rotated: bool = False,
    ) -> Self:
        """Return the planes that begin `offset` bytes into each page of a pool (uint8 [num_pages, page_bytes])."""
        shapes = plane_shapes(format, head_dim, dtype, has_side_planes=has_side_planes)
        needed = offset + kv_page_bytes(format, num_kv_heads, head_dim, dtype, has_side_planes=has_side_planes)
        if pool.dtype != torch.uint8 or pool.ndim != 2 or pool.shape[1] < needed or pool.stride(0) % ALIGNMENT:
            raise ValueError(
                f"pool, got {pool.dtype} {tuple(pool.shape)}, expected uint8 [num_pages, {needed} or more]"
            )
        if offset % ALIGNMENT:
            raise ValueError(f"offset, got {offset}, expected a multiple of {ALIGNMENT}")
        planes = {}
        for name, (kind, shape) in shapes.items():
            num_bytes = num_kv_heads * kind.itemsize * shape[0] * shape[1]
            plane = torch.unflatten(pool[:, offset : offset + num_bytes].view(kind), 1, (num_kv_heads, *shape))
            planes[name] = plane.squeeze(-1)
            offset += num_bytes
        return cls(format=format, head_dim=head_dim, is_rotated=is_rotated, **planes)


def plane_shapes(
    format: KVFormat, head_dim: int, dtype: torch.dtype, *, has_side_planes: bool = False
) -> dict[str, tuple[torch.dtype, tuple[int, int]]]:
    """Return type and shape of each plane of one page and head, in their order in the page."""
    if format not in FORMATS:
        raise ValueError(f"format, got {format!r}, expected one of {', '.join(FORMATS)}")
    if head_dim not in HEAD_DIMS:
        raise ValueError(f"head_dim, got {head_dim}, expected 32, 64, 128 or 256")
    kind = dtype if format == "full" else torch.uint8
    width = head_dim // 2 if format == "int4" else head_dim
    shapes: dict[str, tuple[torch.dtype, tuple[int, int]]] = {
        "keys": (kind, (PAGE_SIZE, width)),
        "values": (kind, (PAGE_SIZE, width) if format == "full" else (width, PAGE_SIZE)),
    }
    if format in ("int8", "int4"):
        shapes |= {"key_meta": (torch.float16, (PAGE_SIZE, 4)), "value_meta": (torch.float16, (PAGE_SIZE, 4))}
    if has_side_planes:
        shapes |= {
            "scores": (torch.float32, (PAGE_SIZE, 1)),
            "friendliness": (torch.float16, (PAGE_SIZE, 1)),
            "positions": (torch.int32, (PAGE_SIZE, 1)),
        }
    return shapes


def kv_page_bytes(
    format: KVFormat, num_kv_heads: int, head_dim: int, dtype: torch.dtype, *, has_side_planes: bool = False
) -> int:
    """Return how many bytes one layer's keys and values of a page take."""
    shapes = plane_shapes(format, head_dim, dtype, has_side_planes=has_side_planes)
    return sum(num_kv_heads * kind.itemsize * rows * columns for kind, (rows, columns) in shapes.values())


def read_pages(pages: KVPages, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values of the pages in a table as fp32 [num_rows, num_kv_heads, num_slots, head_dim].

    An id of -1 reads page 0, as slots beyond a row's length read what lies there: mask what is read.
    """
    ids = table.long().clamp(min=0)
    keys, values = (
        decoded(pages, plane[ids], meta[ids] if meta is not None else None, is_transposed)
        for plane, meta, is_transposed in (
            (pages.keys, pages.key_meta, False),
            (pages.values, pages.value_meta, pages.format != "full"),
        )
    )
    return keys.transpose(1, 2).flatten(2, 3), values.transpose(1, 2).flatten(2, 3)


def read_plane(plane: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return a side plane of the pages in a table, [num_rows, num_kv_heads, num_slots]."""
    return plane[table.long().clamp(min=0)].transpose(1, 2).flatten(2, 3)


def page_slots(table: torch.Tensor) -> torch.Tensor:
    """Return the slots of the pages in a table [.., max_pages], in order, [.., max_pages * PAGE_SIZE] of its type."""
    offsets = torch.arange(PAGE_SIZE, dtype=table.dtype, device=table.device)
    return (table[..., None] * PAGE_SIZE + offsets).flatten(-2)


def page_stride(plane: torch.Tensor | None) -> int:
    """Return a plane's step from page to page in its elements, 0 where there is none."""
    return plane.stride(0) if plane is not None else 0


def code_words(plane: torch.Tensor | None) -> torch.Tensor | None:
    """Return codes as the 16-bit words that attention reads, numbers in full precision as they are."""
    return plane.view(torch.uint16) if plane is not None and plane.dtype == torch.uint8 else plane


def meta_words(meta: torch.Tensor | None) -> torch.Tensor | None:
    """Return metadata as one int64 a slot, as kernels read and write it."""
    return meta.view(torch.int64).squeeze(-1) if meta is not None else None


def operand_type(format: KVFormat, dtype: torch.dtype) -> tl.dtype:
    """Return the type in which queries of a type meet keys of a format: codes become fp16, or fp32 for fp32."""
    if format != "full" and dtype != torch.float32:
        return tl.float16
    return {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}[dtype]


def check_rows(name: str, table: torch.Tensor, lens: torch.Tensor, num_rows: int) -> None:
    """Raise ValueError where page ids and lengths are not those of so many rows."""
    is_int32 = table.dtype == lens.dtype == torch.int32
    is_fitting = table.ndim == 2 and len(table) == num_rows and lens.shape == (num_rows,)
    if not is_int32 or not is_fitting or table.stride(1) != 1 or not lens.is_contiguous():
        raise ValueError(
            f"table and {name}, got {table.dtype} {tuple(table.shape)} and {lens.dtype} {tuple(lens.shape)}, expected"
            f" int32 [{num_rows}, max_pages] and [{num_rows}], contiguous"
        )


def decoded(pages: KVPages, plane: torch.Tensor, meta: torch.Tensor | None, is_transposed: bool) -> torch.Tensor:
    codes = plane.transpose(-1, -2) if is_transposed else plane
    if pages.format == "full":
        return codes.float()
    if meta is None:
        return fp8_decode(codes.contiguous())
    return kv_dequantize(codes, meta, 4 if pages.format == "int4" else 8)
