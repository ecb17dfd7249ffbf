import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from verilora.serving.adapters.ingestion import copied
from verilora.serving.adapters.ingestion.copied import copy_file, read_file
from verilora.specs.files.errors import InputError

CONTENT = bytes(range(256)) * 20
Change = Callable[[Path], object]


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


CHANGES: dict[str, Change] = {
    "grows": grow,
    "is cut": lambda path: os.truncate(path, 100),
    "is written to": overwrite,
    "is emptied": lambda path: path.write_bytes(b""),
}


def test_a_copy_is_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    found = copy_file(opened(tmp_path / "source"), tmp_path / "target", len(CONTENT))
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert (found.num_bytes, found.digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    with pytest.raises(InputError, match="expected at most 5119"):
        copy_file(opened(tmp_path / "source"), tmp_path / "target", len(CONTENT) - 1)
    with pytest.raises(InputError, match="got more than 5119 bytes"):
        read_file(opened(tmp_path / "source"), tmp_path / "target", len(CONTENT) - 1)
    assert read_file(opened(tmp_path / "source"), tmp_path / "target", len(CONTENT)) == CONTENT
    os.truncate(tmp_path / "source", 2**40)
    with pytest.raises(InputError, match="got 1099511627776 bytes"):
        copy_file(opened(tmp_path / "source"), tmp_path / "target", len(CONTENT))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_safetensors_668_a_file_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """Also while nobody looks at its size: the read that sees the change is the third of many."""
    (tmp_path / "source").write_bytes(CONTENT)
    read, reads = os.read, []

    def changing(descriptor: int, num_bytes: int) -> bytes:
        reads.append(num_bytes)
        if len(reads) == 3:
            change(tmp_path / "source")
        return read(descriptor, num_bytes)

    monkeypatch.setattr(copied, "_PIECE", 512)
    monkeypatch.setattr(os, "read", changing)
    with pytest.raises(InputError, match="changed while it was read"):
        copy_file(opened(tmp_path / "source"), tmp_path / "target", 10**6)
