"""Normalise rows to a root mean square of 1 (Zhang and Sennrich, Root Mean Square Layer Normalization, equation 4).

Semantics: out = weight * (x / sqrt(mean(x ** 2) + eps)); with a residual first: residual += x; x = residual

x, residual, out  [num_tokens, dim], or per head [num_tokens, num_heads, dim]; rows contiguous, other strides free, so
                  that the heads may be slices of a fused projection; out may be x
weight            [dim], of the same type as x

Sums are in fp32. The sum with the residual and the normalised row are rounded to the type of x where transformers
rounds them. A row's bits depend on that row alone; a padding row makes a padding row.
"""

import torch
import triton
import triton.language as tl


def rms_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    *,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the normalised rows; see the module's semantics."""
    run = launch_rms_norm if x.is_cuda else rms_norm_reference
    return run(x, weight, eps, residual=residual, out=out)


def rms_norm_reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    *,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the normalised rows; see the module's semantics."""
    check(x, weight, residual, out)
    if residual is not None:
        x = residual.add_(x)
    if x.dtype is torch.float32:
        # Nothing is rounded on the way: torch's own is the same, in one pass.
        normal = torch.nn.functional.rms_norm(x, weight.shape, weight, eps)
        return normal if out is None else out.copy_(normal)
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    normal = weight * (wide * scale).to(x.dtype)
    return normal if out is None else out.copy_(normal)


TILE = 2048
# Numbers of a row that a warp holds in registers, sixteen a thread.
WARP_DIMS = 512


@triton.jit
def normal_scale(b_wide, eps, DIM: tl.constexpr):
    """Return what each row of a block, fp32 with zeros behind DIM, is multiplied by."""
    return tl.rsqrt(tl.sum(b_wide * b_wide, axis=1) / DIM + eps)


@triton.jit(do_not_specialize=["num_rows"])
def rms_norm_kernel(
    out,
    x,
    weight,
    residual,
    num_rows,
    num_heads,
    out_token_stride,
    out_head_stride,
    x_token_stride,
    x_head_stride,
    residual_token_stride,
    residual_head_stride,
    eps,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
):
    o_row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    o_dim = tl.arange(0, BLOCK_DIM)
    m_dim = o_dim < DIM
    m_tile = (o_row < num_rows)[:, None] & m_dim[None, :]
    o_token = (o_row // num_heads)[:, None]
    o_head = (o_row % num_heads)[:, None]
    b_x = tl.load(x + o_token * x_token_stride + o_head * x_head_stride + o_dim[None, :], mask=m_tile, other=0.0)
    if HAS_RESIDUAL:
        p_residual = residual + o_token * residual_token_stride + o_head * residual_head_stride + o_dim[None, :]
        b_sum = tl.load(p_residual, mask=m_tile, other=0.0).to(tl.float32) + b_x.to(tl.float32)
        b_x = b_sum.to(x.dtype.element_ty)
        tl.store(p_residual, b_x, mask=m_tile)
    b_wide = b_x.to(tl.float32)
    b_scale = normal_scale(b_wide, eps, DIM)
    b_normal = (b_wide * b_scale[:, None]).to(x.dtype.element_ty).to(tl.float32)
    b_weight = tl.load(weight + o_dim, mask=m_dim, other=0.0).to(tl.float32)
    p_out = out + o_token * out_token_stride + o_head * out_head_stride + o_dim[None, :]
    tl.store(p_out, (b_normal * b_weight[None, :]).to(out.dtype.element_ty), mask=m_tile)


def per_head(name: str, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the rows as [num_tokens, num_heads, dim].

    Raises:
        ValueError: not the shape and type of `like`, or rows that are not contiguous.
    """
    if rows.shape != like.shape or rows.dtype != like.dtype or rows.ndim not in (2, 3) or rows.stride(-1) != 1:
        raise ValueError(
            f"{name}, got {rows.dtype} {tuple(rows.shape)} with strides {rows.stride()}, expected {like.dtype}"
            f" {tuple(like.shape)} as [num_tokens, dim] or [num_tokens, num_heads, dim] with contiguous rows"
        )
    return rows if rows.ndim == 3 else rows.unsqueeze(1)


def launch_rms_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    *,
    residual: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the rows normalised by the kernel."""
    check(x, weight, residual, out)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device) if out is None else out
    x_heads, out_heads = per_head("x", x, x), per_head("out", out, x)
    residual_heads = x_heads if residual is None else per_head("residual", residual, x)
    num_tokens, num_heads, dim = x_heads.shape
    num_rows = num_tokens * num_heads
    if not num_rows:
        return out
    block_dim = triton.next_power_of_2(dim)
    block_rows = max(1, TILE // block_dim)
    rms_norm_kernel[(triton.cdiv(num_rows, block_rows),)](
        out=out_heads,
        x=x_heads,
        weight=weight,
        residual=residual_heads,
        num_rows=num_rows,
        num_heads=num_heads,
        out_token_stride=out_heads.stride(0),
        out_head_stride=out_heads.stride(1),
        x_token_stride=x_heads.stride(0),
        x_head_stride=x_heads.stride(1),
        residual_token_stride=residual_heads.stride(0),
        residual_head_stride=residual_heads.stride(1),
        eps=eps,
        DIM=dim,
        BLOCK_DIM=block_dim,
        BLOCK_ROWS=block_rows,
        HAS_RESIDUAL=residual is not None,
        num_warps=min(16, max(4, block_dim // WARP_DIMS)),
        # So that `rope_write` makes the same bits of a head.
        enable_fp_fusion=False,
    )
    return out


def check(x: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor | None, out: torch.Tensor | None) -> None:
    """Raise ValueError where rows and weight do not fit each other."""
    for name, rows in (("x", x), ("out", out), ("residual", residual)):
        if rows is not None:
            per_head(name, rows, x)
    dim = x.shape[-1]
    if weight.shape != (dim,) or weight.dtype != x.dtype or not weight.is_contiguous():
        raise ValueError(f"weight, got {weight.dtype} {tuple(weight.shape)}, expected {x.dtype} [{dim}]")
