"""Copies of files that may change while they are read: what is checked and served later is the copy."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ....specs.files.errors import InputError

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that was copied: its size and its SHA-256 in hexadecimal digits."""

    num_bytes: int
    digest: str


def copy_file(source: int, target: Path, max_bytes: int) -> Copied:
    """Copy an open file and wait until it is on the disk; raises InputError if it is too large or changes meanwhile."""
    before = os.fstat(source)
    if before.st_size > max_bytes:
        raise InputError(target, f"got {before.st_size} bytes, expected at most {max_bytes}")
    digest, left = hashlib.sha256(), before.st_size
    with target.open("xb") as file:
        while piece := os.read(source, min(_PIECE, left)):
            left -= len(piece)
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if left or _stamp(os.fstat(source)) != _stamp(before):
        raise InputError(target, "changed while it was read, expected a file that nobody writes to")
    return Copied(before.st_size, digest.hexdigest())


def read_file(source: int, path: Path, max_bytes: int) -> bytes:
    """Return what an open file holds; raises InputError if that is too much."""
    content = bytearray()
    while piece := os.read(source, min(_PIECE, max_bytes + 1 - len(content))):
        content += piece
        if len(content) > max_bytes:
            raise InputError(path, f"got more than {max_bytes} bytes, expected at most that")
    return bytes(content)


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
