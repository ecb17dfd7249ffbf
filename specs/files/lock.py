"""Locks: one process at a time writes to a folder or a file that grows."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from .errors import InputError

LOCK = ".lock"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Let no other process write to a folder, or to a file, until the block ends or this process does.

    The lock is a file in the folder, or beside the file; it stays, and is free when nobody holds it. Raises InputError
    that says who holds it, or that nothing can be written there. Where a file system knows no locks, nothing is held.
    """
    lock = path / LOCK if path.is_dir() else path.with_name(path.name + LOCK)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None
    with file:
        try:
            # Of the process, and not inherited by children: what a kill leaves of them holds nothing.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise InputError(path, f"is written to by {holder}: expected to be the only one") from None
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        yield
