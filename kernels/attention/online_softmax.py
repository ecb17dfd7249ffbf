"""Softmax over blocks of keys with a running maximum (Milakov and Gimelshein, 2018), in powers of two."""

import triton
import triton.language as tl

# For Python and for kernels.
LOG2_E = 1.4426950408889634
LOG2_E_ = tl.constexpr(LOG2_E)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def safe(b_max):
    """Return the max to subtract: 0 of queries that have seen no live slot yet."""
    return tl.where(b_max == float("-inf"), 0.0, b_max)
