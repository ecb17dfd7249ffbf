import pytest

from verilora.specs.files.errors import InputError
from verilora.specs.files.printable import complain, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b[2J\x1b[Hall kept", r"\x1b[2J\x1b[Hall kept", id="escape sequences"),
        pytest.param("a\rb\bc\x07\x00\x0b\x0c", r"a\rb\x08c\x07\x00\x0b\x0c", id="C0"),
        pytest.param("\x7f\x80\x85\x9b31m\x9f", r"\x7f\x80\x85\x9b31m\x9f", id="DEL and C1"),
        pytest.param("\u202a\u202b\u202c\u202d\u202e", r"\u202a\u202b\u202c\u202d\u202e", id="overrides"),
        pytest.param("\u2066\u2067\u2068\u2069\u200e", r"\u2066\u2067\u2068\u2069\u200e", id="isolates"),
        pytest.param("\u200f\u061c\u200b\u2060\ufeff\xad", r"\u200f\u061c\u200b\u2060\ufeff\xad", id="without width"),
        pytest.param("\u2028\u2029", r"\u2028\u2029", id="separators"),
        pytest.param("\ud800 \udcff", r"\ud800 \udcff", id="halves of surrogate pairs"),
        pytest.param("\U000e0041\ufffe", r"\U000e0041\ufffe", id="tags and no characters"),
        pytest.param("a\n\tb - é 漢 → ✓ 👩‍🚒", "a\n\tb - é 漢 → ✓ 👩‍🚒", id="text stays"),
    ],
)
def test_what_would_command_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_name_is_one_line() -> None:
    assert one_line("a\nerror: b\tc\x1b") == r"a\nerror: b\tc\x1b"
    assert str(InputError("a\nb\x1b", "no", line=3)) == r"a\nb\x1b:3: no"


def test_messages_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    complain("error: \x1b[2J\u202e")
    assert capsys.readouterr() == ("", "error: \\x1b[2J\\u202e\n")
