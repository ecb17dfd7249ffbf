"""The folder of a running server's sockets, which nobody else may enter, and which a killed server leaves behind."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "verilora-"
_LOCK = ".lock"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder with mode 0700 that goes at the end; those that killed servers have left go first."""
    remove_leftovers()
    # Locked before it has its name, so that nobody takes it for left.
    unnamed = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with (unnamed / _LOCK).open("w") as lock:
        with suppress(OSError):
            # Not inherited: what a killed server leaves of processes holds nothing.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = unnamed.rename(unnamed.with_name(unnamed.name.removeprefix(".")))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove this user's folders whose servers do not run any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Without a lock it is somebody else's, or of a file system without locks.
        with suppress(OSError):
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                _remove_unless_held(path)


def _remove_unless_held(path: Path) -> None:
    with (path / _LOCK).open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
