"""The numbers of a tensor in a file, read piece by piece: memory does not grow with the tensor."""

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .safetensors_header import Tensor

_PIECE = 2**22
Floats = NDArray[np.floating[Any]]


def _bfloat16(content: bytes) -> Floats:
    """Return bfloat16 numbers as fp32, whose upper halves they are."""
    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)


_READERS: dict[str, Callable[[bytes], Floats]] = {
    "F64": lambda content: np.frombuffer(content, "<f8"),
    "F32": lambda content: np.frombuffer(content, "<f4"),
    "F16": lambda content: np.frombuffer(content, "<f2"),
    "BF16": _bfloat16,
}


def largest_of(file: BinaryIO, tensor: Tensor) -> float | None:
    """Return the largest absolute value of a tensor's numbers, None if one of them is not finite."""
    largest, left = 0.0, tensor.end - tensor.start
    file.seek(tensor.start)
    while left:
        content = file.read(min(left, _PIECE))
        numbers = _READERS[tensor.dtype](content)
        left -= len(content)
        if not np.isfinite(numbers).all():
            return None
        largest = max(largest, float(np.abs(numbers).max()))
    return largest
