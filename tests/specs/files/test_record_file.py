from pathlib import Path

import pytest

from verilora.specs.files.errors import InputError
from verilora.specs.files.record import Record, read_record
from verilora.specs.files.record_file import RecordFile


class Row(Record):
    """A record of these tests."""

    number: int
    text: str
    note: str | None = None


ROWS = [Row(number=1, text="zwei\nZeilen"), Row(number=2, text="→", note="an arrow"), Row(number=3, text="")]


@pytest.fixture
def file(tmp_path: Path) -> RecordFile[Row]:
    return RecordFile(tmp_path / "rows.jsonl", Row)


def test_what_is_appended_is_read(file: RecordFile[Row]) -> None:
    assert file.read() == []
    file.append(ROWS[:1])
    file.append(ROWS[1:])
    assert file.read() == ROWS
    assert file.path.read_text().splitlines()[2] == '{"number": 3, "text": ""}'


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_was_cut_off_is_dropped(file: RecordFile[Row], cut: int) -> None:
    file.append(ROWS)
    content = file.path.read_bytes()
    file.path.write_bytes(content[:-cut])
    assert file.read() == ROWS[:2]
    file.append(ROWS[2:])
    assert file.path.read_bytes() == content


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_cut_may_go_through_a_character(file: RecordFile[Row], cut: int) -> None:
    file.append(ROWS[:2])
    content = file.path.read_bytes()
    file.path.write_bytes(content[:-cut])
    read = file.read()
    assert read == ROWS[: len(read)]
    file.append(ROWS[len(read) : 2])
    assert file.path.read_bytes() == content


def test_a_broken_line_before_the_end_is_named(file: RecordFile[Row]) -> None:
    file.path.write_text('{"number": 1, "text": ""}\n{"number": \n{"number": 3, "text": ""}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2: not JSON"):
        file.read()
    file.path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:1: not UTF-8: "):
        file.read()
    file.path.write_text("[1]\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:1: expected a JSON object, got list"):
        file.read()


def test_a_record_without_its_fields_is_named(file: RecordFile[Row]) -> None:
    file.append(ROWS)
    with file.path.open("a") as rows:
        rows.write('{"number": 4}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:4: text: is missing"):
        file.read()


def test_what_cannot_be_read_is_named(file: RecordFile[Row]) -> None:
    file.path.mkdir()
    with pytest.raises(InputError, match=r"rows\.jsonl: cannot be read: Is a directory"):
        file.read()


def test_only_the_first_records_are_kept(file: RecordFile[Row]) -> None:
    file.append(ROWS)
    file.keep(2)
    assert file.read() == ROWS[:2]


@pytest.mark.parametrize(
    "line",
    ['{"number": 1, "text": "a", "number": 2}', '{"number": 1, "text": "a", "more": [{"number": 1, "number": 1}]}'],
)
def test_a_key_that_stands_twice_is_named(file: RecordFile[Row], line: str) -> None:
    file.append(ROWS[:1])
    file.path.write_text(f"{file.path.read_text()}{line}\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:2: number: stands twice in one object"):
        file.read()
    file.path.write_text(line)
    with pytest.raises(InputError, match=r"rows\.jsonl: number: stands twice in one object"):
        read_record(file.path, Row)
