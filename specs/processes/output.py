"""Standard output and standard error that cannot be written: a full disk, a reader that has gone."""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO, cast

from ..files.printable import complain

UNWRITABLE = 2
UNREAD = 141
"""The exit code of a command whose reader has gone: that of one which the signal SIGPIPE ended."""


class OutputError(Exception):
    """Standard output cannot be written; `is_unread` tells whether its reader has gone, as `head` does.

    It is no OSError, because those are of files: who mends a file's trouble must not take this for it.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or error}")
        self.is_unread = error.errno == errno.EPIPE


class _Guarded:
    """A stream like another one, for which a function is called where that raises OSError."""

    def __init__(self, stream: TextIO, failed: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._failed = failed

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def guarded_output() -> Iterator[None]:
    """End the process with a line on standard error where the block prints what cannot be written, all at its end.

    The exit code is then `UNWRITABLE`, or `UNREAD` without a word. What cannot be written to standard error is dropped:
    there is nobody to tell. A terminal that knows few characters still gets its text, with the others written out.
    """
    out, err = sys.stdout, sys.stderr
    for stream in (out, err):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Python has none where they are closed.
    if out is not None:
        sys.stdout = cast(TextIO, _Guarded(out, _refuse))
    if err is not None:
        sys.stderr = cast(TextIO, _Guarded(err, lambda _: _discard(err)))
    try:
        try:
            yield
        finally:
            if out is not None:
                sys.stdout.flush()
    except OutputError as error:
        # Python writes what is left once more when it ends.
        _discard(out)
        if error.is_unread:
            raise SystemExit(UNREAD) from None
        complain(f"error: {error}")
        raise SystemExit(UNWRITABLE) from None
    finally:
        if err is not None:
            sys.stderr.flush()
        sys.stdout, sys.stderr = out, err


def _refuse(error: OSError) -> NoReturn:
    raise OutputError(error) from None


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
