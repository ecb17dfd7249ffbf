"""Messages between two fronts, over a pair of pipes, in asyncio."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Generic, Protocol, TypeVar

from ...workers.frames import HEAD, framed, length_of
from .messages import FromFirst, FromOther, encode

Heard = TypeVar("Heard")


class Writer(Protocol):
    """Where bytes go, without waiting."""

    def write(self, data: bytes, /) -> None:
        """Take some bytes."""


class Pipe(Generic[Heard]):
    """Both ways to another front: what is written goes in the order in which it was sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: Writer, decode: Callable[[bytes], Heard]) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = decode

    def send(self, message: FromFirst | FromOther) -> None:
        """Say something; nothing if nobody is there any more, which whoever reads finds out."""
        with suppress(ConnectionError):
            self._writer.write(framed(encode(message)))

    async def receive(self) -> Heard | None:
        """Return what is said next, None at the end."""
        try:
            length = length_of(await self._reader.readexactly(HEAD.size))
            return self._decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


async def opened_pipe(source: BinaryIO, target: BinaryIO, decode: Callable[[bytes], Heard]) -> Pipe[Heard]:
    """Return both ways to whoever has the other ends of two pipes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, target)
    return Pipe(reader, transport, decode)
