"""CSV that others may have written into: it is read back whole, and a spreadsheet runs none of it."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verilora.specs.files.csv_file import csv_text
from verilora.specs.files.printable import printable


def read(text: str) -> list[list[str]]:
    return list(csv.reader(StringIO(text, newline=""), strict=True))


def test_text_stands_in_quotes_and_lines_end_as_the_standard_says() -> None:
    text = csv_text(("name", "count"), [('say "hi", now', 3), ("two\nlines; Zürich", 0)])
    assert text == '"name","count"\r\n"say ""hi"", now",3\r\n"two\nlines; Zürich",0\r\n'


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\u00a0=1", "＝1", "\n=1", '=HYPERLINK("http://a.example","b")'],  # noqa: RUF001
)
def test_what_a_spreadsheet_would_run_is_marked_as_text(cell: str) -> None:
    assert read(csv_text(("a",), [(cell,)]))[1] == [f"'{cell}"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("\x1b[2J", "\\x1b[2J"), ("a\rb", "a\\rb"), ("\r=1", "\\r=1"), ("\u202e=1", "\\u202e=1"), ("\ud800", "\\ud800")],
)
def test_control_characters_are_written_out(cell: str, shown: str) -> None:
    text = csv_text(("a",), [(cell,)])
    assert read(text)[1] == [shown]
    text.encode()


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(min_value=0)), max_size=5))
def test_every_table_is_read_back(rows: list[tuple[str, str, int]]) -> None:
    found = read(csv_text(("a", "b", "c"), rows))[1:]
    for row, (first, second, number) in zip(found, rows, strict=True):
        assert [cell.removeprefix("'") for cell in row[:2]] == [
            printable(cell).removeprefix("'") for cell in (first, second)
        ]
        assert row[2] == str(number)
        assert not any(cell.lstrip()[:1] in set("=+-@\t") for cell in row if cell.strip())
