"""Files and folders that are complete or not there, whenever the process or the machine stops."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".unfinished"


@contextmanager
def replacing(path: Path, unfinished: Path | None = None) -> Iterator[Path]:
    """Yield where to write what is to stand at a path: a file, which may replace another, or a folder.

    It takes its place when the block has ended without an error, after all of it is on the disk. What was left behind
    there by a kill is removed first. It is written beside the path, unless `unfinished` names another place.
    """
    unfinished = unfinished or path.with_name(path.name + UNFINISHED)
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    unfinished.unlink(missing_ok=True)
    yield unfinished
    for written in (*unfinished.rglob("*"), unfinished):
        sync(written)
    unfinished.replace(path)
    # It stands there already; some file systems cannot be asked to wait for a folder.
    with suppress(OSError):
        sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8; it is complete or does not change."""
    with replacing(path) as unfinished:
        # Half a surrogate pair, which JSON and YAML can name, has no bytes: it is written as `\ud800`, as JSON has it.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: object) -> None:
    """Write a value as indented JSON; the file is complete or does not change."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Wait until a file, or the list of what a folder holds, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
