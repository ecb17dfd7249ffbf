"""Messages on a pipe: four bytes say how long each one is."""

import os
import struct
from collections.abc import Iterator

HEAD = struct.Struct("<I")
MAX_BYTES = 2**26


class FrameError(ValueError):
    """A message that is longer than any may be."""


def framed(message: bytes) -> bytes:
    """Return a message as it goes over a pipe."""
    return HEAD.pack(len(message)) + message


def length_of(head: bytes) -> int:
    """Return how long the message behind a head is; raises FrameError."""
    (length,) = HEAD.unpack(head)
    if length > MAX_BYTES:
        raise FrameError(f"a message, got {length} bytes, expected at most {MAX_BYTES}")
    return int(length)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, however little a pipe takes at a time."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


class Frames:
    """The messages in what comes over a pipe, piece by piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Yield the messages that are whole now; raises FrameError."""
        self._buffer += content
        while len(self._buffer) >= HEAD.size:
            end = HEAD.size + length_of(bytes(self._buffer[: HEAD.size]))
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[HEAD.size : end])
            del self._buffer[:end]
            yield message
