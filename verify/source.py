"""Responses to verify: files, or standard input, each of which may name its task in its first line."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ..specs.errors import SpecError
from ..specs.yaml_file import MAX_BYTES, decode, read_text

STANDARD_INPUT = "-"
_TASK_LINE = re.compile(r"\s*task\s*:(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A response and the task that its first line names, if it does."""

    name: str
    text: str
    task_id: str | None


def read_response(name: str) -> Response:
    """Return the response in a file, `-` for standard input; raises SpecError if it cannot be used."""
    if name == STANDARD_INPUT:
        if sys.stdin is None:
            raise SpecError("standard input", "cannot be read: it is closed")
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise SpecError("standard input", f"is too large: expected at most {MAX_BYTES:,} bytes")
        text = decode(raw, "standard input")
    else:
        text = read_text(Path(name))
    first, _, rest = text.lstrip().partition("\n")
    task_line = _TASK_LINE.fullmatch(first)
    return Response(name, rest, task_line[1].strip()) if task_line else Response(name, text, None)
