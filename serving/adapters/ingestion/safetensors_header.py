"""The header of a safetensors file, read without the library and believed in nothing."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from ....specs.files.errors import InputError
from ...memory.served_tensors import not_floating
from .strict_json import strict_object

MAX_HEADER = 2**23
MAX_DIMENSIONS = 8
_LENGTH = struct.Struct("<Q")
_FIELDS = frozenset(("dtype", "shape", "data_offsets"))
NUM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file: its type, its shape, and the bytes of the file that hold it."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(file: BinaryIO, path: Path, size: int) -> dict[str, Tensor]:
    """Return the tensors of a file of `size` bytes by name; raises InputError unless they fill it without overlap."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise _not_whole(path, f"it has {len(head)} bytes")
    (length,) = _LENGTH.unpack(head)
    start = _LENGTH.size + length
    if length > MAX_HEADER or start > size:
        raise _not_whole(path, f"its header has {length} bytes, at most {min(MAX_HEADER, size)} are possible")
    header = strict_object(file.read(length), path)
    header.pop("__metadata__", None)
    tensors = {name: _tensor(path, name, said, start) for name, said in header.items()}
    _check_filled(path, tensors.items(), start, size)
    return tensors


def _tensor(path: Path, name: str, said: Any, start: int) -> Tensor:
    """Return what a header says of a tensor; `start` is where the file's numbers begin."""
    fields: dict[str, Any] = said if isinstance(said, dict) and said.keys() == _FIELDS else dict.fromkeys(_FIELDS)
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not (isinstance(dtype, str) and _are_counts(shape, MAX_DIMENSIONS) and _are_counts(offsets, 2)):
        raise InputError(path, "expected dtype, shape and data_offsets of a tensor", field=name)
    if dtype not in NUM_BYTES:
        raise not_floating(path, name, dtype)
    if len(offsets) != 2 or offsets[1] - offsets[0] != prod(shape) * NUM_BYTES[dtype]:
        message = f"got data_offsets {offsets}, expected as many bytes as {dtype} of shape {tuple(shape)} takes"
        raise InputError(path, message, field=name)
    return Tensor(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _are_counts(value: Any, most: int) -> bool:
    return (
        isinstance(value, list) and len(value) <= most and all(type(one) is int and 0 <= one < 2**63 for one in value)
    )


def _check_filled(path: Path, tensors: Iterable[tuple[str, Tensor]], start: int, size: int) -> None:
    """Raise InputError if two tensors share bytes, or if bytes belong to none."""
    end = start
    for name, tensor in sorted(tensors, key=lambda one: (one[1].start, one[1].end)):
        if tensor.start != end:
            message = f"begins at byte {tensor.start}, expected {end}: tensors lie side by side"
            raise InputError(path, message, field=name)
        end = tensor.end
    if end != size:
        raise _not_whole(path, f"its tensors end at byte {end}, it has {size}")


def _not_whole(path: Path, why: str) -> InputError:
    return InputError(path, f"cannot be read: {why}: expected a whole safetensors file")
