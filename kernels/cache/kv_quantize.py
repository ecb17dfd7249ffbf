"""Quantise keys and values per token and KV head, in two groups a vector, and measure the error that this makes.

Semantics, for each half x of a vector (64 dims of 128):
    minimum = fp16(min(x)); scale = fp16((max(x) - minimum) / (2 ** bits - 1))
    codes = clamp(round((x - minimum) * (1 / scale)), 0, 2 ** bits - 1);  x^ = codes * scale + minimum
    error = || x^ - x ||  over the whole vector

x      [num_tokens, num_kv_heads, head_dim], fp32, fp16 or bf16, last dim contiguous
codes  uint8 [num_tokens, num_kv_heads, head_dim], at 4 bits [.., head_dim / 2]: dim b low, dim b + head_dim / 2 high
meta   fp16 [num_tokens, num_kv_heads, 4]: scale and minimum of the first half, of the second
error  fp32 [num_tokens, num_kv_heads]

Minimum and scale rather than the rounded zero point of Q-Hitter's published code, which wrecks rows that do not
straddle zero. `rotate` turns the vectors by the Hadamard matrix first; codes and error then speak of the rotated
vectors, whose norms are the same. 2 bits exist for study and take a byte a code. fp8 is e4m3, rounded to nearest even
and saturated.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .hadamard import hadamard_reference, signs


def kv_quantize(x: torch.Tensor, bits: int, *, rotate: bool = False) -> "Quantized":
    """Return codes, metadata and error; see the module's semantics."""
    check(x, bits)
    return launch_kv_quantize(x, bits, rotate=rotate) if x.is_cuda else kv_quantize_reference(x, bits, rotate=rotate)


def kv_quantize_reference(x: torch.Tensor, bits: int, *, rotate: bool = False) -> "Quantized":
    """Return codes, metadata and error; see the module's semantics."""
    x = x.float()
    if rotate:
        x = hadamard_reference(x)
    halves = x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)
    minimum = halves.amin(-1).half()
    scale = ((halves.amax(-1) - minimum.float()) * (1 / (2**bits - 1))).half()
    inverse = torch.reciprocal(scale.float().clamp(min=1e-30))
    codes = ((halves - minimum.float()[..., None]) * inverse[..., None] + 0.5).floor()
    codes = codes.clamp(0, 2**bits - 1).to(torch.uint8).flatten(-2)
    meta = torch.stack([scale, minimum], dim=-1).flatten(-2)
    packed = packed_nibbles(codes) if bits == 4 else codes
    return Quantized(packed, meta, (kv_dequantize(packed, meta, bits) - x).norm(dim=-1))


BITS = (2, 4, 8)
HEAD_DIMS = (32, 64, 128, 256)
# Of codes, which attention reads.
MAX_CODE_DIM = 128
# The largest number of e4m3, for Python and for kernels.
FP8_MAX = 448.0
FP8_MAX_ = tl.constexpr(FP8_MAX)
# Exponents of e4m3 are biased by 7, those of fp16 by 15: its bits, moved to their places in fp16, are number / 2 ** 8.
FP8_UNIT = tl.constexpr(2.0**8)
# Below FP8_NORMAL e4m3 counts steps of 2 ** -9, as fp32 does from FP8_STEPS on.
FP8_NORMAL, FP8_STEPS, FP8_STEPS_BITS = tl.constexpr(2.0**-6), tl.constexpr(2.0**14), tl.constexpr(0x46800000)


class Quantized(NamedTuple):
    """Codes, their metadata and the error they make."""

    codes: torch.Tensor
    meta: torch.Tensor
    error: torch.Tensor


def packed_nibbles(codes: torch.Tensor) -> torch.Tensor:
    """Return 4-bit codes two to a byte: the first half of the last dim in the low nibbles, the second in the high."""
    low, high = codes.chunk(2, dim=-1)
    return low | (high << 4)


def unpacked_nibbles(codes: torch.Tensor) -> torch.Tensor:
    """Return 4-bit codes one to a byte."""
    return torch.cat([codes & 0xF, codes >> 4], dim=-1)


