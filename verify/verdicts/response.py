"""Responses, from files or standard input, whose first line may name their task; and the controllers in them."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ...specs.domain import Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.files.yaml_file import MAX_BYTES, decode, read_text
from ...specs.task import Task
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.build import parse_controller
from ...synth.controllers.controller import Controller, Reading
from ...synth.controllers.hoa import from_hoa, is_hoa
from ...synth.controllers.steps import MAX_STEPS, InvalidController

STANDARD_INPUT = "-"
_TASK_LINE = re.compile(r"\s*task\s*:(.*)", re.IGNORECASE)
Parsed = Controller | InvalidController
"""What a response holds: a controller, or why it is none."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response and the task that its first line names, if it does; in `text` an empty line stands for that one."""

    name: str
    text: str
    task_id: str | None


def read_response(name: str) -> Response:
    """Return the response in a file, `-` for standard input; raises InputError if it cannot be used."""
    if name == STANDARD_INPUT:
        if sys.stdin is None:
            raise InputError("standard input", "cannot be read: it is closed")
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError("standard input", f"is too large: expected at most {MAX_BYTES:,} bytes")
        text = decode(raw, "standard input")
    else:
        text = read_text(Path(name))
    first, _, rest = text.lstrip().partition("\n")
    task_line = _TASK_LINE.fullmatch(first)
    if not task_line:
        return Response(name, text, None)
    # What is said of a line says which it is in the file.
    above = text.count("\n", 0, len(text) - len(rest))
    return Response(name, "\n" * above + rest, task_line[1].strip())


def read_controller(text: str, alignment: Alignment, reading: Reading, max_steps: int = MAX_STEPS) -> Controller:
    """Return the controller in a response, numbered steps or HOA; raises InvalidController."""
    if is_hoa(text):
        return from_hoa(text, alignment.vocabulary)
    return parse_controller(text, alignment, reading, max_steps)


def task_of(domain: Domain, response: Response, task_id: str | None) -> Task:
    """Return the task of a response; raises InputError if none is named, or two."""
    if task_id and response.task_id and task_id != response.task_id:
        raise InputError(response.name, f"its first line names the task {response.task_id!r}, --for names {task_id!r}")
    chosen = task_id or response.task_id
    if not chosen:
        ids = "\n  ".join(domain.tasks)
        raise InputError(response.name, f"no task: expected --for ID or a first line 'Task: ID' with one of\n  {ids}")
    if chosen not in domain.tasks:
        raise InputError(response.name, f"no such task: {expected_one_of(chosen, domain.tasks)}")
    return domain.tasks[chosen]
