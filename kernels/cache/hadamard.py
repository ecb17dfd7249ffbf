"""Rotate vectors by the normalised Walsh-Hadamard matrix, which spreads a channel's outliers over all channels.

Semantics: out = x @ H / sqrt(head_dim), H[i, j] = (-1) ** popcount(i & j)

x, out  [num_rows, head_dim], head_dim a power of two from 16 to 128, last dim contiguous

H is symmetric and its own inverse up to the norm, so the same rotation undoes itself, and q . k is the same before and
after both are rotated. Keys are rotated after RoPE, on their way into the cache; so is the query, here. The signs are
made in registers from the indices: nothing is read but x.
"""

import torch
import triton
import triton.language as tl


def hadamard(x: torch.Tensor) -> torch.Tensor:
    """Return the rotated rows; see the module's semantics."""
    return launch_hadamard(x) if x.is_cuda else hadamard_reference(x)


def hadamard_reference(x: torch.Tensor) -> torch.Tensor:
    """Return the rotated rows; see the module's semantics."""
    check(x)
    size = x.shape[-1]
    return torch.matmul(x.float(), hadamard_matrix(size, x.device) * size**-0.5).to(x.dtype)


BLOCK = 64


def hadamard_matrix(size: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the signs, fp32 [size, size]."""
    matrix = torch.ones(1, 1, device=device)
    while matrix.shape[0] < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


@triton.jit
def signs(o_in, o_out, TYPE: tl.constexpr):
    """Return H[o_in, o_out] for index vectors below 128."""
    bits = o_in[:, None] & o_out[None, :]
    bits = bits ^ (bits >> 4)
    bits = bits ^ (bits >> 2)
    bits = bits ^ (bits >> 1)
    return (1 - 2 * (bits & 1)).to(TYPE)


@triton.jit
def hadamard_kernel(out, x, num_rows, x_stride, norm, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    o_row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    o_dim = tl.arange(0, SIZE)
    m_row = (o_row < num_rows)[:, None]
    b_x = tl.load(x + o_row.to(tl.int64)[:, None] * x_stride + o_dim[None, :], mask=m_row, other=0.0)
    b_out = tl.dot(b_x, signs(o_dim, o_dim, x.dtype.element_ty), input_precision="ieee") * norm
    p_out = out + o_row.to(tl.int64)[:, None] * SIZE + o_dim[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=m_row)


def launch_hadamard(x: torch.Tensor) -> torch.Tensor:
    """Return the rows rotated by the kernel."""
    check(x)
    size = x.shape[-1]
    rows = x.reshape(-1, size)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if rows.shape[0]:
        hadamard_kernel[(triton.cdiv(rows.shape[0], BLOCK),)](
            out=out,
            x=rows,
            num_rows=rows.shape[0],
            x_stride=rows.stride(0),
            norm=size**-0.5,
            SIZE=size,
            BLOCK=BLOCK,
            num_warps=4,
        )
    return out


def check(x: torch.Tensor) -> None:
    """Raise ValueError for rows that are not turned."""
    size = x.shape[-1]
    if size not in (16, 32, 64, 128) or x.stride(-1) != 1:
        raise ValueError(f"x, got {tuple(x.shape)}, expected contiguous rows of 16, 32, 64 or 128")
