import errno
import os
from pathlib import Path

import pytest

from verilora.specs.files.atomic import replacing, write_json, write_text


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "content.json"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "adapter"

    def write(*names: str) -> None:
        with replacing(path) as unfinished:
            (unfinished / "inner").mkdir(parents=True)
            for name in names:
                (unfinished / "inner" / name).write_text(name)
            if not names:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not path.exists()
    assert (tmp_path / "adapter.unfinished").is_dir()
    # What was left behind is no part of what is written next.
    (tmp_path / "adapter.unfinished" / "inner" / "left").touch()
    write("weights", "config")
    assert sorted(file.name for file in path.rglob("*")) == ["config", "inner", "weights"]
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_does_not_have_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "content.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
