"""Codes of a cache as fp16 operands of tensor cores, without arithmetic.

The bits of a code are those of the subnormal code * 2 ** -24. Two codes share a 16-bit word, so each is one mask or
shift away; the caller multiplies the product by what is missing.
"""

import triton
import triton.language as tl

from ..cache.kv_pages import FP8, INT4

# What undoes them: the last bit of fp16 is 2 ** -24, and a high nibble is left where it stands, 4 bits up.
CODE_UNIT, HIGH_CODE_UNIT = tl.constexpr(2.0**24), tl.constexpr(2.0**20)


@triton.jit
def nibble_planes(words, PACKED: tl.constexpr):
    """Return low nibbles of even and odd bytes * 2 ** -24, high nibbles of even and odd bytes * 2 ** -20, as fp16.

    PACKED does two words at a time in a register, which the compiler does not find and the interpreter cannot.
    """
    if PACKED:
        low_even, low_odd, high_even, high_odd = tl.inline_asm_elementwise(
            """{
            .reg .b32 odd;
            shr.u32 odd, $4, 8;
            and.b32 $0, $4, 0x000f000f;
            and.b32 $1, odd, 0x000f000f;
            and.b32 $2, $4, 0x00f000f0;
            and.b32 $3, odd, 0x00f000f0;
            }""",
            "=r,=r,=r,=r,r",
            [words],
            dtype=(tl.float16, tl.float16, tl.float16, tl.float16),
            is_pure=True,
            pack=2,
        )
    else:
        low_even = (words & 0xF).to(tl.float16, bitcast=True)
        low_odd = ((words >> 8) & 0xF).to(tl.float16, bitcast=True)
        high_even = (words & 0xF0).to(tl.float16, bitcast=True)
        high_odd = ((words >> 8) & 0xF0).to(tl.float16, bitcast=True)
    return low_even, low_odd, high_even, high_odd


@triton.jit
def byte_planes(words, FORMAT: tl.constexpr, PACKED: tl.constexpr):
    """Return even and odd bytes as fp16: codes of int8 * 2 ** -24, numbers of fp8 * 2 ** -8."""
    if PACKED:
        if FORMAT == FP8:
            even, odd = tl.inline_asm_elementwise(
                """{
                .reg .b32 sign, rest;
                and.b32 rest, $2, 0x007f007f;
                shl.b32 rest, rest, 7;
                and.b32 sign, $2, 0x00800080;
                shl.b32 sign, sign, 8;
                or.b32 $0, rest, sign;
                and.b32 rest, $2, 0x7f007f00;
                shr.u32 rest, rest, 1;
                and.b32 sign, $2, 0x80008000;
                or.b32 $1, rest, sign;
                }""",
                "=r,=r,r",
                [words],
                dtype=(tl.float16, tl.float16),
                is_pure=True,
                pack=2,
            )
        else:
            even, odd = tl.inline_asm_elementwise(
                """{
                .reg .b32 odd;
                shr.u32 odd, $2, 8;
                and.b32 $0, $2, 0x00ff00ff;
                and.b32 $1, odd, 0x00ff00ff;
                }""",
                "=r,=r,r",
                [words],
                dtype=(tl.float16, tl.float16),
                is_pure=True,
                pack=2,
            )
    elif FORMAT == FP8:
        even = (((words & 0x80) << 8) | ((words & 0x7F) << 7)).to(tl.float16, bitcast=True)
        odd = ((words & 0x8000) | ((words & 0x7F00) >> 1)).to(tl.float16, bitcast=True)
    else:
        even = (words & 0xFF).to(tl.float16, bitcast=True)
        odd = (words >> 8).to(tl.float16, bitcast=True)
    return even, odd


@triton.jit
def code_planes(p_low, p_high, FORMAT: tl.constexpr, COMPUTE: tl.constexpr, PACKED: tl.constexpr):
    """Return even and odd bytes of the low and of the high half, loaded as 16-bit words from these addresses."""
    if FORMAT == INT4:
        low_even, low_odd, high_even, high_odd = nibble_planes(tl.load(p_low), PACKED)
    else:
        low_even, low_odd = byte_planes(tl.load(p_low), FORMAT, PACKED)
        high_even, high_odd = byte_planes(tl.load(p_high), FORMAT, PACKED)
    return low_even.to(COMPUTE), low_odd.to(COMPUTE), high_even.to(COMPUTE), high_odd.to(COMPUTE)
