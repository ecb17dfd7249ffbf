"""The header of a GGUF file: its metadata, and where its tensors are. Needs no torch.

The format is that of ggml, versions 2 and 3: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ...specs.files.errors import InputError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# By the number of a value's type: unsigned and signed integers, floats and a bool, little-endian.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """A tensor in the file: `num_bytes` from `start` on, of a type of ggml. `shape` is in torch's order."""

    shape: tuple[int, ...]
    type_id: int
    start: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says of itself. Arrays are tuples.

    tokenizer_digest  SHA-256 over all metadata whose name begins with `tokenizer.`
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]
    tokenizer_digest: str


def read_header(path: Path) -> GgufHeader:
    """Return the header of a GGUF file; raises InputError for another kind of file, and for one that is cut."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
            if magic != _MAGIC:
                message = f"got a file that begins with {magic!r}, expected a model's folder or a GGUF file"
                raise InputError(path, message)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(path, content).header()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None


class _Reader:
    """Goes through a file from its beginning."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._at = len(_MAGIC)

    def header(self) -> GgufHeader:
        version = self._number("I")
        if version not in _VERSIONS:
            known = " or ".join(map(str, _VERSIONS))
            raise self._error(f"got version {version} of GGUF, expected {known}, little-endian")
        num_tensors, num_entries = self._number("Q"), self._number("Q")
        metadata: dict[str, Any] = {}
        written: dict[str, bytes] = {}
        for _ in range(num_entries):
            name, begin = self._string(), self._at
            metadata[name] = self._value(self._number("I"), name)
            if name.startswith("tokenizer."):
                written[name] = self._content[begin : self._at]
        tensors = self._tensors(num_tensors, metadata.get("general.alignment", 32))
        return GgufHeader(path=self._path, metadata=metadata, tensors=tensors, tokenizer_digest=_digest(written))

    def _tensors(self, count: int, alignment: Any) -> dict[str, GgufTensor]:
        # Imported when a GGUF file is met: the package takes a third of a second.
        from gguf import GGML_QUANT_SIZES

        if not isinstance(alignment, int) or alignment < 1:
            raise self._error(f"got {alignment!r}, expected a number over 0", "general.alignment")
        sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
        found = {}
        for _ in range(count):
            name = self._string()
            num_dimensions = self._number("I")
            if num_dimensions > _MAX_DIMENSIONS:
                raise self._error(f"got {num_dimensions} dimensions, expected at most {_MAX_DIMENSIONS}", name)
            shape = tuple(reversed([self._number("Q") for _ in range(num_dimensions)]))
            type_id, offset = self._number("I"), self._number("Q")
            if type_id not in sizes:
                raise self._error(f"got type {type_id} of ggml, which is not known", name)
            block_len, block_bytes = sizes[type_id]
            if not shape or shape[-1] % block_len:
                raise self._error(f"got shape {shape}, expected rows in blocks of {block_len}", name)
            found[name] = (shape, type_id, offset, prod(shape) // block_len * block_bytes)
        first = -(-self._at // alignment) * alignment
        tensors = {
            name: GgufTensor(shape=shape, type_id=type_id, start=first + offset, num_bytes=num_bytes)
            for name, (shape, type_id, offset, num_bytes) in found.items()
        }
        for name, tensor in tensors.items():
            self._require(tensor.start + tensor.num_bytes, name)
        return tensors

    def _value(self, kind: int, name: str) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._number("I"), self._number("Q")
            if inner in _SCALARS:
                return self._numbers(_SCALARS[inner], count)
            return tuple(self._value(inner, name) for _ in range(count))
        if kind not in _SCALARS:
            raise self._error(f"got a value of type {kind}, expected one of 0 to 12", name)
        return self._number(_SCALARS[kind])

    def _number(self, code: str) -> Any:
        return self._numbers(code, 1)[0]

    def _numbers(self, code: str, count: int) -> tuple[Any, ...]:
        begin, size = self._at, count * struct.calcsize(f"<{code}")
        self._advance(size)
        return struct.unpack_from(f"<{count}{code}", self._content, begin)

    def _string(self) -> str:
        (length,) = self._numbers("Q", 1)
        begin = self._at
        self._advance(length)
        try:
            return self._content[begin : self._at].decode()
        except UnicodeDecodeError:
            raise self._error(f"got bytes that are no UTF-8 at byte {begin}") from None

    def _advance(self, size: int) -> None:
        self._require(self._at + size)
        self._at += size

    def _require(self, size: int, name: str = "") -> None:
        if size > len(self._content):
            raise self._error(f"is cut: got {len(self._content)} bytes, expected at least {size}", name)

    def _error(self, message: str, field: str = "") -> InputError:
        return InputError(self._path, message, field=field)


def _digest(written: Mapping[str, bytes]) -> str:
    """Return SHA-256 over names and values, whatever their order in the file is."""
    digest = hashlib.sha256()
    for name, value in sorted(written.items()):
        digest.update(f"{name}\0{hashlib.sha256(value).hexdigest()}\n".encode())
    return digest.hexdigest()
