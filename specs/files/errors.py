"""The error of all input that cannot be used: a command that meets it ends with exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .printable import one_line


class InputError(ValueError):
    """Input that cannot be used; the message names file, line and field, what was found and what was expected."""

    def __init__(self, path: Path | str, message: str, *, line: int | None = None, field: str = "") -> None:
        place = one_line(f"{path}:{line}" if line else str(path))
        super().__init__(": ".join(part for part in (place, field, message) if part))
        self._made_with = (str(path), message, line, field)

    @property
    def public(self) -> str:
        """The message with the file's name alone, for those who may not know where it lies."""
        path, message, line, field = self._made_with
        return str(InputError(Path(path).name, message, line=line, field=field))

    @property
    def reason(self) -> str:
        """The message without the place: for those who must not know where files are."""
        _, message, _, field = self._made_with
        return ": ".join(part for part in (field, message) if part)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it pass from one process to another as it is."""
        return _again, self._made_with


def _again(path: str, message: str, line: int | None, field: str) -> InputError:
    return InputError(path, message, line=line, field=field)


def expected_one_of(got: str, known: Iterable[str], most: int = 16) -> str:
    """Return "got X, expected one of ..." with the closest known name, for a message; long lists are cut."""
    names = sorted(known)
    close = get_close_matches(got, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close and close[0] != got else ""
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return f"got {got!r}, expected one of {', '.join(names[:most]) or 'nothing: none is defined'}{more}{hint}"
