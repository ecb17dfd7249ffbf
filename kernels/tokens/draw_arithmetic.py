"""The arithmetic of draws, which gives the same bits in torch and in kernels, on any device and in any batch.

Nothing that is summed is rounded: weights are integers (at most 2 ** 40 each), `p` is made of single IEEE operations by
one fixed polynomial (Cephes' expf with Cody and Waite's reduction; a kernel that uses it must turn fused multiply-add
off), and the random number is 62 bits of Philox-4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3)
under the seed as key and the position as counter.
"""

import torch
import triton
import triton.language as tl

WEIGHT_ONE = tl.constexpr(2.0**40)
# exp(-28) < 2 ** -40: below it there is no weight.
LEAST_EXPONENT = tl.constexpr(-28.0)
LOG2_E = tl.constexpr(1.44269504088896341)
LN2_HIGH, LN2_LOW = tl.constexpr(0.693359375), tl.constexpr(-2.12194440e-4)
POLYNOMIAL = tl.constexpr(
    (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)


def philox(seeds: torch.Tensor, counters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first two of the four 32-bit words of Philox-4x32-10, as int64."""
    mask = 0xFFFFFFFF
    k0, k1 = seeds & mask, seeds >> 32 & mask
    c0, c1 = counters & mask, counters >> 32 & mask
    c2 = c3 = torch.zeros_like(c0)
    for _ in range(10):
        even, odd = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (odd >> 32 & mask) ^ c1 ^ k0, odd & mask, (even >> 32 & mask) ^ c3 ^ k1, even & mask
        k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
    return c0, c1


def below(total: torch.Tensor, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """Return floor(total * u) for the fraction u of two times 31 random bits, without rounding."""
    mask = 0x7FFFFFFF
    high, low = high >> 1, low >> 1
    middle = low * (total >> 31) + high * (total & mask) + (low * (total & mask) >> 31)
    return high * (total >> 31) + (middle >> 31)


def fixed_exp(x: torch.Tensor) -> torch.Tensor:
    """Return exp(x) for x <= 0 as the kernel computes it, and 0 below `LEAST_EXPONENT`."""
    clamped = x.clamp(min=LEAST_EXPONENT.value)
    twos = torch.floor(clamped * LOG2_E.value + 0.5)
    rest = clamped - twos * LN2_HIGH.value
    rest = rest - twos * LN2_LOW.value
    value = torch.full_like(rest, POLYNOMIAL.value[0])
    for coefficient in POLYNOMIAL.value[1:]:
        value = value * rest + coefficient
    value = value * rest * rest + rest + 1.0
    power = (twos.to(torch.int32) + 127 << 23).view(torch.float32)
    return torch.where(x < LEAST_EXPONENT.value, 0.0, value * power)


@triton.jit
def exp_of(x):
    """Return what `fixed_exp` returns."""
    clamped = tl.maximum(x, LEAST_EXPONENT)
    twos = tl.floor(clamped * LOG2_E + 0.5)
    rest = clamped - twos * LN2_HIGH
    rest = rest - twos * LN2_LOW
    value = rest * POLYNOMIAL[0] + POLYNOMIAL[1]
    for i in tl.static_range(2, 6):
        value = value * rest + POLYNOMIAL[i]
    value = value * rest * rest + rest + 1.0
    power = ((twos.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    return tl.where(x < LEAST_EXPONENT, 0.0, value * power)


@triton.jit
def weight_of(p):
    """Return the weight of a probability relative to the largest."""
    return (p * WEIGHT_ONE).to(tl.int64)


@triton.jit
def random_below(total, seed, position):
    """Return what `below` returns of the words of `philox`."""
    zero = (position & 0).to(tl.int32)
    low_word = (position & 0xFFFFFFFF).to(tl.uint32)
    high_word = ((position >> 32) & 0xFFFFFFFF).to(tl.uint32)
    first, second, _, _ = tl.philox(seed, low_word, high_word, zero, zero)
    high = (first >> 1).to(tl.int64)
    low = (second >> 1).to(tl.int64)
    total_high = total >> 31
    total_low = total & 0x7FFFFFFF
    middle = low * total_high + high * total_low + ((low * total_low) >> 31)
    return high * total_high + (middle >> 31)
