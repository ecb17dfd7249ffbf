from io import StringIO

import pytest
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from verilora.verify.commands.terminal import PlainConsole, console, progress

FORGED = "\x1b[2J\x9b8mcompliance 100%\u202e"
SHOWN = r"\x1b[2J\x9b8mcompliance 100%\u202e"


def table() -> Table:
    drawn = Table(box=box.ASCII)
    drawn.add_column("what")
    drawn.add_column("said")
    drawn.add_row(FORGED, "a")
    drawn.add_row("short", "b")
    return drawn


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(FORGED, id="string"),
        pytest.param(Text(FORGED, style="bold red"), id="text"),
        pytest.param(Text.assemble("a ", (FORGED, "bold")), id="assembled"),
        pytest.param(Group(Padding(Text(FORGED), (0, 0, 0, 2)), "end"), id="group"),
        pytest.param(table(), id="table"),
    ],
)
def test_nothing_that_is_printed_commands_the_terminal(drawn: RenderableType) -> None:
    written = StringIO()
    PlainConsole(file=written, width=80, force_terminal=False).print(drawn)
    assert SHOWN in written.getvalue()
    assert not {"\x1b", "\x9b", "\u202e"} & {*written.getvalue()}


def test_columns_stay_columns() -> None:
    written = StringIO()
    PlainConsole(file=written, width=80, force_terminal=False).print(table())
    assert len({len(line) for line in written.getvalue().splitlines()}) == 1


def test_styles_are_still_drawn_on_a_terminal() -> None:
    written = StringIO()
    PlainConsole(file=written, width=80, force_terminal=True, color_system="standard").print(Text(FORGED, style="red"))
    assert written.getvalue() == f"\x1b[31m{SHOWN}\x1b[0m\n"


def test_progress_says_names_as_they_are_on_a_terminal() -> None:
    written = StringIO()
    terminal = PlainConsole(file=written, width=120, force_terminal=True, color_system=None)
    with progress(terminal, f"driving [/red]\n{FORGED}", 4) as report:
        report(4)
    assert f"driving [/red]\\n{SHOWN}" in written.getvalue()
    assert FORGED[:4] not in written.getvalue()


def test_progress_in_a_file_is_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(console(), f"driving {FORGED}", 2) as report:
        report(1)
        report(2)
    assert capsys.readouterr().out == f"driving {SHOWN}: 1 of 2\ndriving {SHOWN}: 2 of 2\n"