def kv_dequantize(codes: torch.Tensor, meta: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the vectors that codes stand for, fp32 [.., head_dim]; no rotation is undone."""
    numbers = (unpacked_nibbles(codes) if bits == 4 else codes).float()
    halves = numbers.reshape(*numbers.shape[:-1], 2, numbers.shape[-1] // 2)
    scale, minimum = meta.float().reshape(*meta.shape[:-1], 2, 2).unbind(-1)
    return torch.addcmul(minimum[..., None], halves, scale[..., None]).flatten(-2)


def fp8_encode(x: torch.Tensor) -> torch.Tensor:
    """Return e4m3 as bytes, saturated."""
    return x.float().clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn).view(torch.uint8)


def fp8_decode(codes: torch.Tensor) -> torch.Tensor:
    """Return the numbers that e4m3 bytes stand for, fp32."""
    return codes.view(torch.float8_e4m3fn).float()


@triton.jit
def half_codes(x, BITS: tl.constexpr):
    """Return codes, scale and minimum of rows x [num_rows, head_dim / 2], all fp32, and each row's squared error."""
    levels: tl.constexpr = 2**BITS - 1
    minimum = tl.min(x, 1).to(tl.float16).to(tl.float32)
    scale = ((tl.max(x, 1) - minimum) * (1.0 / levels)).to(tl.float16).to(tl.float32)
    inverse = tl.div_rn(tl.full(scale.shape, 1.0, tl.float32), tl.maximum(scale, 1e-30))
    codes = tl.floor((x - minimum[:, None]) * inverse[:, None] + 0.5)
    codes = tl.minimum(tl.maximum(codes, 0.0), levels)
    missed = codes * scale[:, None] + minimum[:, None] - x
    return codes, scale, minimum, tl.sum(missed * missed, 1)


@triton.jit
def packed_meta(scale_low, min_low, scale_high, min_high):
    """Return scale and minimum of both halves as one 8-byte word."""
    word = scale_high.to(tl.float16).to(tl.uint16, bitcast=True).to(tl.int64) << 32
    word |= min_high.to(tl.float16).to(tl.uint16, bitcast=True).to(tl.int64) << 48
    word |= min_low.to(tl.float16).to(tl.uint16, bitcast=True).to(tl.int64) << 16
    return word | scale_low.to(tl.float16).to(tl.uint16, bitcast=True).to(tl.int64)


@triton.jit
def unpacked_meta(word):
    """Return scale and minimum of both halves from an 8-byte metadata word."""
    scale_low = word.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    min_low = (word >> 16).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    scale_high = (word >> 32).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    min_high = (word >> 48).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    return scale_low, min_low, scale_high, min_high


@triton.jit
def fp8_codes(x):
    """Return fp32 numbers as e4m3 bytes, rounded to nearest even and saturated."""
    size = tl.minimum(tl.abs(x), FP8_MAX_)
    bits = size.to(tl.uint32, bitcast=True)
    # Of 23 bits of the mantissa 3 stay, rounded to even, and the exponent's bias falls from 127 to 7.
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - (120 << 3)
    # What the sum's mantissa holds are the steps.
    small = (size + FP8_STEPS).to(tl.uint32, bitcast=True) - FP8_STEPS_BITS
    sign = (x.to(tl.uint32, bitcast=True) >> 24) & 0x80
    return (tl.where(size < FP8_NORMAL, small, normal) | sign).to(tl.uint8)


@triton.jit
def fp8_numbers(codes):
    """Return the fp32 numbers that e4m3 bytes stand for."""
    bits = codes.to(tl.int16)
    half = (((bits & 0x80) << 8) | ((bits & 0x7F) << 7)).to(tl.float16, bitcast=True)
    return half.to(tl.float32) * FP8_UNIT


@triton.jit
def fp8_half_codes(x):
    """Return rows x [num_rows, head_dim / 2], fp32, as e4m3 bytes, and each row's squared error."""
    codes = fp8_codes(x)
    missed = fp8_numbers(codes) - x
    return codes, tl.sum(missed * missed, 1)


@triton.jit
def rotated_halves(x_low, x_high, HALF: tl.constexpr):
    """Return both halves of rows turned by the Hadamard matrix, in fp32; the block has at least 16 rows.

    In the type that the rows come in: the signs are exact, and so are the products.
    """
    o_dim = tl.arange(0, HALF)
    matrix = signs(o_dim, o_dim, x_low.dtype)
    from_low = tl.dot(x_low, matrix, input_precision="ieee")
    from_high = tl.dot(x_high, matrix, input_precision="ieee")
    norm: tl.constexpr = (2 * HALF) ** -0.5
    return (from_low + from_high) * norm, (from_low - from_high) * norm


@triton.jit
def kv_quantize_kernel(
    codes,
    meta,
    error,
    x,
    num_rows,
    NUM_KV_HEADS: tl.constexpr,
    token_stride,
    head_stride,
    HALF: tl.constexpr,
    BITS: tl.constexpr,
    ROTATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    o_row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m_row = o_row < num_rows
    o_dim = tl.arange(0, HALF)
    o_x = (o_row // NUM_KV_HEADS) * token_stride + (o_row % NUM_KV_HEADS) * head_stride
    p_x = x + o_x[:, None] + o_dim[None, :]
    x_low = tl.load(p_x, mask=m_row[:, None], other=0.0)
    x_high = tl.load(p_x + HALF, mask=m_row[:, None], other=0.0)
    if ROTATE:
        x_low, x_high = rotated_halves(x_low, x_high, HALF)
    x_low, x_high = x_low.to(tl.float32), x_high.to(tl.float32)
    c_low, scale_low, min_low, e_low = half_codes(x_low, BITS)
    c_high, scale_high, min_high, e_high = half_codes(x_high, BITS)
    tl.store(meta + o_row, packed_meta(scale_low, min_low, scale_high, min_high), mask=m_row)
    tl.store(error + o_row, tl.sqrt(e_low + e_high), mask=m_row)
    if BITS == 4:
        p_codes = codes + o_row[:, None] * HALF + o_dim[None, :]
        tl.store(p_codes, (c_low + 16.0 * c_high).to(tl.uint8), mask=m_row[:, None])
    else:
        p_codes = codes + o_row[:, None] * (2 * HALF) + o_dim[None, :]
        tl.store(p_codes, c_low.to(tl.uint8), mask=m_row[:, None])
        tl.store(p_codes + HALF, c_high.to(tl.uint8), mask=m_row[:, None])


def launch_kv_quantize(x: torch.Tensor, bits: int, *, rotate: bool = False) -> Quantized:
    """Return codes, metadata and error by the kernel."""
    check(x, bits)
    num_tokens, num_kv_heads, head_dim = x.shape
    width = head_dim // 2 if bits == 4 else head_dim
    codes = torch.empty(num_tokens, num_kv_heads, width, dtype=torch.uint8, device=x.device)
    meta = torch.empty(num_tokens, num_kv_heads, 4, dtype=torch.float16, device=x.device)
    error = torch.empty(num_tokens, num_kv_heads, dtype=torch.float32, device=x.device)
    block = 16
    if x.numel():
        kv_quantize_kernel[(triton.cdiv(num_tokens * num_kv_heads, block),)](
            codes=codes,
            meta=meta.view(torch.int64),
            error=error,
            x=x,
            num_rows=num_tokens * num_kv_heads,
            NUM_KV_HEADS=num_kv_heads,
            token_stride=x.stride(0),
            head_stride=x.stride(1),
            HALF=head_dim // 2,
            BITS=bits,
            ROTATE=rotate,
            BLOCK=block,
            num_warps=4,
            # So that codes are those of the reference, to the bit.
            enable_fp_fusion=False,
        )
    return Quantized(codes, meta, error)


def check(x: torch.Tensor, bits: int) -> None:
    """Raise ValueError for vectors or codes of another size."""
    if bits not in BITS:
        raise ValueError(f"bits, got {bits}, expected 2, 4 or 8")
    if x.ndim != 3 or x.shape[-1] not in HEAD_DIMS or x.stride(-1) != 1:
        raise ValueError(
            f"x, got {tuple(x.shape)}, expected [num_tokens, num_kv_heads, 32, 64, 128 or 256], rows contiguous"
        )
