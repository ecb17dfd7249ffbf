import errno
import os
from pathlib import Path

import pytest

from verilora.specs.files.errors import InputError
from verilora.specs.files.record_file import RecordFile, write_atomically

ROWS = [{"number": 1, "text": "zwei\nZeilen"}, {"number": 2, "text": "→"}, {"number": 3, "text": ""}]


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "rows.jsonl")
    assert file.read() == []
    file.append(ROWS[:1])
    file.append(ROWS[1:])
    assert file.read() == ROWS


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    file = RecordFile(tmp_path / "rows.jsonl")
    file.append(ROWS)
    content = file.path.read_bytes()
    file.path.write_bytes(content[:-cut])
    assert file.read() == ROWS[:2]
    file.append(ROWS[2:])
    assert file.path.read_bytes() == content


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_cut_may_go_through_a_character(tmp_path: Path, cut: int) -> None:
    file = RecordFile(tmp_path / "rows.jsonl")
    file.append(ROWS[:2])
    content = file.path.read_bytes()
    file.path.write_bytes(content[:-cut])
    read = file.read()
    assert read == ROWS[: len(read)]
    file.append(ROWS[len(read) : 2])
    assert file.path.read_bytes() == content


def test_a_broken_line_before_the_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not JSON"):
        RecordFile(path).read()
    path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:1: not UTF-8: "):
        RecordFile(path).read()
    path.write_text("[1]\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:1: expected a JSON object, got '\[1\]'"):
        RecordFile(path).read()


def test_a_record_without_its_fields_is_named(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "rows.jsonl", ("number", "text"))
    file.append([*ROWS, {"number": 4}])
    with pytest.raises(InputError, match=r"rows\.jsonl:4: expected the field 'text', got number"):
        file.read()


def test_only_the_first_records_are_kept(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "rows.jsonl")
    file.append(ROWS)
    file.keep(2)
    assert file.read() == ROWS[:2]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "content.json"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
