"""Folders and files under configured roots, opened part by part so that no link leads out of them."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ....specs.files.errors import InputError
from ...workers.job import Missing

# Errors are for people far away: they say neither where a folder lies nor what it is called.
WHERE = Path("adapter")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def opened_folder(path: str, roots: Iterable[Path]) -> Iterator[int]:
    """Yield a descriptor of a folder under one of the roots; raises InputError, Missing if there is no such folder.

    A path that is not absolute is looked for under each root. No part of it below the root may be a link.
    """
    places = [(root, parts) for root in roots if (parts := _parts_below(path, root))]
    if not places:
        raise InputError(WHERE, "lies under no adapter root, expected a folder under one")
    for number, (root, parts) in enumerate(places, start=1):
        try:
            descriptor = _walk(root, parts)
        except Missing:
            if number == len(places):
                raise
        else:
            break
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def opened_file(folder: int, name: str) -> int:
    """Return a descriptor of a regular file in a folder; raises InputError, Missing if there is none."""
    try:
        # Asked first: opening a device may do something.
        _check_regular(name, os.stat(name, dir_fd=folder, follow_symlinks=False))
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Missing(Path(name), "no adapter found: the file is not there, expected PEFT's format") from None
        raise _refused(name, error) from None
    try:
        _check_regular(name, os.fstat(descriptor))
    except InputError:
        os.close(descriptor)
        raise
    return descriptor


def _parts_below(path: str, root: Path) -> tuple[str, ...]:
    """Return the parts of a path below a root, none if it is not below it."""
    asked = PurePosixPath(path)
    if ".." in asked.parts or "\0" in path:
        raise InputError(WHERE, "got a path with '..' or a zero byte, expected one that goes down from an adapter root")
    if not asked.is_absolute():
        return asked.parts
    # Both as it was configured and where it is: whoever asks knows either.
    for known in (root, root.resolve()):
        if asked.is_relative_to(known):
            return asked.relative_to(known).parts
    return ()


def _walk(root: Path, parts: Iterable[str]) -> int:
    try:
        descriptor = os.open(root, _FOLDER)
        for part in parts:
            above = descriptor
            try:
                descriptor = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            finally:
                os.close(above)
    except (OSError, UnicodeEncodeError) as error:
        raise _refused(WHERE.name, error) from None
    return descriptor


def _check_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InputError(Path(name), "is a link or no regular file, expected the adapter's own file")


def _refused(name: str, error: OSError | UnicodeEncodeError) -> InputError:
    code = error.errno if isinstance(error, OSError) else errno.ENOENT
    if code in (errno.ENOENT, errno.ENAMETOOLONG):
        return Missing(Path(name), "no adapter found: there is nothing of this name under an adapter root")
    if code in (errno.ELOOP, errno.ENOTDIR):
        return InputError(Path(name), "is a link or no folder, expected a folder under an adapter root")
    return InputError(Path(name), f"cannot be read: {error.strerror if isinstance(error, OSError) else error.reason}")
