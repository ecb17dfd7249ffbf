"""Rotate queries and keys by their positions, in place (Su et al., RoFormer, equation 34; halves as in Llama and Qwen).

Semantics: a, b = x[..., :half], x[..., half:2 * half]; x[..., :2 * half] = a * cos - b * sin, b * cos + a * sin

query, key  [num_tokens, num_heads, head_dim]; heads contiguous, other strides free (slices of a fused projection)
positions   int32 or int64 [num_tokens] on the device; the heads of a token at position -1 (padding) stay as they are
table       fp32 [max_position, 2 * half]: cosines, then sines, as `rotary_table` makes it; no position may lie beyond
            it, and what lies behind 2 * half in a head is not rotated

The rotation is in fp32 (transformers rounds cosines and sines to the type of x first), rounded once at its end.
"""

import torch
import triton
import triton.language as tl


def rope(
    query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, table: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return query and key, rotated in place; see the module's semantics."""
    return (launch_rope if query.is_cuda else rope_reference)(query, key, positions, table)


def rope_reference(
    query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, table: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return query and key, rotated in place; see the module's semantics."""
    check(query, key, positions, table)
    half = table.shape[1] // 2
    cos, sin = table[positions.long().clamp(min=0)].unsqueeze(1).chunk(2, dim=-1)
    is_live = (positions >= 0)[:, None, None]
    has_padding = not bool(is_live.all())
    for heads in (query, key):
        turned = heads[..., : 2 * half]
        a, b = turned.float().chunk(2, dim=-1)
        rotated = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(heads.dtype)
        turned.copy_(torch.where(is_live, rotated, turned) if has_padding else rotated)
    return query, key


BLOCK_HEADS = 8


def rotary_table(frequencies: torch.Tensor, max_position: int, *, scale: float = 1.0) -> torch.Tensor:
    """Return fp32 [max_position, 2 * half]: scale * cos and scale * sin of position * frequency.

    `frequencies` [half] are those of the model after its scaling for long contexts; `scale` is YaRN's factor. Angles
    are taken in fp64, since in fp32 those of far positions are off by more than the rounding of the result.
    """
    positions = torch.arange(max_position, dtype=torch.float64, device=frequencies.device)
    angles = positions[:, None] * frequencies.double()
    return torch.cat((angles.cos(), angles.sin()), dim=-1).mul(scale).float()


@triton.jit
def rope_kernel(
    query,
    key,
    positions,
    table,
    num_query_heads,
    num_key_heads,
    query_token_stride,
    query_head_stride,
    key_token_stride,
    key_head_stride,
    HALF: tl.constexpr,
    BLOCK_HALF: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
):
    i_token = tl.program_id(0).to(tl.int64)
    i_block = tl.program_id(1)
    position = tl.load(positions + i_token).to(tl.int64)
    if position < 0:
        return
    num_query_blocks = tl.cdiv(num_query_heads, BLOCK_HEADS)
    if i_block < num_query_blocks:
        p_token = query + i_token * query_token_stride
        head_stride = query_head_stride
        num_heads = num_query_heads
    else:
        p_token = key + i_token * key_token_stride
        head_stride = key_head_stride
        num_heads = num_key_heads
        i_block -= num_query_blocks
    o_head = (i_block * BLOCK_HEADS + tl.arange(0, BLOCK_HEADS)).to(tl.int64)
    o_half = tl.arange(0, BLOCK_HALF)
    m_half = o_half < HALF
    m_tile = (o_head < num_heads)[:, None] & m_half[None, :]
    b_cos = tl.load(table + position * (2 * HALF) + o_half, mask=m_half, other=0.0)[None, :]
    b_sin = tl.load(table + position * (2 * HALF) + HALF + o_half, mask=m_half, other=0.0)[None, :]
    p_a = p_token + o_head[:, None] * head_stride + o_half[None, :]
    b_a = tl.load(p_a, mask=m_tile, other=0.0).to(tl.float32)
    b_b = tl.load(p_a + HALF, mask=m_tile, other=0.0).to(tl.float32)
    tl.store(p_a, (b_a * b_cos - b_b * b_sin).to(query.dtype.element_ty), mask=m_tile)
    tl.store(p_a + HALF, (b_b * b_cos + b_a * b_sin).to(query.dtype.element_ty), mask=m_tile)


def launch_rope(
    query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, table: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return query and key, rotated in place by the kernel."""
    check(query, key, positions, table)
    num_tokens, half = len(query), table.shape[1] // 2
    if not num_tokens:
        return query, key
    num_blocks = triton.cdiv(query.shape[1], BLOCK_HEADS) + triton.cdiv(key.shape[1], BLOCK_HEADS)
    rope_kernel[(num_tokens, num_blocks)](
        query=query,
        key=key,
        positions=positions,
        table=table,
        num_query_heads=query.shape[1],
        num_key_heads=key.shape[1],
        query_token_stride=query.stride(0),
        query_head_stride=query.stride(1),
        key_token_stride=key.stride(0),
        key_head_stride=key.stride(1),
        HALF=half,
        BLOCK_HALF=triton.next_power_of_2(half),
        BLOCK_HEADS=BLOCK_HEADS,
        num_warps=4,
        # So that the bits are those of the reference, and of `rope_write`.
        enable_fp_fusion=False,
    )
    return query, key


def check(query: torch.Tensor, key: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
    """Raise ValueError where heads, positions and table do not fit each other."""
    if query.ndim != 3:
        raise ValueError(f"query, got {tuple(query.shape)}, expected [num_tokens, num_heads, head_dim]")
    num_tokens, _, head_dim = query.shape
    for name, heads in (("query", query), ("key", key)):
        is_fitting = heads.ndim == 3 and (heads.shape[0], heads.shape[2]) == (num_tokens, head_dim)
        if not is_fitting or heads.dtype != query.dtype or heads.stride(2) != 1:
            raise ValueError(
                f"{name}, got {heads.dtype} {tuple(heads.shape)} with strides {heads.stride()}, expected {query.dtype}"
                f" [{num_tokens}, num_heads, {head_dim}] with contiguous heads"
            )
    half = table.shape[1] // 2
    if table.dtype != torch.float32 or table.shape[1] != 2 * half or 2 * half > head_dim or not table.is_contiguous():
        raise ValueError(
            f"table, got {table.dtype} {tuple(table.shape)}, expected fp32 [max_position, at most {head_dim}, even]"
        )
    if positions.shape != (num_tokens,) or not positions.is_contiguous():
        raise ValueError(f"positions, got {tuple(positions.shape)}, expected contiguous [{num_tokens}]")
