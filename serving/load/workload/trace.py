"""Traces: requests that were recorded elsewhere, one JSON object a line."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ....specs.files.errors import InputError
from ....specs.files.record import MAX_BYTES, Record, decode_json, parse_record
from ....specs.files.yaml_file import read_text

Length = Annotated[int, Field(ge=1, lt=2**31)]


class TraceRow(Record):
    """A request of a trace, as Mooncake's traces have them: when it came, and how long it and its answer were.

    Other fields, as `hash_ids`, are ignored. `model` is asked for as it is; without it one is chosen.
    """

    timestamp: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    input_length: Length
    output_length: Length
    model: str | None = None


def read_trace(path: Path) -> list[TraceRow]:
    """Return the requests of a trace in the order of their times; raises InputError by file, line and field."""
    lines = read_text(path, MAX_BYTES).split("\n")
    rows = [
        parse_record(decode_json(line, path, number), TraceRow, path, number)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not rows:
        raise InputError(path, "got no line, expected one for each request")
    return sorted(rows, key=lambda row: row.timestamp)
