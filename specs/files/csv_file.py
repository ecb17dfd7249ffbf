"""Tables as CSV (RFC 4180) that a spreadsheet shows and does not run."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from .printable import printable

Cell = str | int
# What a spreadsheet takes for the beginning of a formula, in the width of Chinese and Japanese writing, too.
_FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001 (wide characters on purpose)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    r"""Return a table as CSV: all text in quotes, lines that end in CR LF.

    Control characters are written out, as in `\x1b`. Text that a spreadsheet could take for a formula, or that begins
    with a tab or an empty line, has an apostrophe before it, which tells spreadsheets that it is text.
    """
    text = StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    for row in (header, *rows):
        writer.writerow([_cell(cell) for cell in row])
    return text.getvalue()


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, int):
        return cell
    shown = printable(cell)
    # Some of them skip spaces before they look.
    is_unsafe = shown.startswith(("\t", "\n")) or shown.lstrip().startswith(_FORMULA)
    return f"'{shown}" if is_unsafe else shown
