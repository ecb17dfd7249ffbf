"""Text of files that anybody may have written, so that it cannot command the terminal that shows it."""

import re
import sys

# Control characters but for the line break and the tab, what has no width, what turns the direction of writing, tags,
# halves of surrogate pairs, and the two that no XML may hold.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Return a text in which what would move the cursor, recolour, reorder or hide is written out, as in `\x1b`."""
    return _UNPRINTABLE.sub(_written_out, text)


def one_line(text: str) -> str:
    """Return a text, as of a file's name, in which line breaks and tabs are written out, too."""
    return re.sub(r"[\t\n]", _written_out, printable(text))


def complain(message: str) -> None:
    """Print a message on standard error; all messages of the commands there pass here."""
    print(printable(message), file=sys.stderr)


def _written_out(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode("ascii")
