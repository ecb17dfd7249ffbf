"""A linear layer whose rows do not depend on the batch that they come in, for the deterministic mode.

Semantics: out = x @ weight.T + bias, each element one sum over k from first to last, in fp32, rounded once

x       [num_rows, in_dim], rows contiguous, their stride free
weight  [out_dim, in_dim], contiguous, of the same type as x (fp32, fp16 or bf16; fp32 is multiplied in full fp32)
bias    [out_dim] or none
out     [num_rows, out_dim]

Libraries choose the kernel, and with it the order of the sum, by the number of rows. Here the order is fixed: the sum
is never split over k and each step adds the same STEP terms with matrix instructions of the same depth, so a row has
the same bits alone, in any batch and at any place in it. Few rows (decode) take a narrow tile and many (prefill) a wide
one; that moves elements between programs and leaves each element's sum as it is.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl


def invariant_matmul(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return the product; see the module's semantics."""
    return (launch_invariant_matmul if x.is_cuda else invariant_matmul_reference)(x, weight, bias)


def invariant_matmul_reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return the product, made of blocks of one shape; see the module's semantics."""
    check(x, weight, bias)
    num_blocks = max(1, triton.cdiv(len(x), CPU_ROWS))
    padded = torch.nn.functional.pad(x, (0, 0, 0, num_blocks * CPU_ROWS - len(x)))
    blocks = padded.view(num_blocks, CPU_ROWS, -1)
    return torch.cat([torch.nn.functional.linear(rows, weight, bias) for rows in blocks])[: len(x)]


STEP = 64
# Rows at a time on a CPU: one shape for the library, whatever the batch.
CPU_ROWS = 16


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows and columns that one program makes, and how it is run."""

    rows: int
    columns: int
    num_warps: int
    num_stages: int


# For few rows, by the least width of the output: as many columns as leave enough programs to fill the device, since
# each program reads all rows again. 64 rows are the least that a Hopper matrix instruction takes.
NARROW = {
    16384: Tile(64, 128, num_warps=4, num_stages=4),
    8192: Tile(64, 64, num_warps=4, num_stages=6),
    0: Tile(64, 32, num_warps=4, num_stages=6),
}
NARROW_ROWS = 64
WIDE = Tile(128, 128, num_warps=8, num_stages=4)
# Without matrix instructions a larger tile spills.
FULL_PRECISION = Tile(64, 32, num_warps=4, num_stages=2)


@triton.jit(do_not_specialize=["num_rows"])
def invariant_matmul_kernel(
    out,
    x,
    weight,
    bias,
    num_rows,
    x_stride,
    in_dim,
    out_dim,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    IS_EVEN: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    # Programs that run together share columns: the weight is what should be read once.
    o_row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    o_column = tl.program_id(1).to(tl.int64) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    m_row = o_row < num_rows
    m_column = o_column < out_dim
    o_k = tl.arange(0, STEP)
    p_x = x + o_row[:, None] * x_stride + o_k[None, :]
    # Columns beyond the end read the first one, and are not stored.
    p_weight = weight + tl.where(m_column, o_column, 0)[None, :] * in_dim + o_k[:, None]
    b_out = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=tl.float32)
    for i_k in range(0, in_dim, STEP):
        if IS_EVEN:
            b_x = tl.load(p_x, mask=m_row[:, None], other=0.0)
            b_weight = tl.load(p_weight)
        else:
            m_k = o_k < in_dim - i_k
            b_x = tl.load(p_x, mask=m_row[:, None] & m_k[None, :], other=0.0)
            b_weight = tl.load(p_weight, mask=m_k[:, None], other=0.0)
        b_out = tl.dot(b_x, b_weight, b_out, input_precision="ieee")
        p_x += STEP
        p_weight += STEP
    if HAS_BIAS:
        b_out += tl.load(bias + o_column, mask=m_column, other=0.0).to(tl.float32)[None, :]
    p_out = out + o_row[:, None] * out_dim + o_column[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=m_row[:, None] & m_column[None, :])


def tile_for(num_rows: int, out_dim: int, dtype: torch.dtype) -> Tile:
    """Return the tile that makes a product; see the module's semantics."""
    if dtype == torch.float32:
        return FULL_PRECISION
    if num_rows > NARROW_ROWS:
        return WIDE
    return next(tile for least, tile in NARROW.items() if out_dim >= least)


def launch_invariant_matmul(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return the product made by the kernel."""
    check(x, weight, bias)
    (num_rows, in_dim), out_dim = x.shape, len(weight)
    out = torch.empty(num_rows, out_dim, dtype=x.dtype, device=x.device)
    tile = tile_for(num_rows, out_dim, x.dtype)
    if out.numel():
        invariant_matmul_kernel[(triton.cdiv(num_rows, tile.rows), triton.cdiv(out_dim, tile.columns))](
            out=out,
            x=x,
            weight=weight,
            bias=weight if bias is None else bias,
            num_rows=num_rows,
            x_stride=x.stride(0),
            in_dim=in_dim,
            out_dim=out_dim,
            BLOCK_ROWS=tile.rows,
            BLOCK_COLUMNS=tile.columns,
            STEP=STEP,
            IS_EVEN=in_dim % STEP == 0,
            HAS_BIAS=bias is not None,
            num_warps=tile.num_warps,
            num_stages=tile.num_stages,
        )
    return out


def check(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Raise ValueError where rows, weight and bias do not fit each other."""
    if x.ndim != 2:
        raise ValueError(f"x, got {tuple(x.shape)}, expected [num_rows, in_dim]")
    in_dim, out_dim = x.shape[1], len(weight)
    if weight.shape != (out_dim, in_dim) or weight.dtype != x.dtype or not weight.is_contiguous():
        raise ValueError(
            f"weight, got {weight.dtype} {tuple(weight.shape)}, expected contiguous {x.dtype} [out_dim, {in_dim}]"
        )
    if x.stride(1) != 1:
        raise ValueError(f"x, got strides {x.stride()}, expected contiguous rows")
    if bias is not None and (bias.shape != (out_dim,) or not bias.is_contiguous()):
        raise ValueError(f"bias, got {tuple(bias.shape)}, expected contiguous [{out_dim}]")
